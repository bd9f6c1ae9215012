#include "backend/cpu/gemm.h"

/* Bytes of packed rows that one piece of work goes through for each panel: together with a panel they should stay in a
 * core's second-level cache. */
#define ROWS_BUDGET ((size_t)512 << 10)

/* Pieces a thread should get at least, so that a slow one does not keep the others waiting. */
#define PIECES_PER_THREAD 6

struct job {
    const clipc_gemm *gemm;
    size_t groups; /* the tiles are dealt to this many groups; a piece is one panel times one group */
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
    const clipc_gemm *gemm = job->gemm;
    for (size_t piece = begin; piece < end; piece++) {
        const size_t group = piece / gemm->panel_count;
        const size_t panel = piece % gemm->panel_count;
        const size_t last = gemm->tiles.tiles * (group + 1) / job->groups;
        for (size_t tile = gemm->tiles.tiles * group / job->groups; tile < last; tile++)
            multiply_tile(gemm, tile, panel);
    }
}

void clipc_gemm_run(clipc_thread_pool *pool, const clipc_gemm *gemm)
{
    const size_t tile_bytes = gemm->kernels->tile_rows * gemm->weights->layout.blocks * CLIPC_BLOCK * sizeof(float);
    const size_t tiles_in_budget = clipc_max(ROWS_BUDGET / tile_bytes, 1);
    const size_t for_cache = (gemm->tiles.tiles + tiles_in_budget - 1) / tiles_in_budget;
    const size_t for_threads = PIECES_PER_THREAD * clipc_thread_pool_threads(pool) / gemm->panel_count + 1;
    const size_t groups = clipc_min(clipc_max(for_cache, for_threads), gemm->tiles.tiles);
    struct job job = {.gemm = gemm, .groups = groups};
    clipc_thread_pool_run(pool, run_pieces, &job, groups * gemm->panel_count, 1);
}
