/* Token ids [batch, context length], padded after the end token with anything (but a SigLIP's as its tokenizer
 * pads them), to embeddings [batch, D]. */
#include "onnx/tower.h"

#include "base/memory.h"

#include <float.h>

#define NODE        CLIPC_ONNX_NODE
#define LOWEST_HALF (-65504.0F)
#define TEXT_AXIS   1

/* What a token may not look at gets the type's lowest number: after the softmax it weighs exactly nothing. */
static clipc_onnx_value causal_mask(clipc_onnx_graph *graph, size_t tokens)
{
    const float lowest = graph->dtype == CLIPC_DTYPE_F16 ? LOWEST_HALF : -FLT_MAX;
    const size_t shape[4] = {1, 1, tokens, tokens};
    float *mask = clipc_allocate(tokens * tokens, sizeof *mask);
    if (!mask) {
        if (graph->status == CLIPC_OK)
            graph->status = clipc_fail_memory(graph->error, tokens * tokens * sizeof *mask, "the causal mask");
        return "";
    }
    for (size_t row = 0; row < tokens; row++)
        for (size_t column = row + 1; column < tokens; column++)
            mask[row * tokens + column] = lowest;
    const clipc_onnx_value value = clipc_onnx_numbers(graph, "causal_mask", mask, shape, 4);
    clipc_free(mask);
    return value;
}

/* The place [batch, 1] of the row that is pooled, by the model's rule: see clipc_text_pooling. ArgMax takes the first
 * of equals, and is asked for 32-bit numbers, as some runtimes have it for nothing longer. */
static clipc_onnx_value pooled_place(clipc_onnx_graph *graph, const clipc_config *config, clipc_onnx_value ids,
                                     bool narrow)
{
    clipc_onnx_value key = ids;
    if (config->pooling == CLIPC_POOL_FIRST_EOT) {
        clipc_onnx_value wide = ids;
        if (narrow) {
            wide = NODE(graph, "Cast", "pooled/wide", ids);
            clipc_onnx_set_integer(graph, "to", ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
        }
        const int64_t end = config->eot_token;
        key = NODE(graph, "Equal", "pooled/is_end", wide, clipc_onnx_integers(graph, "pooled/end", &end, 1));
    }
    if (config->pooling == CLIPC_POOL_FIRST_EOT || !narrow) {
        key = NODE(graph, "Cast", "pooled/key", key);
        clipc_onnx_set_integer(graph, "to", ONNX__TENSOR_PROTO__DATA_TYPE__INT32);
    }
    const clipc_onnx_value place = NODE(graph, "ArgMax", "pooled/place", key);
    clipc_onnx_set_integer(graph, "axis", TEXT_AXIS);
    clipc_onnx_set_integer(graph, "keepdims", 1);
    return place;
}

/* The last row of all, padding or not: [batch, tokens, width] to [batch, width]. */
static clipc_onnx_value take_last(clipc_onnx_graph *graph, clipc_onnx_value x, size_t tokens, size_t width)
{
    const int64_t last = (int64_t)tokens - 1;
    const int64_t flat[2] = {0, (int64_t)width};
    x = NODE(graph, "Gather", "pooled/rows", x, clipc_onnx_integers(graph, "pooled/last", &last, 1));
    clipc_onnx_set_integer(graph, "axis", TEXT_AXIS);
    return NODE(graph, "Reshape", "pooled", x, clipc_onnx_integers(graph, "pooled/shape", flat, 2));
}

static clipc_onnx_value embed_tokens(clipc_onnx_graph *graph, const clipc_tensor *tokens, clipc_onnx_value ids)
{
    if (graph->integers)
        return clipc_onnx_integer_rows(graph, "token_embedding", tokens, ids);
    const clipc_onnx_value table =
        clipc_onnx_weight_value(graph, "token_embedding", tokens, CLIPC_ONNX_AS_STORED, graph->dtype);
    return NODE(graph, "Gather", "tokens", table, ids);
}

void clipc_onnx_add_text_tower(clipc_onnx_graph *graph, const clipc_model *model, const clipc_onnx_options *options)
{
    const clipc_config *config = &model->config;
    const clipc_weights *weights = &model->weights;
    const size_t tokens = config->max_positions;
    const clipc_onnx_side sides[2] = {clipc_onnx_batch_side(options, false), {tokens, NULL}};
    const bool narrow = options->int32_tokens != 0;
    const clipc_onnx_value ids = clipc_onnx_input(
        graph, options->input_name,
        narrow ? ONNX__TENSOR_PROTO__DATA_TYPE__INT32 : ONNX__TENSOR_PROTO__DATA_TYPE__INT64, sides, 2);
    clipc_onnx_value x = embed_tokens(graph, &weights->text.token_embedding, ids);
    x = NODE(graph, "Add", "positions", x,
             clipc_onnx_weight_value(graph, "position_embedding", &weights->text.position_embedding,
                                     CLIPC_ONNX_AS_STORED, graph->dtype));
    x = clipc_onnx_layers(graph, &config->text, weights->text.layers, x,
                          config->causal ? causal_mask(graph, tokens) : NULL);
    /* LayerNorm sees a row at a time, so the one that counts is taken first. */
    if (config->pooling == CLIPC_POOL_LAST) {
        x = take_last(graph, x, tokens, config->text.width);
    } else {
        x = NODE(graph, "GatherND", "pooled", x, pooled_place(graph, config, ids, narrow));
        clipc_onnx_set_integer(graph, "batch_dims", 1);
    }
    x = clipc_onnx_layer_norm(graph, "norm_final", x, &weights->text.norm_final_weight, &weights->text.norm_final_bias,
                              config->text.layer_norm_epsilon);
    x = clipc_onnx_linear(graph, "projection", x, &weights->text.projection,
                          config->text_projection_bias ? &weights->text.projection_bias : NULL);
    clipc_onnx_finish(graph, options, x, config->embedding_dimension);
}
