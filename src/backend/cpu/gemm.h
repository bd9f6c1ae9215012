/* Matrix products of packed rows with packed weights, cut into pieces for the thread pool. */
#ifndef CLIPC_BACKEND_CPU_GEMM_H
#define CLIPC_BACKEND_CPU_GEMM_H

#include "backend/cpu/kernels.h"
#include "backend/cpu/pack.h"
#include "base/thread_pool.h"

#include <stdbool.h>

/* Where results go: row-major rows of `row_length` units, or packed rows of row_length / 16 blocks (the same tiles as
 * the input's). */
typedef struct clipc_gemm_output {
    float *values;
    size_t row_length;
    bool packed;
} clipc_gemm_output;

/* One product: panels first_panel … first_panel + panel_count - 1 of the weights. Column 0 of the output is the first
 * of those. `rows` is packed in tiles of kernels->tile_rows with rows of `row_blocks` blocks. */
typedef struct clipc_gemm {
    const clipc_kernels *kernels;
    const clipc_packed_weights *weights;
    size_t first_panel;
    size_t panel_count;
    const float *rows;
    size_t row_blocks;
    clipc_row_tiles tiles;
    clipc_epilogue epilogue;
    clipc_gemm_output output;
} clipc_gemm;

void clipc_gemm_run(clipc_thread_pool *pool, const clipc_gemm *gemm);

#endif
