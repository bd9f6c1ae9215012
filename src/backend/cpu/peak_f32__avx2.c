#include <immintrin.h>

typedef __m256 operand;
typedef __m256 sum;

#define KERNEL     clipc_peak_f32__avx2
#define LANES      8
#define SUMS       12
#define OPERATIONS (2.0 * 8)

static inline sum multiply_add(operand x, operand y, sum total)
{
    return _mm256_fmadd_ps(x, y, total);
}

#include "backend/cpu/peak_loop.h"
