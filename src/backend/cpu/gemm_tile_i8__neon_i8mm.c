#include "backend/cpu/kernels.h"

#include <arm_neon.h>

#define ROWS    CLIPC_GEMM_I8_ROWS__neon_i8mm
#define COLUMNS CLIPC_GEMM_I8_COLUMNS__neon_i8mm

typedef uint32_t unit;
typedef int32_t result;
typedef uint8x16_t operand;
typedef int32x4_t sum;

static inline sum sum_zero(void)
{
    return vdupq_n_s32(0);
}

static inline operand load_values(const uint32_t *from)
{
    return vreinterpretq_u8_u32(vld1q_u32(from));
}

static inline operand load_weights(const uint32_t *from)
{
    return vreinterpretq_u8_u32(vld1q_u32(from));
}

static inline void store_sum(int32_t *to, sum total)
{
    vst1q_s32(to, total);
}

/* SUDOT, of signed and unsigned bytes. */
#define MULTIPLY_ADD(total, weights, values, lane) vsudotq_laneq_s32(total, vreinterpretq_s8_u8(weights), values, lane)

#include "backend/cpu/gemm_tile_neon.h"

void clipc_gemm_tile_i8__neon_i8mm(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, int32_t *out,
                                   size_t out_stride)
{
    multiply_rows(rows, blocks, a, b, out, out_stride);
}
