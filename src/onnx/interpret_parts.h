/* What arithmetic leaves to the parts of a tower that it meets. */
#ifndef CLIPC_ONNX_INTERPRET_PARTS_H
#define CLIPC_ONNX_INTERPRET_PARTS_H

#include "onnx/interpret.h"

/* What exporters take for "not at all" is at most that. */
#define CLIPC_ONNX_VERY_NEGATIVE (-1e4)

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
/* Rows of constants as the queries of attention pooling. */
clipc_onnx_known clipc_onnx_probe_of(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                     const clipc_onnx_constant *rows);
/* Whether the expression is made of such queries alone, and so is the same for all items. */
bool clipc_onnx_is_of_probe(const clipc_onnx_expression *query);
/* The steps of a mask of hidden keys (interpret_mask.c): each false when the inputs are no such step. */
bool clipc_onnx_negate_tokens(clipc_onnx_interpreter *in, clipc_onnx_operation *of);
bool clipc_onnx_join_keys(clipc_onnx_interpreter *in, clipc_onnx_operation *of, size_t axis);
bool clipc_onnx_choose_keys(clipc_onnx_interpreter *in, clipc_onnx_operation *of);
bool clipc_onnx_add_keys(clipc_onnx_interpreter *in, clipc_onnx_operation *of);
/* Whether the constant is a causal mask of so many tokens that is added: its last two sides, others being of one. */
bool clipc_onnx_is_causal(clipc_onnx_interpreter *in, const clipc_onnx_constant *mask, size_t tokens);
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
