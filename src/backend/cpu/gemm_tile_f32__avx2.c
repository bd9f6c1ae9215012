#include "backend/cpu/kernels.h"

#include <immintrin.h>

#define ROWS    CLIPC_GEMM_ROWS__avx2
#define COLUMNS CLIPC_GEMM_COLUMNS__avx2
#define AHEAD   0

typedef float unit;
typedef float result;
typedef __m256 operand;
typedef __m256 sum;

static inline sum sum_zero(void)
{
    return _mm256_setzero_ps();
}

static inline operand load_weights(const float *from)
{
    return _mm256_load_ps(from);
}

static inline operand broadcast(float value)
{
    return _mm256_set1_ps(value);
}

static inline sum multiply_add(sum total, operand values, operand weights)
{
    return _mm256_fmadd_ps(values, weights, total);
}

static inline void store_sum(float *to, sum total)
{
    _mm256_storeu_ps(to, total);
}

#include "backend/cpu/gemm_tile_broadcast.h"

void clipc_gemm_tile_f32__avx2(size_t rows, size_t blocks, const float *a, const float *b, float *out,
                               size_t out_stride)
{
    multiply_rows(rows, blocks, a, b, out, out_stride);
}
