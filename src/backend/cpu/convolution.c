#include "backend/cpu/convolution.h"

#include "backend/cpu/work_split.h"

/* Bytes of packed rows that a thread takes through the panels at a time, or one tile: with a part of a panel they
 * should stay in a core's second-level cache. */
#define ROWS_BUDGET ((size_t)544 << 10)

/* Pieces a thread should get at least, so that a slow one does not keep the others waiting. */
#define PIECES_PER_THREAD 3

/* What packing a tile costs beside its product with one panel: one part of so many, at most. */
#define PANELS_A_PACKING 8

/* Cuts of the panels that are tried. */
#define CUTS_MAX 4

/* A piece of work is a group of neighbouring tiles times a cut of the panels; each cut packs its rows again. */
struct job {
    const clipc_convolution_run *run;
    clipc_gemm gemm;
    clipc_row_tiles tiles;
    size_t panels;
    size_t groups;
    size_t cuts;
};

static size_t tile_units(const clipc_kernels *kernels, const clipc_packed_weights *weights)
{
    return clipc_kernels_tile_rows(kernels, weights->layout.dtype) * weights->layout.blocks * CLIPC_BLOCK;
}

static size_t tiles_at_a_time(const clipc_kernels *kernels, const clipc_packed_weights *weights)
{
    return clipc_max(ROWS_BUDGET / sizeof(float) / tile_units(kernels, weights), 1);
}

size_t clipc_convolution_scratch(const clipc_kernels *kernels, const clipc_packed_weights *weights)
{
    return tiles_at_a_time(kernels, weights) * tile_units(kernels, weights);
}

/* ---- packing ---- */

/* Where an output pixel is. */
struct place {
    size_t item;
    size_t y;
    size_t x;
};

/* The 27 values under the window, [channel][y][x] as the weights have them. */
static void pack_pixels(const clipc_convolution_run *run, const struct place *at, uint32_t *out, size_t block_stride)
{
    const size_t side = run->shape->input_side;
    const float *image = (const float *)run->input + at->item * 3 * side * side;
    float values[2 * CLIPC_BLOCK] = {0};
    for (size_t channel = 0; channel < 3; channel++) {
        for (size_t i = 0; i < 3; i++) {
            const size_t row = 2 * at->y + i - 1; /* above the image it wraps to a large number */
            for (size_t j = 0; j < 3 && row < side; j++) {
                const size_t column = 2 * at->x + j - 1;
                if (column < side)
                    values[(channel * 3 + i) * 3 + j] = image[(channel * side + row) * side + column];
            }
        }
    }
    clipc_write_columns(run->kernels, out, block_stride, run->weights->layout.dtype, 0, values, 2 * CLIPC_BLOCK);
}

static const float *map_row(const clipc_convolution_run *run, size_t length, size_t item, size_t y, size_t x)
{
    const size_t side = run->shape->input_side;
    return (const float *)run->input + ((item * side + y) * side + x) * length;
}

/* One pixel, or the mean of four. */
static void pack_point(const clipc_convolution_run *run, const struct place *at, size_t length, size_t lines,
                       uint32_t *out, size_t block_stride)
{
    if (run->shape->pool == 1) {
        run->kernels->copy_lines(map_row(run, length, at->item, at->y, at->x), lines, (float *)(void *)out,
                                 block_stride);
        return;
    }
    const float *const from[4] = {map_row(run, length, at->item, 2 * at->y, 2 * at->x),
                                  map_row(run, length, at->item, 2 * at->y, 2 * at->x + 1),
                                  map_row(run, length, at->item, 2 * at->y + 1, 2 * at->x),
                                  map_row(run, length, at->item, 2 * at->y + 1, 2 * at->x + 1)};
    if (run->weights->layout.dtype == CLIPC_DTYPE_BF16) {
        const uint32_t *const pairs[4] = {
            (const uint32_t *)(const void *)from[0], (const uint32_t *)(const void *)from[1],
            (const uint32_t *)(const void *)from[2], (const uint32_t *)(const void *)from[3]};
        run->kernels->bf16.average(pairs, lines, out, block_stride);
    } else
        run->kernels->average(from, lines, (float *)(void *)out, block_stride);
}

/* A window of 3 × 3 pixels; three of a row lie side by side, where a pixel has no padding between them. */
static void pack_window(const clipc_convolution_run *run, const struct place *at, size_t length, size_t lines,
                        uint32_t *packed, size_t block_stride)
{
    const size_t side = run->shape->input_side;
    float *out = (float *)(void *)packed;
    const bool dense = length == lines * CLIPC_BLOCK && at->x > 0 && at->x + 1 < side;
    for (size_t i = 0; i < 3; i++) {
        const size_t y = at->y + i - 1; /* above the image it wraps to a large number */
        if (y >= side) {
            run->kernels->copy_lines(NULL, 3 * lines, out, block_stride);
        } else if (dense) {
            run->kernels->copy_lines(map_row(run, length, at->item, y, at->x - 1), 3 * lines, out, block_stride);
        } else {
            for (size_t j = 0; j < 3; j++) {
                const size_t x = at->x + j - 1;
                run->kernels->copy_lines(x < side ? map_row(run, length, at->item, y, x) : NULL, lines,
                                         out + j * lines * block_stride, block_stride);
            }
        }
        out += 3 * lines * block_stride;
    }
}

/* Rows begin … begin + height - 1, as one tile. */
static void pack_tile(const clipc_convolution_run *run, size_t begin, size_t height, uint32_t *tile)
{
    const clipc_convolution *shape = run->shape;
    const size_t side = shape->side;
    const size_t length = clipc_map_length(shape->inputs, run->weights->layout.dtype);
    const size_t lines = run->weights->layout.blocks / (shape->kernel * shape->kernel);
    struct place at = {begin / (side * side), begin / side % side, begin % side};
    for (size_t i = 0; i < height; i++) {
        uint32_t *out = tile + i * CLIPC_BLOCK;
        if (shape->role == CLIPC_CONVOLUTION_PIXELS)
            pack_pixels(run, &at, out, height * CLIPC_BLOCK);
        else if (shape->kernel == 1)
            pack_point(run, &at, length, lines, out, height * CLIPC_BLOCK);
        else
            pack_window(run, &at, length, lines, out, height * CLIPC_BLOCK);
        if (++at.x == side) {
            at.x = 0;
            if (++at.y == side) {
                at.y = 0;
                at.item++;
            }
        }
    }
}

/* ---- multiplying ---- */

static void run_piece(const struct job *job, size_t piece, uint32_t *scratch)
{
    const size_t group = piece / job->cuts;
    const size_t cut = piece % job->cuts;
    const size_t first = job->tiles.tiles * group / job->groups;
    const size_t end = job->tiles.tiles * (group + 1) / job->groups;
    const size_t first_row = clipc_row_tiles_begin(job->tiles, first);
    const size_t row_units = job->run->weights->layout.blocks * CLIPC_BLOCK;
    for (size_t tile = first; tile < end; tile++) {
        const size_t begin = clipc_row_tiles_begin(job->tiles, tile);
        pack_tile(job->run, begin, clipc_row_tiles_begin(job->tiles, tile + 1) - begin,
                  scratch + (begin - first_row) * row_units);
    }
    for (size_t panel = job->panels * cut / job->cuts; panel < job->panels * (cut + 1) / job->cuts; panel++) {
        for (size_t tile = first; tile < end; tile++) {
            const size_t begin = clipc_row_tiles_begin(job->tiles, tile);
            clipc_gemm_multiply_tile(&job->gemm, scratch + (begin - first_row) * row_units, begin,
                                     clipc_row_tiles_begin(job->tiles, tile + 1) - begin, panel);
        }
    }
}

static void run_pieces(void *context, size_t begin, size_t end, size_t thread)
{
    const struct job *job = context;
    for (size_t piece = begin; piece < end; piece++)
        run_piece(job, piece, job->run->scratch + thread * job->run->scratch_stride);
}

/* The time until all pieces are done, at most: rounds of the threads times the largest piece. */
static size_t time_bound(const struct job *job, size_t groups, size_t cuts, size_t threads)
{
    const size_t tiles = (job->tiles.tiles + groups - 1) / groups;
    const size_t panels = (job->panels + cuts - 1) / cuts;
    return (groups * cuts + threads - 1) / threads * tiles * (PANELS_A_PACKING * panels + 1);
}

/* As few groups as the cache allows, and pieces enough for all threads; others where they come out more even. */
static void split(struct job *job, size_t most_tiles, size_t threads)
{
    const size_t wanted = PIECES_PER_THREAD * threads;
    const size_t fewest = clipc_max((job->tiles.tiles + most_tiles - 1) / most_tiles, 1);
    job->groups = clipc_max(fewest, clipc_min(wanted, job->tiles.tiles));
    job->cuts = clipc_min((wanted + job->groups - 1) / job->groups, job->panels);
    size_t best = time_bound(job, job->groups, job->cuts, threads);
    for (size_t cuts = 1; cuts <= clipc_min(CUTS_MAX, job->panels); cuts++) {
        for (size_t groups = fewest; groups <= clipc_min(job->tiles.tiles, 3 * fewest); groups++) {
            const size_t bound = time_bound(job, groups, cuts, threads);
            if (bound < best && groups * cuts >= wanted) {
                best = bound;
                job->groups = groups;
                job->cuts = cuts;
            }
        }
    }
}

void clipc_convolution_compute(clipc_thread_pool *pool, const clipc_convolution_run *run)
{
    const clipc_packed_layout *layout = &run->weights->layout;
    const size_t threads = clipc_thread_pool_threads(pool);
    struct job job = {
        .run = run,
        .gemm = {.kernels = run->kernels,
                 .weights = run->weights,
                 .panel_count = layout->panel_count,
                 .epilogue = run->epilogue,
                 .output = {run->output, clipc_map_length(run->shape->outputs, layout->dtype), false, layout->dtype}},
        .tiles = clipc_row_tiles_for_threads(run->items * run->shape->side * run->shape->side,
                                             clipc_kernels_tile_rows(run->kernels, layout->dtype), layout->panel_count,
                                             threads),
        .panels = layout->panel_count};
    split(&job, tiles_at_a_time(run->kernels, run->weights), threads);
    clipc_thread_pool_run(pool, run_pieces, &job, job.groups * job.cuts, 1);
}
