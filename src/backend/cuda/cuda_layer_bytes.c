/* An encoder layer whose products multiply bytes: rows stay fp16, and each product's input is made bytes where it
 * comes from. e4m3 has scales known before (cuda_weights.c), so that attention and fc1 put bytes out themselves; s8
 * needs the largest value of each row first, and takes a pass over it. */
#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/steps.h"

#define TRY(call)                                                                                                     \
    do {                                                                                                              \
        const cudaError_t try_result = (call);                                                                        \
        if (try_result != cudaSuccess)                                                                                \
            return try_result;                                                                                        \
    } while (0)

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

/* The bytes of `rows`: where they are already, or made of halves. */
static cudaError_t settle_bytes(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower, const void *rows,
                                int32_t count, int32_t stride, const void **bytes)
{
    *bytes = rows;
    if (tower->operand == CLIPC_CUDA_E4M3)
        return cudaSuccess;
    *bytes = engine->bytes;
    TRY(clipc_cuda_quantize_rows(rows, count, stride, engine->bytes, stride, engine->row_scale, engine->stream));
    return clipc_cuda_mark(engine, CLIPC_CUDA_STEP_QUANTIZATION, "quantize_rows", count, stride, 2 + 1);
}

static clipc_cuda_gemm product(const clipc_cuda_engine *engine, const void *input, int32_t rows, int32_t capacity,
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
        .input_stride = matrix->depth,
        .terms = matrix->terms,
        .row_scale = engine->row_scale,
        .output_scale = matrix->output_scale,
        .output = output,
        .output_stride = matrix->columns,
    };
}

cudaError_t clipc_cuda_layer_bytes(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower, int32_t index,
                                   const clipc_cuda_sequence *items)
{
    const clipc_cuda_layer *layer = &tower->layers[index];
    const bool last = items->pooled_row && index == tower->layer_count - 1;
    const bool e4m3 = tower->operand == CLIPC_CUDA_E4M3;

    TRY(normalize(engine, tower, engine->rows, items->rows));
    clipc_cuda_gemm qkv = product(engine, engine->bytes, items->rows, engine->capacity, &layer->qkv, engine->qkv);
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_QUERY_KEY_VALUE, &qkv));

    const clipc_cuda_attention attention = {
        .type = engine->type,
        .output_type = e4m3 ? CLIPC_CUDA_E4M3 : engine->type,
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

    /* After the last layer only the pooled rows are read. */
    void *to = last ? engine->pooled : engine->rows;
    const int32_t rows = last ? items->count : items->rows;
    const int32_t capacity = last ? engine->batch : engine->capacity;
    const void *bytes = NULL;
    TRY(settle_bytes(engine, tower, engine->context, rows, tower->inner, &bytes));
    clipc_cuda_gemm out = product(engine, bytes, rows, capacity, &layer->out, to);
    out.residual = engine->rows;
    out.residual_stride = tower->stride;
    out.residual_row = last ? items->pooled_row : NULL;
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_ATTENTION_OUT, &out));

    TRY(normalize(engine, tower, to, rows));
    clipc_cuda_gemm up = product(engine, engine->bytes, rows, capacity, &layer->fc1, engine->hidden);
    up.activation = tower->activation;
    TRY(clipc_cuda_product(engine, CLIPC_CUDA_STEP_FC1, &up));
    TRY(settle_bytes(engine, tower, engine->hidden, rows, tower->mlp_stride, &bytes));
    clipc_cuda_gemm down = product(engine, bytes, rows, capacity, &layer->fc2, to);
    down.residual = to;
    down.residual_stride = tower->stride;
    return clipc_cuda_product(engine, CLIPC_CUDA_STEP_FC2, &down);
}
