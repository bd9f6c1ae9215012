#include "backend/cpu/resnet_tower.h"

#include "backend/cpu/attention.h"
#include "backend/cpu/convolution.h"
#include "backend/cpu/pooled_attention.h"
#include "backend/cpu/work_split.h"
#include "io/bf16.h"

#include <math.h>
#include <string.h>

/* One micro-batch on its way through the tower. */
struct run {
    const clipc_cpu_resnet *resnet;
    const clipc_cpu_resnet_workspace *workspace;
    clipc_thread_pool *pool;
    size_t items;
    const float *pixels;      /* of the first item */
    const uint32_t *features; /* the last stage's map */
};

/* Blocks of a packed row of the tower's width. */
static size_t token_blocks(const clipc_cpu_resnet *resnet)
{
    return clipc_deep_blocks(resnet->padded_width, sizeof(float) / clipc_dtype_size(resnet->dtype));
}

/* Query, key and value are bf16 where no pair of columns straddles two heads. */
static clipc_dtype attention_dtype(const clipc_cpu_resnet *resnet)
{
    return resnet->width / resnet->heads % 2 == 0 ? resnet->dtype : CLIPC_DTYPE_F32;
}

static size_t attention_length(const clipc_cpu_resnet *resnet)
{
    return clipc_map_length(resnet->width, attention_dtype(resnet));
}

/* ---- workspace ---- */

/* Units that an item's largest maps take. */
struct map_sizes {
    size_t stream;
    size_t inner;
};

/* Whether the result of a convolution passes from block to block. */
static bool is_stream(const clipc_cpu_resnet *resnet, size_t index)
{
    const clipc_convolution *shape = &resnet->convolutions[index].shape;
    return shape->role == CLIPC_CONVOLUTION_DOWNSAMPLE || shape->role == CLIPC_CONVOLUTION_EXPAND ||
           (shape->role == CLIPC_CONVOLUTION_STEM &&
            resnet->convolutions[index + 1].shape.role == CLIPC_CONVOLUTION_REDUCE);
}

static struct map_sizes measure_maps(const clipc_cpu_resnet *resnet)
{
    struct map_sizes sizes = {0};
    for (size_t i = 0; i < resnet->count; i++) {
        const clipc_convolution *shape = &resnet->convolutions[i].shape;
        const size_t units = shape->side * shape->side * clipc_map_length(shape->outputs, resnet->dtype);
        size_t *largest = is_stream(resnet, i) ? &sizes.stream : &sizes.inner;
        *largest = clipc_max(*largest, units);
    }
    return sizes;
}

void clipc_cpu_resnet_plan(const clipc_cpu_resnet *resnet, size_t max_batch, size_t threads, size_t budget,
                           clipc_arena *arena, clipc_cpu_resnet_workspace *workspace)
{
    const struct map_sizes sizes = measure_maps(resnet);
    const size_t item_bytes = 2 * (sizes.stream + sizes.inner) * sizeof(uint32_t);
    const size_t items = clipc_min(max_batch, clipc_max(budget / item_bytes, 1));
    const size_t width = token_blocks(resnet) * CLIPC_BLOCK;
    const size_t rows = items * resnet->tokens;
    *workspace = (clipc_cpu_resnet_workspace){.item_capacity = items};
    for (size_t i = 0; i < resnet->count; i++)
        workspace->scratch_stride = clipc_max(
            workspace->scratch_stride, clipc_convolution_scratch(resnet->kernels, &resnet->convolutions[i].weights));
    const bool by_rows = resnet->keys.panels != NULL;
    if (!(by_rows ? clipc_pooled_attention_scratch(resnet->tokens, resnet->heads, resnet->width,
                                                   &workspace->attention_stride)
                  : clipc_attention_scratch(resnet->kernels, resnet->tokens, resnet->width / resnet->heads,
                                            &workspace->attention_stride)))
        arena->overflow = true;
    for (size_t i = 0; i < 2; i++) {
        workspace->streams[i] = clipc_arena_take(arena, items, sizes.stream, sizeof(uint32_t));
        workspace->inner[i] = clipc_arena_take(arena, items, sizes.inner, sizeof(uint32_t));
    }
    workspace->offsets = clipc_arena_take(arena, items + 1, 1, sizeof *workspace->offsets);
    workspace->tokens = clipc_arena_take(arena, rows, width, sizeof(uint32_t));
    workspace->first = clipc_arena_take(arena, items, width, sizeof(uint32_t));
    workspace->query = clipc_arena_take(arena, items, attention_length(resnet), sizeof(uint32_t));
    workspace->key_value = clipc_arena_take(arena, by_rows ? 0 : rows, 2 * attention_length(resnet), sizeof(uint32_t));
    workspace->by_keys = clipc_arena_take(arena, by_rows ? items : 0, resnet->heads * width, sizeof(uint32_t));
    workspace->sums = clipc_arena_take(arena, by_rows ? items : 0, resnet->heads * width, sizeof(uint32_t));
    workspace->embeddings = clipc_arena_floats(arena, items, clipc_padded_columns(resnet->embedding_dimension));
    workspace->rows = clipc_arena_floats(arena, threads, 2 * resnet->padded_width);
    workspace->scratch = clipc_arena_take(arena, threads, workspace->scratch_stride, sizeof(uint32_t));
    workspace->attention = clipc_arena_floats(arena, threads, workspace->attention_stride);
}

/* ---- convolutions ---- */

static void convolve(const struct run *run, size_t index, const void *input, clipc_epilogue epilogue, void *output)
{
    const clipc_cpu_convolution *convolution = &run->resnet->convolutions[index];
    const clipc_convolution_run job = {.kernels = run->resnet->kernels,
                                       .shape = &convolution->shape,
                                       .weights = &convolution->weights,
                                       .items = run->items,
                                       .input = input,
                                       .epilogue = epilogue,
                                       .output = output,
                                       .scratch = run->workspace->scratch,
                                       .scratch_stride = run->workspace->scratch_stride};
    const clipc_cpu_step_start start = clipc_cpu_step_begin(run->workspace->steps);
    clipc_convolution_compute(run->pool, &job);
    clipc_cpu_step_end_convolution(start, &job);
}

/* All of them; returns the last stage's map. */
static const uint32_t *run_stages(const struct run *run)
{
    const clipc_cpu_resnet *resnet = run->resnet;
    uint32_t *stream = run->workspace->streams[0];
    uint32_t *other = run->workspace->streams[1];
    uint32_t *const *inner = run->workspace->inner;
    const void *input = run->pixels;
    int block = -1;
    clipc_cpu_steps_enter(run->workspace->steps, true, block);
    for (size_t i = 0; i < resnet->count; i++) {
        switch (resnet->convolutions[i].shape.role) {
        case CLIPC_CONVOLUTION_PIXELS:
        case CLIPC_CONVOLUTION_STEM: {
            void *output = is_stream(resnet, i) ? stream : inner[i % 2];
            convolve(run, i, input, CLIPC_EPILOGUE_RELU, output);
            input = output;
            break;
        }
        case CLIPC_CONVOLUTION_REDUCE:
            clipc_cpu_steps_enter(run->workspace->steps, true, ++block);
            convolve(run, i, stream, CLIPC_EPILOGUE_RELU, inner[0]);
            break;
        case CLIPC_CONVOLUTION_SPREAD: convolve(run, i, inner[0], CLIPC_EPILOGUE_RELU, inner[1]); break;
        case CLIPC_CONVOLUTION_DOWNSAMPLE: {
            convolve(run, i, stream, CLIPC_EPILOGUE_BIAS, other);
            uint32_t *made = other;
            other = stream;
            stream = made;
            break;
        }
        case CLIPC_CONVOLUTION_EXPAND: convolve(run, i, inner[1], CLIPC_EPILOGUE_RESIDUAL_RELU, stream); break;
        }
    }
    return stream;
}

/* ---- attention pooling ---- */

/* A row of features as fp32. */
static void read_features(const clipc_cpu_resnet *resnet, const uint32_t *row, float *values)
{
    if (resnet->dtype == CLIPC_DTYPE_F32) {
        memcpy(values, row, resnet->padded_width * sizeof *values);
        return;
    }
    const uint16_t *halves = (const uint16_t *)(const void *)row;
    for (size_t i = 0; i < resnet->padded_width; i++)
        values[i] = clipc_float_of_bf16(halves[i]);
}

/* The tiles of rows of tokens, and of one row an item. */
static clipc_row_tiles deal_rows(const struct run *run, size_t rows)
{
    const clipc_cpu_resnet *resnet = run->resnet;
    return clipc_row_tiles_for_threads(rows, clipc_kernels_tile_rows(resnet->kernels, resnet->dtype),
                                       resnet->padded_width /
                                           clipc_kernels_tile_columns(resnet->kernels, resnet->dtype),
                                       clipc_thread_pool_threads(run->pool));
}

/* Those of all tokens, which pooled attention reads row by row. */
static clipc_row_tiles deal_tokens(const struct run *run)
{
    const size_t rows = run->items * run->resnet->tokens;
    return run->resnet->keys.panels ? clipc_row_tiles_make(rows, 1) : deal_rows(run, rows);
}

static void write_token(const struct run *run, uint32_t *matrix, clipc_row_tiles tiles, size_t row, size_t token,
                        float *values)
{
    const clipc_cpu_resnet *resnet = run->resnet;
    const float *position = resnet->positions + token * resnet->padded_width;
    const clipc_packed_row place = clipc_packed_row_at(tiles, token_blocks(resnet), row);
    for (size_t i = 0; i < resnet->padded_width; i++)
        values[i] += position[i];
    clipc_write_columns(resnet->kernels, matrix + place.offset, place.block_stride, resnet->dtype, 0, values,
                        resnet->padded_width);
}

/* Of each item the rows of features after their mean, plus positions: packed. */
static void make_tokens(void *context, size_t begin, size_t end, size_t thread)
{
    const struct run *run = context;
    const clipc_cpu_resnet *resnet = run->resnet;
    const size_t width = resnet->padded_width;
    const size_t pixels = resnet->tokens - 1;
    const size_t length = clipc_map_length(resnet->width, resnet->dtype);
    const clipc_row_tiles tiles = deal_tokens(run);
    float *values = run->workspace->rows + thread * 2 * width;
    float *sums = values + width;
    for (size_t item = begin; item < end; item++) {
        memset(sums, 0, width * sizeof *sums);
        for (size_t pixel = 0; pixel < pixels; pixel++) {
            read_features(resnet, run->features + (item * pixels + pixel) * length, values);
            for (size_t i = 0; i < width; i++)
                sums[i] += values[i];
            write_token(run, run->workspace->tokens, tiles, item * resnet->tokens + pixel + 1, pixel + 1, values);
        }
        for (size_t i = 0; i < width; i++)
            sums[i] /= (float)pixels;
        memcpy(values, sums, width * sizeof *sums);
        write_token(run, run->workspace->tokens, tiles, item * resnet->tokens, 0, values);
        write_token(run, run->workspace->first, deal_rows(run, run->items), item, 0, sums);
    }
}

static void run_gemm(const struct run *run, clipc_cpu_step kind, const clipc_gemm *gemm)
{
    const clipc_cpu_step_start start = clipc_cpu_step_begin(run->workspace->steps);
    clipc_gemm_run(run->pool, gemm);
    clipc_cpu_step_end_gemm(start, kind, gemm);
}

static void multiply(const struct run *run, clipc_cpu_step kind, const clipc_packed_weights *weights,
                     const uint32_t *rows, size_t count, clipc_gemm_output output)
{
    const clipc_gemm gemm = {.kernels = run->resnet->kernels,
                             .weights = weights,
                             .panel_count = weights->layout.panel_count,
                             .rows = rows,
                             .row_blocks = token_blocks(run->resnet),
                             .tiles = deal_rows(run, count),
                             .epilogue = CLIPC_EPILOGUE_BIAS,
                             .output = output};
    run_gemm(run, kind, &gemm);
}

/* Of the packed queries, to workspace->first: u from the keys' weights, the sums of tokens, and the values' weights,
 * each head with rows of its own. */
static void attend_tokens(const struct run *run)
{
    const clipc_cpu_resnet *resnet = run->resnet;
    const clipc_cpu_resnet_workspace *workspace = run->workspace;
    const size_t length = token_blocks(resnet) * CLIPC_BLOCK;
    const clipc_row_tiles tiles = deal_rows(run, run->items);
    const clipc_gemm keys = {.kernels = resnet->kernels,
                             .weights = &resnet->keys,
                             .panel_count = resnet->keys.layout.panel_count,
                             .rows = workspace->query,
                             .row_blocks = token_blocks(resnet),
                             .tiles = tiles,
                             .epilogue = CLIPC_EPILOGUE_BIAS,
                             .output = {workspace->by_keys, resnet->heads * length, false, resnet->dtype},
                             .panels_a_part = resnet->keys.layout.panel_count / resnet->heads,
                             .part_blocks = token_blocks(resnet) / resnet->heads};
    run_gemm(run, CLIPC_STEP_QUERY_BY_KEYS, &keys);
    const clipc_pooled_attention attention = {.kernels = resnet->kernels,
                                              .items = run->items,
                                              .offsets = workspace->offsets,
                                              .heads = resnet->heads,
                                              .width = resnet->width,
                                              .dtype = resnet->dtype,
                                              .scale = 1.0f / sqrtf((float)(resnet->width / resnet->heads)),
                                              .queries = (const float *)(const void *)workspace->by_keys,
                                              .rows = (const float *)(const void *)workspace->tokens,
                                              .out = workspace->sums,
                                              .out_tiles = tiles,
                                              .scratch = workspace->attention,
                                              .scratch_stride = workspace->attention_stride};
    const clipc_cpu_step_start start = clipc_cpu_step_begin(workspace->steps);
    clipc_pooled_attention_run(run->pool, &attention);
    clipc_cpu_step_end_pooled_attention(start, &attention);
    const size_t part = resnet->key_value.layout.panel_count / 2;
    const clipc_gemm values = {.kernels = resnet->kernels,
                               .weights = &resnet->key_value,
                               .first_panel = part,
                               .panel_count = part,
                               .rows = workspace->sums,
                               .row_blocks = token_blocks(resnet),
                               .tiles = tiles,
                               .epilogue = CLIPC_EPILOGUE_BIAS,
                               .output = {workspace->first, length, true, resnet->dtype},
                               .panels_a_part = part / resnet->heads,
                               .part_rows = run->items * length};
    run_gemm(run, CLIPC_STEP_QUERY_KEY_VALUE, &values);
}

/* From the queries and tokens to workspace->first by way of keys and values. */
static void attend(const struct run *run)
{
    const clipc_cpu_resnet *resnet = run->resnet;
    const clipc_cpu_resnet_workspace *workspace = run->workspace;
    const size_t length = attention_length(resnet);
    const float *keys = (const float *)(const void *)workspace->key_value;
    multiply(run, CLIPC_STEP_QUERY_KEY_VALUE, &resnet->key_value, workspace->tokens, run->items * resnet->tokens,
             (clipc_gemm_output){workspace->key_value, 2 * length, false, attention_dtype(resnet)});
    const clipc_attention attention = {.kernels = resnet->kernels,
                                       .items = run->items,
                                       .offsets = workspace->offsets,
                                       .heads = resnet->heads,
                                       .head_width = resnet->width / resnet->heads,
                                       .pooled = true,
                                       .dtype = attention_dtype(resnet),
                                       .queries = (const float *)(const void *)workspace->query,
                                       .query_stride = length,
                                       .keys = keys,
                                       .values = keys + length,
                                       .key_stride = 2 * length,
                                       .out = workspace->first,
                                       .out_dtype = resnet->dtype,
                                       .out_blocks = token_blocks(resnet),
                                       .out_tiles = deal_rows(run, run->items),
                                       .scratch = workspace->attention,
                                       .scratch_stride = workspace->attention_stride};
    const clipc_cpu_step_start start = clipc_cpu_step_begin(workspace->steps);
    clipc_attention_run(run->pool, &attention);
    clipc_cpu_step_end_attention(start, &attention);
}

static void pool_features(struct run *run, float *embeddings)
{
    const clipc_cpu_resnet *resnet = run->resnet;
    const clipc_cpu_resnet_workspace *workspace = run->workspace;
    const bool by_rows = resnet->keys.panels != NULL;
    const size_t dimension = clipc_padded_columns(resnet->embedding_dimension);
    for (size_t item = 0; item <= run->items; item++)
        workspace->offsets[item] = item * resnet->tokens;
    clipc_cpu_steps_enter(workspace->steps, true, -1);
    const clipc_cpu_step_start start = clipc_cpu_step_begin(workspace->steps);
    clipc_thread_pool_run(run->pool, make_tokens, run, run->items, 1);
    clipc_cpu_step_end(
        start, CLIPC_STEP_POOLING, resnet->dtype, "C",
        (double)(run->items * (2 * resnet->tokens + 1) * resnet->width * clipc_dtype_size(resnet->dtype)));
    multiply(run, CLIPC_STEP_QUERY_KEY_VALUE, &resnet->query, workspace->first, run->items,
             (clipc_gemm_output){workspace->query, attention_length(resnet), by_rows, attention_dtype(resnet)});
    if (by_rows)
        attend_tokens(run);
    else
        attend(run);
    multiply(run, CLIPC_STEP_PROJECTION, &resnet->projection, workspace->first, run->items,
             (clipc_gemm_output){workspace->embeddings, dimension, false, CLIPC_DTYPE_F32});
    for (size_t item = 0; item < run->items; item++)
        memcpy(embeddings + item * resnet->embedding_dimension, workspace->embeddings + item * dimension,
               resnet->embedding_dimension * sizeof *embeddings);
}

void clipc_cpu_resnet_encode(const clipc_cpu_resnet *resnet, const clipc_cpu_resnet_workspace *workspace,
                             clipc_thread_pool *pool, const float *pixels, size_t count, float *embeddings)
{
    const size_t batches = (count + workspace->item_capacity - 1) / workspace->item_capacity;
    for (size_t batch = 0; batch < batches; batch++) {
        const size_t first = count * batch / batches;
        struct run run = {.resnet = resnet,
                          .workspace = workspace,
                          .pool = pool,
                          .items = count * (batch + 1) / batches - first,
                          .pixels = pixels + first * 3 * resnet->image_size * resnet->image_size};
        run.features = run_stages(&run);
        pool_features(&run, embeddings + first * resnet->embedding_dimension);
    }
}
