#include "onnx/tower.h"
#include "onnx/plugin.h"

#include <math.h>

#define NODE CLIPC_ONNX_NODE

static const char *within(clipc_onnx_graph *graph, const char *name, const char *part)
{
    return clipc_onnx_text(graph, "%s/%s", name, part);
}

clipc_onnx_side clipc_onnx_batch_side(const clipc_onnx_options *options, bool output)
{
    return (clipc_onnx_side){options->batch, output ? options->output_axis : options->input_axis};
}

clipc_onnx_value clipc_onnx_batch_of(clipc_onnx_graph *graph, const clipc_onnx_options *options, const char *name,
                                     clipc_onnx_value x)
{
    const int64_t first = 0;
    const int64_t count = (int64_t)options->batch;
    if (!options->input_axis)
        return clipc_onnx_integers(graph, within(graph, name, "batch"), &count, 1);
    const clipc_onnx_value shape = NODE(graph, "Shape", within(graph, name, "shape"), x);
    return NODE(graph, "Gather", within(graph, name, "batch"), shape,
                clipc_onnx_integers(graph, within(graph, name, "first"), &first, 1));
}

clipc_onnx_value clipc_onnx_repeat_class(clipc_onnx_graph *graph, const clipc_onnx_options *options,
                                         const clipc_tensor *embedding, size_t width, clipc_onnx_value rows)
{
    const int64_t one = 1;
    const int64_t columns = (int64_t)width;
    const clipc_onnx_value row =
        clipc_onnx_weight_value(graph, "class_embedding", embedding, CLIPC_ONNX_AS_STORED, graph->dtype);
    const clipc_onnx_value batch = clipc_onnx_batch_of(graph, options, "class_embedding", rows);
    const clipc_onnx_value sides = NODE(graph, "Concat", "class_embedding/sides", batch,
                                        clipc_onnx_integers(graph, "class_embedding/one", &one, 1),
                                        clipc_onnx_integers(graph, "class_embedding/width", &columns, 1));
    clipc_onnx_set_integer(graph, "axis", 0);
    return NODE(graph, "Expand", "class_embedding/rows", row, sides);
}

/* ---- LayerNorm ---- */

/* From opset 18 on axes are an input of reductions. */
static clipc_onnx_value reduce(clipc_onnx_graph *graph, const char *operator, const char * name, clipc_onnx_value x,
                               bool axes_are_input)
{
    const int64_t last = -1;
    clipc_onnx_value axes = axes_are_input ? clipc_onnx_integers(graph, within(graph, name, "axes"), &last, 1) : NULL;
    const clipc_onnx_value y = NODE(graph, operator, name, x, axes);
    if (!axes_are_input)
        clipc_onnx_set_integers(graph, "axes", &last, 1);
    clipc_onnx_set_integer(graph, "keepdims", 1);
    return y;
}

/* The chain that exporters wrote before there was an operator, and that others recognise. */
static clipc_onnx_value decomposed(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x,
                                   clipc_onnx_value weight, clipc_onnx_value bias, float epsilon)
{
    const clipc_onnx_value mean = reduce(graph, "ReduceMean", within(graph, name, "mean"), x, false);
    const clipc_onnx_value centered = NODE(graph, "Sub", within(graph, name, "centered"), x, mean);
    const clipc_onnx_value two = clipc_onnx_scalar(graph, within(graph, name, "two"), 2);
    const clipc_onnx_value square = NODE(graph, "Pow", within(graph, name, "square"), centered, two);
    const clipc_onnx_value variance = reduce(graph, "ReduceMean", within(graph, name, "variance"), square, false);
    const clipc_onnx_value small = clipc_onnx_scalar(graph, within(graph, name, "epsilon"), epsilon);
    const clipc_onnx_value positive = NODE(graph, "Add", within(graph, name, "positive"), variance, small);
    const clipc_onnx_value deviation = NODE(graph, "Sqrt", within(graph, name, "deviation"), positive);
    const clipc_onnx_value normal = NODE(graph, "Div", within(graph, name, "normal"), centered, deviation);
    const clipc_onnx_value scaled = NODE(graph, "Mul", within(graph, name, "scaled"), normal, weight);
    return NODE(graph, "Add", within(graph, name, "output"), scaled, bias);
}

/* One node, whose rows are of the graph's type: the kernel's statistics are fp32 in any case. */
static clipc_onnx_value plugin(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x, clipc_onnx_value weight,
                               clipc_onnx_value bias, float epsilon)
{
    const clipc_onnx_value y = NODE(graph, CLIPC_ONNX_PLUGIN, within(graph, name, "output"), x, weight, bias);
    clipc_onnx_set_domain(graph, CLIPC_ONNX_PLUGIN_DOMAIN);
    clipc_onnx_set_integer(graph, "axis", -1);
    clipc_onnx_set_float(graph, "epsilon", epsilon);
    clipc_onnx_set_string(graph, "plugin_version", CLIPC_ONNX_PLUGIN_VERSION);
    clipc_onnx_set_string(graph, "plugin_namespace", "");
    return y;
}

static clipc_onnx_value cast(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x, clipc_dtype dtype)
{
    const clipc_onnx_value y = NODE(graph, "Cast", name, x);
    clipc_onnx_set_integer(graph, "to",
                           dtype == CLIPC_DTYPE_F16 ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16
                                                    : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    return y;
}

/* In fp32 whatever the graph's type is: the squares of a CLIP's residual stream overflow fp16. */
clipc_onnx_value clipc_onnx_layer_norm(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x,
                                       const clipc_tensor *weight, const clipc_tensor *bias, float epsilon)
{
    const clipc_dtype dtype = graph->dtype;
    const clipc_onnx_value scale =
        clipc_onnx_weight_value(graph, within(graph, name, "weight"), weight, CLIPC_ONNX_AS_STORED, CLIPC_DTYPE_F32);
    const clipc_onnx_value shift =
        clipc_onnx_weight_value(graph, within(graph, name, "bias"), bias, CLIPC_ONNX_AS_STORED, CLIPC_DTYPE_F32);
    if (graph->layer_norm_plugin)
        return plugin(graph, name, x, scale, shift, epsilon);
    if (dtype == CLIPC_DTYPE_F16)
        x = cast(graph, within(graph, name, "to_fp32"), x, CLIPC_DTYPE_F32);
    graph->dtype = CLIPC_DTYPE_F32;
    if (graph->opset >= 17) {
        x = NODE(graph, "LayerNormalization", within(graph, name, "output"), x, scale, shift);
        clipc_onnx_set_integer(graph, "axis", -1);
        clipc_onnx_set_float(graph, "epsilon", epsilon);
    } else {
        x = decomposed(graph, name, x, scale, shift, epsilon);
    }
    graph->dtype = dtype;
    return dtype == CLIPC_DTYPE_F16 ? cast(graph, within(graph, name, "to_fp16"), x, dtype) : x;
}

/* ---- linear layers and activations ---- */

static clipc_onnx_value matrix_product(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x,
                                       const clipc_tensor *weight)
{
    if (graph->integers)
        return clipc_onnx_integer_product(graph, name, x, weight);
    clipc_onnx_value matrix =
        clipc_onnx_weight_value(graph, within(graph, name, "weight"), weight,
                                graph->fold ? CLIPC_ONNX_TRANSPOSED : CLIPC_ONNX_AS_STORED, graph->dtype);
    if (!graph->fold) {
        static const int64_t turned[2] = {1, 0};
        matrix = NODE(graph, "Transpose", within(graph, name, "transposed"), matrix);
        clipc_onnx_set_integers(graph, "perm", turned, 2);
    }
    return NODE(graph, "MatMul", within(graph, name, "product"), x, matrix);
}

clipc_onnx_value clipc_onnx_linear(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x,
                                   const clipc_tensor *weight, const clipc_tensor *bias)
{
    const clipc_onnx_value product = matrix_product(graph, name, x, weight);
    if (!bias)
        return product;
    const clipc_onnx_value shift =
        clipc_onnx_weight_value(graph, within(graph, name, "bias"), bias, CLIPC_ONNX_AS_STORED, graph->dtype);
    return NODE(graph, "Add", within(graph, name, "output"), product, shift);
}

static clipc_onnx_value quick_gelu(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x)
{
    const clipc_onnx_value factor = clipc_onnx_scalar(graph, within(graph, name, "factor"), 1.702f);
    const clipc_onnx_value scaled = NODE(graph, "Mul", within(graph, name, "scaled"), x, factor);
    const clipc_onnx_value gate = NODE(graph, "Sigmoid", within(graph, name, "gate"), scaled);
    return NODE(graph, "Mul", within(graph, name, "output"), x, gate);
}

/* x / 2 × (1 + gate), where gate is erf(x / √2) or its approximation. */
static clipc_onnx_value gated_half(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x,
                                   clipc_onnx_value gate)
{
    const clipc_onnx_value one = clipc_onnx_scalar(graph, within(graph, name, "one"), 1);
    const clipc_onnx_value half = clipc_onnx_scalar(graph, within(graph, name, "half"), 0.5f);
    const clipc_onnx_value sum = NODE(graph, "Add", within(graph, name, "gate_plus_one"), gate, one);
    const clipc_onnx_value product = NODE(graph, "Mul", within(graph, name, "gated"), x, sum);
    return NODE(graph, "Mul", within(graph, name, "output"), product, half);
}

static clipc_onnx_value gelu(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x)
{
    const clipc_onnx_value root = clipc_onnx_scalar(graph, within(graph, name, "root_of_two"), sqrtf(2));
    const clipc_onnx_value scaled = NODE(graph, "Div", within(graph, name, "scaled"), x, root);
    return gated_half(graph, name, x, NODE(graph, "Erf", within(graph, name, "erf"), scaled));
}

/* tanh(√(2/π) (x + 0.044715 x³)): Hendrycks and Gimpel 2016. */
static clipc_onnx_value gelu_tanh(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x)
{
    const clipc_onnx_value cubic = clipc_onnx_scalar(graph, within(graph, name, "cubic"), 0.044715f);
    const clipc_onnx_value factor = clipc_onnx_scalar(graph, within(graph, name, "factor"), 0.79788456080286535588f);
    const clipc_onnx_value square = NODE(graph, "Mul", within(graph, name, "square"), x, x);
    const clipc_onnx_value cube = NODE(graph, "Mul", within(graph, name, "cube"), square, x);
    const clipc_onnx_value term = NODE(graph, "Mul", within(graph, name, "term"), cube, cubic);
    const clipc_onnx_value sum = NODE(graph, "Add", within(graph, name, "sum"), x, term);
    const clipc_onnx_value argument = NODE(graph, "Mul", within(graph, name, "argument"), sum, factor);
    return gated_half(graph, name, x, NODE(graph, "Tanh", within(graph, name, "tanh"), argument));
}

static clipc_onnx_value activate(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x,
                                 clipc_activation activation)
{
    switch (activation) {
    case CLIPC_ACTIVATION_QUICK_GELU: return quick_gelu(graph, name, x);
    case CLIPC_ACTIVATION_GELU: return gelu(graph, name, x);
    case CLIPC_ACTIVATION_GELU_TANH: break;
    }
    return gelu_tanh(graph, name, x);
}

/* ---- attention ---- */

/* [batch, tokens, width] to [batch, heads, tokens, width / heads], or with the last two sides turned for keys. */
static clipc_onnx_value split_heads(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x,
                                    const clipc_tower_config *config, bool keys)
{
    static const int64_t rows_first[4] = {0, 2, 1, 3};
    static const int64_t columns_first[4] = {0, 2, 3, 1};
    const int64_t shape[4] = {0, 0, (int64_t)config->heads, (int64_t)(config->width / config->heads)};
    const clipc_onnx_value sides = clipc_onnx_integers(graph, within(graph, name, "shape"), shape, 4);
    const clipc_onnx_value split = NODE(graph, "Reshape", within(graph, name, "split"), x, sides);
    const clipc_onnx_value turned = NODE(graph, "Transpose", within(graph, name, "heads"), split);
    clipc_onnx_set_integers(graph, "perm", keys ? columns_first : rows_first, 4);
    return turned;
}

static clipc_onnx_value join_heads(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x, size_t width)
{
    static const int64_t rows_first[4] = {0, 2, 1, 3};
    const int64_t shape[3] = {0, 0, (int64_t)width};
    const clipc_onnx_value turned = NODE(graph, "Transpose", within(graph, name, "rows"), x);
    clipc_onnx_set_integers(graph, "perm", rows_first, 4);
    const clipc_onnx_value sides = clipc_onnx_integers(graph, within(graph, name, "shape"), shape, 3);
    return NODE(graph, "Reshape", within(graph, name, "joined"), turned, sides);
}

clipc_onnx_value clipc_onnx_attention(clipc_onnx_graph *graph, const char *name, const clipc_tower_config *config,
                                      const clipc_layer_weights *layer, clipc_onnx_value asking, clipc_onnx_value x,
                                      clipc_onnx_value mask)
{
    const char *query_name = within(graph, name, "query");
    const char *key_name = within(graph, name, "key");
    const char *value_name = within(graph, name, "value");
    const float factor = 1 / sqrtf((float)(config->width / config->heads));
    clipc_onnx_value query = clipc_onnx_linear(graph, query_name, asking, &layer->query_weight, &layer->query_bias);
    clipc_onnx_value key = clipc_onnx_linear(graph, key_name, x, &layer->key_weight, &layer->key_bias);
    clipc_onnx_value value = clipc_onnx_linear(graph, value_name, x, &layer->value_weight, &layer->value_bias);
    const clipc_onnx_value scale = clipc_onnx_scalar(graph, within(graph, name, "scale"), factor);
    query = NODE(graph, "Mul", within(graph, query_name, "scaled"), query, scale);
    query = split_heads(graph, query_name, query, config, false);
    key = split_heads(graph, key_name, key, config, true);
    value = split_heads(graph, value_name, value, config, false);
    clipc_onnx_value scores = NODE(graph, "MatMul", within(graph, name, "scores"), query, key);
    if (mask)
        scores = NODE(graph, "Add", within(graph, name, "masked"), scores, mask);
    const clipc_onnx_value weights = NODE(graph, "Softmax", within(graph, name, "weights"), scores);
    clipc_onnx_set_integer(graph, "axis", -1);
    const clipc_onnx_value mixed = NODE(graph, "MatMul", within(graph, name, "mixed"), weights, value);
    const clipc_onnx_value joined = join_heads(graph, name, mixed, config->width);
    return clipc_onnx_linear(graph, within(graph, name, "out"), joined, &layer->attention_out_weight,
                             &layer->attention_out_bias);
}

clipc_onnx_value clipc_onnx_add_mlp(clipc_onnx_graph *graph, const char *name, const char *norm_name,
                                    const clipc_tower_config *config, const clipc_layer_weights *layer,
                                    clipc_onnx_value x)
{
    const char *mlp = within(graph, name, "mlp");
    clipc_onnx_value y = clipc_onnx_layer_norm(graph, within(graph, name, norm_name), x, &layer->norm2_weight,
                                               &layer->norm2_bias, config->layer_norm_epsilon);
    y = clipc_onnx_linear(graph, within(graph, mlp, "fc1"), y, &layer->fc1_weight, &layer->fc1_bias);
    y = activate(graph, within(graph, mlp, "activation"), y, config->activation);
    y = clipc_onnx_linear(graph, within(graph, mlp, "fc2"), y, &layer->fc2_weight, &layer->fc2_bias);
    return NODE(graph, "Add", within(graph, name, "output"), x, y);
}

clipc_onnx_value clipc_onnx_layers(clipc_onnx_graph *graph, const clipc_tower_config *config,
                                   const clipc_layer_weights *layers, clipc_onnx_value x, clipc_onnx_value mask)
{
    for (size_t i = 0; i < config->layers; i++) {
        const clipc_layer_weights *layer = &layers[i];
        const char *name = clipc_onnx_text(graph, "layers.%zu", i);
        clipc_onnx_value y = clipc_onnx_layer_norm(graph, within(graph, name, "norm1"), x, &layer->norm1_weight,
                                                   &layer->norm1_bias, config->layer_norm_epsilon);
        y = clipc_onnx_attention(graph, within(graph, name, "attention"), config, layer, y, y, mask);
        x = NODE(graph, "Add", within(graph, name, "after_attention"), x, y);
        x = clipc_onnx_add_mlp(graph, name, "norm2", config, layer, x);
    }
    return x;
}

void clipc_onnx_finish(clipc_onnx_graph *graph, const clipc_onnx_options *options, clipc_onnx_value x,
                       size_t dimension)
{
    const clipc_onnx_side sides[2] = {clipc_onnx_batch_side(options, true), {dimension, NULL}};
    const char *output = options->output_name;
    if (graph->dtype == CLIPC_DTYPE_F16)
        x = cast(graph, "embedding/to_fp32", x, CLIPC_DTYPE_F32);
    if (options->normalize) {
        const clipc_onnx_value length = reduce(graph, "ReduceL2", "embedding/length", x, graph->opset >= 18);
        NODE(graph, "Div", output, x, length);
    } else {
        NODE(graph, "Identity", output, x);
    }
    clipc_onnx_output(graph, output, sides, 2);
}
