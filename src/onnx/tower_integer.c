/* The integer forms of a tower's products, as ONNX Runtime's quantize_dynamic writes them: an activation becomes bytes
 * by a step that is found when the graph runs, is multiplied by the weight's bytes, and the product is scaled by both
 * steps.
 */
#include "onnx/tower.h"

#define NODE CLIPC_ONNX_NODE

static const char *within(clipc_onnx_graph *graph, const char *name, const char *part)
{
    return clipc_onnx_text(graph, "%s/%s", name, part);
}

/* Once for all that read the same activation. */
static const clipc_onnx_bytes *activation_bytes(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x)
{
    clipc_onnx_bytes *made = &graph->last_bytes;
    if (made->of == x)
        return made;
    made->of = x;
    made->bytes = NODE(graph, "DynamicQuantizeLinear", within(graph, name, "bytes"), x);
    made->step = clipc_onnx_another_output(graph, within(graph, name, "step"));
    made->zero = clipc_onnx_another_output(graph, within(graph, name, "zero"));
    return made;
}

static clipc_onnx_value scaled(clipc_onnx_graph *graph, const char *name, clipc_onnx_value product,
                               const clipc_onnx_bytes *x, const clipc_onnx_bytes *weight)
{
    const clipc_onnx_value real = NODE(graph, "Cast", within(graph, name, "real"), product);
    clipc_onnx_set_integer(graph, "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    const clipc_onnx_value step = NODE(graph, "Mul", within(graph, name, "steps"), x->step, weight->step);
    return NODE(graph, "Mul", within(graph, name, "product"), real, step);
}

clipc_onnx_value clipc_onnx_integer_product(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x,
                                            const clipc_tensor *weight)
{
    const clipc_onnx_bytes of_x = *activation_bytes(graph, name, x);
    const clipc_onnx_bytes of_weight =
        clipc_onnx_weight_bytes(graph, within(graph, name, "weight"), weight, CLIPC_ONNX_TRANSPOSED);
    const clipc_onnx_value product = NODE(graph, "MatMulInteger", within(graph, name, "integers"), of_x.bytes,
                                          of_weight.bytes, of_x.zero, of_weight.zero);
    return scaled(graph, name, product, &of_x, &of_weight);
}

clipc_onnx_value clipc_onnx_integer_patches(clipc_onnx_graph *graph, const char *name, clipc_onnx_value pixels,
                                            const clipc_tensor *weight, int64_t patch)
{
    const int64_t sides[2] = {patch, patch};
    const clipc_onnx_bytes of_x = *activation_bytes(graph, name, pixels);
    const clipc_onnx_bytes of_weight =
        clipc_onnx_weight_bytes(graph, within(graph, name, "weight"), weight, CLIPC_ONNX_AS_STORED);
    const clipc_onnx_value product = NODE(graph, "ConvInteger", within(graph, name, "integers"), of_x.bytes,
                                          of_weight.bytes, of_x.zero, of_weight.zero);
    clipc_onnx_set_integers(graph, "kernel_shape", sides, 2);
    clipc_onnx_set_integers(graph, "strides", sides, 2);
    return scaled(graph, name, product, &of_x, &of_weight);
}

clipc_onnx_value clipc_onnx_integer_rows(clipc_onnx_graph *graph, const char *name, const clipc_tensor *table,
                                         clipc_onnx_value ids)
{
    const clipc_onnx_bytes bytes = clipc_onnx_weight_bytes(graph, name, table, CLIPC_ONNX_AS_STORED);
    const clipc_onnx_value rows = NODE(graph, "Gather", within(graph, name, "bytes"), bytes.bytes, ids);
    return NODE(graph, "DequantizeLinear", within(graph, name, "rows"), rows, bytes.step, bytes.zero);
}
