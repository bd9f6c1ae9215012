#include <arm_neon.h>

#define ROWS    CLIPC_GEMM_BF16_ROWS__neon
#define COLUMNS CLIPC_GEMM_BF16_COLUMNS__neon

typedef float32x4_t vector;

static inline vector vector_set(float value)
{
    return vdupq_n_f32(value);
}

static inline vector vector_multiply_add(vector a, vector b, vector c)
{
    return vfmaq_f32(c, a, b);
}

static inline void vector_store(float *to, vector a)
{
    vst1q_f32(to, a);
}

static inline vector vector_even(const uint32_t *pairs)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vld1q_u32(pairs), 16));
}

static inline vector vector_odd(const uint32_t *pairs)
{
    return vreinterpretq_f32_u32(vandq_u32(vld1q_u32(pairs), vdupq_n_u32(0xFFFF0000)));
}

#include "backend/cpu/gemm_tile_bf16.h"

void clipc_gemm_tile_bf16__neon(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, float *out,
                                size_t out_stride)
{
    multiply_rows(rows, blocks, a, b, out, out_stride);
}
