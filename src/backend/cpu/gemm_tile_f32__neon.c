#include "backend/cpu/kernels.h"
#include "backend/cpu/unroll.h"

#include <arm_neon.h>

#define COLUMNS CLIPC_GEMM_COLUMNS__neon
#define LANES   4
#define VECTORS (COLUMNS / LANES)

/* sum + weights × lane k of values; the lane must be a constant for the instruction. */
CLIPC_ALWAYS_INLINE float32x4_t multiply_add(float32x4_t sum, float32x4_t weights, float32x4_t values, const size_t k)
{
    switch (k) {
    case 0: return vfmaq_laneq_f32(sum, weights, values, 0);
    case 1: return vfmaq_laneq_f32(sum, weights, values, 1);
    case 2: return vfmaq_laneq_f32(sum, weights, values, 2);
    default: return vfmaq_laneq_f32(sum, weights, values, 3);
    }
}

/* Six rows take 24 registers for sums and 6 for four values of k each, which leaves 2 of the 32 for the weights. */
CLIPC_ALWAYS_INLINE void tile(const size_t rows, size_t blocks, const float *a, const float *b, float *out,
                              size_t out_stride)
{
    float32x4_t sums[CLIPC_GEMM_ROWS__neon][VECTORS];
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            sums[i][j] = vdupq_n_f32(0.0f);
    }
    for (; blocks; blocks--, a += rows * CLIPC_BLOCK) {
        for (size_t first = 0; first < CLIPC_BLOCK; first += LANES) {
            float32x4_t values[CLIPC_GEMM_ROWS__neon];
            CLIPC_UNROLL
            for (size_t i = 0; i < rows; i++)
                values[i] = vld1q_f32(a + i * CLIPC_BLOCK + first);
            CLIPC_UNROLL
            for (size_t k = 0; k < LANES; k++, b += COLUMNS) {
                CLIPC_UNROLL
                for (size_t j = 0; j < VECTORS; j++) {
                    const float32x4_t weights = vld1q_f32(b + j * LANES);
                    CLIPC_UNROLL
                    for (size_t i = 0; i < rows; i++)
                        sums[i][j] = multiply_add(sums[i][j], weights, values[i], k);
                }
            }
        }
    }
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            vst1q_f32(out + i * out_stride + j * LANES, sums[i][j]);
    }
}

void clipc_gemm_tile_f32__neon(size_t rows, size_t blocks, const float *a, const float *b, float *out,
                               size_t out_stride)
{
    switch (rows) {
    case 1: tile(1, blocks, a, b, out, out_stride); break;
    case 2: tile(2, blocks, a, b, out, out_stride); break;
    case 3: tile(3, blocks, a, b, out, out_stride); break;
    case 4: tile(4, blocks, a, b, out, out_stride); break;
    case 5: tile(5, blocks, a, b, out, out_stride); break;
    case 6: tile(6, blocks, a, b, out, out_stride); break;
    default: break;
    }
}
