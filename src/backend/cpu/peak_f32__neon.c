#include <arm_neon.h>

typedef float32x4_t operand;
typedef float32x4_t sum;

#define KERNEL     clipc_peak_f32__neon
#define LANES      4
#define SUMS       24
#define OPERATIONS (2.0 * 4)

static inline sum multiply_add(operand x, operand y, sum total)
{
    return vfmaq_f32(total, x, y);
}

#include "backend/cpu/peak_loop.h"
