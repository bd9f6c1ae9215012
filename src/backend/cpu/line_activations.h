/* What all operations with narrow results share: where halves go, and activations as good as a result of 8 bits needs,
 * within an eighth of its rounding. The polynomials are fitted like those of lines_f32.h. Included after a
 * line_narrow_<isa>.h. */
#ifndef CLIPC_BACKEND_CPU_LINE_ACTIVATIONS_H
#define CLIPC_BACKEND_CPU_LINE_ACTIVATIONS_H

#include "backend/cpu/packed_rows.h"

#include <stdint.h>

/* Where 16 values from column 16 × group on go: half of a line of pairs. */
static inline uint16_t *half_line(uint32_t *out, size_t group, size_t block_stride)
{
    return (uint16_t *)(void *)(out + group / 2 * block_stride + group % 2 * (CLIPC_BLOCK / 2));
}

#if !defined(CLIPC_LINE_LOW_POWER) /* the instruction set has no better way */

/* 2^t to 13 bits, |t| limited to 125. */
static inline line line_low_power(line t)
{
    /* max and min give back their second argument when one is not a number. */
    t = line_max(line_set(-125.0f), t);
    t = line_min(line_set(125.0f), t);
    const line n = line_round(t);
    const line r = line_subtract(t, n);
    line p = line_set(5.517177e-2f);
    p = line_multiply_add(p, r, line_set(2.4261158e-1f));
    p = line_multiply_add(p, r, line_set(6.9326101e-1f));
    p = line_multiply_add(p, r, line_set(9.9992805e-1f));
    return line_multiply(p, line_power_of_two(n));
}

#endif

/* x / (1 + 2^t). */
static inline line line_times_logistic(line x, line t)
{
    return line_multiply(x, line_reciprocal(line_add(line_low_power(t), line_set(1.0f))));
}

/* x / (1 + exp(-1.702 x)) */
static inline line line_low_quick_gelu(line x)
{
    return line_times_logistic(x, line_multiply(x, line_set(-2.45546696f)));
}

/* x / (1 + exp(-2 u)), u = sqrt(2 / π) (x + 0.044715 x³) */
static inline line line_low_gelu_tanh(line x)
{
    const line cubic = line_multiply_add(line_multiply(x, x), line_set(-0.102943240f), line_set(-2.30220818f));
    return line_times_logistic(x, line_multiply(x, cubic));
}

/* x Φ(x), Φ(x) = 1 / (1 + exp(-x P(x²))): P fitted for |x| up to 5.5, where Φ(-x) is off by 0.17 %. */
static inline line line_low_gelu(line x)
{
    const line square = line_min(line_set(30.25f), line_multiply(x, x));
    line p = line_set(-1.25207e-5f);
    p = line_multiply_add(p, square, line_set(1.39963444e-3f));
    p = line_multiply_add(p, square, line_set(-1.09073666e-1f));
    p = line_multiply_add(p, square, line_set(-2.29881206f));
    return line_times_logistic(x, line_multiply(x, p));
}

#endif
