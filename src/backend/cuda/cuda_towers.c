/* The towers as launches on the engine's stream. */
#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/cuda_resnet.h"
#include "backend/cuda/cuda_status.h"
#include "backend/cuda/gemm_select_bytes.h"
#include "backend/cuda/steps.h"
#include "backend/cuda/tower_file.h"
#include "backend/cuda/try.h"

/* From this many rows and with more than this many parts, the parts of the statistics are joined once, by a step of
 * its own, and not in every tile that reads them. */
#define JOIN_ROWS  4096
#define JOIN_PARTS 8
/* Rows of a product that is chosen for any number of them. */
#define INVARIANT_ROWS 51200
/* Up to this many rows a pass over texts is recorded as a graph. Beyond, launches cost less than what they start, and
 * hardly two batches have the same number of rows. */
#define GRAPH_TEXT_ROWS 1024

cudaError_t clipc_cuda_gemm_run(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    static clipc_cuda_gemm_launcher *const launchers[][4] = {
        [CLIPC_GEMM_SM80] = {clipc_cuda_gemm_mma_f16, clipc_cuda_gemm_mma_bf16, clipc_cuda_gemm_mma_e4m3,
                             clipc_cuda_gemm_mma_s8},
        [CLIPC_GEMM_SKINNY] = {clipc_cuda_gemm_skinny_f16, clipc_cuda_gemm_skinny_bf16, NULL, NULL},
        [CLIPC_GEMM_SM90] = {clipc_cuda_gemm_wgmma_f16, clipc_cuda_gemm_wgmma_bf16, clipc_cuda_gemm_wgmma_e4m3,
                             clipc_cuda_gemm_wgmma_s8},
    };
    clipc_cuda_gemm_launcher *const launcher = launchers[plan->kind][gemm->type];
    return launcher ? launcher(gemm, plan, stream) : cudaErrorInvalidConfiguration;
}

static clipc_gemm_shape shape_of(const clipc_cuda_gemm *gemm)
{
    return (clipc_gemm_shape){.type = gemm->type,
                              .rows = gemm->rows,
                              .columns = gemm->columns,
                              .depth = gemm->depth,
                              .residual = gemm->residual != NULL,
                              .activation = gemm->activation != CLIPC_CUDA_ACTIVATION_NONE,
                              .leaves_statistics = gemm->leave.pairs != NULL};
}

/* The rows that a kernel is chosen for. With batch_invariant it is that of a large batch, whatever the batch; where a
 * pass is cut otherwise than clipc does, it is that of a pass as clipc cuts it, so that bits stay. */
static int32_t chosen_rows(const clipc_cuda_engine *engine, int32_t rows)
{
    if (engine->batch_invariant)
        return INVARIANT_ROWS;
    if (!engine->chosen_items || !engine->pass_items)
        return rows;
    return (int32_t)((int64_t)rows * engine->chosen_items / engine->pass_items);
}

/* The tile is one that was measured, if any. */
static clipc_gemm_plan choose(const clipc_cuda_engine *engine, const clipc_cuda_gemm *gemm)
{
    const int32_t rows = chosen_rows(engine, gemm->rows);
    const bool residual = gemm->residual != NULL;
    clipc_gemm_device device = engine->device;
    if (gemm->window_side)
        device.architecture = 80; /* windows are gathered by the portable kernel alone */
    clipc_gemm_plan plan = clipc_cuda_is_bytes(gemm->type)
                               ? clipc_gemm_select_bytes(&device, rows, gemm->columns, gemm->depth, residual,
                                                         gemm->activation != CLIPC_CUDA_ACTIVATION_NONE)
                               : clipc_gemm_select(&device, rows, gemm->columns, gemm->depth, residual);
    if (rows != gemm->rows)
        clipc_gemm_fit(&plan, &device, gemm->rows, gemm->columns, gemm->depth);
    if (!engine->batch_invariant && engine->tiles.count) {
        const clipc_gemm_shape shape = shape_of(gemm);
        clipc_gemm_tiles_apply(&engine->tiles, &device, &shape, &plan);
    }
    return plan;
}

/* Each operand, and what the epilogue reads and writes, counted once. */
static double bytes_of(const clipc_cuda_gemm *gemm)
{
    const double row = gemm->window_side ? (double)gemm->input_stride : (double)gemm->depth; /* a pixel of a map */
    const double operands = (double)gemm->rows * row + (double)gemm->columns * (double)gemm->depth;
    const double outputs = (double)gemm->rows * (double)gemm->columns;
    return (clipc_cuda_is_bytes(gemm->type) ? 1 : 2) * operands + 2 * (gemm->residual ? 2 : 1) * outputs;
}

cudaError_t clipc_cuda_product(const clipc_cuda_engine *engine, clipc_cuda_step step, clipc_cuda_gemm *gemm)
{
    const clipc_gemm_plan plan = choose(engine, gemm);
    if (gemm->leave.pairs) {
        gemm->leave.part_width = clipc_gemm_part_width(&plan);
        gemm->leave.parts = (gemm->leave.columns + gemm->leave.part_width - 1) / gemm->leave.part_width;
    }
    if (engine->tuner) {
        const clipc_gemm_shape shape = shape_of(gemm);
        TRY(clipc_cuda_tuner_product(engine->tuner, gemm, &shape, &plan, engine->stream));
    }
    TRY(clipc_cuda_gemm_run(gemm, &plan, engine->stream));
    if (!clipc_cuda_steps_are_on(engine->steps))
        return cudaSuccess;
    char kernel[64];
    clipc_gemm_plan_text(&plan, kernel, sizeof kernel);
    const clipc_cuda_step_work work = {
        .kind = step,
        .precision = clipc_cuda_type_precision(gemm->type),
        .kernel = kernel,
        .operations = 2 * (double)gemm->rows * (double)gemm->columns * (double)gemm->depth,
        .bytes = bytes_of(gemm),
    };
    return clipc_cuda_steps_mark(engine->steps, &work, engine->stream);
}

cudaError_t clipc_cuda_mark(const clipc_cuda_engine *engine, clipc_cuda_step step, const char *kernel, int32_t count,
                            int32_t columns, int32_t value_bytes)
{
    const clipc_cuda_step_work work = {.kind = step,
                                       .precision = CLIPC_PRECISION_FP32,
                                       .kernel = kernel,
                                       .bytes = (double)count * (double)columns * (double)value_bytes};
    return clipc_cuda_steps_mark(engine->steps, &work, engine->stream);
}

/* Its operations are known where all items have the same number of rows: only the device knows other lengths. */
cudaError_t clipc_cuda_mark_attention(const clipc_cuda_engine *engine, const clipc_cuda_attention *attention,
                                      int32_t rows)
{
    const double width = (double)attention->heads * (double)attention->head_stride;
    const double items = (double)attention->count;
    const double length = (double)attention->tokens;
    const bool one_row = attention->only_row >= 0;
    const double pairs = one_row ? length : attention->causal ? length * (length + 1) / 2 : length * length;
    const double queries = one_row ? items : (double)rows;
    const clipc_cuda_step_work work = {
        .kind = CLIPC_CUDA_STEP_ATTENTION,
        .precision = attention->type == CLIPC_CUDA_BF16 ? CLIPC_PRECISION_BF16 : CLIPC_PRECISION_FP16,
        .kernel = "attention",
        .operations = rows == attention->count * attention->tokens ? 4 * items * pairs * width : 0,
        .bytes = 2 * width * (2 * queries + 2 * (double)rows),
    };
    return clipc_cuda_steps_mark(engine->steps, &work, engine->stream);
}

cudaError_t clipc_cuda_tap_step(const clipc_cuda_engine *engine, const clipc_cuda_sequence *items,
                                clipc_tap_point point, int32_t layer, const void *rows, int32_t count)
{
    return clipc_cuda_tap_rows(&engine->tap, items->text ? &engine->text : &engine->image, !items->text, point,
                               (size_t)layer, rows, count, engine->stream);
}

/* Statistics of residual rows, to be left by a product. */
static clipc_cuda_statistics statistics_at(const clipc_cuda_tower *tower, float *pairs)
{
    return (clipc_cuda_statistics){.pairs = pairs, .columns = tower->width, .epsilon = tower->epsilon};
}

/* As the steps that see whole rows leave them: one pair a row. */
static clipc_cuda_statistics whole_statistics(const clipc_cuda_tower *tower, float *pairs)
{
    return (clipc_cuda_statistics){pairs, 1, tower->width, tower->width, tower->epsilon};
}

/* What the next product needs of the residual rows' statistics: many parts are joined beforehand. */
static cudaError_t settle_statistics(const clipc_cuda_engine *engine, int32_t rows, clipc_cuda_statistics *statistics)
{
    if (chosen_rows(engine, rows) < JOIN_ROWS || statistics->parts <= JOIN_PARTS)
        return cudaSuccess;
    const clipc_cuda_statistics parts = *statistics;
    *statistics = (clipc_cuda_statistics){engine->joined_statistics, 1, parts.columns, parts.columns, parts.epsilon};
    TRY(clipc_cuda_join_statistics(parts.pairs, rows, parts.parts, parts.part_width, parts.columns,
                                   engine->joined_statistics, engine->stream));
    return clipc_cuda_mark(engine, CLIPC_CUDA_STEP_STATISTICS, "join_statistics", rows, parts.parts + 1,
                           (int32_t)(2 * sizeof(float)));
}

clipc_cuda_gemm clipc_cuda_gemm_of(const void *input, int32_t input_stride, int32_t rows, int32_t capacity,
                                   const clipc_cuda_matrix *matrix, void *output)
{
    return (clipc_cuda_gemm){
        .type = matrix->type,
        .input = input,
        .weight = matrix->weight,
        .rows = rows,
        .input_capacity = capacity,
        .columns = matrix->columns,
        .depth = matrix->depth,
        .input_stride = input_stride,
        .terms = matrix->terms,
        .output = output,
        .output_stride = matrix->columns,
    };
}

/* rows += mlp(norm(rows)), on `rows` or on the pooled rows; `statistics` are theirs, before and after. */
static cudaError_t mlp(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower, const clipc_cuda_layer *layer,
                       void *stream_rows, int32_t count, int32_t capacity, clipc_cuda_statistics *statistics)
{
    float *pairs = statistics->pairs;
    clipc_cuda_gemm up = clipc_cuda_gemm_of(stream_rows, tower->stride, count, capacity, &layer->fc1, engine->hidden);
    TRY(settle_statistics(engine, count, statistics));
    up.normalize = *statistics;
    up.activation = tower->activation;
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_FC1, &up));
    clipc_cuda_gemm down =
        clipc_cuda_gemm_of(engine->hidden, tower->mlp_stride, count, capacity, &layer->fc2, stream_rows);
    down.residual = stream_rows;
    down.residual_stride = tower->stride;
    down.leave = statistics_at(tower, pairs);
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_FC2, &down));
    *statistics = down.leave;
    return cudaSuccess;
}

/* `statistics` are those of the rows before the layer, and after it; after the last of the pooled rows. */
static cudaError_t encoder_layer(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower, int32_t index,
                                 const clipc_cuda_sequence *items, clipc_cuda_statistics *statistics)
{
    const clipc_cuda_layer *layer = &tower->layers[index];
    /* After the last layer only the pooled rows are read: it computes only those once the keys and values are there.
     */
    const bool last = items->pooled_row && index == tower->layer_count - 1;

    clipc_cuda_gemm qkv =
        clipc_cuda_gemm_of(engine->rows, tower->stride, items->rows, engine->capacity, &layer->qkv, engine->qkv);
    TRY(settle_statistics(engine, items->rows, statistics));
    qkv.normalize = *statistics;
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_QUERY_KEY_VALUE, &qkv));

    const clipc_cuda_attention attention = {
        .type = engine->type,
        .output_type = engine->type,
        .qkv = engine->qkv,
        .output = engine->context,
        .offsets = items->offsets,
        .count = items->count,
        .tokens = items->longest,
        .heads = tower->heads,
        .head_stride = tower->head_stride,
        .causal = items->causal,
        .only_row = last ? (items->text ? 1 : 0) : -1,
        .wgmma_blocks = engine->device.architecture == 90 ? engine->device.multiprocessors : 0,
    };
    TRY(clipc_cuda_attention_run(&attention, engine->stream));
    TRY(clipc_cuda_mark_attention(engine, &attention, items->rows));

    void *to = last ? engine->pooled : engine->rows;
    const int32_t rows = last ? items->count : items->rows;
    const int32_t capacity = last ? engine->batch : engine->capacity;
    clipc_cuda_gemm out = clipc_cuda_gemm_of(engine->context, tower->inner, rows, engine->capacity, &layer->out, to);
    out.residual = engine->rows;
    out.residual_stride = tower->stride;
    out.residual_row = last ? items->pooled_row : NULL;
    out.leave = statistics_at(tower, last ? engine->pooled_statistics : engine->statistics);
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_ATTENTION_OUT, &out));
    *statistics = out.leave;
    TRY(clipc_cuda_tap_step(engine, items, CLIPC_TAP_ATTENTION, index, to, rows));
    TRY(mlp(engine, tower, layer, to, rows, capacity, statistics));
    return clipc_cuda_tap_step(engine, items, CLIPC_TAP_MLP, index, to, rows);
}

/* The probe attends to all rows of each item, and an MLP follows; the sums become the embeddings as they are. */
static cudaError_t pool_by_attention(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower,
                                     const clipc_cuda_sequence *items, clipc_cuda_statistics statistics)
{
    const clipc_cuda_layer *layer = &tower->pooling;
    if (clipc_cuda_is_bytes(tower->operand)) {
        statistics = whole_statistics(tower, engine->statistics);
        TRY(clipc_cuda_measure_rows(engine->rows, items->rows, tower->width, tower->stride, engine->statistics,
                                    engine->stream));
    }
    clipc_cuda_gemm qkv =
        clipc_cuda_gemm_of(engine->rows, tower->stride, items->rows, engine->capacity, &layer->qkv, engine->qkv);
    TRY(settle_statistics(engine, items->rows, &statistics));
    qkv.normalize = statistics;
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_QUERY_KEY_VALUE, &qkv));
    const clipc_cuda_attention attention = {
        .type = engine->type,
        .output_type = engine->type,
        .qkv = engine->qkv,
        .output = engine->context,
        .count = items->count,
        .tokens = items->longest,
        .heads = tower->heads,
        .head_stride = tower->head_stride,
        .only_row = 0, /* whose query is every row's */
    };
    TRY(clipc_cuda_attention_run(&attention, engine->stream));
    TRY(clipc_cuda_mark_attention(engine, &attention, items->rows));
    clipc_cuda_gemm out =
        clipc_cuda_gemm_of(engine->context, tower->inner, items->count, engine->capacity, &layer->out, engine->pooled);
    out.residual = tower->zero_row;
    out.residual_stride = tower->stride;
    out.residual_row = engine->image_pooled_row;
    out.leave = statistics_at(tower, engine->pooled_statistics);
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_ATTENTION_OUT, &out));
    TRY(mlp(engine, tower, layer, engine->pooled, items->count, engine->batch, &out.leave));
    TRY(clipc_cuda_widen_rows(engine->type, engine->pooled, items->count, tower->stride, engine->embeddings,
                              engine->stream));
    return clipc_cuda_mark(engine, CLIPC_CUDA_STEP_ROWS, "widen_rows", items->count, tower->width, 2 + 4);
}

/* The mean of the patches' rows takes the place of a pooled row, and its statistics that row's. */
static cudaError_t average_patches(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower,
                                   const clipc_cuda_sequence *items)
{
    const int32_t first = tower->class_row ? 1 : 0;
    TRY(clipc_cuda_average_rows(engine->type, engine->rows, items->count, items->longest, first, tower->width,
                                tower->stride, tower->averages_normed, tower->epsilon, engine->pooled,
                                engine->pooled_statistics, engine->stream));
    return clipc_cuda_mark(engine, CLIPC_CUDA_STEP_ROWS, "average_rows", items->rows, tower->width, 2);
}

static cudaError_t encoder(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower,
                           const clipc_cuda_sequence *items, clipc_cuda_statistics statistics)
{
    const bool bytes = clipc_cuda_is_bytes(tower->operand);
    TRY(clipc_cuda_tap_step(engine, items, CLIPC_TAP_EMBEDDING, 0, engine->rows, items->rows));
    for (int32_t i = 0; i < tower->layer_count; i++) {
        clipc_cuda_steps_enter(engine->steps, !items->text, i);
        TRY(bytes ? clipc_cuda_layer_bytes(engine, tower, i, items)
                  : encoder_layer(engine, tower, i, items, &statistics));
    }
    clipc_cuda_steps_enter(engine->steps, !items->text, -1);
    if (tower->pools_by_attention)
        return pool_by_attention(engine, tower, items, statistics);
    if (tower->averages) {
        TRY(average_patches(engine, tower, items));
        statistics = whole_statistics(tower, engine->pooled_statistics);
    }
    if (!tower->averages_normed)
        TRY(clipc_cuda_tap_norm(&engine->tap, tower, !items->text, engine->pooled, items->count, engine->stream));
    clipc_cuda_gemm projection =
        clipc_cuda_gemm_of(engine->pooled, tower->stride, items->count, engine->batch, &tower->projection, NULL);
    if (bytes && !tower->averages) {
        statistics = whole_statistics(tower, engine->pooled_statistics);
        TRY(clipc_cuda_measure_rows(engine->pooled, items->count, tower->width, tower->stride,
                                    engine->pooled_statistics, engine->stream));
    }
    if (!tower->averages_normed) /* else the LayerNorm is behind it */
        projection.normalize = statistics;
    projection.output_fp32 = engine->embeddings;
    return clipc_cuda_product(engine, CLIPC_CUDA_STEP_PROJECTION, &projection);
}

cudaError_t clipc_cuda_launch_image(const clipc_cuda_engine *engine, int32_t count)
{
    if (engine->image.convolution_count)
        return clipc_cuda_launch_resnet(engine, count);
    const clipc_config *config = &engine->model->config;
    const clipc_cuda_tower *tower = &engine->image;
    const int32_t tokens = (int32_t)config->image_tokens;
    const int32_t patches = count * engine->patch_count;
    TRY(clipc_cuda_patches(engine->type, engine->pixels, count, (int32_t)config->image_size,
                           (int32_t)config->patch_size, engine->patches, tower->patch.depth, engine->stream));
    TRY(clipc_cuda_mark(engine, CLIPC_CUDA_STEP_PATCHES, "patches_of_pixels", patches, tower->patch.depth, 4 + 2));
    clipc_cuda_gemm embed = clipc_cuda_gemm_of(engine->patches, tower->patch.depth, patches,
                                               engine->batch * engine->patch_count, &tower->patch, engine->rows);
    embed.residual = tower->position;
    embed.residual_stride = tower->stride;
    embed.residual_row = engine->patch_position;
    clipc_cuda_sequence items = {count, count * tokens, tokens, NULL, NULL, false, false};
    if (!tower->class_row) { /* the patches are the rows */
        embed.leave = statistics_at(tower, engine->statistics);
        TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_PATCH_EMBEDDING, &embed));
        return encoder(engine, tower, &items, embed.leave);
    }
    items.pooled_row = tower->averages ? NULL : engine->image_pooled_row;
    embed.output_row = engine->patch_output_row;
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_PATCH_EMBEDDING, &embed));
    TRY(clipc_cuda_image_rows(engine->type, engine->rows, count, tokens, tower->width, tower->stride, tower->class_row,
                              tower->norm_pre_weight, tower->norm_pre_bias, tower->epsilon, engine->statistics,
                              engine->stream));
    TRY(clipc_cuda_mark(engine, CLIPC_CUDA_STEP_ROWS, "image_rows", count * tokens, tower->width, 2 + 2));
    return encoder(engine, tower, &items, whole_statistics(tower, engine->statistics));
}

cudaError_t clipc_cuda_launch_text(const clipc_cuda_engine *engine, int32_t count, int32_t rows, int32_t longest)
{
    const clipc_cuda_tower *tower = &engine->text;
    TRY(clipc_cuda_text_rows(engine->type, engine->ids, engine->offsets, count, longest, tower->embedding,
                             tower->position, tower->places, tower->width, tower->stride, engine->rows,
                             engine->statistics, engine->stream));
    TRY(clipc_cuda_mark(engine, CLIPC_CUDA_STEP_ROWS, "text_rows", rows, tower->width, 3 * 2));
    const clipc_cuda_sequence items = {
        count, rows, longest, engine->offsets, engine->pooled_row, true, engine->model->config.causal};
    return encoder(engine, tower, &items, whole_statistics(tower, engine->statistics));
}

static double weights_of(const clipc_cuda_matrix *matrix)
{
    return (double)matrix->columns * (double)matrix->depth;
}

/* Of the products after attention. */
static double later_weights(const clipc_cuda_layer *layer)
{
    return weights_of(&layer->out) + weights_of(&layer->fc1) + weights_of(&layer->fc2);
}

/* Products of one item's rows and of its attention; after the last layer's keys and values only one row is left. */
static double whole_operations(const clipc_cuda_tower *tower, int32_t rows, bool image)
{
    const double length = (double)rows;
    const double layers = (double)tower->layer_count;
    const double pairs = image ? length * length : length * (length + 1) / 2;
    const double attention = 2 * (double)tower->heads * (double)tower->head_stride;
    const double patches = length - (tower->class_row ? 1 : 0);
    return 2 * (layers * length * weights_of(&tower->layers[0].qkv) +
                ((layers - 1) * length + 1) * later_weights(&tower->layers[0]) +
                ((layers - 1) * pairs + length) * attention + patches * weights_of(&tower->patch) +
                weights_of(&tower->projection));
}

/* The weights, each once: they are most of what is read. */
static double whole_bytes(const clipc_cuda_tower *tower)
{
    const double layer = weights_of(&tower->layers[0].qkv) + later_weights(&tower->layers[0]);
    return 2 * ((double)tower->layer_count * layer + weights_of(&tower->patch) + weights_of(&tower->projection));
}

/* One item of few rows: the tower in one launch. Several would depend on each other's places: attention adds up keys
 * 16 rows at a time, wherever items begin. */
static cudaError_t launch_whole(const clipc_cuda_engine *engine, const clipc_cuda_whole_tower_state *state,
                                const clipc_cuda_graph *pass)
{
    clipc_whole_tower tower = state->base;
    tower.count = pass->count;
    tower.rows = pass->rows;
    tower.pixels = engine->pixels;
    tower.ids = engine->ids;
    tower.offsets = engine->offsets;
    tower.embeddings = engine->embeddings;
    TRY(clipc_cuda_whole_tower_launch(state, &tower, engine->stream));
    const clipc_cuda_tower *shape = pass->image ? &engine->image : &engine->text;
    const clipc_cuda_step_work work = {.kind = CLIPC_CUDA_STEP_WHOLE_TOWER,
                                       .precision = engine->precision,
                                       .kernel = "whole_tower_f16",
                                       .operations = whole_operations(shape, pass->rows, pass->image),
                                       .bytes = whole_bytes(shape)};
    return clipc_cuda_steps_mark(engine->steps, &work, engine->stream);
}

static cudaError_t launch(const clipc_cuda_engine *engine, const clipc_cuda_graph *pass)
{
    const clipc_cuda_whole_tower_state *whole = pass->image ? &engine->whole_image : &engine->whole_text;
    clipc_cuda_steps_enter(engine->steps, pass->image, -1);
    const bool at_once = pass->count == 1 && pass->rows <= whole->rows && !engine->batch_invariant;
    if (at_once && !engine->tap.target.function && !engine->tuner)
        return launch_whole(engine, whole, pass);
    TRY(pass->image ? clipc_cuda_launch_image(engine, pass->count)
                    : clipc_cuda_launch_text(engine, pass->count, pass->rows, pass->longest));
    return at_once ? launch_whole(engine, whole, pass)
                   : cudaSuccess; /* whose bits the embeddings have, tapped or not */
}

/* Records the pass. The stream is left out of capture whatever happens. */
static cudaError_t record(const clipc_cuda_engine *engine, clipc_cuda_graph *pass)
{
    TRY(cudaStreamBeginCapture(engine->stream, cudaStreamCaptureModeThreadLocal));
    const cudaError_t launched = launch(engine, pass);
    cudaGraph_t graph = NULL;
    const cudaError_t ended = cudaStreamEndCapture(engine->stream, &graph);
    cudaError_t result = launched != cudaSuccess ? launched : ended;
    if (result == cudaSuccess)
        result = cudaGraphInstantiate(&pass->executable, graph, 0);
    if (graph)
        cudaGraphDestroy(graph);
    return result;
}

/* The recorded pass of this shape, recording it in the oldest place if need be. */
static cudaError_t find_graph(clipc_cuda_engine *engine, const clipc_cuda_graph *pass, cudaGraphExec_t *out)
{
    for (int32_t i = 0; i < CLIPC_CUDA_GRAPHS; i++) {
        const clipc_cuda_graph *graph = &engine->graphs[i];
        if (graph->count == pass->count && graph->rows == pass->rows && graph->longest == pass->longest &&
            graph->image == pass->image && graph->chosen_items == pass->chosen_items) {
            *out = graph->executable;
            return cudaSuccess;
        }
    }
    clipc_cuda_graph fresh = *pass;
    TRY(record(engine, &fresh));
    clipc_cuda_graph *place = &engine->graphs[engine->next_graph];
    engine->next_graph = (engine->next_graph + 1) % CLIPC_CUDA_GRAPHS;
    if (place->executable)
        cudaGraphExecDestroy(place->executable);
    *place = fresh;
    *out = fresh.executable;
    return cudaSuccess;
}

static clipc_status run_pass(clipc_cuda_engine *engine, const clipc_cuda_graph *pass, clipc_error *error)
{
    engine->pass_items = pass->image ? pass->count : 0;
    if (clipc_cuda_steps_are_on(engine->steps) || engine->tap.target.function || engine->tuner) {
        CLIPC_CUDA_TRY(clipc_cuda_steps_begin(engine->steps, engine->stream), "timing");
        return clipc_cuda_check(launch(engine, pass), "starting a kernel", error);
    }
    if ((engine->measure & CLIPC_MEASURE_NO_GRAPHS) || (!pass->image && pass->rows > GRAPH_TEXT_ROWS))
        return clipc_cuda_check(launch(engine, pass), "starting a kernel", error);
    cudaGraphExec_t executable = NULL;
    CLIPC_CUDA_TRY(find_graph(engine, pass, &executable), "recording a graph");
    return clipc_cuda_check(cudaGraphLaunch(executable, engine->stream), "starting a graph", error);
}

clipc_status clipc_cuda_image_tower(clipc_cuda_engine *engine, int32_t count, clipc_error *error)
{
    const int32_t tokens = (int32_t)engine->model->config.image_tokens;
    const clipc_cuda_graph pass = {.count = count,
                                   .rows = count * tokens,
                                   .longest = tokens,
                                   .image = true,
                                   .chosen_items = engine->chosen_items};
    return run_pass(engine, &pass, error);
}

clipc_status clipc_cuda_text_tower(clipc_cuda_engine *engine, int32_t count, int32_t rows, int32_t longest,
                                   clipc_error *error)
{
    const clipc_cuda_graph pass = {.count = count, .rows = rows, .longest = longest};
    return run_pass(engine, &pass, error);
}
