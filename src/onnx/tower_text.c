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

/* What CoCa's mask adds to it, [batch, 1, 1, rows]: row i is hidden where token i - 1 is the pad token. The class
 * token's row, the last, is hidden so, too, and the first never is. */
static clipc_onnx_value hide_padding(clipc_onnx_graph *graph, const clipc_config *config,
                                     const clipc_onnx_options *options, clipc_onnx_value ids, clipc_onnx_value causal)
{
    const float lowest = graph->dtype == CLIPC_DTYPE_F16 ? LOWEST_HALF : -FLT_MAX;
    const int64_t rows[4] = {-1, 1, 1, (int64_t)config->max_positions};
    const int64_t pad = config->pad_token;
    const int64_t one = 1;
    const int64_t zero = 0;
    clipc_onnx_value wide = ids;
    if (options->int32_tokens) {
        wide = NODE(graph, "Cast", "padding/wide", ids);
        clipc_onnx_set_integer(graph, "to", ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
    }
    const clipc_onnx_value is_pad =
        NODE(graph, "Equal", "padding/is_pad", wide, clipc_onnx_integers(graph, "padding/pad", &pad, 1));
    const clipc_onnx_value batch = clipc_onnx_batch_of(graph, options, "padding", ids);
    const clipc_onnx_value sides =
        NODE(graph, "Concat", "padding/sides", batch, clipc_onnx_integers(graph, "padding/one", &one, 1));
    clipc_onnx_set_integer(graph, "axis", 0);
    const clipc_onnx_value none =
        NODE(graph, "Expand", "padding/zeros", clipc_onnx_integers(graph, "padding/zero", &zero, 1), sides);
    const clipc_onnx_value never = NODE(graph, "Cast", "padding/never", none);
    clipc_onnx_set_integer(graph, "to", ONNX__TENSOR_PROTO__DATA_TYPE__BOOL);
    const clipc_onnx_value hidden = NODE(graph, "Concat", "padding/hidden", never, is_pad);
    clipc_onnx_set_integer(graph, "axis", 1);
    const clipc_onnx_value keys =
        NODE(graph, "Where", "padding/keys", hidden, clipc_onnx_scalar(graph, "padding/lowest", lowest),
             clipc_onnx_scalar(graph, "padding/nothing", 0));
    const clipc_onnx_value added =
        NODE(graph, "Reshape", "padding/added", keys, clipc_onnx_integers(graph, "padding/rows", rows, 4));
    return NODE(graph, "Add", "padding/mask", causal, added);
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

/* One row of all, padding or not: [batch, tokens, width] to [batch, width]. */
static clipc_onnx_value take_row(clipc_onnx_graph *graph, clipc_onnx_value x, size_t row, size_t width)
{
    const int64_t place = (int64_t)row;
    const int64_t flat[2] = {0, (int64_t)width};
    x = NODE(graph, "Gather", "pooled/rows", x, clipc_onnx_integers(graph, "pooled/row", &place, 1));
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
    const size_t tokens = config->max_positions; /* a class token's, too, which is no input */
    const clipc_onnx_side sides[2] = {clipc_onnx_batch_side(options, false),
                                      {tokens - (config->text_class_token ? 1 : 0), NULL}};
    const bool narrow = options->int32_tokens != 0;
    const clipc_onnx_value ids = clipc_onnx_input(
        graph, options->input_name,
        narrow ? ONNX__TENSOR_PROTO__DATA_TYPE__INT32 : ONNX__TENSOR_PROTO__DATA_TYPE__INT64, sides, 2);
    clipc_onnx_value x = embed_tokens(graph, &weights->text.token_embedding, ids);
    if (config->text_class_token) {
        x = NODE(graph, "Concat", "rows", x,
                 clipc_onnx_repeat_class(graph, options, &weights->text.class_embedding, config->text.width, x));
        clipc_onnx_set_integer(graph, "axis", 1);
    }
    x = NODE(graph, "Add", "positions", x,
             clipc_onnx_weight_value(graph, "position_embedding", &weights->text.position_embedding,
                                     CLIPC_ONNX_AS_STORED, graph->dtype));
    clipc_onnx_value mask = config->causal ? causal_mask(graph, tokens) : NULL;
    if (config->text_class_token)
        mask = hide_padding(graph, config, options, ids, mask);
    x = clipc_onnx_layers(graph, &config->text, weights->text.layers, x, mask);
    /* LayerNorm sees a row at a time, so the one that counts is taken first. */
    if (config->text_class_token || config->pooling == CLIPC_POOL_LAST || config->pooling == CLIPC_POOL_FIRST) {
        const bool first = !config->text_class_token && config->pooling == CLIPC_POOL_FIRST;
        x = take_row(graph, x, first ? 0 : tokens - 1, config->text.width);
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
