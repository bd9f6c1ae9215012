/* Weights as the kernels' operands: plain host code, tested with no GPU. */
#ifndef CLIPC_BACKEND_CUDA_WEIGHT_PACK_H
#define CLIPC_BACKEND_CUDA_WEIGHT_PACK_H

#include "backend/cuda/gemm_select.h"

#include <stddef.h>
#include <stdint.h>

/* Nearest, ties to even. Beyond the range: infinity in fp16 and bf16. */
uint16_t clipc_half_of_float(clipc_cuda_type type, float value);
/* Of a finite number. */
float clipc_float_of_half(clipc_cuda_type type, uint16_t half);

/* `count` values as `type`, 16 bits each. Returns the sum of what they became. */
double clipc_pack_halves(clipc_cuda_type type, const float *values, size_t count, uint16_t *to);

#endif
