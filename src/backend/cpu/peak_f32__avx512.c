#include <immintrin.h>

typedef __m512 operand;
typedef __m512 sum;

#define KERNEL     clipc_peak_f32__avx512
#define LANES      16
#define SUMS       24
#define OPERATIONS (2.0 * 16)

static inline sum multiply_add(operand x, operand y, sum total)
{
    return _mm512_fmadd_ps(x, y, total);
}

#include "backend/cpu/peak_loop.h"
