#include "backend/cpu/kernels.h"
#include "backend/cpu/unroll.h"

#include <immintrin.h>

#define COLUMNS CLIPC_GEMM_COLUMNS__avx2
#define LANES   8
#define VECTORS (COLUMNS / LANES)

CLIPC_ALWAYS_INLINE void tile(const size_t rows, size_t blocks, const float *a, const float *b, float *out,
                              size_t out_stride)
{
    __m256 sums[CLIPC_GEMM_ROWS__avx2][VECTORS];
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            sums[i][j] = _mm256_setzero_ps();
    }
    for (; blocks; blocks--, a += rows * CLIPC_BLOCK) {
        CLIPC_UNROLL_4
        for (size_t k = 0; k < CLIPC_BLOCK; k++, b += COLUMNS) {
            __m256 weights[VECTORS];
            CLIPC_UNROLL
            for (size_t j = 0; j < VECTORS; j++)
                weights[j] = _mm256_load_ps(b + j * LANES);
            CLIPC_UNROLL
            for (size_t i = 0; i < rows; i++) {
                const __m256 value = _mm256_set1_ps(a[i * CLIPC_BLOCK + k]);
                CLIPC_UNROLL
                for (size_t j = 0; j < VECTORS; j++)
                    sums[i][j] = _mm256_fmadd_ps(value, weights[j], sums[i][j]);
            }
        }
    }
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            _mm256_storeu_ps(out + i * out_stride + j * LANES, sums[i][j]);
    }
}

void clipc_gemm_tile_f32__avx2(size_t rows, size_t blocks, const float *a, const float *b, float *out,
                               size_t out_stride)
{
    switch (rows) {
    case 1: tile(1, blocks, a, b, out, out_stride); break;
    case 2: tile(2, blocks, a, b, out, out_stride); break;
    case 3: tile(3, blocks, a, b, out, out_stride); break;
    case 4: tile(4, blocks, a, b, out, out_stride); break;
    case 5: tile(5, blocks, a, b, out, out_stride); break;
    case 6: tile(6, blocks, a, b, out, out_stride); break;
    default: break;
    }
}
