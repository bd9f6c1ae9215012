/* Matrix products of packed rows with packed weights, cut into pieces for the thread pool. */
#ifndef CLIPC_BACKEND_CPU_GEMM_H
#define CLIPC_BACKEND_CPU_GEMM_H

#include "backend/cpu/kernels.h"
#include "base/thread_pool.h"

#include <stdbool.h>

/* Weights of a linear layer [out, in], as panels of tile_columns outputs:  [panel][k][output of the panel], k up to
 * 16 × blocks, zeros where there is no weight. bias has panels × tile_columns values. */
typedef struct clipc_packed_weights {
    float *panels;
    float *bias;
    size_t panel_count;
    size_t blocks;
} clipc_packed_weights;

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

/* Writes outputs first … first + count - 1 of W [·, inner] as one panel: weights[k × tile_columns + j], from rows
 * given as `source` [count][inner] with `source_stride`. What the panel has beyond count and inner becomes 0. */
void clipc_pack_panel_f32(const float *source, size_t source_stride, size_t count, size_t inner, size_t tile_columns,
                          float *panel);

#endif
