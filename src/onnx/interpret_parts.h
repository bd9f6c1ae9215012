/* What arithmetic leaves to the parts of a tower that it meets. */
#ifndef CLIPC_ONNX_INTERPRET_PARTS_H
#define CLIPC_ONNX_INTERPRET_PARTS_H

#include "onnx/interpret.h"

typedef enum clipc_onnx_mask {
    CLIPC_ONNX_MASK_ADDED,   /* numbers that are added to scores */
    CLIPC_ONNX_MASK_ALLOWED, /* what may be looked at */
    CLIPC_ONNX_MASK_FORBIDDEN
} clipc_onnx_mask;

clipc_onnx_known clipc_onnx_masked(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                   const clipc_onnx_known *scores, const clipc_onnx_constant *mask,
                                   clipc_onnx_mask meaning);
/* A place with the first row of each item added to it. */
clipc_onnx_known clipc_onnx_flat_place(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                       const clipc_onnx_known *place, const clipc_onnx_constant *offsets);
/* Ids or places and a number; false when `x` is neither. */
bool clipc_onnx_number_meets_tokens(clipc_onnx_interpreter *in, clipc_onnx_operation *of, const clipc_onnx_known *x,
                                    double number);
/* The step of an activation's integers times that of a weight's. */
clipc_onnx_known clipc_onnx_scaled_step(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                        const clipc_onnx_known *step, const clipc_onnx_constant *scale);
/* A product of integers times its step, which makes it one of floats; false when the inputs are neither. */
bool clipc_onnx_scaled_product(clipc_onnx_interpreter *in, clipc_onnx_operation *of);

/* x × weight, as the kind LINEAR or, of integers with the weight's zero, INTEGER_PRODUCT. */
clipc_onnx_known clipc_onnx_linear_of(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                      const clipc_onnx_known *x, const clipc_onnx_constant *weight, bool turned,
                                      clipc_onnx_kind kind, const clipc_onnx_constant *zero);
/* The patches of pixels, likewise. */
clipc_onnx_known clipc_onnx_patches_of(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                       const clipc_onnx_known *x, const clipc_onnx_constant *weight,
                                       clipc_onnx_kind kind, const clipc_onnx_constant *zero);
/* Whether the attribute is `count` times the number; `absent` where there is none. */
bool clipc_onnx_all_are(const clipc_onnx_operation *of, const char *attribute, int64_t expected, size_t count,
                        bool absent);
/* Whether a window's input is padded with so many zeros at each side. */
bool clipc_onnx_pads(const clipc_onnx_operation *of, size_t pixels);
/* Whether the expression has tokens with features, of which some may be taken. */
bool clipc_onnx_has_rows(clipc_onnx_kind kind);
/* The expression as a square map. */
clipc_onnx_known clipc_onnx_map_of(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                   const clipc_onnx_expression *expression, size_t side);
/* Pixels or a map convolved as a ResNet does it. */
clipc_onnx_known clipc_onnx_convolved(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                      const clipc_onnx_known *x, const clipc_onnx_constant *weight);

#endif
