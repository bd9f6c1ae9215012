/* What the kernels that a table was filled with are called, for people who ask what runs. Static strings. */
#ifndef CLIPC_BACKEND_CPU_KERNEL_NAMES_H
#define CLIPC_BACKEND_CPU_KERNEL_NAMES_H

#include "backend/cpu/kernels.h"

/* That multiplies weights of `dtype`, with its tile: "gemm_tile_f32__avx512 14 × 32". */
const char *clipc_gemm_name(const clipc_kernels *kernels, clipc_dtype dtype);
/* LayerNorm with a result of `dtype`: "layer_norm_f32__avx512". */
const char *clipc_layer_norm_name(const clipc_kernels *kernels, clipc_dtype dtype);
/* bf16 to bytes: "quantize_i8__avx512". */
const char *clipc_quantize_name(const clipc_kernels *kernels);

#endif
