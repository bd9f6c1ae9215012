#include "backend/cpu/kernels.h"
#include "backend/cpu/unroll.h"

#include <immintrin.h>

#define COLUMNS CLIPC_GEMM_I8_COLUMNS__avx512_vnni
#define LANES   16
#define VECTORS (COLUMNS / LANES)

/* As in the fp32 kernel: how many units of k ahead the weights are fetched. */
#define AHEAD 16

CLIPC_ALWAYS_INLINE void tile(const size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, int32_t *out,
                              size_t out_stride)
{
    __m512i sums[CLIPC_GEMM_I8_ROWS__avx512_vnni][VECTORS];
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            sums[i][j] = _mm512_setzero_si512();
    }
    for (; blocks; blocks--, a += rows * CLIPC_BLOCK) {
        CLIPC_UNROLL_4
        for (size_t k = 0; k < CLIPC_BLOCK; k++, b += COLUMNS) {
            __m512i weights[VECTORS];
            CLIPC_UNROLL
            for (size_t j = 0; j < VECTORS; j++)
                _mm_prefetch((const char *)(b + AHEAD * COLUMNS + j * LANES), _MM_HINT_T0);
            CLIPC_UNROLL
            for (size_t j = 0; j < VECTORS; j++)
                weights[j] = _mm512_load_si512(b + j * LANES);
            CLIPC_UNROLL
            for (size_t i = 0; i < rows; i++) {
                const __m512i four = _mm512_set1_epi32((int)a[i * CLIPC_BLOCK + k]);
                CLIPC_UNROLL
                for (size_t j = 0; j < VECTORS; j++)
                    sums[i][j] = _mm512_dpbusd_epi32(sums[i][j], four, weights[j]);
            }
        }
    }
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            _mm512_storeu_si512(out + i * out_stride + j * LANES, sums[i][j]);
    }
}

void clipc_gemm_tile_i8__avx512_vnni(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, int32_t *out,
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
