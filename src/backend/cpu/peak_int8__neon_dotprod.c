#include <arm_neon.h>

typedef int8x16_t operand;
typedef int32x4_t sum;

#define KERNEL     clipc_peak_int8__neon_dotprod
#define LANES      4
#define SUMS       24
#define OPERATIONS (2.0 * 16)

static inline sum multiply_add(operand x, operand y, sum total)
{
    return vdotq_s32(total, x, y);
}

#include "backend/cpu/peak_loop.h"
