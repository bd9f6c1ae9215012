#include "backend/cpu/kernels.h"

#include <arm_neon.h>

#define ROWS    CLIPC_GEMM_ROWS__neon
#define COLUMNS CLIPC_GEMM_COLUMNS__neon

typedef float unit;
typedef float result;
typedef float32x4_t operand;
typedef float32x4_t sum;

static inline sum sum_zero(void)
{
    return vdupq_n_f32(0.0f);
}

static inline operand load_values(const float *from)
{
    return vld1q_f32(from);
}

static inline operand load_weights(const float *from)
{
    return vld1q_f32(from);
}

static inline void store_sum(float *to, sum total)
{
    vst1q_f32(to, total);
}

#define MULTIPLY_ADD(total, weights, values, lane) vfmaq_laneq_f32(total, weights, values, lane)

#include "backend/cpu/gemm_tile_neon.h"

void clipc_gemm_tile_f32__neon(size_t rows, size_t blocks, const float *a, const float *b, float *out,
                               size_t out_stride)
{
    multiply_rows(rows, blocks, a, b, out, out_stride);
}
