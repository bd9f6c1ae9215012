#include <arm_neon.h>

typedef bfloat16x8_t operand;
typedef float32x4_t sum;

#define KERNEL     clipc_peak_bf16__neon_bf16
#define LANES      4
#define SUMS       24
#define OPERATIONS (2.0 * 8)

static inline sum multiply_add(operand x, operand y, sum total)
{
    return vbfdotq_f32(total, x, y);
}

#include "backend/cpu/peak_loop.h"
