/* From what a graph computes to the roles of a CLIP tower. */
#ifndef CLIPC_ONNX_RECOGNIZE_H
#define CLIPC_ONNX_RECOGNIZE_H

#include "model/config.h"
#include "onnx/interpret.h"

typedef struct clipc_onnx_layer {
    const clipc_onnx_expression *norm1, *query, *key, *value, *attention_out, *norm2, *fc1, *fc2;
    double query_factor; /* what queries are multiplied by beyond 1 / √(features of a head) */
} clipc_onnx_layer;

typedef struct clipc_onnx_convolution {
    const clipc_onnx_expression *kernel;
    const clipc_onnx_expression *norm; /* the BatchNorm after it; NULL: it is in the kernel and its bias */
} clipc_onnx_convolution;

/* Every expression that holds weights. */
typedef struct clipc_onnx_tower {
    bool image;
    bool causal; /* of texts */
    clipc_tower_config config;
    size_t patch_size;
    clipc_image_pooling image_pooling;
    const clipc_onnx_expression *key_mask; /* of texts with a class token: which keys are hidden */
    clipc_text_pooling pooling;
    int32_t eot_token;
    const clipc_onnx_expression *embedded;    /* patches or tokens */
    const clipc_onnx_expression *class_token; /* NULL: none, as the other parts that not all towers have */
    const clipc_onnx_expression *positions;
    const clipc_onnx_expression *norm_pre;
    clipc_onnx_layer *layers; /* [config.layers], in the arena */
    const clipc_onnx_expression *norm_post;
    /* Of attention pooling, whose result is the embedding, or of pooling by a query (CLIPC_IMAGE_POOL_QUERY). */
    const clipc_onnx_expression *probe;
    size_t pooling_heads; /* of a query */
    bool averages_all;    /* the mean is of all rows, not of those after the first */
    size_t probe_row;     /* of the probe's rows, the one that asks */
    clipc_onnx_layer
        probe_layer; /* norm1 is norm_post, of a query its own norm; of a ResNet query, key, value alone */
    /* Of a ResNet, whose config has width and heads of attention pooling alone. */
    clipc_resnet_config resnet;
    clipc_onnx_convolution *convolutions; /* in the order of model/resnet.h, in the arena; NULL: no ResNet */
    size_t convolution_count;
    const clipc_onnx_expression *projection;
} clipc_onnx_tower;

/* False with *refusal set when the value is not the embedding of a CLIP tower. Also false when memory ran out. */
bool clipc_onnx_recognize(clipc_onnx_interpreter *in, const clipc_onnx_known *output, clipc_onnx_tower *out,
                          clipc_onnx_refusal *refusal);

#endif
