#include "backend/cpu/encoder_run.h"

#include "backend/cpu/attention.h"
#include "backend/cpu/kernel_names.h"
#include "backend/cpu/patches.h"
#include "backend/cpu/pooled_attention.h"
#include "backend/cpu/work_split.h"
#include "io/bf16.h"
#include "model/token_place.h"

#include <math.h>
#include <string.h>

/* The tiles of a stream of rows for products in `dtype`, or in whatever a layer is kept in, made for the narrowest it
 * goes through. */
static clipc_row_tiles deal_rows(const struct clipc_cpu_run *run, size_t rows, clipc_dtype dtype)
{
    const clipc_cpu_tower *tower = run->tower;
    const size_t tallest = clipc_min(clipc_kernels_tile_rows(tower->kernels, dtype), tower->tallest_tile);
    return clipc_row_tiles_for_threads(rows, tallest,
                                       tower->padded_width / clipc_kernels_tile_columns(tower->kernels, dtype),
                                       clipc_thread_pool_threads(run->pool));
}

static clipc_dtype attention_dtype(const clipc_cpu_tower *tower)
{
    return clipc_cpu_tower_attention_dtype(tower);
}

static void run_gemm(const struct clipc_cpu_run *run, clipc_cpu_step kind, const clipc_gemm *gemm)
{
    const clipc_cpu_step_start start = clipc_cpu_step_begin(run->workspace->steps);
    clipc_gemm_run(run->pool, gemm);
    clipc_cpu_step_end_gemm(start, kind, gemm);
}

/* ---- steps that go row by row ---- */

/* Runs a task over rows, a few at a time. */
static void run_rows(const struct clipc_cpu_run *run, clipc_task task, void *context, size_t rows)
{
    clipc_thread_pool_run(run->pool, task, context, rows, clipc_row_grain(rows, clipc_thread_pool_threads(run->pool)));
}

struct norm_job {
    const clipc_cpu_tower *tower;
    const clipc_cpu_norm *norm;
    size_t width; /* of a row; they lie clipc_padded_columns of it apart */
    const float *rows;
    void *out; /* packed in tiles, or the rows themselves */
    clipc_dtype dtype;
    clipc_row_tiles tiles;
    clipc_row_scale *row_scales;
};

static void normalize_packed(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    const struct norm_job *job = context;
    const clipc_cpu_tower *tower = job->tower;
    const size_t width = job->width;
    const float epsilon = tower->config.layer_norm_epsilon;
    for (size_t row = begin; row < end; row++) {
        const float *from = job->rows + row * clipc_padded_columns(width);
        const clipc_packed_row place =
            clipc_packed_row_at(job->tiles, clipc_cpu_packed_blocks(width, job->dtype), row);
        uint32_t *out = (uint32_t *)job->out + place.offset;
        const float *weight = job->norm->weight;
        const float *bias = job->norm->bias;
        if (job->dtype == CLIPC_DTYPE_I8)
            job->row_scales[row] =
                tower->kernels->i8.layer_norm(from, width, weight, bias, epsilon, out, place.block_stride);
        else if (job->dtype == CLIPC_DTYPE_BF16)
            tower->kernels->bf16.layer_norm(from, width, weight, bias, epsilon, out, place.block_stride);
        else
            tower->kernels->layer_norm(from, width, weight, bias, epsilon, (float *)(void *)out, place.block_stride);
    }
}

struct quantize_job {
    const clipc_cpu_tower *tower;
    const uint32_t *halves;
    size_t columns;
    uint32_t *out;
    clipc_row_tiles tiles;
    clipc_row_scale *row_scales;
};

static void quantize_packed(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    const struct quantize_job *job = context;
    const size_t length = clipc_cpu_packed_blocks(job->columns, CLIPC_DTYPE_BF16) * CLIPC_BLOCK;
    const size_t blocks = clipc_cpu_packed_blocks(job->columns, CLIPC_DTYPE_I8);
    for (size_t row = begin; row < end; row++) {
        const clipc_packed_row place = clipc_packed_row_at(job->tiles, blocks, row);
        job->row_scales[row] = job->tower->kernels->i8.quantize(job->halves + row * length, job->columns,
                                                                job->out + place.offset, place.block_stride);
    }
}

static void normalize_in_place(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    const struct norm_job *job = context;
    const clipc_cpu_tower *tower = job->tower;
    for (size_t row = begin; row < end; row++) {
        float *values = (float *)job->out + row * tower->padded_width;
        tower->kernels->layer_norm(values, tower->config.width, job->norm->weight, job->norm->bias,
                                   tower->config.layer_norm_epsilon, values, CLIPC_BLOCK);
    }
}

static void copy_pooled_rows(const struct clipc_cpu_run *run)
{
    const size_t width = run->tower->padded_width;
    const size_t *offsets = run->workspace->offsets;
    for (size_t item = 0; item < run->items; item++) {
        const size_t row = run->tower->image ? offsets[item] : offsets[item + 1] - 1;
        memcpy(run->workspace->pooled + item * width, run->workspace->rows + row * width, width * sizeof(float));
    }
}

void clipc_cpu_normalize_in_place(const struct clipc_cpu_run *run, const clipc_cpu_norm *norm)
{
    struct norm_job job = {.tower = run->tower, .norm = norm, .out = run->workspace->rows};
    const clipc_cpu_step_start start = clipc_cpu_step_begin(run->workspace->steps);
    run_rows(run, normalize_in_place, &job, run->rows);
    clipc_cpu_step_end(start, CLIPC_STEP_LAYER_NORM, CLIPC_DTYPE_F32,
                       clipc_layer_norm_name(run->tower->kernels, CLIPC_DTYPE_F32),
                       clipc_bytes_of_rows(run->rows, run->tower->config.width, CLIPC_DTYPE_F32, CLIPC_DTYPE_F32));
}

/* ---- one layer ---- */

struct clipc_cpu_stream clipc_cpu_all_rows(const struct clipc_cpu_run *run, clipc_dtype dtype)
{
    return (struct clipc_cpu_stream){run->workspace->rows, run->workspace->packed, deal_rows(run, run->rows, dtype),
                                     run->tower->config.width};
}

struct clipc_cpu_stream clipc_cpu_pooled_rows(const struct clipc_cpu_run *run, clipc_dtype dtype)
{
    return (struct clipc_cpu_stream){run->workspace->pooled, run->workspace->pooled_packed,
                                     deal_rows(run, run->items, dtype), run->tower->config.width};
}

/* Rows of bf16 in workspace->halves to packed bytes. */
static void quantize(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *stream, size_t columns,
                     void *packed)
{
    struct quantize_job job = {run->tower, run->workspace->halves, columns,
                               packed,     stream->tiles,          run->workspace->row_scales};
    const clipc_cpu_step_start start = clipc_cpu_step_begin(run->workspace->steps);
    run_rows(run, quantize_packed, &job, stream->tiles.rows);
    clipc_cpu_step_end(start, CLIPC_STEP_QUANTIZATION, CLIPC_DTYPE_I8, clipc_quantize_name(run->tower->kernels),
                       clipc_bytes_of_rows(stream->tiles.rows, columns, CLIPC_DTYPE_BF16, CLIPC_DTYPE_I8));
}

/* Into the form that a product with these weights reads. */
void clipc_cpu_normalize(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *stream,
                         const clipc_cpu_norm *norm, const clipc_packed_weights *next)
{
    const clipc_dtype dtype = next->layout.dtype;
    struct norm_job job = {run->tower,     norm,  stream->width, stream->rows,
                           stream->packed, dtype, stream->tiles, run->workspace->row_scales};
    const clipc_cpu_step_start start = clipc_cpu_step_begin(run->workspace->steps);
    run_rows(run, normalize_packed, &job, stream->tiles.rows);
    clipc_cpu_step_end(start, CLIPC_STEP_LAYER_NORM, dtype, clipc_layer_norm_name(run->tower->kernels, dtype),
                       clipc_bytes_of_rows(stream->tiles.rows, stream->width, CLIPC_DTYPE_F32, dtype));
}

/* The product of a stream's packed rows with `count` panels of the weights from `first` on. */
void clipc_cpu_multiply(const struct clipc_cpu_run *run, clipc_cpu_step kind, const struct clipc_cpu_stream *stream,
                        const clipc_packed_weights *weights, size_t first, size_t count, clipc_epilogue epilogue,
                        clipc_gemm_output output)
{
    const clipc_gemm gemm = {.kernels = run->tower->kernels,
                             .weights = weights,
                             .first_panel = first,
                             .panel_count = count,
                             .rows = stream->packed,
                             .row_blocks = clipc_cpu_packed_blocks(stream->width, weights->layout.dtype),
                             .row_scales = run->workspace->row_scales,
                             .tiles = stream->tiles,
                             .epilogue = epilogue,
                             .output = output};
    run_gemm(run, kind, &gemm);
}

/* Attention writes the columns of heads alone: zeros for those behind them, which may hold anything. */
void clipc_cpu_clear_padding(const struct clipc_cpu_stream *stream, clipc_dtype dtype)
{
    const size_t width = stream->width;
    const size_t blocks = clipc_cpu_packed_blocks(width, dtype);
    const size_t first = width * clipc_dtype_size(dtype) / sizeof(float) / CLIPC_BLOCK;
    if (width == clipc_padded_columns(width))
        return;
    for (size_t row = 0; row < stream->tiles.rows; row++) {
        const clipc_packed_row place = clipc_packed_row_at(stream->tiles, blocks, row);
        for (size_t block = first; block < blocks; block++)
            memset((float *)stream->packed + place.offset + block * place.block_stride, 0,
                   CLIPC_BLOCK * sizeof(float));
    }
}

/* Into the form that the output projection reads; heads are of `dtype`, and together as wide as the stream. */
void clipc_cpu_attend(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *stream,
                      const clipc_cpu_layer *layer, size_t heads, clipc_dtype dtype, const float *queries,
                      size_t query_stride, const float *keys, const float *values, size_t key_stride, bool pooled)
{
    const clipc_cpu_tower *tower = run->tower;
    const bool bytes = layer->attention_out.layout.dtype == CLIPC_DTYPE_I8;
    const clipc_dtype out_dtype = bytes ? CLIPC_DTYPE_BF16 : layer->attention_out.layout.dtype;
    const clipc_attention attention = {.kernels = tower->kernels,
                                       .items = run->items,
                                       .offsets = run->workspace->offsets,
                                       .heads = heads,
                                       .head_width = stream->width / heads,
                                       .causal = tower->causal,
                                       .last_unseen = tower->last_unseen,
                                       .pooled = pooled,
                                       .dtype = dtype,
                                       .queries = queries,
                                       .query_stride = query_stride,
                                       .keys = keys,
                                       .values = values,
                                       .key_stride = key_stride,
                                       .out = bytes ? (void *)run->workspace->halves : stream->packed,
                                       .out_dtype = out_dtype,
                                       .out_blocks = clipc_cpu_packed_blocks(stream->width, out_dtype),
                                       .out_tiles = bytes ? clipc_row_tiles_make(stream->tiles.rows, 1)
                                                          : stream->tiles, /* row by row */
                                       .scratch = run->workspace->scratch,
                                       .scratch_stride = run->workspace->scratch_stride};
    const clipc_cpu_step_start start = clipc_cpu_step_begin(run->workspace->steps);
    if (!bytes)
        clipc_cpu_clear_padding(stream, out_dtype);
    clipc_attention_run(run->pool, &attention);
    clipc_cpu_step_end_attention(start, &attention);
    if (bytes)
        quantize(run, stream, stream->width, stream->packed);
}

/* fc1, the activation and fc2. */
void clipc_cpu_run_mlp(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *stream,
                       const clipc_cpu_layer *layer)
{
    const clipc_cpu_tower *tower = run->tower;
    const size_t mlp_width = tower->config.mlp_width;
    const bool bytes = layer->fc2.layout.dtype == CLIPC_DTYPE_I8;
    const clipc_dtype inner_dtype = bytes ? CLIPC_DTYPE_BF16 : layer->fc2.layout.dtype;
    const size_t inner_length = clipc_cpu_packed_blocks(mlp_width, inner_dtype) * CLIPC_BLOCK;
    clipc_cpu_multiply(run, CLIPC_STEP_FC1, stream, &layer->fc1, 0, layer->fc1.layout.panel_count,
                       clipc_epilogue_of(tower->config.activation),
                       bytes ? (clipc_gemm_output){run->workspace->halves, inner_length, false, CLIPC_DTYPE_BF16}
                             : (clipc_gemm_output){run->workspace->wide, inner_length, true, inner_dtype});
    if (bytes)
        quantize(run, stream, mlp_width, run->workspace->wide);
    const clipc_gemm gemm = {.kernels = tower->kernels,
                             .weights = &layer->fc2,
                             .panel_count = layer->fc2.layout.panel_count,
                             .rows = run->workspace->wide,
                             .row_blocks = clipc_cpu_packed_blocks(mlp_width, layer->fc2.layout.dtype),
                             .row_scales = run->workspace->row_scales,
                             .tiles = stream->tiles,
                             .epilogue = CLIPC_EPILOGUE_RESIDUAL,
                             .output = {stream->rows, tower->padded_width, false, CLIPC_DTYPE_F32}};
    run_gemm(run, CLIPC_STEP_FC2, &gemm);
}

/* The rows of X as they are now. */
static void tap_rows(const struct clipc_cpu_run *run, clipc_tap_point point, const clipc_cpu_layer *layer,
                     const float *rows, size_t count)
{
    const clipc_cpu_tower *tower = run->tower;
    const size_t index = layer ? (size_t)(layer - tower->layers) : 0;
    clipc_tap_give(&run->workspace->tap, tower->image, point, index,
                   (clipc_tap_rows){rows, count, tower->config.width, tower->padded_width});
}

/* From attention's packed result to the end of the layer. */
static void finish_layer(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *stream,
                         const clipc_cpu_layer *layer)
{
    clipc_cpu_multiply(run, CLIPC_STEP_ATTENTION_OUT, stream, &layer->attention_out, 0,
                       layer->attention_out.layout.panel_count, CLIPC_EPILOGUE_RESIDUAL,
                       (clipc_gemm_output){stream->rows, run->tower->padded_width, false, CLIPC_DTYPE_F32});
    tap_rows(run, CLIPC_TAP_ATTENTION, layer, stream->rows, stream->tiles.rows);
    clipc_cpu_normalize(run, stream, &layer->norm2, &layer->fc1);
    clipc_cpu_run_mlp(run, stream, layer);
    tap_rows(run, CLIPC_TAP_MLP, layer, stream->rows, stream->tiles.rows);
}

static void run_layer(const struct clipc_cpu_run *run, const clipc_cpu_layer *layer)
{
    clipc_cpu_enter_layer(run, layer);
    const struct clipc_cpu_stream stream = clipc_cpu_all_rows(run, run->tower->layer_dtype);
    const size_t length = clipc_cpu_attention_length(run->tower);
    float *wide = run->workspace->wide;
    clipc_cpu_normalize(run, &stream, &layer->norm1, &layer->query_key_value);
    clipc_cpu_multiply(run, CLIPC_STEP_QUERY_KEY_VALUE, &stream, &layer->query_key_value, 0,
                       layer->query_key_value.layout.panel_count, CLIPC_EPILOGUE_BIAS,
                       (clipc_gemm_output){wide, 3 * length, false, attention_dtype(run->tower)});
    clipc_cpu_attend(run, &stream, layer, run->tower->config.heads, attention_dtype(run->tower), wide, 3 * length,
                     wide + length, wide + 2 * length, 3 * length, false);
    finish_layer(run, &stream, layer);
}

/* All rows, row by row, to workspace->wide: what pooled attention reads. */
static void normalize_rows(const struct clipc_cpu_run *run, const clipc_cpu_norm *norm)
{
    const clipc_dtype dtype = attention_dtype(run->tower);
    struct norm_job job = {.tower = run->tower,
                           .norm = norm,
                           .width = run->tower->config.width,
                           .rows = run->workspace->rows,
                           .out = run->workspace->wide,
                           .dtype = dtype,
                           .tiles = clipc_row_tiles_make(run->rows, 1)};
    const clipc_cpu_step_start start = clipc_cpu_step_begin(run->workspace->steps);
    run_rows(run, normalize_packed, &job, run->rows);
    clipc_cpu_step_end(start, CLIPC_STEP_LAYER_NORM, dtype, clipc_layer_norm_name(run->tower->kernels, dtype),
                       clipc_bytes_of_rows(run->rows, run->tower->config.width, CLIPC_DTYPE_F32, dtype));
}

/* Σ p x of every head, from its u in workspace->pooled_wide, as packed rows of `tiles` for the values' weights. */
static void attend_rows(const struct clipc_cpu_run *run, clipc_row_tiles tiles)
{
    const clipc_cpu_tower *tower = run->tower;
    const clipc_cpu_workspace *workspace = run->workspace;
    const size_t heads = tower->config.heads;
    const clipc_pooled_attention attention = {.kernels = tower->kernels,
                                              .items = run->items,
                                              .offsets = workspace->offsets,
                                              .unseen = tower->last_unseen ? 1 : 0,
                                              .heads = heads,
                                              .width = tower->config.width,
                                              .dtype = attention_dtype(tower),
                                              .scale = 1.0f / sqrtf((float)(tower->config.width / heads)),
                                              .queries = workspace->pooled_wide,
                                              .rows = workspace->wide,
                                              .out = (uint32_t *)(void *)workspace->pooled_sums,
                                              .out_tiles = tiles,
                                              .scratch = workspace->scratch,
                                              .scratch_stride = workspace->scratch_stride};
    const clipc_cpu_step_start start = clipc_cpu_step_begin(workspace->steps);
    clipc_pooled_attention_run(run->pool, &attention);
    clipc_cpu_step_end_pooled_attention(start, &attention);
}

/* The pooled rows' attention from their packed queries in workspace->pooled_query, into the form that the output
 * projection reads: u from the keys' weights, the sums, and the values' weights, each head with rows of its own. */
static void attend_pooled(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *pooled,
                          const clipc_cpu_layer *layer)
{
    const clipc_cpu_tower *tower = run->tower;
    const size_t heads = tower->config.heads;
    const size_t length = clipc_cpu_attention_length(tower);
    const bool own = tower->last_values.panels;
    const clipc_packed_weights *weights = own ? &tower->last_values : &layer->query_key_value;
    const clipc_gemm keys = {.kernels = tower->kernels,
                             .weights = &tower->last_keys,
                             .panel_count = tower->last_keys.layout.panel_count,
                             .rows = run->workspace->pooled_query,
                             .row_blocks = length / CLIPC_BLOCK,
                             .tiles = pooled->tiles,
                             .epilogue = CLIPC_EPILOGUE_BIAS,
                             .output = {run->workspace->pooled_wide, heads * length, false, attention_dtype(tower)},
                             .panels_a_part = tower->last_keys.layout.panel_count / heads,
                             .part_blocks = length / heads / CLIPC_BLOCK};
    run_gemm(run, CLIPC_STEP_QUERY_BY_KEYS, &keys);
    attend_rows(run, pooled->tiles);
    const size_t part = own ? weights->layout.panel_count : weights->layout.panel_count / 3;
    const size_t blocks = clipc_cpu_packed_blocks(tower->config.width, weights->layout.dtype);
    const clipc_dtype next = layer->attention_out.layout.dtype;
    const bool bytes = next == CLIPC_DTYPE_I8;
    const clipc_dtype out_dtype = bytes ? CLIPC_DTYPE_BF16 : next;
    const size_t out_length = clipc_cpu_packed_blocks(tower->config.width, out_dtype) * CLIPC_BLOCK;
    const clipc_gemm values = {
        .kernels = tower->kernels,
        .weights = weights,
        .first_panel = own ? 0 : 2 * part,
        .panel_count = part,
        .rows = run->workspace->pooled_sums,
        .row_blocks = blocks,
        .row_scales = run->workspace->row_scales,
        .tiles = pooled->tiles,
        .epilogue = CLIPC_EPILOGUE_BIAS,
        .output = {bytes ? (void *)run->workspace->halves : pooled->packed, out_length, !bytes, out_dtype},
        .panels_a_part = part / heads,
        .part_rows = run->items * blocks * CLIPC_BLOCK};
    run_gemm(run, CLIPC_STEP_SUMS_BY_VALUES, &values);
    if (bytes)
        quantize(run, pooled, tower->config.width, pooled->packed);
}

/* Only the pooled row of each item is read after the last layer, so only it gets a query, an output projection and an
 * MLP there; and no row gets a key or a value where pooled attention does without. */
static void run_last_layer(const struct clipc_cpu_run *run, const clipc_cpu_layer *layer)
{
    const struct clipc_cpu_stream pooled = clipc_cpu_pooled_rows(run, run->tower->layer_dtype);
    const size_t length = clipc_cpu_attention_length(run->tower);
    const clipc_dtype dtype = attention_dtype(run->tower);
    const size_t part = layer->query_key_value.layout.panel_count / 3;
    const bool by_rows = run->tower->last_keys.panels;
    float *wide = run->workspace->wide;
    clipc_cpu_enter_layer(run, layer);
    if (by_rows) {
        normalize_rows(run, &layer->norm1);
    } else {
        const struct clipc_cpu_stream all = clipc_cpu_all_rows(run, run->tower->layer_dtype);
        clipc_cpu_normalize(run, &all, &layer->norm1, &layer->query_key_value);
        clipc_cpu_multiply(run, CLIPC_STEP_QUERY_KEY_VALUE, &all, &layer->query_key_value, part, 2 * part,
                           CLIPC_EPILOGUE_BIAS, (clipc_gemm_output){wide, 2 * length, false, dtype});
    }
    clipc_cpu_normalize(run, &pooled, &layer->norm1, &layer->query_key_value);
    clipc_cpu_multiply(run, CLIPC_STEP_QUERY_KEY_VALUE, &pooled, &layer->query_key_value, 0, part, CLIPC_EPILOGUE_BIAS,
                       (clipc_gemm_output){run->workspace->pooled_query, length, by_rows, dtype});
    if (by_rows)
        attend_pooled(run, &pooled, layer);
    else
        clipc_cpu_attend(run, &pooled, layer, run->tower->config.heads, dtype, run->workspace->pooled_query, length,
                         wide, wide + length, 2 * length, true);
    finish_layer(run, &pooled, layer);
}

/* The pooled rows after the last LayerNorm, unpacked into the place of the queries, which nothing reads any more. */
static void tap_norm(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *pooled)
{
    const clipc_cpu_tower *tower = run->tower;
    const clipc_dtype dtype = tower->projection.layout.dtype;
    float *rows = run->workspace->pooled_query;
    if (!run->workspace->tap.function)
        return;
    for (size_t row = 0; row < run->items; row++) {
        const size_t blocks = clipc_cpu_packed_blocks(pooled->width, dtype);
        const clipc_packed_row place = clipc_packed_row_at(pooled->tiles, blocks, row);
        const uint32_t *from = (const uint32_t *)pooled->packed + place.offset;
        for (size_t i = 0; i < pooled->width; i++) {
            const size_t unit = dtype == CLIPC_DTYPE_BF16 ? i / 2 : i;
            const uint32_t *line = from + unit / CLIPC_BLOCK * place.block_stride;
            float *to = rows + row * tower->padded_width + i;
            if (dtype == CLIPC_DTYPE_BF16)
                *to = clipc_float_of_bf16(((const uint16_t *)(const void *)line)[i % (2 * CLIPC_BLOCK)]);
            else
                memcpy(to, line + unit % CLIPC_BLOCK, sizeof *to);
        }
    }
    clipc_tap_give(&run->workspace->tap, tower->image, CLIPC_TAP_NORM, 0,
                   (clipc_tap_rows){rows, run->items, pooled->width, tower->padded_width});
}

/* From what is packed for the projection to the embeddings. */
void clipc_cpu_project(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *pooled, float *embeddings)
{
    const clipc_cpu_tower *tower = run->tower;
    const size_t length = clipc_padded_columns(tower->embedding_dimension);
    tap_norm(run, pooled);
    clipc_cpu_multiply(run, CLIPC_STEP_PROJECTION, pooled, &tower->projection, 0, tower->projection.layout.panel_count,
                       CLIPC_EPILOGUE_BIAS,
                       (clipc_gemm_output){run->workspace->embeddings, length, false, CLIPC_DTYPE_F32});
    for (size_t item = 0; item < run->items; item++)
        memcpy(embeddings + item * tower->embedding_dimension, run->workspace->embeddings + item * length,
               tower->embedding_dimension * sizeof *embeddings);
}

/* One row of each item through the last layer and the last LayerNorm to its projection. */
static void pool_rows(const struct clipc_cpu_run *run, float *embeddings)
{
    const clipc_cpu_tower *tower = run->tower;
    clipc_cpu_enter_layer(run, NULL);
    const clipc_cpu_step_start start = clipc_cpu_step_begin(run->workspace->steps);
    copy_pooled_rows(run);
    clipc_cpu_step_end(start, CLIPC_STEP_POOLING, CLIPC_DTYPE_F32, "C",
                       clipc_bytes_of_rows(run->items, tower->padded_width, CLIPC_DTYPE_F32, CLIPC_DTYPE_F32));
    if (tower->config.layers > 0)
        run_last_layer(run, &tower->layers[tower->config.layers - 1]);
    clipc_cpu_enter_layer(run, NULL);
    const struct clipc_cpu_stream pooled = clipc_cpu_pooled_rows(run, tower->dtype);
    clipc_cpu_normalize(run, &pooled, &tower->norm_final, &tower->projection);
    clipc_cpu_project(run, &pooled, embeddings);
}

static void pool(const struct clipc_cpu_run *run, float *embeddings)
{
    switch (run->tower->image ? run->tower->pooling_kind : CLIPC_IMAGE_POOL_CLASS) {
    case CLIPC_IMAGE_POOL_CLASS: pool_rows(run, embeddings); break;
    case CLIPC_IMAGE_POOL_ATTENTION: clipc_cpu_pool_by_attention(run, embeddings); break;
    case CLIPC_IMAGE_POOL_QUERY: clipc_cpu_pool_by_query(run, embeddings); break;
    case CLIPC_IMAGE_POOL_AVERAGE:
    case CLIPC_IMAGE_POOL_NORMED_AVERAGE: clipc_cpu_pool_average(run, embeddings); break;
    }
}

/* From X to the projections of the micro-batch. */
static void run_encoder(const struct clipc_cpu_run *run, float *embeddings)
{
    const clipc_cpu_tower *tower = run->tower;
    const size_t last = clipc_cpu_tower_pools_rows(tower) ? 0 : 1; /* layers that pool_rows does */
    tap_rows(run, CLIPC_TAP_EMBEDDING, NULL, run->workspace->rows, run->rows);
    for (size_t i = 0; i + last < tower->config.layers; i++)
        run_layer(run, &tower->layers[i]);
    pool(run, embeddings);
    clipc_tap_give(&run->workspace->tap, tower->image, CLIPC_TAP_PROJECTION, 0,
                   (clipc_tap_rows){embeddings, run->items, tower->embedding_dimension, tower->embedding_dimension});
}

/* ---- images ---- */

static void prepare_patches(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    const struct clipc_cpu_run *run = context;
    const clipc_cpu_tower *tower = run->tower;
    const clipc_row_tiles tiles = deal_rows(run, run->rows, tower->layer_dtype);
    for (size_t row = begin; row < end; row++) {
        clipc_cpu_pack_patch(tower, run->workspace, run->pixels, tiles, row);
        memcpy(run->workspace->rows + row * tower->padded_width,
               tower->positions + row % tower->most_tokens * tower->padded_width, tower->padded_width * sizeof(float));
    }
}

static void encode_some_images(struct clipc_cpu_run *run, float *embeddings)
{
    const clipc_cpu_tower *tower = run->tower;
    run->rows = run->items * tower->most_tokens;
    for (size_t item = 0; item <= run->items; item++)
        run->workspace->offsets[item] = item * tower->most_tokens;
    clipc_cpu_enter_layer(run, NULL);
    const clipc_cpu_step_start start = clipc_cpu_step_begin(run->workspace->steps);
    run_rows(run, prepare_patches, run, run->rows);
    clipc_cpu_step_end(start, CLIPC_STEP_PATCHES, tower->layer_dtype, "C",
                       clipc_bytes_of_rows(run->items, 3 * tower->image_size * tower->image_size, CLIPC_DTYPE_F32,
                                           tower->patch_embedding.layout.dtype) +
                           clipc_bytes_of_rows(run->rows, tower->padded_width, CLIPC_DTYPE_F32, CLIPC_DTYPE_F32));
    const struct clipc_cpu_stream stream = clipc_cpu_all_rows(run, tower->layer_dtype);
    const clipc_gemm gemm = {.kernels = tower->kernels,
                             .weights = &tower->patch_embedding,
                             .panel_count = tower->patch_embedding.layout.panel_count,
                             .rows = run->workspace->wide,
                             .row_blocks = tower->patch_embedding.layout.blocks,
                             .row_scales = run->workspace->row_scales,
                             .tiles = stream.tiles,
                             .epilogue = CLIPC_EPILOGUE_RESIDUAL,
                             .output = {stream.rows, tower->padded_width, false, CLIPC_DTYPE_F32}};
    run_gemm(run, CLIPC_STEP_PATCH_EMBEDDING, &gemm);
    if (tower->norm_pre.weight)
        clipc_cpu_normalize_in_place(run, &tower->norm_pre);
    run_encoder(run, embeddings);
}

void clipc_cpu_encode_images(const clipc_cpu_tower *tower, const clipc_cpu_workspace *workspace,
                             clipc_thread_pool *pool, const float *pixels, size_t count, float *embeddings)
{
    const size_t most = clipc_min(workspace->item_capacity, workspace->row_capacity / tower->most_tokens);
    const size_t batches = (count + most - 1) / most;
    for (size_t batch = 0; batch < batches; batch++) {
        const size_t first = count * batch / batches;
        struct clipc_cpu_run run = {.tower = tower,
                                    .workspace = workspace,
                                    .pool = pool,
                                    .items = count * (batch + 1) / batches - first,
                                    .pixels = pixels + first * 3 * tower->image_size * tower->image_size};
        encode_some_images(&run, embeddings + first * tower->embedding_dimension);
    }
}

/* ---- text ---- */

/* Writes the token's embedding and returns its position's; `position` is the row's among its item's. */
static const float *embed_token(const clipc_cpu_tower *tower, int32_t id, size_t position, float *x)
{
    const size_t width = tower->config.width;
    size_t token = (size_t)id;
    if (tower->placed_vocabulary) {
        token = clipc_token_place_id(tower->placed_vocabulary, id);
        position = clipc_token_place_position(tower->placed_vocabulary, id);
    }
    if (tower->class_embedding && token == tower->placed_vocabulary)
        clipc_tensor_read(tower->class_embedding, 0, width, x);
    else
        clipc_tensor_read(tower->token_embedding, token * width, width, x);
    return tower->positions + position * tower->padded_width;
}

static void prepare_tokens(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    const struct clipc_cpu_run *run = context;
    const clipc_cpu_tower *tower = run->tower;
    const size_t width = tower->config.width;
    const size_t *offsets = run->workspace->offsets;
    for (size_t item = begin; item < end; item++) {
        for (size_t row = offsets[item]; row < offsets[item + 1]; row++) {
            float *x = run->workspace->rows + row * tower->padded_width;
            const float *position = embed_token(tower, run->ids[row], row - offsets[item], x);
            for (size_t i = 0; i < width; i++)
                x[i] += position[i];
            memset(x + width, 0, (tower->padded_width - width) * sizeof *x);
        }
    }
}

void clipc_cpu_encode_tokens(const clipc_cpu_tower *tower, const clipc_cpu_workspace *workspace,
                             clipc_thread_pool *pool, const int32_t *ids, const size_t *offsets, size_t count,
                             float *embeddings)
{
    for (size_t first = 0; first < count;) {
        size_t items = 0;
        workspace->offsets[0] = 0;
        while (items < workspace->item_capacity && first + items < count &&
               offsets[first + items + 1] - offsets[first] <= workspace->row_capacity) {
            items++;
            workspace->offsets[items] = offsets[first + items] - offsets[first];
        }
        struct clipc_cpu_run run = {.tower = tower,
                                    .workspace = workspace,
                                    .pool = pool,
                                    .items = items,
                                    .rows = workspace->offsets[items],
                                    .ids = ids + offsets[first]};
        clipc_cpu_enter_layer(&run, NULL);
        const clipc_cpu_step_start start = clipc_cpu_step_begin(workspace->steps);
        clipc_thread_pool_run(pool, prepare_tokens, &run, items, 1);
        const size_t value_bytes = clipc_dtype_size(tower->token_embedding->dtype) + 2 * sizeof(float);
        clipc_cpu_step_end(start, CLIPC_STEP_TOKEN_EMBEDDING, CLIPC_DTYPE_F32, "C",
                           (double)(run.rows * tower->config.width * value_bytes)); /* with the position and the sum */
        run_encoder(&run, embeddings + first * tower->embedding_dimension);
        first += items;
    }
}
