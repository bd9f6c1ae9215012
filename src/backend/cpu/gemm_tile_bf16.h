/* The bf16 GEMM tile for processors without bf16 arithmetic: pairs are widened to fp32, exactly, and multiplied as
 * such. A file gemm_tile_bf16__<isa>.c defines ROWS, COLUMNS, the type `vector` and its operations, includes this, and
 * calls multiply_rows. */
#include "backend/cpu/kernels.h"
#include "backend/cpu/unroll.h"

#define LANES   (sizeof(vector) / sizeof(float))
#define VECTORS (COLUMNS / LANES)

typedef uint32_t unit;
typedef float result;

/* A block of the rows as floats, even k first. */
CLIPC_ALWAYS_INLINE void widen_block(const size_t rows, const uint32_t *a, float (*even)[CLIPC_BLOCK],
                                     float (*odd)[CLIPC_BLOCK])
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < CLIPC_BLOCK; k += LANES) {
            vector_store(&even[i][k], vector_even(a + i * CLIPC_BLOCK + k));
            vector_store(&odd[i][k], vector_odd(a + i * CLIPC_BLOCK + k));
        }
    }
}

CLIPC_ALWAYS_INLINE void tile(const size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, float *out,
                              size_t out_stride)
{
    _Alignas(64) float even[ROWS][CLIPC_BLOCK];
    _Alignas(64) float odd[ROWS][CLIPC_BLOCK];
    vector sums[ROWS][VECTORS];
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            sums[i][j] = vector_set(0.0f);
    }
    for (; blocks; blocks--, a += rows * CLIPC_BLOCK) {
        widen_block(rows, a, even, odd);
        for (size_t k = 0; k < CLIPC_BLOCK; k++, b += COLUMNS) {
            vector weights[VECTORS];
            CLIPC_UNROLL
            for (size_t j = 0; j < VECTORS; j++)
                weights[j] = vector_even(b + j * LANES);
            CLIPC_UNROLL
            for (size_t i = 0; i < rows; i++) {
                CLIPC_UNROLL
                for (size_t j = 0; j < VECTORS; j++)
                    sums[i][j] = vector_multiply_add(vector_set(even[i][k]), weights[j], sums[i][j]);
            }
            CLIPC_UNROLL
            for (size_t j = 0; j < VECTORS; j++)
                weights[j] = vector_odd(b + j * LANES);
            CLIPC_UNROLL
            for (size_t i = 0; i < rows; i++) {
                CLIPC_UNROLL
                for (size_t j = 0; j < VECTORS; j++)
                    sums[i][j] = vector_multiply_add(vector_set(odd[i][k]), weights[j], sums[i][j]);
            }
        }
    }
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            vector_store(out + i * out_stride + j * LANES, sums[i][j]);
    }
}

#include "backend/cpu/gemm_tile_rows.h"
