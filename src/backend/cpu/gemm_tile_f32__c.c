#include "backend/cpu/kernels.h"
#include "base/checked_range.h"

#define ROWS    CLIPC_GEMM_ROWS__c
#define COLUMNS CLIPC_GEMM_COLUMNS__c

static CLIPC_RANGES_ARE_CHECKED void sum_products(size_t rows, size_t blocks, const float *a, const float *b,
                                                  float sums[ROWS][COLUMNS])
{
    const size_t second = rows > 1 ? CLIPC_BLOCK : 0; /* with one row, the second is the first again */
    for (; blocks; blocks--, a += rows * CLIPC_BLOCK) {
        for (size_t k = 0; k < CLIPC_BLOCK; k++, b += COLUMNS) {
            for (size_t j = 0; j < COLUMNS; j++) {
                sums[0][j] += a[k] * b[j];
                sums[1][j] += a[second + k] * b[j];
            }
        }
    }
}

void clipc_gemm_tile_f32__c(size_t rows, size_t blocks, const float *a, const float *b, float *out, size_t out_stride)
{
    float sums[ROWS][COLUMNS] = {{0.0f}};
    clipc_check_range(a, rows * blocks * CLIPC_BLOCK * sizeof *a);
    clipc_check_range(b, blocks * CLIPC_BLOCK * COLUMNS * sizeof *b);
    sum_products(rows, blocks, a, b, sums);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < COLUMNS; j++)
            out[i * out_stride + j] = sums[i][j];
}
