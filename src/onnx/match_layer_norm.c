#include "onnx/match_layer_norm.h"

#include "io/read_f16.h"

#include <math.h>
#include <string.h>

#define LONGEST_WAY 8 /* Identity operators followed between a weight and its array */

typedef struct view {
    const Onnx__GraphProto *graph;
    const clipc_onnx_value_table *values;
} view;

static bool is(const Onnx__NodeProto *node, const char *operator)
{
    return node && node->op_type && strcmp(node->op_type, operator) == 0 && (!node->domain || !node->domain[0]);
}

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (node->attribute[i]->name && strcmp(node->attribute[i]->name, name) == 0)
            return node->attribute[i];
    return NULL;
}

/* The node that makes the value; NULL when none does. */
static const Onnx__NodeProto *maker(const view *in, const char *value)
{
    const clipc_onnx_value_entry *entry = clipc_onnx_value_table_find(in->values, value);
    return entry && entry->maker != CLIPC_ONNX_NOBODY ? in->graph->node[entry->maker] : NULL;
}

/* The same, if it is this operator with that many inputs. */
static const Onnx__NodeProto *maker_of(const view *in, const char *value, const char *operator, size_t inputs)
{
    const Onnx__NodeProto *node = maker(in, value);
    return is(node, operator) && node->n_input >= inputs ? node : NULL;
}

/* ---- constants ---- */

/* The stored array that the value is, through Identity and Constant; NULL when it is computed. */
static const Onnx__TensorProto *array_of(const view *in, const char *value)
{
    for (int i = 0; i < LONGEST_WAY; i++) {
        const clipc_onnx_value_entry *entry = clipc_onnx_value_table_find(in->values, value);
        if (!entry || entry->array)
            return entry ? entry->array : NULL;
        const Onnx__NodeProto *node = maker(in, value);
        if (is(node, "Constant")) {
            const Onnx__AttributeProto *stored = attribute(node, "value");
            return stored ? stored->t : NULL;
        }
        if (!is(node, "Identity") || node->n_input != 1)
            return NULL;
        value = node->input[0];
    }
    return NULL;
}

static bool count_of(const Onnx__TensorProto *array, size_t *count)
{
    *count = 1;
    for (size_t i = 0; i < array->n_dims; i++) {
        if (array->dims[i] < 0 || array->dims[i] > INT32_MAX || *count > INT32_MAX)
            return false;
        *count *= (size_t)array->dims[i];
    }
    return true;
}

/* The only number of an array; NAN when it has not just one, or one of another type. */
static double single(const Onnx__TensorProto *array)
{
    size_t count = 0;
    if (!array || !count_of(array, &count) || count != 1)
        return NAN;
    const uint8_t *raw = array->raw_data.data;
    const size_t size = array->has_raw_data ? array->raw_data.len : 0;
    float narrow = NAN;
    double wide = NAN;
    int64_t whole = 0;
    switch (array->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        if (size == sizeof narrow)
            memcpy(&narrow, raw, sizeof narrow);
        else if (array->n_float_data == 1)
            narrow = array->float_data[0];
        return (double)narrow;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
        if (size == 2)
            clipc_read_f16(raw, 1, &narrow);
        else if (array->n_int32_data == 1) {
            const uint8_t bytes[2] = {(uint8_t)(array->int32_data[0] & 255),
                                      (uint8_t)(array->int32_data[0] >> 8 & 255)};
            clipc_read_f16(bytes, 1, &narrow);
        }
        return (double)narrow;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        if (size == sizeof wide)
            memcpy(&wide, raw, sizeof wide);
        else if (array->n_double_data == 1)
            wide = array->double_data[0];
        return wide;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        if (size == sizeof whole)
            memcpy(&whole, raw, sizeof whole);
        else if (array->n_int64_data == 1)
            whole = array->int64_data[0];
        else
            return NAN;
        return (double)whole;
    default: return NAN;
    }
}

/* ---- the chain ---- */

/* A mean over the last axis that keeps it: axes are an attribute, from opset 18 on an input. */
static const Onnx__NodeProto *mean_of(const view *in, const char *value)
{
    const Onnx__NodeProto *node = maker_of(in, value, "ReduceMean", 1);
    if (!node)
        return NULL;
    const Onnx__AttributeProto *axes = attribute(node, "axes");
    const Onnx__AttributeProto *keep = attribute(node, "keepdims");
    const double axis = axes                ? (axes->n_ints == 1 ? (double)axes->ints[0] : NAN)
                        : node->n_input > 1 ? single(array_of(in, node->input[1]))
                                            : NAN;
    return axis == -1 && (!keep || keep->i != 0) ? node : NULL;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* x where the value is x − mean(x); else NULL. */
static char *centered(const view *in, const char *value)
{
    const Onnx__NodeProto *sub = maker_of(in, value, "Sub", 2);
    const Onnx__NodeProto *mean = sub ? mean_of(in, sub->input[1]) : NULL;
    return mean && same(sub->input[0], mean->input[0]) ? sub->input[0] : NULL;
}

/* Whether the value is the square of what x − mean(x) is. */
static bool is_square(const view *in, const char *value, const char *x)
{
    const Onnx__NodeProto *power = maker_of(in, value, "Pow", 2);
    const Onnx__NodeProto *product = maker_of(in, value, "Mul", 2);
    if (power)
        return same(centered(in, power->input[0]), x) && single(array_of(in, power->input[1])) == 2;
    return product && same(product->input[0], product->input[1]) && same(centered(in, product->input[0]), x);
}

/* √(variance(x) + epsilon): writes epsilon. */
static bool is_deviation(const view *in, const char *value, const char *x, double *epsilon)
{
    const Onnx__NodeProto *root = maker_of(in, value, "Sqrt", 1);
    const Onnx__NodeProto *sum = root ? maker_of(in, root->input[0], "Add", 2) : NULL;
    for (size_t i = 0; sum && i < 2; i++) {
        const Onnx__NodeProto *variance = mean_of(in, sum->input[i]);
        *epsilon = single(array_of(in, sum->input[1 - i]));
        if (variance && *epsilon >= 0 && is_square(in, variance->input[0], x))
            return true;
    }
    return false;
}

/* The other input of a node of two, one of which is `value`. */
static char *other_input(const Onnx__NodeProto *node, size_t input)
{
    return node->input[1 - input];
}

static bool match_chain(const view *in, const Onnx__NodeProto *last, clipc_onnx_layer_norm_match *out)
{
    if (!is(last, "Add") || last->n_input != 2)
        return false;
    for (size_t i = 0; i < 2; i++) {
        const Onnx__NodeProto *scaled = maker_of(in, last->input[i], "Mul", 2);
        for (size_t j = 0; scaled && j < 2; j++) {
            const Onnx__NodeProto *normal = maker_of(in, scaled->input[j], "Div", 2);
            char *x = normal ? centered(in, normal->input[0]) : NULL;
            double epsilon = 0;
            if (!x || !is_deviation(in, normal->input[1], x, &epsilon))
                continue;
            *out = (clipc_onnx_layer_norm_match){.chain = true,
                                                 .x = x,
                                                 .weight = other_input(scaled, j),
                                                 .bias = other_input(last, i),
                                                 .axis = -1,
                                                 .epsilon = (float)epsilon};
            return true;
        }
    }
    return false;
}

static bool match_operator(const Onnx__NodeProto *node, clipc_onnx_layer_norm_match *out)
{
    if (!is(node, "LayerNormalization") || node->n_input < 2 || node->n_output < 1)
        return false;
    const Onnx__AttributeProto *axis = attribute(node, "axis");
    const Onnx__AttributeProto *epsilon = attribute(node, "epsilon");
    *out = (clipc_onnx_layer_norm_match){
        .x = node->input[0],
        .weight = node->input[1],
        .bias = node->n_input > 2 && node->input[2][0] ? node->input[2] : NULL,
        .axis = axis ? axis->i : -1,
        .epsilon = epsilon ? epsilon->f : 1e-5F, /* the operator's own default */
    };
    for (size_t i = 1; i < node->n_output; i++)
        if (node->output[i][0])
            out->reason = "its mean or deviation is wanted, too";
    return true;
}

bool clipc_onnx_match_layer_norm(const Onnx__GraphProto *graph, const clipc_onnx_value_table *values, size_t node,
                                 clipc_onnx_layer_norm_match *out)
{
    const view in = {graph, values};
    if (!match_operator(graph->node[node], out) && !match_chain(&in, graph->node[node], out))
        return false;
    const Onnx__TensorProto *bias = out->bias ? array_of(&in, out->bias) : NULL;
    size_t bias_width = 0;
    out->weight_array = array_of(&in, out->weight);
    if (out->reason)
        return true;
    if (!out->weight_array || !count_of(out->weight_array, &out->width) || (out->bias && !bias))
        out->reason = "its weight and bias are not stored in the graph";
    else if (bias && (!count_of(bias, &bias_width) || bias_width != out->width))
        out->reason = "its bias has another size than its weight";
    else if (bias && bias->data_type != out->weight_array->data_type)
        out->reason = "its bias has another type than its weight";
    return true;
}
