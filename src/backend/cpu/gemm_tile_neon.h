/* The GEMM tile of the NEON levels: an instruction multiplies a vector of weights, one unit of four columns, with one
 * unit of a row, so that a register of four units is loaded for every row at a time. A file gemm_tile_<dtype>__<isa>.c
 * defines
 *   ROWS and COLUMNS, of the tile (ROWS is 3 or 6);
 *   unit, the type of a and b, and result, that of the sums in memory;
 *   operand, four units in a register; sum, the sums of four columns of a row;
 *   sum_zero(), load_values(from), load_weights(from), store_sum(to, sum);
 *   MULTIPLY_ADD(sum, weights, values, lane), whose lane must be a constant;
 * includes this, and calls multiply_rows. Six rows of sums in one register for each vector take 24 registers and their
 * values 6, which leaves 2 of the 32 for the weights. */
#include "backend/cpu/unroll.h"

#define LANES   4
#define VECTORS (COLUMNS / LANES)

CLIPC_ALWAYS_INLINE sum multiply_add(sum total, operand weights, operand values, const size_t lane)
{
    switch (lane) {
    case 0: return MULTIPLY_ADD(total, weights, values, 0);
    case 1: return MULTIPLY_ADD(total, weights, values, 1);
    case 2: return MULTIPLY_ADD(total, weights, values, 2);
    default: return MULTIPLY_ADD(total, weights, values, 3);
    }
}

CLIPC_ALWAYS_INLINE void tile(const size_t rows, size_t blocks, const unit *a, const unit *b, result *out,
                              size_t out_stride)
{
    sum sums[ROWS][VECTORS];
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            sums[i][j] = sum_zero();
    }
    for (; blocks; blocks--, a += rows * CLIPC_BLOCK) {
        for (size_t first = 0; first < CLIPC_BLOCK; first += LANES) {
            operand values[ROWS];
            CLIPC_UNROLL
            for (size_t i = 0; i < rows; i++)
                values[i] = load_values(a + i * CLIPC_BLOCK + first);
            CLIPC_UNROLL
            for (size_t k = 0; k < LANES; k++, b += COLUMNS) {
                CLIPC_UNROLL
                for (size_t j = 0; j < VECTORS; j++) {
                    const operand weights = load_weights(b + j * LANES);
                    CLIPC_UNROLL
                    for (size_t i = 0; i < rows; i++)
                        sums[i][j] = multiply_add(sums[i][j], weights, values[i], k);
                }
            }
        }
    }
    CLIPC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        CLIPC_UNROLL
        for (size_t j = 0; j < VECTORS; j++)
            store_sum(out + i * out_stride + j * LANES, sums[i][j]);
    }
}

#include "backend/cpu/gemm_tile_rows.h"
