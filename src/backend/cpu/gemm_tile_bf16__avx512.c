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
    switch (rows) {
    case 1: tile(1, blocks, a, b, out, out_stride); break;
    case 2: tile(2, blocks, a, b, out, out_stride); break;
    case 3: tile(3, blocks, a, b, out, out_stride); break;
    case 4: tile(4, blocks, a, b, out, out_stride); break;
    case 5: tile(5, blocks, a, b, out, out_stride); break;
    case 6: tile(6, blocks, a, b, out, out_stride); break;
    case 7: tile(7, blocks, a, b, out, out_stride); break;
    case 8: tile(8, blocks, a, b, out, out_stride); break;
    case 9: tile(9, blocks, a, b, out, out_stride); break;
    case 10: tile(10, blocks, a, b, out, out_stride); break;
    case 11: tile(11, blocks, a, b, out, out_stride); break;
    case 12: tile(12, blocks, a, b, out, out_stride); break;
    case 13: tile(13, blocks, a, b, out, out_stride); break;
    case 14: tile(14, blocks, a, b, out, out_stride); break;
    default: break;
    }
}
