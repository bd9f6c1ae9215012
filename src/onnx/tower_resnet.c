/* The image tower of a ResNet: pixels [batch, 3, size, size] to embeddings [batch, D]. BatchNorm stays an operator of
 * its own, with the numbers of the file, as runtimes fold it; but of an engine file it is folded in already. */
#include "model/resnet.h"
#include "onnx/tower.h"

#include <math.h>

#define NODE CLIPC_ONNX_NODE

static const char *within(clipc_onnx_graph *graph, const char *name, const char *part)
{
    return clipc_onnx_text(graph, "%s/%s", name, part);
}

static clipc_onnx_value weight(clipc_onnx_graph *graph, const char *name, const char *part, const clipc_tensor *tensor)
{
    return clipc_onnx_weight_value(graph, within(graph, name, part), tensor, CLIPC_ONNX_AS_STORED, graph->dtype);
}

static clipc_onnx_value halve(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x)
{
    static const int64_t two[2] = {2, 2};
    const clipc_onnx_value y = NODE(graph, "AveragePool", within(graph, name, "mean"), x);
    clipc_onnx_set_integers(graph, "kernel_shape", two, 2);
    clipc_onnx_set_integers(graph, "strides", two, 2);
    return y;
}

/* The convolution and its BatchNorm, of the mean of 2 × 2 pixels where it takes that. */
static clipc_onnx_value convolve(clipc_onnx_graph *graph, const clipc_convolution *at,
                                 const clipc_convolution_weights *weights, clipc_onnx_value x)
{
    const int64_t kernel[2] = {(int64_t)at->kernel, (int64_t)at->kernel};
    const int64_t stride[2] = {(int64_t)at->stride, (int64_t)at->stride};
    const int64_t before = (int64_t)(at->kernel / 2);
    const int64_t padding[4] = {before, before, before, before};
    if (at->pool > 1)
        x = halve(graph, at->name, x);
    const bool folded = !weights->kernel.data; /* as an engine file holds it */
    x = NODE(graph, "Conv", within(graph, at->name, "output"), x, weight(graph, at->name, "weight", &weights->kernel),
             folded ? weight(graph, at->name, "bias", &weights->norm_bias) : NULL);
    clipc_onnx_set_integers(graph, "kernel_shape", kernel, 2);
    clipc_onnx_set_integers(graph, "strides", stride, 2);
    clipc_onnx_set_integers(graph, "pads", padding, 4);
    if (folded)
        return x;
    x = NODE(graph, "BatchNormalization", within(graph, at->norm, "output"), x,
             weight(graph, at->norm, "weight", &weights->norm_weight),
             weight(graph, at->norm, "bias", &weights->norm_bias),
             weight(graph, at->norm, "mean", &weights->norm_mean),
             weight(graph, at->norm, "variance", &weights->norm_variance));
    clipc_onnx_set_float(graph, "epsilon", (float)CLIPC_BATCH_NORM_EPSILON);
    return x;
}

static clipc_onnx_value relu(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x)
{
    return NODE(graph, "Relu", within(graph, name, "relu"), x);
}

/* Stem and stages: the last stage's map [batch, width, side, side]. */
static clipc_onnx_value add_stages(clipc_onnx_graph *graph, const clipc_model *model, clipc_onnx_value x)
{
    clipc_onnx_value stream = x; /* a block's input */
    clipc_onnx_value added = x;  /* what its result is added to */
    const size_t count = clipc_resnet_count(&model->config);
    for (size_t i = 0; i < count; i++) {
        const clipc_convolution at = clipc_resnet_at(&model->config, i);
        const clipc_convolution_weights *weights = &model->weights.image.convolutions[i];
        switch (at.role) {
        case CLIPC_CONVOLUTION_PIXELS:
        case CLIPC_CONVOLUTION_STEM: stream = relu(graph, at.norm, convolve(graph, &at, weights, stream)); break;
        case CLIPC_CONVOLUTION_REDUCE:
            added = stream;
            x = relu(graph, at.norm, convolve(graph, &at, weights, stream));
            break;
        case CLIPC_CONVOLUTION_SPREAD: x = relu(graph, at.norm, convolve(graph, &at, weights, x)); break;
        case CLIPC_CONVOLUTION_DOWNSAMPLE: added = convolve(graph, &at, weights, stream); break;
        case CLIPC_CONVOLUTION_EXPAND:
            x = NODE(graph, "Add", within(graph, at.norm, "sum"), convolve(graph, &at, weights, x), added);
            stream = relu(graph, at.norm, x);
            break;
        }
    }
    return stream;
}

/* The map's pixels after their mean, with positions: [batch, tokens, width]. */
static clipc_onnx_value make_tokens(clipc_onnx_graph *graph, const clipc_model *model, clipc_onnx_value map)
{
    static const int64_t turned[3] = {0, 2, 1};
    const int64_t flat[3] = {0, (int64_t)model->config.image.width, -1};
    const int64_t last = 2;
    const bool axes_are_input = graph->opset >= 18;
    const clipc_onnx_value columns =
        NODE(graph, "Reshape", "attnpool/columns", map, clipc_onnx_integers(graph, "attnpool/shape", flat, 3));
    const clipc_onnx_value axes = axes_are_input ? clipc_onnx_integers(graph, "attnpool/axes", &last, 1) : NULL;
    const clipc_onnx_value mean = NODE(graph, "ReduceMean", "attnpool/mean", columns, axes);
    if (!axes_are_input)
        clipc_onnx_set_integers(graph, "axes", &last, 1);
    clipc_onnx_set_integer(graph, "keepdims", 1);
    const clipc_onnx_value joined = NODE(graph, "Concat", "attnpool/joined", mean, columns);
    clipc_onnx_set_integer(graph, "axis", 2);
    const clipc_onnx_value rows = NODE(graph, "Transpose", "attnpool/rows", joined);
    clipc_onnx_set_integers(graph, "perm", turned, 3);
    return NODE(graph, "Add", "attnpool/tokens", rows,
                weight(graph, "attnpool", "positional_embedding", &model->weights.image.position_embedding));
}

/* [batch, rows, width] to [batch, heads, rows, head width], or with the last two sides exchanged. */
static clipc_onnx_value split_heads(clipc_onnx_graph *graph, const char *name, const clipc_tower_config *tower,
                                    clipc_onnx_value x, bool exchanged)
{
    static const int64_t orders[2][4] = {{0, 2, 1, 3}, {0, 2, 3, 1}};
    const int64_t shape[4] = {0, -1, (int64_t)tower->heads, (int64_t)(tower->width / tower->heads)};
    x = NODE(graph, "Reshape", within(graph, name, "split"), x,
             clipc_onnx_integers(graph, within(graph, name, "shape"), shape, 4));
    x = NODE(graph, "Transpose", within(graph, name, "heads"), x);
    clipc_onnx_set_integers(graph, "perm", orders[exchanged], 4);
    return x;
}

/* The mean's token attends to all: [batch, D]. */
static clipc_onnx_value attend(clipc_onnx_graph *graph, const clipc_model *model, clipc_onnx_value tokens)
{
    static const int64_t turned[4] = {0, 2, 1, 3};
    const clipc_tower_config *tower = &model->config.image;
    const clipc_layer_weights *weights = &model->weights.image.pooling;
    const int64_t first = 0;
    const int64_t flat[2] = {0, (int64_t)tower->width};
    clipc_onnx_value query =
        NODE(graph, "Gather", "attnpool/first", tokens, clipc_onnx_integers(graph, "attnpool/zero", &first, 1));
    clipc_onnx_set_integer(graph, "axis", 1);
    query = clipc_onnx_linear(graph, "attnpool/q_proj", query, &weights->query_weight, &weights->query_bias);
    const float scale = 1 / sqrtf((float)(tower->width / tower->heads));
    query = NODE(graph, "Mul", "attnpool/query", query, clipc_onnx_scalar(graph, "attnpool/scale", scale));
    query = split_heads(graph, "attnpool/query", tower, query, false);
    const clipc_onnx_value keys =
        clipc_onnx_linear(graph, "attnpool/k_proj", tokens, &weights->key_weight, &weights->key_bias);
    const clipc_onnx_value values =
        clipc_onnx_linear(graph, "attnpool/v_proj", tokens, &weights->value_weight, &weights->value_bias);
    const clipc_onnx_value scores =
        NODE(graph, "MatMul", "attnpool/scores", query, split_heads(graph, "attnpool/keys", tower, keys, true));
    const clipc_onnx_value shares = NODE(graph, "Softmax", "attnpool/shares", scores);
    clipc_onnx_set_integer(graph, "axis", -1);
    clipc_onnx_value x =
        NODE(graph, "MatMul", "attnpool/context", shares, split_heads(graph, "attnpool/values", tower, values, false));
    x = NODE(graph, "Transpose", "attnpool/turned", x);
    clipc_onnx_set_integers(graph, "perm", turned, 4);
    x = NODE(graph, "Reshape", "attnpool/row", x, clipc_onnx_integers(graph, "attnpool/flat", flat, 2));
    return clipc_onnx_linear(graph, "attnpool/c_proj", x, &model->weights.image.projection,
                             &model->weights.image.projection_bias);
}

clipc_onnx_value clipc_onnx_resnet(clipc_onnx_graph *graph, const clipc_model *model, clipc_onnx_value pixels)
{
    return attend(graph, model, make_tokens(graph, model, add_stages(graph, model, pixels)));
}
