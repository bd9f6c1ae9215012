#include "backend/cpu/gemm.h"

#include "backend/cpu/work_split.h"

#include <string.h>

struct job {
    const clipc_gemm *gemm;
    clipc_gemm_split split;
};

/* The sums of one tile, [height][columns of a panel]. */
static void sum_tile(const clipc_gemm *gemm, size_t begin, size_t height, size_t panel, float *sums)
{
    const clipc_kernels *kernels = gemm->kernels;
    const clipc_packed_layout *layout = &gemm->weights->layout;
    const uint32_t *rows = (const uint32_t *)gemm->rows + begin * gemm->row_blocks * CLIPC_BLOCK;
    const void *weights = clipc_packed_panel(gemm->weights, panel);
    if (layout->dtype == CLIPC_DTYPE_I8) {
        _Alignas(64) int32_t whole[CLIPC_TILE_ROWS_MAX * CLIPC_TILE_COLUMNS_MAX];
        const size_t columns = layout->panel_columns;
        kernels->i8.gemm_tile(height, layout->blocks, rows, weights, whole, columns);
        kernels->i8.dequantize(height, columns, whole, gemm->row_scales + begin,
                               gemm->weights->scales + panel * columns, gemm->weights->integers + panel * columns,
                               sums);
    } else if (layout->dtype == CLIPC_DTYPE_BF16)
        kernels->bf16.gemm_tile(height, layout->blocks, rows, weights, sums, layout->panel_columns);
    else
        kernels->gemm_tile(height, layout->blocks, (const float *)(const void *)rows, weights, sums,
                           layout->panel_columns);
}

/* Asks for the residual stream's part under a tile, [height][columns], which is not in a near cache and whose rows lie
 * too far apart to be foreseen: it arrives while the tile is summed. */
static void fetch_residual(const uint32_t *values, size_t height, size_t columns, size_t row_stride)
{
    for (size_t i = 0; i < height; i++)
        for (size_t j = 0; j < columns; j += CLIPC_BLOCK)
            __builtin_prefetch(values + i * row_stride + j, 1);
}

static void multiply_tile(const clipc_gemm *gemm, size_t tile, size_t panel)
{
    _Alignas(64) float sums[CLIPC_TILE_ROWS_MAX * CLIPC_TILE_COLUMNS_MAX];
    const size_t columns = gemm->weights->layout.panel_columns;
    const size_t begin = clipc_row_tiles_begin(gemm->tiles, tile);
    const size_t height = clipc_row_tiles_begin(gemm->tiles, tile + 1) - begin;
    const size_t weight_panel = gemm->first_panel + panel;
    const float *bias = gemm->weights->bias + weight_panel * columns;
    const clipc_gemm_output *output = &gemm->output;
    const size_t row_stride = output->packed ? CLIPC_BLOCK : output->row_length;
    const size_t block_stride = output->packed ? CLIPC_BLOCK * height : CLIPC_BLOCK;
    uint32_t *values = (uint32_t *)output->values + begin * output->row_length;
    if (gemm->epilogue == CLIPC_EPILOGUE_RESIDUAL)
        fetch_residual(values + panel * columns, height, columns, row_stride);
    sum_tile(gemm, begin, height, weight_panel, sums);
    if (output->dtype == CLIPC_DTYPE_BF16) {
        const size_t unit = panel * columns / 2;
        values += unit / CLIPC_BLOCK * block_stride + unit % CLIPC_BLOCK;
        gemm->kernels->bf16.epilogue[gemm->epilogue](height, columns, sums, bias, values, row_stride, block_stride);
    } else {
        values += panel * columns / CLIPC_BLOCK * block_stride;
        gemm->kernels->epilogue[gemm->epilogue](height, columns, sums, bias, (float *)(void *)values, row_stride,
                                                block_stride);
    }
}

static void run_pieces(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    const struct job *job = context;
    for (size_t index = begin; index < end; index++) {
        const clipc_gemm_piece piece = clipc_gemm_piece_at(&job->split, index);
        for (size_t tile = piece.first_tile; tile < piece.end_tile; tile++)
            multiply_tile(job->gemm, tile, piece.panel);
    }
}

void clipc_gemm_run(clipc_thread_pool *pool, const clipc_gemm *gemm)
{
    const size_t tile_bytes = clipc_kernels_tile_rows(gemm->kernels, gemm->weights->layout.dtype) *
                              gemm->weights->layout.blocks * CLIPC_BLOCK * sizeof(float);
    struct job job = {
        .gemm = gemm,
        .split = clipc_gemm_split_make(gemm->tiles, gemm->panel_count, tile_bytes, clipc_thread_pool_threads(pool))};
    clipc_thread_pool_run(pool, run_pieces, &job, clipc_gemm_pieces(&job.split), 1);
}

void clipc_write_columns(const clipc_kernels *kernels, uint32_t *row, size_t block_stride, clipc_dtype dtype,
                         size_t column, const float *values, size_t count)
{
    const size_t in_block = dtype == CLIPC_DTYPE_BF16 ? 2 * CLIPC_BLOCK : CLIPC_BLOCK;
    for (size_t done = 0; done < count;) {
        const size_t lane = (column + done) % in_block;
        const size_t length = clipc_min(in_block - lane, count - done);
        uint32_t *line = row + (column + done) / in_block * block_stride;
        if (dtype == CLIPC_DTYPE_BF16)
            kernels->round_bf16(values + done, length, (uint16_t *)(void *)line + lane);
        else
            memcpy(line + lane, values + done, length * sizeof *values);
        done += length;
    }
}
