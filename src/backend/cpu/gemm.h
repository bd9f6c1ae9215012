/* Matrix products of packed rows with packed weights, cut into pieces for the thread pool. */
#ifndef CLIPC_BACKEND_CPU_GEMM_H
#define CLIPC_BACKEND_CPU_GEMM_H

#include "backend/cpu/kernels.h"
#include "backend/cpu/pack.h"
#include "base/thread_pool.h"

#include <stdbool.h>

/* Where results go, as fp32 or bf16: row-major rows of `row_length` units of 32 bits, or packed rows of
 * row_length / 16 blocks (the same tiles as the input's). */
typedef struct clipc_gemm_output {
    void *values;
    size_t row_length;
    bool packed;
    clipc_dtype dtype;
} clipc_gemm_output;

/* One product: panels first_panel … first_panel + panel_count - 1 of the weights. Column 0 of the output is the first
 * of those. `rows` is packed, in the weights' dtype, in tiles of clipc_kernels_tile_rows with rows of `row_blocks`
 * blocks. */
typedef struct clipc_gemm {
    const clipc_kernels *kernels;
    const clipc_packed_weights *weights;
    size_t first_panel;
    size_t panel_count;
    const void *rows;
    size_t row_blocks;
    const clipc_row_scale *row_scales; /* of each row, for I8 */
    clipc_row_tiles tiles;
    clipc_epilogue epilogue;
    clipc_gemm_output output;
    /* Panels may read different rows: every panels_a_part panels (0: all the same) go on by part_blocks blocks of the
     * rows, or to the next matrix of rows, part_rows units ahead. Not for I8. */
    size_t panels_a_part;
    size_t part_blocks;
    size_t part_rows;
} clipc_gemm;

/* Writes `count` values to the columns from `column` on of a row that is packed in `dtype`, F32 or BF16. */
void clipc_write_columns(const clipc_kernels *kernels, uint32_t *row, size_t block_stride, clipc_dtype dtype,
                         size_t column, const float *values, size_t count);

/* The product of one tile of `height` packed rows at `rows` with one panel, counted from first_panel, through the
 * epilogue to the output's rows from `begin` on. For floats; takes no notice of gemm->rows, row_blocks,
 * tiles and parts. */
void clipc_gemm_multiply_tile(const clipc_gemm *gemm, const uint32_t *rows, size_t begin, size_t height, size_t panel);

void clipc_gemm_run(clipc_thread_pool *pool, const clipc_gemm *gemm);

#endif
