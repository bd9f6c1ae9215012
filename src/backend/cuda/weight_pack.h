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

/* e4m3, 8-bit floating point (OCP 2023): nearest, ties to even, at most ±448. */
uint8_t clipc_e4m3_of_float(float value);
float clipc_float_of_e4m3(uint8_t byte);

/* `count` values as e4m3 or s8, the largest at ±448 or ±127. Returns what one step is worth: value ≈ byte × step. */
float clipc_pack_bytes(clipc_cuda_type type, const float *values, size_t count, uint8_t *to);

/* Rows that the packed weights of a product of bytes have, and pairs of terms: whole groups, zeros at the end. The
 * same as CLIPC_CUDA_PADDED_COLUMNS of gemm.h, which needs CUDA's headers. */
#define CLIPC_PACKED_ROWS(columns) (((columns) + 255) / 256 * 256)

/* Which row of the packed weights of a product of bytes computes column `column` of its output, whose values have
 * `value_bytes` (1 or 2). Lane l of every four holds columns 2l and 2l + 1 of each 8 that the tensor cores give it; in
 * this order they are 16 neighbouring bytes of the output (epilogue_bytes.cuh). */
size_t clipc_packed_column(size_t value_bytes, size_t column);

#endif
