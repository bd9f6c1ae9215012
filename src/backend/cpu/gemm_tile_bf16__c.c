#include "backend/cpu/kernels.h"
#include "io/bf16.h"

#define ROWS    CLIPC_GEMM_BF16_ROWS__c
#define COLUMNS CLIPC_GEMM_BF16_COLUMNS__c

/* A pair is two bf16 in the order of memory of a little-endian machine: the even k in the lower half. */
static inline float even(uint32_t pair)
{
    return clipc_float_of_bf16((uint16_t)pair);
}

static inline float odd(uint32_t pair)
{
    return clipc_float_of_bf16((uint16_t)(pair >> 16));
}

void clipc_gemm_tile_bf16__c(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, float *out,
                             size_t out_stride)
{
    float sums[ROWS][COLUMNS] = {{0.0f}};
    const size_t second = rows > 1 ? CLIPC_BLOCK : 0; /* with one row, the second is the first again */
    for (; blocks; blocks--, a += rows * CLIPC_BLOCK) {
        for (size_t k = 0; k < CLIPC_BLOCK; k++, b += COLUMNS) {
            for (size_t j = 0; j < COLUMNS; j++) {
                sums[0][j] += even(a[k]) * even(b[j]);
                sums[0][j] += odd(a[k]) * odd(b[j]);
                sums[1][j] += even(a[second + k]) * even(b[j]);
                sums[1][j] += odd(a[second + k]) * odd(b[j]);
            }
        }
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < COLUMNS; j++)
            out[i * out_stride + j] = sums[i][j];
}
