/* Convolutions as matrix products whose left side is never stored: a thread packs the rows of a few tiles, each the
 * neighbourhood of one output pixel, into scratch of its own and takes them through all panels of the weights.
 *
 * A map of features is rows of pixels: [items × side × side][padded channels], fp32 or bf16, what is beyond the
 * channels being 0. */
#ifndef CLIPC_BACKEND_CPU_CONVOLUTION_H
#define CLIPC_BACKEND_CPU_CONVOLUTION_H

#include "backend/cpu/gemm.h"
#include "model/resnet.h"

typedef struct clipc_convolution_run {
    const clipc_kernels *kernels;
    const clipc_convolution *shape;
    const clipc_packed_weights *weights; /* folded (weight_builder.h); their dtype is that of the maps, too */
    size_t items;
    const void *input; /* a map; of CLIPC_CONVOLUTION_PIXELS floats [items, 3, input_side, input_side] */
    clipc_epilogue epilogue;
    void *output;      /* a map; with a residual, it is added to */
    uint32_t *scratch; /* [threads][scratch_stride] */
    size_t scratch_stride;
} clipc_convolution_run;

/* Units of 32 bits of a pixel's row in a map. */
static inline size_t clipc_map_length(size_t channels, clipc_dtype dtype)
{
    return clipc_padded_columns(channels) * clipc_dtype_size(dtype) / sizeof(float);
}

/* Units of scratch that a thread needs. */
size_t clipc_convolution_scratch(const clipc_kernels *kernels, const clipc_packed_weights *weights);

void clipc_convolution_compute(clipc_thread_pool *pool, const clipc_convolution_run *run);

#endif
