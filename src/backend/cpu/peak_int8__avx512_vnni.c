#include <immintrin.h>

typedef __m512i operand;
typedef __m512i sum;

#define KERNEL     clipc_peak_int8__avx512_vnni
#define LANES      16
#define SUMS       24
#define OPERATIONS (2.0 * 64)

static inline sum multiply_add(operand x, operand y, sum total)
{
    return _mm512_dpbusd_epi32(total, x, y);
}

#include "backend/cpu/peak_loop.h"
