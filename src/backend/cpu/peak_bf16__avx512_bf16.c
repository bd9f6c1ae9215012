#include <immintrin.h>

typedef __m512i operand;
typedef __m512 sum;

#define KERNEL     clipc_peak_bf16__avx512_bf16
#define LANES      16
#define SUMS       24
#define OPERATIONS (2.0 * 32)

static inline sum multiply_add(operand x, operand y, sum total)
{
    return _mm512_dpbf16_ps(total, (__m512bh)x, (__m512bh)y);
}

#include "backend/cpu/peak_loop.h"
