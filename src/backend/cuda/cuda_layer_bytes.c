/* An encoder layer whose products multiply bytes: rows stay fp16, and each product's input is made bytes where it
 * comes from. e4m3 has scales known before (tower_pack.c), so that attention and fc1 put bytes out themselves; s8
 * needs the largest value of each row first, and takes a pass over it. A product that is kept in fp16 reads rows as
 * they are, and where a LayerNorm comes before it their statistics. */
#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/steps.h"
#include "backend/cuda/try.h"

/* LayerNorm of `count` rows into engine->bytes. */
static cudaError_t normalize(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower, const void *rows,
                             int32_t count)
{
    const clipc_cuda_normalize step = {
        .type = tower->operand,
        .rows = rows,
        .count = count,
        .width = tower->width,
        .stride = tower->stride,
        .epsilon = tower->epsilon,
        .scale = tower->normal_scale,
        .to = engine->bytes,
        .to_stride = tower->normal_stride,
        .row_scale = engine->row_scale,
    };
    TRY(clipc_cuda_normalize_rows(&step, engine->stream));
    return clipc_cuda_mark(engine, CLIPC_CUDA_STEP_QUANTIZATION, "normalize_rows", count, tower->width, 2 + 1);
}

/* What a product reads of `rows`: themselves, or bytes made of halves. */
static cudaError_t settle_input(const clipc_cuda_engine *engine, const clipc_cuda_matrix *matrix, const void *rows,
                                int32_t count, int32_t stride, const void **bytes)
{
    *bytes = rows;
    if (matrix->type != CLIPC_CUDA_S8)
        return cudaSuccess;
    *bytes = engine->bytes;
    TRY(clipc_cuda_quantize_rows(rows, count, stride, engine->bytes, stride, engine->row_scale, engine->stream));
    return clipc_cuda_mark(engine, CLIPC_CUDA_STEP_QUANTIZATION, "quantize_rows", count, stride, 2 + 1);
}

static clipc_cuda_gemm product(const clipc_cuda_engine *engine, const void *input, int32_t rows, int32_t capacity,
                               const clipc_cuda_matrix *matrix, void *output)
{
    clipc_cuda_gemm gemm = clipc_cuda_gemm_of(input, matrix->depth, rows, capacity, matrix, output);
    gemm.row_scale = engine->row_scale;
    gemm.output_scale = matrix->output_scale;
    return gemm;
}

/* A product of normalised rows: of bytes, or with the LayerNorm in its epilogue. `statistics`: room for theirs. */
static cudaError_t product_of_normal(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower, const void *rows,
                                     int32_t count, int32_t capacity, float *statistics,
                                     const clipc_cuda_matrix *matrix, void *output, clipc_cuda_gemm *out)
{
    if (clipc_cuda_is_bytes(matrix->type)) {
        *out = product(engine, engine->bytes, count, capacity, matrix, output);
        return normalize(engine, tower, rows, count);
    }
    *out = product(engine, rows, count, capacity, matrix, output);
    out->normalize = (clipc_cuda_statistics){statistics, 1, tower->width, tower->width, tower->epsilon};
    TRY(clipc_cuda_measure_rows(rows, count, tower->width, tower->stride, statistics, engine->stream));
    return clipc_cuda_mark(engine, CLIPC_CUDA_STEP_STATISTICS, "measure_rows", count, tower->width, 2);
}

static cudaError_t attend(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower,
                          const clipc_cuda_layer *layer, const clipc_cuda_sequence *items, bool last)
{
    const clipc_cuda_attention attention = {
        .type = engine->type,
        .output_type = layer->out.type == CLIPC_CUDA_E4M3 ? CLIPC_CUDA_E4M3 : engine->type,
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
    return clipc_cuda_mark_attention(engine, &attention, items->rows);
}

cudaError_t clipc_cuda_layer_bytes(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower, int32_t index,
                                   const clipc_cuda_sequence *items)
{
    const clipc_cuda_layer *layer = &tower->layers[index];
    const bool last = items->pooled_row && index == tower->layer_count - 1;
    /* After the last layer only the pooled rows are read. */
    void *to = last ? engine->pooled : engine->rows;
    float *statistics = last ? engine->pooled_statistics : engine->statistics;
    const int32_t rows = last ? items->count : items->rows;
    const int32_t capacity = last ? engine->batch : engine->capacity;
    const void *input = NULL;

    clipc_cuda_gemm qkv;
    TRY(product_of_normal(engine, tower, engine->rows, items->rows, engine->capacity, engine->statistics, &layer->qkv,
                          engine->qkv, &qkv));
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_QUERY_KEY_VALUE, &qkv));
    TRY(attend(engine, tower, layer, items, last));
    TRY(settle_input(engine, &layer->out, engine->context, rows, tower->inner, &input));
    clipc_cuda_gemm out = product(engine, input, rows, capacity, &layer->out, to);
    out.residual = engine->rows;
    out.residual_stride = tower->stride;
    out.residual_row = last ? items->pooled_row : NULL;
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_ATTENTION_OUT, &out));
    TRY(clipc_cuda_tap_step(engine, items, CLIPC_TAP_ATTENTION, index, to, rows));

    clipc_cuda_gemm up;
    TRY(product_of_normal(engine, tower, to, rows, capacity, statistics, &layer->fc1, engine->hidden, &up));
    up.activation = tower->activation;
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_FC1, &up));
    TRY(settle_input(engine, &layer->fc2, engine->hidden, rows, tower->mlp_stride, &input));
    clipc_cuda_gemm down = product(engine, input, rows, capacity, &layer->fc2, to);
    down.residual = to;
    down.residual_stride = tower->stride;
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_FC2, &down));
    return clipc_cuda_tap_step(engine, items, CLIPC_TAP_MLP, index, to, rows);
}
