#include "backend/cpu/kernels.h"
#include "backend/cpu/shifted_weights_neon.h"

#define ROWS    CLIPC_GEMM_I8_ROWS__neon_dotprod
#define COLUMNS CLIPC_GEMM_I8_COLUMNS__neon_dotprod

typedef uint32_t unit;
typedef uint32_t result;
typedef uint8x16_t operand;
typedef uint32x4_t sum;

static inline sum sum_zero(void)
{
    return vdupq_n_u32(0);
}

static inline operand load_values(const uint32_t *from)
{
    return vreinterpretq_u8_u32(vld1q_u32(from));
}

static inline operand load_weights(const uint32_t *from)
{
    return load_shifted_weights(from);
}

static inline void store_sum(uint32_t *to, sum total)
{
    vst1q_u32(to, total);
}

#define MULTIPLY_ADD(total, weights, values, lane) vdotq_laneq_u32(total, weights, values, lane)

#include "backend/cpu/gemm_tile_neon.h"

void clipc_gemm_tile_i8__neon_dotprod(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, int32_t *out,
                                      size_t out_stride)
{
    uint32_t *sums = (uint32_t *)out;
    multiply_rows(rows, blocks, a, b, sums, out_stride);
    take_shift(rows, COLUMNS, blocks, a, sums, out_stride);
}
