/* The same choice as gemm_select.h for products of bytes, e4m3 and s8, which have tiles and kernels of their own;
 * `activation`: the epilogue has one, and then puts e4m3 out. */
#ifndef CLIPC_BACKEND_CUDA_GEMM_SELECT_BYTES_H
#define CLIPC_BACKEND_CUDA_GEMM_SELECT_BYTES_H

#include "backend/cuda/gemm_select.h"

#ifdef __cplusplus
extern "C" {
#endif

clipc_gemm_plan clipc_gemm_select_bytes(const clipc_gemm_device *device, int32_t rows, int32_t columns, int32_t depth,
                                        bool residual, bool activation);

/* The index-th tile; false past the last. clipc_gemm_fit fills the rest of the plan. */
bool clipc_gemm_variant_bytes(size_t index, clipc_gemm_plan *out);

/* Whether the tile can compute a product with or without an activation: bytes go out in groups of 64 columns. */
bool clipc_gemm_takes_bytes(const clipc_gemm_plan *plan, bool activation);

#ifdef __cplusplus
}
#endif

#endif
