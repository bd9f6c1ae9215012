/* The GEMM tile of the levels that multiply a vector of weights, one unit of some columns, with one unit of a row in
 * all lanes. A file gemm_tile_<dtype>__<isa>.c defines
 *   ROWS and COLUMNS, of the tile, and AHEAD: how many units of k ahead the weights are fetched, or 0;
 *   unit, the type of a and b, and result, that of the sums in memory;
 *   operand, units in a register; sum, as many sums;
 *   sum_zero(), load_weights(from), broadcast(unit), multiply_add(sum, values, weights), store_sum(to, sum);
 * includes this, and calls multiply_rows.
 *
 * Beyond the last panel it fetches what nobody reads, which is harmless. */
#include "backend/cpu/unroll.h"

#define LANES   (sizeof(sum) / sizeof(result))
#define VECTORS (COLUMNS / LANES)

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
        CLIPC_UNROLL_4
        for (size_t k = 0; k < CLIPC_BLOCK; k++, b += COLUMNS) {
            operand weights[VECTORS];
            CLIPC_UNROLL
            for (size_t j = 0; AHEAD && j < VECTORS; j++)
                __builtin_prefetch(b + AHEAD * COLUMNS + j * LANES);
            CLIPC_UNROLL
            for (size_t j = 0; j < VECTORS; j++)
                weights[j] = load_weights(b + j * LANES);
            CLIPC_UNROLL
            for (size_t i = 0; i < rows; i++) {
                const operand values = broadcast(a[i * CLIPC_BLOCK + k]);
                CLIPC_UNROLL
                for (size_t j = 0; j < VECTORS; j++)
                    sums[i][j] = multiply_add(sums[i][j], values, weights[j]);
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
