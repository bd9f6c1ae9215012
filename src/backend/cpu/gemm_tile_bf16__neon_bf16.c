#include "backend/cpu/kernels.h"

#include <arm_neon.h>

#define ROWS    CLIPC_GEMM_BF16_ROWS__neon_bf16
#define COLUMNS CLIPC_GEMM_BF16_COLUMNS__neon_bf16

typedef uint32_t unit;
typedef float result;
typedef bfloat16x8_t operand;
typedef float32x4_t sum;

static inline sum sum_zero(void)
{
    return vdupq_n_f32(0.0f);
}

static inline operand load_values(const uint32_t *from)
{
    return vreinterpretq_bf16_u32(vld1q_u32(from));
}

static inline operand load_weights(const uint32_t *from)
{
    return vreinterpretq_bf16_u32(vld1q_u32(from));
}

static inline void store_sum(float *to, sum total)
{
    vst1q_f32(to, total);
}

/* BFDOT: the two products of a pair, their sum and the total are each rounded to odd. */
#define MULTIPLY_ADD(total, weights, values, lane) vbfdotq_laneq_f32(total, weights, values, lane)

#include "backend/cpu/gemm_tile_neon.h"

void clipc_gemm_tile_bf16__neon_bf16(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, float *out,
                                     size_t out_stride)
{
    multiply_rows(rows, blocks, a, b, out, out_stride);
}
