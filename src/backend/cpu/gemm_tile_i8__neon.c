#include "backend/cpu/kernels.h"
#include "backend/cpu/shifted_weights_neon.h"

#define ROWS    CLIPC_GEMM_I8_ROWS__neon
#define COLUMNS CLIPC_GEMM_I8_COLUMNS__neon

/* Two sums for a column, of the first two and of the last two products of a unit. */
typedef struct sum {
    uint32x4_t low;  /* of columns 0 and 1 */
    uint32x4_t high; /* of columns 2 and 3 */
} sum;

typedef uint32_t unit;
typedef uint32_t result;
typedef uint8x16_t operand;

static inline sum sum_zero(void)
{
    return (sum){vdupq_n_u32(0), vdupq_n_u32(0)};
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
    vst1q_u32(to, vpaddq_u32(total.low, total.high));
}

static inline sum multiply_add_unit(sum total, operand weights, operand values)
{
    total.low = vpadalq_u16(total.low, vmull_u8(vget_low_u8(weights), vget_low_u8(values)));
    total.high = vpadalq_u16(total.high, vmull_high_u8(weights, values));
    return total;
}

#define MULTIPLY_ADD(total, weights, values, lane)                                                                    \
    multiply_add_unit(total, weights, vreinterpretq_u8_u32(vdupq_laneq_u32(vreinterpretq_u32_u8(values), lane)))

#include "backend/cpu/gemm_tile_neon.h"

void clipc_gemm_tile_i8__neon(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, int32_t *out,
                              size_t out_stride)
{
    uint32_t *sums = (uint32_t *)out;
    multiply_rows(rows, blocks, a, b, sums, out_stride);
    take_shift(rows, COLUMNS, blocks, a, sums, out_stride);
}
