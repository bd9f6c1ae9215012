/* pixels [batch, 3, size, size] to embeddings [batch, D]. */
#include "onnx/tower.h"

#define NODE CLIPC_ONNX_NODE

static clipc_onnx_value convolve(clipc_onnx_graph *graph, const clipc_config *config, const clipc_weights *weights,
                                 clipc_onnx_value pixels)
{
    static const int64_t channels[4] = {1, -1, 1, 1};
    const int64_t patch[2] = {(int64_t)config->patch_size, (int64_t)config->patch_size};
    const clipc_tensor *weight = &weights->image.patch_embedding;
    clipc_onnx_value bias = NULL;
    if (config->patch_bias)
        bias = clipc_onnx_weight_value(graph, "patch_embedding/bias", &weights->image.patch_bias, CLIPC_ONNX_AS_STORED,
                                       graph->dtype);
    if (graph->integers) {
        const clipc_onnx_value grid = clipc_onnx_integer_patches(graph, "patch_embedding", pixels, weight, patch[0]);
        if (!bias)
            return grid;
        bias = NODE(graph, "Reshape", "patch_embedding/bias_of_channels", bias,
                    clipc_onnx_integers(graph, "patch_embedding/channels", channels, 4));
        return NODE(graph, "Add", "patch_embedding/grid", grid, bias);
    }
    const clipc_onnx_value kernel =
        clipc_onnx_weight_value(graph, "patch_embedding/weight", weight, CLIPC_ONNX_AS_STORED, graph->dtype);
    const clipc_onnx_value grid = NODE(graph, "Conv", "patch_embedding/grid", pixels, kernel, bias);
    clipc_onnx_set_integers(graph, "kernel_shape", patch, 2);
    clipc_onnx_set_integers(graph, "strides", patch, 2);
    return grid;
}

/* [batch, width, rows, columns] of patches to [batch, patches, width]. */
static clipc_onnx_value embed_patches(clipc_onnx_graph *graph, const clipc_config *config,
                                      const clipc_weights *weights, clipc_onnx_value pixels)
{
    static const int64_t turned[3] = {0, 2, 1};
    const int64_t flat[3] = {0, (int64_t)config->image.width, -1};
    const clipc_onnx_value grid = convolve(graph, config, weights, pixels);
    const clipc_onnx_value shape = clipc_onnx_integers(graph, "patch_embedding/shape", flat, 3);
    const clipc_onnx_value columns = NODE(graph, "Reshape", "patch_embedding/columns", grid, shape);
    const clipc_onnx_value rows = NODE(graph, "Transpose", "patch_embedding/rows", columns);
    clipc_onnx_set_integers(graph, "perm", turned, 3);
    return rows;
}

/* [batch, 1, width] to [batch, width]. */
static clipc_onnx_value take_row(clipc_onnx_graph *graph, const char *name, clipc_onnx_value row, size_t width)
{
    const int64_t flat[2] = {0, (int64_t)width};
    return NODE(graph, "Reshape", name, row, clipc_onnx_integers(graph, "pooled/shape", flat, 2));
}

/* The first row, which the LayerNorm then has for itself. */
static clipc_onnx_value pool_class_token(clipc_onnx_graph *graph, const clipc_model *model, clipc_onnx_value x)
{
    const clipc_tower_config *tower = &model->config.image;
    const int64_t first = 0;
    x = NODE(graph, "Gather", "pooled/rows", x, clipc_onnx_integers(graph, "pooled/first", &first, 1));
    clipc_onnx_set_integer(graph, "axis", 1);
    x = take_row(graph, "pooled", x, tower->width);
    return clipc_onnx_layer_norm(graph, "norm_post", x, &model->weights.image.norm_post_weight,
                                 &model->weights.image.norm_post_bias, tower->layer_norm_epsilon);
}

/* The probe, one for all items, attends to all rows. */
static clipc_onnx_value pool_by_attention(clipc_onnx_graph *graph, const clipc_model *model, clipc_onnx_value x)
{
    const clipc_tower_config *tower = &model->config.image;
    const clipc_layer_weights *pooling = &model->weights.image.pooling;
    x = clipc_onnx_layer_norm(graph, "norm_post", x, &model->weights.image.norm_post_weight,
                              &model->weights.image.norm_post_bias, tower->layer_norm_epsilon);
    const clipc_onnx_value probe = clipc_onnx_weight_value(graph, "pooling/probe", &model->weights.image.probe,
                                                           CLIPC_ONNX_AS_STORED, graph->dtype);
    x = clipc_onnx_attention(graph, "pooling/attention", tower, pooling, probe, x, NULL);
    x = clipc_onnx_add_mlp(graph, "pooling", "norm", tower, pooling, x);
    return take_row(graph, "pooled", x, tower->width);
}

/* As CoCa: the query has a LayerNorm of its own, is as wide as the embedding, and no MLP follows. */
static clipc_onnx_value pool_by_query(clipc_onnx_graph *graph, const clipc_model *model, clipc_onnx_value x)
{
    const clipc_config *config = &model->config;
    const clipc_layer_weights *pooling = &model->weights.image.pooling;
    const clipc_tower_config heads = {.width = config->embedding_dimension, .heads = config->pooling_heads};
    const float epsilon = config->image.layer_norm_epsilon;
    const int64_t one_row[3] = {1, 1, (int64_t)config->embedding_dimension};
    x = clipc_onnx_layer_norm(graph, "norm_post", x, &model->weights.image.norm_post_weight,
                              &model->weights.image.norm_post_bias, epsilon);
    const clipc_onnx_value probe = clipc_onnx_weight_value(graph, "pooling/probe", &model->weights.image.probe,
                                                           CLIPC_ONNX_AS_STORED, graph->dtype);
    clipc_onnx_value query =
        NODE(graph, "Reshape", "pooling/query", probe, clipc_onnx_integers(graph, "pooling/one_row", one_row, 3));
    query = clipc_onnx_layer_norm(graph, "pooling/query_norm", query, &pooling->norm1_weight, &pooling->norm1_bias,
                                  epsilon);
    x = clipc_onnx_attention(graph, "pooling/attention", &heads, pooling, query, x, NULL);
    x = take_row(graph, "pooled", x, heads.width);
    return clipc_onnx_layer_norm(graph, "pooling/norm", x, &pooling->norm2_weight, &pooling->norm2_bias, epsilon);
}

/* The mean of the patches' rows, [batch, width]. */
static clipc_onnx_value average(clipc_onnx_graph *graph, const clipc_config *config, clipc_onnx_value x)
{
    const int64_t rows = 1;
    const bool axes_are_input = graph->opset >= 18;
    if (config->class_token) {
        const int64_t end = (int64_t)config->image_tokens;
        x = NODE(graph, "Slice", "pooled/patches", x, clipc_onnx_integers(graph, "pooled/begin", &rows, 1),
                 clipc_onnx_integers(graph, "pooled/end", &end, 1),
                 clipc_onnx_integers(graph, "pooled/side", &rows, 1));
    }
    x = NODE(graph, "ReduceMean", "pooled", x,
             axes_are_input ? clipc_onnx_integers(graph, "pooled/axes", &rows, 1) : NULL);
    if (!axes_are_input)
        clipc_onnx_set_integers(graph, "axes", &rows, 1);
    clipc_onnx_set_integer(graph, "keepdims", 0);
    return x;
}

static clipc_onnx_value pool_by_average(clipc_onnx_graph *graph, const clipc_model *model, clipc_onnx_value x)
{
    const bool before = model->config.image_pooling == CLIPC_IMAGE_POOL_NORMED_AVERAGE;
    if (!before)
        x = average(graph, &model->config, x);
    x = clipc_onnx_layer_norm(graph, "norm_post", x, &model->weights.image.norm_post_weight,
                              &model->weights.image.norm_post_bias, model->config.image.layer_norm_epsilon);
    return before ? average(graph, &model->config, x) : x;
}

static clipc_onnx_value pool(clipc_onnx_graph *graph, const clipc_model *model, clipc_onnx_value x)
{
    switch (model->config.image_pooling) {
    case CLIPC_IMAGE_POOL_CLASS: break;
    case CLIPC_IMAGE_POOL_ATTENTION: return pool_by_attention(graph, model, x);
    case CLIPC_IMAGE_POOL_AVERAGE:
    case CLIPC_IMAGE_POOL_NORMED_AVERAGE: return pool_by_average(graph, model, x);
    case CLIPC_IMAGE_POOL_QUERY: return pool_by_query(graph, model, x);
    }
    return pool_class_token(graph, model, x);
}

void clipc_onnx_add_image_tower(clipc_onnx_graph *graph, const clipc_model *model, const clipc_onnx_options *options)
{
    const clipc_config *config = &model->config;
    const clipc_weights *weights = &model->weights;
    const clipc_onnx_side sides[4] = {
        clipc_onnx_batch_side(options, false), {3, NULL}, {config->image_size, NULL}, {config->image_size, NULL}};
    clipc_onnx_value x = clipc_onnx_input(graph, options->input_name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, sides, 4);
    if (graph->dtype == CLIPC_DTYPE_F16) {
        x = NODE(graph, "Cast", "pixels", x);
        clipc_onnx_set_integer(graph, "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16);
    }
    if (clipc_config_is_resnet(config)) {
        clipc_onnx_finish(graph, options, clipc_onnx_resnet(graph, model, x), config->embedding_dimension);
        return;
    }
    x = embed_patches(graph, config, weights, x);
    if (config->class_token) {
        x = NODE(graph, "Concat", "tokens",
                 clipc_onnx_repeat_class(graph, options, &weights->image.class_embedding, config->image.width, x), x);
        clipc_onnx_set_integer(graph, "axis", 1);
    }
    x = NODE(graph, "Add", "positions", x,
             clipc_onnx_weight_value(graph, "position_embedding", &weights->image.position_embedding,
                                     CLIPC_ONNX_AS_STORED, graph->dtype));
    if (config->norm_pre)
        x = clipc_onnx_layer_norm(graph, "norm_pre", x, &weights->image.norm_pre_weight, &weights->image.norm_pre_bias,
                                  config->image.layer_norm_epsilon);
    x = clipc_onnx_layers(graph, &config->image, weights->image.layers, x, NULL);
    x = pool(graph, model, x);
    if (config->image_projection)
        x = clipc_onnx_linear(graph, "projection", x, &weights->image.projection,
                              config->image_projection_bias ? &weights->image.projection_bias : NULL);
    clipc_onnx_finish(graph, options, x, config->embedding_dimension);
}
