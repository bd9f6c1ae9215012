#include <immintrin.h>
#include <stdint.h>

#define ROWS    CLIPC_GEMM_BF16_ROWS__avx512
#define COLUMNS CLIPC_GEMM_BF16_COLUMNS__avx512

typedef __m512 vector;

static inline vector vector_set(float value)
{
    return _mm512_set1_ps(value);
}

static inline vector vector_multiply_add(vector a, vector b, vector c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline void vector_store(float *to, vector a)
{
    _mm512_storeu_ps(to, a);
}

static inline vector vector_even(const uint32_t *pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_load_si512(pairs), 16));
}

static inline vector vector_odd(const uint32_t *pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_load_si512(pairs), _mm512_set1_epi32((int)0xFFFF0000)));
}

#include "backend/cpu/gemm_tile_bf16.h"

void clipc_gemm_tile_bf16__avx512(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, float *out,
                                  size_t out_stride)
{
    multiply_rows(rows, blocks, a, b, out, out_stride);
}
