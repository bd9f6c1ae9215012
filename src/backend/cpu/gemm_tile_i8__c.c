#include "backend/cpu/kernels.h"
#include "base/checked_range.h"

#define ROWS    CLIPC_GEMM_I8_ROWS__c
#define COLUMNS CLIPC_GEMM_I8_COLUMNS__c

/* Σ of the four products; unsigned arithmetic, since it may wrap in rows of more than 60000 values. */
static inline uint32_t dot(uint32_t a, uint32_t b)
{
    uint32_t sum = 0;
    for (unsigned shift = 0; shift < 32; shift += 8) {
        const int32_t weight = (int8_t)(b >> shift);
        sum += (a >> shift & 0xFFU) * (uint32_t)weight;
    }
    return sum;
}

static CLIPC_RANGES_ARE_CHECKED void sum_products(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b,
                                                  uint32_t sums[ROWS][COLUMNS])
{
    const size_t second = rows > 1 ? CLIPC_BLOCK : 0; /* with one row, the second is the first again */
    for (; blocks; blocks--, a += rows * CLIPC_BLOCK) {
        for (size_t k = 0; k < CLIPC_BLOCK; k++, b += COLUMNS) {
            for (size_t j = 0; j < COLUMNS; j++) {
                sums[0][j] += dot(a[k], b[j]);
                sums[1][j] += dot(a[second + k], b[j]);
            }
        }
    }
}

void clipc_gemm_tile_i8__c(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, int32_t *out,
                           size_t out_stride)
{
    uint32_t sums[ROWS][COLUMNS] = {{0}};
    clipc_check_range(a, rows * blocks * CLIPC_BLOCK * sizeof *a);
    clipc_check_range(b, blocks * CLIPC_BLOCK * COLUMNS * sizeof *b);
    sum_products(rows, blocks, a, b, sums);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < COLUMNS; j++)
            out[i * out_stride + j] = (int32_t)sums[i][j];
}
