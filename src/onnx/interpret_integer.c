/* ONNX Runtime's dynamic quantisation: an activation becomes integers by a step found at run time, is multiplied by
 * integer weights, and is scaled by both steps. What is left of it here are the weights. */
#include "onnx/interpret.h"
#include "onnx/interpret_parts.h"

typedef clipc_onnx_known known;

/* Zeros and scales: one number, or one for each output; NULL for anything else. */
static const clipc_onnx_constant *per_output(clipc_onnx_interpreter *in, const clipc_onnx_constant *from)
{
    size_t varying = 0;
    size_t sides = 0;
    clipc_onnx_constant *view = clipc_onnx_arena_cut(in->arena, 1, sizeof *view);
    for (size_t i = 0; i < from->rank; i++) {
        varying = from->shape[i] != 1 ? i : varying;
        sides += from->shape[i] != 1;
    }
    if (!view || sides > 1)
        return NULL;
    *view = *from;
    view->rank = sides;
    view->shape[0] = sides ? from->shape[varying] : 1;
    view->strides[0] = sides ? from->strides[varying] : 0;
    return view;
}

static void run_quantize(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    const clipc_onnx_layout scalar = {0};
    if (!x->expression || of->output_count != 3) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "is not of an activation");
        return;
    }
    const clipc_onnx_expression integers = clipc_onnx_derive(CLIPC_ONNX_QUANTIZED, x->expression);
    const clipc_onnx_expression step = clipc_onnx_derive(CLIPC_ONNX_QUANTIZED_STEP, x->expression);
    const clipc_onnx_expression zero = clipc_onnx_derive(CLIPC_ONNX_QUANTIZED_ZERO, x->expression);
    of->outputs[0] = clipc_onnx_of_expression(in, of, &integers, x->layout);
    of->outputs[1] = clipc_onnx_of_expression(in, of, &step, &scalar);
    of->outputs[2] = clipc_onnx_of_expression(in, of, &zero, &scalar);
}

/* Integers of an activation and of a weight, with the zero of each. */
static bool read_product(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const clipc_onnx_constant **zero)
{
    const known *x = &of->inputs[0];
    const clipc_onnx_constant *given = of->inputs[3].constant;
    *zero = given ? per_output(in, given) : NULL;
    return clipc_onnx_is(x, CLIPC_ONNX_QUANTIZED) && of->inputs[1].constant &&
           (of->inputs[1].constant->dtype == CLIPC_DTYPE_U8 || of->inputs[1].constant->dtype == CLIPC_DTYPE_I8) &&
           clipc_onnx_is(&of->inputs[2], CLIPC_ONNX_QUANTIZED_ZERO) &&
           of->inputs[2].expression->base == x->expression->base && !of->inputs[3].expression && (*zero || !given);
}

/* `made` is of the integers, and becomes one of what they stand for. */
static known of_activation(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *made)
{
    if (!made->expression)
        return *made;
    clipc_onnx_expression product = *made->expression;
    product.base = product.base->base;
    return clipc_onnx_of_expression(in, of, &product, made->layout);
}

static void run_matmul_integer(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const clipc_onnx_constant *zero = NULL;
    if (!read_product(in, of, &zero)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "is not of a quantised activation and constants");
        return;
    }
    const known made =
        clipc_onnx_linear_of(in, of, &of->inputs[0], of->inputs[1].constant, false, CLIPC_ONNX_INTEGER_PRODUCT, zero);
    of->outputs[0] = of_activation(in, of, &made);
}

static void run_conv_integer(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const clipc_onnx_constant *zero = NULL;
    if (!read_product(in, of, &zero) || of->inputs[0].expression->base->kind != CLIPC_ONNX_PIXELS) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "is not of quantised pixels and constants");
        return;
    }
    const known made =
        clipc_onnx_patches_of(in, of, &of->inputs[0], of->inputs[1].constant, CLIPC_ONNX_INTEGER_PRODUCT, zero);
    of->outputs[0] = of_activation(in, of, &made);
}

known clipc_onnx_scaled_step(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *step,
                             const clipc_onnx_constant *scale)
{
    clipc_onnx_expression next = *step->expression;
    const bool again = next.scale;
    next.scale = per_output(in, scale);
    if (again || !next.scale || clipc_onnx_constant_is_integer(scale))
        return clipc_onnx_refuse(in, of, "the step of integers is scaled by what is no step of a weight");
    return clipc_onnx_of_expression(in, of, &next, step->layout);
}

bool clipc_onnx_scaled_product(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const bool first = clipc_onnx_is(&of->inputs[0], CLIPC_ONNX_INTEGER_PRODUCT);
    const known *product = &of->inputs[first ? 0 : 1];
    const known *step = &of->inputs[first ? 1 : 0];
    if (!clipc_onnx_is(product, CLIPC_ONNX_INTEGER_PRODUCT))
        return false;
    if (!clipc_onnx_is(step, CLIPC_ONNX_QUANTIZED_STEP) || !step->expression->scale ||
        step->expression->base != product->expression->base) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "a product of integers is scaled by what are not its steps");
        return true;
    }
    clipc_onnx_expression next = *product->expression;
    next.kind = (clipc_onnx_kind)next.index;
    next.scale = step->expression->scale;
    const bool fits = next.scale->rank == 0 || next.scale->shape[0] == next.features;
    of->outputs[0] = fits ? clipc_onnx_of_expression(in, of, &next, product->layout)
                          : clipc_onnx_refuse(in, of, "scales are not one for each output");
    return true;
}

/* A small table, with one step. */
static known dequantize_constant(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                 const clipc_onnx_constant *from, float scale, int64_t zero)
{
    const size_t count = clipc_onnx_constant_count(from);
    void *values = NULL;
    clipc_onnx_constant *made =
        count <= CLIPC_ONNX_COMPUTED && clipc_onnx_afford(in, count)
            ? clipc_onnx_constant_create(in->arena, CLIPC_DTYPE_F32, from->shape, from->rank, &values)
            : NULL;
    if (!made)
        return clipc_onnx_refuse(in, of, "makes floats of %zu constants, too many to be done here", count);
    made->name = from->name;
    for (size_t i = 0; i < count; i++)
        ((float *)values)[i] =
            (float)(clipc_onnx_constant_integer(from, clipc_onnx_constant_offset(from, i)) - zero) * scale;
    return clipc_onnx_of_constant(made);
}

/* Of rows that were looked up in a table of integers, or of such a table. */
static void run_dequantize(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    const clipc_onnx_constant *scale = of->inputs[1].constant;
    const clipc_onnx_constant *zero = of->inputs[2].constant;
    const bool one = scale && clipc_onnx_constant_count(scale) == 1 && !clipc_onnx_constant_is_integer(scale) &&
                     !of->inputs[2].expression && (!zero || clipc_onnx_constant_count(zero) == 1);
    if (one && x->constant && clipc_onnx_constant_is_integer(x->constant)) {
        of->outputs[0] = dequantize_constant(in, of, x->constant, (float)clipc_onnx_constant_real(scale, 0),
                                             zero ? clipc_onnx_constant_integer(zero, 0) : 0);
        return;
    }
    if (!one || !clipc_onnx_is(x, CLIPC_ONNX_EMBEDDED) || x->expression->scale ||
        !clipc_onnx_constant_is_integer(x->expression->weight)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "is not of rows of a table of integers, with one step");
        return;
    }
    clipc_onnx_expression next = *x->expression;
    next.scale = per_output(in, scale);
    next.zero = zero ? per_output(in, zero) : NULL;
    of->outputs[0] = clipc_onnx_of_expression(in, of, &next, x->layout);
}

const clipc_onnx_operator_entry clipc_onnx_integer_operators[] = {
    {"DynamicQuantizeLinear", run_quantize},
    {"MatMulInteger", run_matmul_integer},
    {"ConvInteger", run_conv_integer},
    {"DequantizeLinear", run_dequantize},
    {NULL, NULL},
};
