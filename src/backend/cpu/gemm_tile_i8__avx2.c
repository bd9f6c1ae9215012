#include "backend/cpu/kernels.h"
#include "backend/cpu/unroll.h"

#include <immintrin.h>

/* VPMADDUBSW would saturate. Here the four products of a unit are two VPMADDWD of 16-bit numbers, of the even and of
 * the odd bytes, which are exact. */
#define ROWS    CLIPC_GEMM_I8_ROWS__avx2
#define COLUMNS CLIPC_GEMM_I8_COLUMNS__avx2
#define LANES   8
#define VECTORS (COLUMNS / LANES)

typedef uint32_t unit;
typedef int32_t result;

CLIPC_ALWAYS_INLINE void multiply_add(const size_t rows, uint32_t (*a)[CLIPC_BLOCK], size_t k, const __m256i *weights,
                                      __m256i (*sums)[VECTORS])
{
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        const __m256i values = _mm256_set1_epi32((int)a[i][k]);
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            sums[i][j] = _mm256_add_epi32(sums[i][j], _mm256_madd_epi16(values, weights[j]));
    }
}

CLIPC_ALWAYS_INLINE void tile(const size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, int32_t *out,
                              size_t out_stride)
{
    uint32_t even[ROWS][CLIPC_BLOCK];
    uint32_t odd[ROWS][CLIPC_BLOCK];
    __m256i sums[ROWS][VECTORS];
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            sums[i][j] = _mm256_setzero_si256();
    }
    for (; blocks; blocks--, a += rows * CLIPC_BLOCK) {
        for (size_t i = 0; i < rows; i++) {
            for (size_t k = 0; k < CLIPC_BLOCK; k++) {
                even[i][k] = a[i * CLIPC_BLOCK + k] & 0x00FF00FF;
                odd[i][k] = a[i * CLIPC_BLOCK + k] >> 8 & 0x00FF00FF;
            }
        }
        for (size_t k = 0; k < CLIPC_BLOCK; k++, b += COLUMNS) {
            __m256i weights[VECTORS];
            CLIPC_UNROLL
            for (size_t j = 0; j < VECTORS; j++)
                weights[j] = _mm256_srai_epi16(
                    _mm256_slli_epi16(_mm256_load_si256((const __m256i *)(const void *)(b + j * LANES)), 8), 8);
            multiply_add(rows, even, k, weights, sums);
            CLIPC_UNROLL
            for (size_t j = 0; j < VECTORS; j++)
                weights[j] = _mm256_srai_epi16(_mm256_load_si256((const __m256i *)(const void *)(b + j * LANES)), 8);
            multiply_add(rows, odd, k, weights, sums);
        }
    }
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            _mm256_storeu_si256((__m256i *)(void *)(out + i * out_stride + j * LANES), sums[i][j]);
    }
}

#include "backend/cpu/gemm_tile_rows.h"

void clipc_gemm_tile_i8__avx2(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, int32_t *out,
                              size_t out_stride)
{
    multiply_rows(rows, blocks, a, b, out, out_stride);
}
