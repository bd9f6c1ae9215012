#include "backend/cpu/gemm.h"

#include "backend/cpu/work_split.h"

#include <string.h>

struct job {
    const clipc_gemm *gemm;
    clipc_gemm_split split;
};

/* Asks for the lines that a tile's results go to, [height][units], which are in no near cache and whose rows lie too
 * far apart to be foreseen: they arrive while the tile is summed. */
static void fetch_output(const uint32_t *values, size_t height, size_t units, size_t row_stride)
{
    for (size_t i = 0; i < height; i++)
        for (size_t j = 0; j < units; j += CLIPC_BLOCK)
            __builtin_prefetch(values + i * row_stride + j, 1);
}

/* One tile of the product: its packed rows, one panel, and where its results go. */
struct tile {
    size_t height;
    size_t panel; /* of the weights */
    const uint32_t *rows;
    const clipc_row_scale *row_scales; /* for I8 */
    uint32_t *out;
    size_t row_stride;
    size_t block_stride;
};

/* An activation that leaves as fp32, for a layer that is kept in it: there is no kernel of its own. The bias is in the
 * values when they reach the epilogue of floats. */
static void activate_as_floats(const clipc_gemm *gemm, const struct tile *tile, const int32_t *sums,
                               const clipc_i8_terms *terms)
{
    _Alignas(64) float values[CLIPC_TILE_ROWS_MAX * CLIPC_TILE_COLUMNS_MAX];
    static const float zeros[CLIPC_TILE_COLUMNS_MAX];
    const size_t columns = gemm->weights->layout.panel_columns;
    gemm->kernels->i8.epilogue_f32[CLIPC_EPILOGUE_BIAS](tile->height, columns, sums, terms, (uint32_t *)(void *)values,
                                                        columns, CLIPC_BLOCK);
    gemm->kernels->epilogue[gemm->epilogue](tile->height, columns, values, zeros, (float *)(void *)tile->out,
                                            tile->row_stride, tile->block_stride);
}

static void multiply_i8(const clipc_gemm *gemm, const struct tile *tile)
{
    _Alignas(64) int32_t sums[CLIPC_TILE_ROWS_MAX * CLIPC_TILE_COLUMNS_MAX];
    const clipc_packed_weights *weights = gemm->weights;
    const clipc_i8_kernels *kernels = &gemm->kernels->i8;
    const size_t columns = weights->layout.panel_columns;
    const size_t first = tile->panel * columns;
    const clipc_i8_terms terms = {tile->row_scales, weights->scales + first, weights->integers + first,
                                  weights->bias + first};
    kernels->gemm_tile(tile->height, weights->layout.blocks, tile->rows, clipc_packed_panel(weights, tile->panel),
                       sums, columns);
    const clipc_epilogue_i8 *epilogue =
        gemm->output.dtype == CLIPC_DTYPE_BF16 ? kernels->epilogue_bf16 : kernels->epilogue_f32;
    if (!epilogue[gemm->epilogue])
        activate_as_floats(gemm, tile, sums, &terms);
    else
        epilogue[gemm->epilogue](tile->height, columns, sums, &terms, tile->out, tile->row_stride, tile->block_stride);
}

static void multiply_floats(const clipc_gemm *gemm, const struct tile *tile)
{
    _Alignas(64) float sums[CLIPC_TILE_ROWS_MAX * CLIPC_TILE_COLUMNS_MAX];
    const clipc_packed_layout *layout = &gemm->weights->layout;
    const clipc_kernels *kernels = gemm->kernels;
    const size_t columns = layout->panel_columns;
    const void *panel = clipc_packed_panel(gemm->weights, tile->panel);
    const float *bias = gemm->weights->bias + tile->panel * columns;
    if (layout->dtype == CLIPC_DTYPE_BF16)
        kernels->bf16.gemm_tile(tile->height, layout->blocks, tile->rows, panel, sums, columns);
    else
        kernels->gemm_tile(tile->height, layout->blocks, (const float *)(const void *)tile->rows, panel, sums,
                           columns);
    if (gemm->output.dtype == CLIPC_DTYPE_BF16)
        kernels->bf16.epilogue[gemm->epilogue](tile->height, columns, sums, bias, tile->out, tile->row_stride,
                                               tile->block_stride);
    else
        kernels->epilogue[gemm->epilogue](tile->height, columns, sums, bias, (float *)(void *)tile->out,
                                          tile->row_stride, tile->block_stride);
}

/* row_scales: those of the tile, for I8. */
static void multiply(const clipc_gemm *gemm, const uint32_t *rows, const clipc_row_scale *row_scales, size_t begin,
                     size_t height, size_t panel)
{
    const clipc_gemm_output *output = &gemm->output;
    const clipc_packed_layout *layout = &gemm->weights->layout;
    struct tile tile = {.height = height,
                        .panel = gemm->first_panel + panel,
                        .rows = rows,
                        .row_scales = row_scales,
                        .row_stride = output->packed ? CLIPC_BLOCK : output->row_length,
                        .block_stride = output->packed ? CLIPC_BLOCK * height : CLIPC_BLOCK};
    const size_t unit = panel * layout->panel_columns * clipc_dtype_size(output->dtype) / sizeof(float);
    tile.out = (uint32_t *)output->values + begin * output->row_length + unit / CLIPC_BLOCK * tile.block_stride +
               unit % CLIPC_BLOCK;
    fetch_output(tile.out, height, layout->panel_columns * clipc_dtype_size(output->dtype) / sizeof(float),
                 tile.row_stride);
    (layout->dtype == CLIPC_DTYPE_I8 ? multiply_i8 : multiply_floats)(gemm, &tile);
}

void clipc_gemm_multiply_tile(const clipc_gemm *gemm, const uint32_t *rows, size_t begin, size_t height, size_t panel)
{
    multiply(gemm, rows, NULL, begin, height, panel);
}

static void multiply_tile(const clipc_gemm *gemm, size_t index, size_t panel)
{
    const size_t begin = clipc_row_tiles_begin(gemm->tiles, index);
    const size_t height = clipc_row_tiles_begin(gemm->tiles, index + 1) - begin;
    const size_t part = gemm->panels_a_part ? panel / gemm->panels_a_part : 0;
    const uint32_t *rows = (const uint32_t *)gemm->rows + part * gemm->part_rows +
                           (begin * gemm->row_blocks + part * gemm->part_blocks * height) * CLIPC_BLOCK;
    const clipc_row_scale *row_scales =
        gemm->weights->layout.dtype == CLIPC_DTYPE_I8 ? gemm->row_scales + begin : NULL;
    multiply(gemm, rows, row_scales, begin, height, panel);
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
    struct job job = {.gemm = gemm,
                      .split = clipc_gemm_split_make(gemm->tiles, gemm->panel_count, tile_bytes,
                                                     gemm->kernels->piece_bytes, clipc_thread_pool_threads(pool))};
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
