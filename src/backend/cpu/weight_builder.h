/* Builds packed weights in two passes over the same code: the first adds up what memory they need, the second fills
 * it. Packing for an engine file is a third kind of pass, with no memory but for one matrix at a time, which goes to
 * `function`. */
#ifndef CLIPC_BACKEND_CPU_WEIGHT_BUILDER_H
#define CLIPC_BACKEND_CPU_WEIGHT_BUILDER_H

#include "backend/backend.h"
#include "backend/cpu/arena.h"
#include "backend/cpu/gemm.h"
#include "model/resnet.h"

#include <stdatomic.h>

/* Linear layers that are computed as one: up to three, each padded to whole rows of buffers. Or a convolution. */
typedef struct clipc_weight_stack {
    const clipc_tensor *weights[3];
    const clipc_tensor *biases[3]; /* NULL: none */
    size_t parts;
    size_t outputs; /* of each part */
    size_t inner;
    /* Of a convolution, which is folded with its BatchNorm while it is packed; else NULL. */
    const clipc_convolution *convolution;
    const clipc_convolution_weights *convolution_weights;
} clipc_weight_stack;

typedef struct clipc_weight_builder {
    clipc_arena arena;
    clipc_thread_pool *pool;
    const clipc_kernels *kernels;
    clipc_precision precision;
    const char *keep_precise; /* model/keep_precise.h; may be NULL */
    size_t tallest_tile;      /* rows, that every product takes; SIZE_MAX at first */
    const clipc_model *model;
    bool image;
    size_t linear; /* how many matrices were taken: their number in model/linear.h */
    size_t repacked;
    clipc_packed_function function;
    void *context;
    atomic_bool not_finite; /* something that was read is NaN or infinite */
    clipc_status status;    /* of the first failure */
    clipc_error *error;
} clipc_weight_builder;

/* Units of 32 bits that one tap of a convolution, the channels of one pixel, takes along the inner dimension of packed
 * weights; that of the convolution over pixels has its taps side by side instead. */
size_t clipc_tap_units(const clipc_convolution *convolution, clipc_dtype dtype);

/* In `dtype`, or more precise: as keep_precise says, or as an engine file has it. */
void clipc_build_weights(clipc_weight_builder *builder, const clipc_weight_stack *stack, clipc_dtype dtype,
                         clipc_packed_weights *packed);
/* One layer; `bias` may be NULL. */
void clipc_build_linear(clipc_weight_builder *builder, const clipc_tensor *weight, const clipc_tensor *bias,
                        size_t outputs, size_t inner, clipc_dtype dtype, clipc_packed_weights *packed);
/* `rows` rows of `width` values as fp32, each padded with zeros to `padded`; NULL in the first pass. */
float *clipc_build_rows(clipc_weight_builder *builder, const clipc_tensor *tensor, size_t rows, size_t width,
                        size_t padded);

#endif
