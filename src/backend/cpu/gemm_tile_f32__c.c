#include "backend/cpu/kernels.h"

#define ROWS    CLIPC_GEMM_ROWS__c
#define COLUMNS CLIPC_GEMM_COLUMNS__c

void clipc_gemm_tile_f32__c(size_t rows, size_t blocks, const float *a, const float *b, float *out, size_t out_stride)
{
    float sums[ROWS][COLUMNS] = {{0.0f}};
    const size_t second = rows > 1 ? CLIPC_BLOCK : 0; /* with one row, the second is the first again */
    for (; blocks; blocks--, a += rows * CLIPC_BLOCK) {
        for (size_t k = 0; k < CLIPC_BLOCK; k++, b += COLUMNS) {
            for (size_t j = 0; j < COLUMNS; j++) {
                sums[0][j] += a[k] * b[j];
                sums[1][j] += a[second + k] * b[j];
            }
        }
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < COLUMNS; j++)
            out[i * out_stride + j] = sums[i][j];
}
