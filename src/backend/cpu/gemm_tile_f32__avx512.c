#include "backend/cpu/kernels.h"
#include "backend/cpu/unroll.h"

#include <immintrin.h>

#define COLUMNS CLIPC_GEMM_COLUMNS__avx512
#define LANES   16
#define VECTORS (COLUMNS / LANES)

/* How many k ahead the weights are fetched: 2 KiB, over the gaps that the hardware's own prefetching leaves at the
 * borders of pages. Beyond the last panel it fetches what nobody reads, which is harmless. Measured on Zen 4: one
 * image through ViT-B/32 5 % faster, sixteen 2 %; 6 KiB ahead no better. */
#define AHEAD 16

CLIPC_ALWAYS_INLINE void tile(const size_t rows, size_t blocks, const float *a, const float *b, float *out,
                              size_t out_stride)
{
    __m512 sums[CLIPC_GEMM_ROWS__avx512][VECTORS];
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            sums[i][j] = _mm512_setzero_ps();
    }
    for (; blocks; blocks--, a += rows * CLIPC_BLOCK) {
        CLIPC_UNROLL_4
        for (size_t k = 0; k < CLIPC_BLOCK; k++, b += COLUMNS) {
            __m512 weights[VECTORS];
            CLIPC_UNROLL
            for (size_t j = 0; j < VECTORS; j++)
                _mm_prefetch((const char *)b + (AHEAD * COLUMNS + j * LANES) * sizeof(float), _MM_HINT_T0);
            CLIPC_UNROLL
            for (size_t j = 0; j < VECTORS; j++)
                weights[j] = _mm512_load_ps(b + j * LANES);
            CLIPC_UNROLL
            for (size_t i = 0; i < rows; i++) {
                const __m512 value = _mm512_set1_ps(a[i * CLIPC_BLOCK + k]);
                CLIPC_UNROLL
                for (size_t j = 0; j < VECTORS; j++)
                    sums[i][j] = _mm512_fmadd_ps(value, weights[j], sums[i][j]);
            }
        }
    }
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            _mm512_storeu_ps(out + i * out_stride + j * LANES, sums[i][j]);
    }
}

void clipc_gemm_tile_f32__avx512(size_t rows, size_t blocks, const float *a, const float *b, float *out,
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
