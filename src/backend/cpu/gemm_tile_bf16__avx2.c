#include <immintrin.h>
#include <stdint.h>

#define ROWS    CLIPC_GEMM_BF16_ROWS__avx2
#define COLUMNS CLIPC_GEMM_BF16_COLUMNS__avx2

typedef __m256 vector;

static inline vector vector_set(float value)
{
    return _mm256_set1_ps(value);
}

static inline vector vector_multiply_add(vector a, vector b, vector c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline void vector_store(float *to, vector a)
{
    _mm256_storeu_ps(to, a);
}

static inline vector vector_even(const uint32_t *pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_load_si256((const __m256i *)(const void *)pairs), 16));
}

static inline vector vector_odd(const uint32_t *pairs)
{
    return _mm256_castsi256_ps(
        _mm256_and_si256(_mm256_load_si256((const __m256i *)(const void *)pairs), _mm256_set1_epi32((int)0xFFFF0000)));
}

#include "backend/cpu/gemm_tile_bf16.h"

void clipc_gemm_tile_bf16__avx2(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, float *out,
                                size_t out_stride)
{
    multiply_rows(rows, blocks, a, b, out, out_stride);
}
