#include "backend/cpu/gemm.h"

#include "backend/cpu/work_split.h"

struct job {
    const clipc_gemm *gemm;
    clipc_gemm_split split;
};

static void multiply_tile(const clipc_gemm *gemm, size_t tile, size_t panel)
{
    _Alignas(64) float sums[CLIPC_TILE_ROWS_MAX * CLIPC_TILE_COLUMNS_MAX];
    const clipc_kernels *kernels = gemm->kernels;
    const size_t columns = kernels->tile_columns;
    const size_t begin = clipc_row_tiles_begin(gemm->tiles, tile);
    const size_t height = clipc_row_tiles_begin(gemm->tiles, tile + 1) - begin;
    const clipc_packed_weights *weights = gemm->weights;
    const size_t weight_panel = gemm->first_panel + panel;
    kernels->gemm_tile(height, weights->layout.blocks, gemm->rows + begin * gemm->row_blocks * CLIPC_BLOCK,
                       clipc_packed_panel(weights, weight_panel), sums, columns);
    const clipc_gemm_output *output = &gemm->output;
    const size_t row_stride = output->packed ? CLIPC_BLOCK : output->row_length;
    const size_t block_stride = output->packed ? CLIPC_BLOCK * height : CLIPC_BLOCK;
    kernels->epilogue[gemm->epilogue](height, columns, sums, weights->bias + weight_panel * columns,
                                      output->values + begin * output->row_length +
                                          panel * columns / CLIPC_BLOCK * block_stride,
                                      row_stride, block_stride);
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
    const size_t tile_bytes = gemm->kernels->tile_rows * gemm->weights->layout.blocks * CLIPC_BLOCK * sizeof(float);
    struct job job = {
        .gemm = gemm,
        .split = clipc_gemm_split_make(gemm->tiles, gemm->panel_count, tile_bytes, clipc_thread_pool_threads(pool))};
    clipc_thread_pool_run(pool, run_pieces, &job, clipc_gemm_pieces(&job.split), 1);
}
