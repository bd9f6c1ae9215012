/* What the recognition of a tower leaves to that of its kinds: a walk from the embedding back to the input. */
#ifndef CLIPC_ONNX_RECOGNIZE_PARTS_H
#define CLIPC_ONNX_RECOGNIZE_PARTS_H

#include "onnx/recognize.h"

typedef struct clipc_onnx_walk {
    clipc_onnx_interpreter *in;
    clipc_onnx_tower *tower;
    clipc_onnx_refusal *refusal;
} clipc_onnx_walk;

/* False, with what was found and what was expected as the refusal; the first reason stays. */
bool clipc_onnx_stop(clipc_onnx_walk *at, const clipc_onnx_expression *found, const char *expected);
bool clipc_onnx_expect(clipc_onnx_walk *at, const clipc_onnx_expression *found, clipc_onnx_kind kind,
                       const char *expected);
/* From the scores of attention to queries and keys, without what these are multiplied by; *factor: what queries are
 * multiplied by beyond 1 / √(features of a head). */
bool clipc_onnx_take_scores(clipc_onnx_walk *at, const clipc_onnx_expression *scores,
                            const clipc_onnx_expression **query, const clipc_onnx_expression **key, double *factor);

/* Whether the embedding is what a ResNet's attention pooling makes, and then all of the tower. */
bool clipc_onnx_is_resnet(const clipc_onnx_expression *embedding);
bool clipc_onnx_take_resnet(clipc_onnx_walk *at, const clipc_onnx_expression *embedding);

#endif
