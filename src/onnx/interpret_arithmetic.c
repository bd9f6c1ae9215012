/* Operators of each element. Most of what they make is a function of one number, which is known by its values at some
 * points; layer normalisation, biases, positions, residuals and masks are told apart by what meets in them. */
#include "onnx/interpret.h"
#include "onnx/interpret_parts.h"

#include <math.h>
#include <string.h>

typedef clipc_onnx_known known;

const double clipc_onnx_sample_points[CLIPC_ONNX_SAMPLES] = {-6.5, -4.1,  -3.0, -2.2, -1.6, -1.1, -0.7, -0.3,
                                                             -0.1, 0.053, 0.4,  0.9,  1.4,  2.3,  3.4,  5.2};

static bool is_operator(const clipc_onnx_operation *of, const char *name)
{
    return strcmp(of->node->op_type, name) == 0;
}

/* ---- layouts that meet ---- */

static bool is_repeat(const clipc_onnx_layout *layout, size_t side)
{
    const size_t begin = layout->begin[side];
    return layout->begin[side + 1] == begin + 1 && layout->segments[begin].label == CLIPC_ONNX_REPEAT;
}

/* What two activations make together: sides of one element, and repeated ones, take the other's. */
static bool join_layouts(const clipc_onnx_layout *a, const clipc_onnx_layout *b, clipc_onnx_layout *out)
{
    const size_t rank = a->rank > b->rank ? a->rank : b->rank;
    *out = (clipc_onnx_layout){0};
    for (size_t back = rank; back > 0; back--) {
        const bool has_a = back <= a->rank;
        const bool has_b = back <= b->rank;
        const size_t i = a->rank - back;
        const size_t j = b->rank - back;
        const bool one_a = !has_a || a->begin[i + 1] == a->begin[i];
        const bool one_b = !has_b || b->begin[j + 1] == b->begin[j];
        if (one_a && one_b) {
            if (!clipc_onnx_layout_open_side(out))
                return false;
            continue;
        }
        const bool take_a = one_b || (!one_a && is_repeat(b, j));
        if (!one_a && !one_b && !is_repeat(a, i) && !is_repeat(b, j) && !clipc_onnx_layout_side_equal(a, i, b, j))
            return false;
        if (!one_a && !one_b && clipc_onnx_layout_size(a, i) != clipc_onnx_layout_size(b, j))
            return false;
        if (!clipc_onnx_layout_copy_side(out, take_a ? a : b, take_a ? i : j))
            return false;
    }
    return true;
}

/* The activation's layout, with sides of one element before it when the constant has more sides. False when the
 * constant would repeat the activation. */
static bool join_constant(const clipc_onnx_layout *a, const clipc_onnx_constant *constant, clipc_onnx_layout *out)
{
    const size_t rank = a->rank > constant->rank ? a->rank : constant->rank;
    *out = (clipc_onnx_layout){0};
    for (size_t back = rank; back > 0; back--) {
        const size_t size = back <= a->rank ? clipc_onnx_layout_size(a, a->rank - back) : 1;
        const size_t other = back <= constant->rank ? constant->shape[constant->rank - back] : 1;
        const bool good = other == 1 || other == size;
        if (!good || !(back <= a->rank ? clipc_onnx_layout_copy_side(out, a, a->rank - back)
                                       : clipc_onnx_layout_open_side(out)))
            return false;
    }
    return true;
}

const clipc_onnx_constant *clipc_onnx_over(clipc_onnx_interpreter *in, const known *activation,
                                           const clipc_onnx_constant *constant, bool tokens)
{
    const clipc_onnx_expression *of = activation->expression;
    const clipc_onnx_layout *layout = activation->layout;
    clipc_onnx_constant *view = clipc_onnx_arena_cut(in->arena, 1, sizeof *view);
    bool has_features = of->features == 1;
    bool has_tokens = of->tokens == 1;
    if (!view)
        return NULL;
    *view = *constant;
    view->rank = tokens ? 2 : 1;
    view->shape[0] = tokens ? of->tokens : of->features;
    view->shape[1] = of->features;
    view->strides[0] = view->strides[1] = 0;
    for (size_t back = 1; back <= constant->rank; back++) {
        const size_t stride = constant->strides[constant->rank - back];
        if (constant->shape[constant->rank - back] == 1 || stride == 0)
            continue;
        if (back > layout->rank)
            return NULL;
        const size_t side = layout->rank - back;
        if (clipc_onnx_layout_is(layout, side, CLIPC_ONNX_FEATURE, of->features)) {
            view->strides[tokens ? 1 : 0] = stride;
            has_features = true;
        } else if (tokens && clipc_onnx_layout_is(layout, side, CLIPC_ONNX_TOKEN, of->tokens)) {
            view->strides[0] = stride;
            has_tokens = true;
        } else {
            return NULL;
        }
    }
    return has_features && (has_tokens || !tokens) ? view : NULL;
}

/* ---- functions of one number ---- */

static const clipc_onnx_expression *argument_of(const clipc_onnx_expression *of)
{
    return of->kind == CLIPC_ONNX_FUNCTION ? of->base : of;
}

static const double *samples_of(const clipc_onnx_expression *of)
{
    return of->kind == CLIPC_ONNX_FUNCTION ? of->samples : clipc_onnx_sample_points;
}

/* The function itself when it is none but the identity. */
static known make_function(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                           const clipc_onnx_expression *argument, const double *samples,
                           const clipc_onnx_layout *layout)
{
    bool identity = true;
    double *copy = clipc_onnx_arena_cut(in->arena, CLIPC_ONNX_SAMPLES, sizeof *copy);
    if (!copy)
        return (known){0};
    for (size_t i = 0; i < CLIPC_ONNX_SAMPLES; i++) {
        const double point = clipc_onnx_sample_points[i];
        identity = identity && fabs(samples[i] - point) <= 1e-9 * fabs(point);
        copy[i] = samples[i];
    }
    if (identity) {
        const known same = {.expression = argument, .layout = layout};
        return clipc_onnx_relaid(in, of, &same, layout);
    }
    clipc_onnx_expression function = clipc_onnx_derive(CLIPC_ONNX_FUNCTION, argument);
    function.samples = copy;
    return clipc_onnx_of_expression(in, of, &function, layout);
}

static double quick_gelu(double x, double alpha)
{
    return x / (1 + exp(-alpha * x));
}

static double gelu(double x, bool by_tanh)
{
    return by_tanh ? 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)))
                   : 0.5 * x * (1 + erf(x / sqrt(2)));
}

static bool activate(const clipc_onnx_operation *of, double x, double *y)
{
    const Onnx__AttributeProto *approximate = clipc_onnx_attribute(of, "approximate");
    if (is_operator(of, "Gelu"))
        *y = gelu(x, approximate && approximate->s.len == 4 && memcmp(approximate->s.data, "tanh", 4) == 0);
    else if (is_operator(of, "FastGelu"))
        *y = gelu(x, true);
    else if (is_operator(of, "QuickGelu"))
        *y = quick_gelu(x, clipc_onnx_float_of(of, "alpha", 1.702));
    else
        return clipc_onnx_function(of->node->op_type, x, y);
    return true;
}

static known step_to(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *x, clipc_onnx_kind kind)
{
    clipc_onnx_expression next = *x->expression;
    next.kind = kind;
    return clipc_onnx_of_expression(in, of, &next, x->layout);
}

static void run_unary(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    double samples[CLIPC_ONNX_SAMPLES];
    if (of->input_count != 1 || !x->expression) {
        of->outputs[0] = clipc_onnx_compute(in, of);
        return;
    }
    if (is_operator(of, "Not") && clipc_onnx_negate_tokens(in, of))
        return;
    if (is_operator(of, "Sqrt") && clipc_onnx_is(x, CLIPC_ONNX_POSITIVE_VARIANCE))
        of->outputs[0] = step_to(in, of, x, CLIPC_ONNX_DEVIATION);
    else if (is_operator(of, "Sqrt") && clipc_onnx_is(x, CLIPC_ONNX_SUM_OF_SQUARES))
        of->outputs[0] = step_to(in, of, x, CLIPC_ONNX_LENGTH);
    else if (is_operator(of, "Reciprocal") && clipc_onnx_is(x, CLIPC_ONNX_DEVIATION))
        of->outputs[0] = step_to(in, of, x, CLIPC_ONNX_INVERSE_DEVIATION);
    else if (is_operator(of, "IsNaN") && clipc_onnx_is(x, CLIPC_ONNX_PROBABILITIES))
        of->outputs[0] = step_to(in, of, x, CLIPC_ONNX_IS_NAN);
    else {
        for (size_t i = 0; i < CLIPC_ONNX_SAMPLES; i++)
            if (!activate(of, samples_of(x->expression)[i], &samples[i])) {
                of->outputs[0] = clipc_onnx_refuse(in, of, "is an operator that no CLIP tower needs here");
                return;
            }
        of->outputs[0] = make_function(in, of, argument_of(x->expression), samples, x->layout);
    }
}

/* ---- with a constant ---- */

static bool numbers(const clipc_onnx_operation *of, double a, double b, double *y)
{
    if (is_operator(of, "Add"))
        *y = a + b;
    else if (is_operator(of, "Sub"))
        *y = a - b;
    else if (is_operator(of, "Mul"))
        *y = a * b;
    else if (is_operator(of, "Div"))
        *y = a / b;
    else if (is_operator(of, "Pow"))
        *y = pow(a, b);
    else if (is_operator(of, "Max"))
        *y = fmax(a, b);
    else if (is_operator(of, "Min"))
        *y = fmin(a, b);
    else
        return false;
    return true;
}

/* Steps that a number finishes; false when the number only makes a function. */
static bool finish_step(clipc_onnx_interpreter *in, clipc_onnx_operation *of, const known *x, double number,
                        bool number_first)
{
    clipc_onnx_expression next = *x->expression;
    const bool add = is_operator(of, "Add");
    const bool scale = is_operator(of, "Mul") || (is_operator(of, "Div") && !number_first);
    const bool power = is_operator(of, "Pow") && !number_first;
    if (next.kind == CLIPC_ONNX_VARIANCE && add) {
        next.kind = CLIPC_ONNX_POSITIVE_VARIANCE;
        next.number = number;
    } else if (next.kind == CLIPC_ONNX_CENTERED && power && number == 2) {
        next.kind = CLIPC_ONNX_SQUARES;
    } else if (next.kind == CLIPC_ONNX_POSITIVE_VARIANCE && power && number == 0.5) {
        next.kind = CLIPC_ONNX_DEVIATION;
    } else if ((next.kind == CLIPC_ONNX_POSITIVE_VARIANCE && power && number == -0.5) ||
               (next.kind == CLIPC_ONNX_DEVIATION && is_operator(of, "Div") && number_first && number == 1)) {
        next.kind = CLIPC_ONNX_INVERSE_DEVIATION;
    } else if (next.kind == CLIPC_ONNX_SUM_OF_SQUARES && power && number == 0.5) {
        next.kind = CLIPC_ONNX_LENGTH;
    } else if (next.kind == CLIPC_ONNX_SCORES && scale) {
        next.number *= is_operator(of, "Mul") ? number : 1 / number;
    } else if (!(next.kind == CLIPC_ONNX_LENGTH && (add || is_operator(of, "Max")) && fabs(number) < 1e-3) &&
               !(next.kind == CLIPC_ONNX_SCORES && add && number == 0)) {
        return false; /* what is left are guards against division by zero, and masks of nothing */
    }
    of->outputs[0] = clipc_onnx_of_expression(in, of, &next, x->layout);
    return true;
}

static known with_number(clipc_onnx_interpreter *in, clipc_onnx_operation *of, const known *x, double number,
                         bool number_first, const clipc_onnx_layout *layout)
{
    double samples[CLIPC_ONNX_SAMPLES];
    const double *given = samples_of(x->expression);
    for (size_t i = 0; i < CLIPC_ONNX_SAMPLES; i++)
        if (!numbers(of, number_first ? number : given[i], number_first ? given[i] : number, &samples[i]))
            return clipc_onnx_refuse(in, of, "is an operator that no CLIP tower needs here");
    return make_function(in, of, argument_of(x->expression), samples, layout);
}

static known with_array(clipc_onnx_interpreter *in, clipc_onnx_operation *of, const known *x,
                        const clipc_onnx_constant *array, const clipc_onnx_layout *layout)
{
    const known laid = {.expression = x->expression, .layout = layout};
    clipc_onnx_expression next = *x->expression;
    const bool add = is_operator(of, "Add");
    const clipc_onnx_constant *features = clipc_onnx_over(in, &laid, array, false);
    const clipc_onnx_constant *tokens = clipc_onnx_over(in, &laid, array, true);
    if (add && next.kind == CLIPC_ONNX_SCORES)
        return clipc_onnx_masked(in, of, &laid, array, CLIPC_ONNX_MASK_ADDED);
    if (add && next.kind == CLIPC_ONNX_PLACE)
        return clipc_onnx_flat_place(in, of, &laid, array);
    if (add && (next.kind == CLIPC_ONNX_LINEAR || next.kind == CLIPC_ONNX_PATCHES) && !next.bias && features) {
        next.bias = features;
    } else if (add && next.kind == CLIPC_ONNX_SCALED_NORMAL && features) {
        next.kind = CLIPC_ONNX_NORM;
        next.bias = features;
    } else if (is_operator(of, "Mul") && next.kind == CLIPC_ONNX_NORMAL && features) {
        next.kind = CLIPC_ONNX_SCALED_NORMAL;
        next.weight = features;
    } else if (add && tokens &&
               (next.kind == CLIPC_ONNX_EMBEDDED || next.kind == CLIPC_ONNX_WITH_CLASS ||
                next.kind == CLIPC_ONNX_WITH_MEAN || next.kind == CLIPC_ONNX_PATCHES)) {
        next = clipc_onnx_derive(CLIPC_ONNX_POSITIONED, x->expression);
        next.weight = tokens;
    } else {
        return clipc_onnx_refuse(in, of, "meets an array of constants that is no bias, position, mask or gain here");
    }
    return clipc_onnx_of_expression(in, of, &next, layout);
}

static void run_with_constant(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const bool first = of->inputs[0].constant;
    const known *x = &of->inputs[first ? 1 : 0];
    const clipc_onnx_constant *constant = of->inputs[first ? 0 : 1].constant;
    clipc_onnx_layout layout;
    if (clipc_onnx_is(x, CLIPC_ONNX_QUANTIZED_STEP) && is_operator(of, "Mul")) {
        of->outputs[0] = clipc_onnx_scaled_step(in, of, x, constant);
        return;
    }
    if (!join_constant(x->layout, constant, &layout)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "repeats an activation");
        return;
    }
    if (clipc_onnx_constant_is_uniform(constant)) {
        const double number = clipc_onnx_constant_real(constant, 0);
        if (clipc_onnx_number_meets_tokens(in, of, x, number) || finish_step(in, of, x, number, first))
            return;
        of->outputs[0] = with_number(in, of, x, number, first, &layout);
        return;
    }
    of->outputs[0] = with_array(in, of, x, constant, &layout);
}

/* ---- two activations ---- */

/* The steps of layer normalisation and of scaling to unit length; `b` is what `a` meets. */
static bool meet(const clipc_onnx_operation *of, const clipc_onnx_expression *a, const clipc_onnx_expression *b,
                 clipc_onnx_expression *out)
{
    *out = *a;
    if (is_operator(of, "Sub") && b->kind == CLIPC_ONNX_MEAN && b->base == a)
        *out = clipc_onnx_derive(CLIPC_ONNX_CENTERED, a);
    else if (is_operator(of, "Mul") && a->kind == CLIPC_ONNX_CENTERED && b->kind == CLIPC_ONNX_CENTERED &&
             a->base == b->base)
        out->kind = CLIPC_ONNX_SQUARES;
    else if (a->kind == CLIPC_ONNX_CENTERED && b->base == a->base &&
             ((is_operator(of, "Div") && b->kind == CLIPC_ONNX_DEVIATION) ||
              (is_operator(of, "Mul") && b->kind == CLIPC_ONNX_INVERSE_DEVIATION))) {
        out->kind = CLIPC_ONNX_NORMAL;
        out->number = b->number;
    } else if (is_operator(of, "Div") && b->kind == CLIPC_ONNX_LENGTH && b->base == a)
        *out = clipc_onnx_derive(CLIPC_ONNX_UNIT, a);
    else
        return false;
    return true;
}

static void run_with_activation(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *a = &of->inputs[0];
    const known *b = &of->inputs[1];
    const bool commutes = is_operator(of, "Add") || is_operator(of, "Mul");
    clipc_onnx_expression made;
    clipc_onnx_layout layout;
    double samples[CLIPC_ONNX_SAMPLES];
    if (is_operator(of, "Mul") && clipc_onnx_scaled_product(in, of))
        return;
    if (!join_layouts(a->layout, b->layout, &layout)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "meets an activation that lies otherwise");
        return;
    }
    if (meet(of, a->expression, b->expression, &made) || (commutes && meet(of, b->expression, a->expression, &made))) {
        of->outputs[0] = clipc_onnx_of_expression(in, of, &made, &layout);
        return;
    }
    if (argument_of(a->expression) == argument_of(b->expression)) {
        for (size_t i = 0; i < CLIPC_ONNX_SAMPLES; i++)
            if (!numbers(of, samples_of(a->expression)[i], samples_of(b->expression)[i], &samples[i])) {
                of->outputs[0] = clipc_onnx_refuse(in, of, "is an operator that no CLIP tower needs here");
                return;
            }
        of->outputs[0] = make_function(in, of, argument_of(a->expression), samples, &layout);
        return;
    }
    if (!is_operator(of, "Add") || a->expression->features != b->expression->features ||
        a->expression->tokens != b->expression->tokens) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "brings two activations together that do not meet in a CLIP tower");
        return;
    }
    made = clipc_onnx_derive(CLIPC_ONNX_SUM, a->expression);
    made.other = b->expression;
    of->outputs[0] = clipc_onnx_of_expression(in, of, &made, &layout);
}

/* Constants that meet their mean are queries, which are normalised. */
static void find_queries(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    for (size_t i = 0; i < 2; i++) {
        const clipc_onnx_constant *rows = of->inputs[i].constant;
        const known *mean = &of->inputs[1 - i];
        if (!rows || !clipc_onnx_is(mean, CLIPC_ONNX_MEAN) || mean->expression->base->kind != CLIPC_ONNX_PROBE ||
            mean->expression->base->weight->data != rows->data)
            continue;
        of->inputs[i] = clipc_onnx_probe_of(in, of, rows);
        if (of->inputs[i].expression)
            of->inputs[i].expression = mean->expression->base;
    }
}

static void run_binary(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    find_queries(in, of);
    const known *a = &of->inputs[0];
    const known *b = &of->inputs[1];
    if (of->input_count != 2 || (!a->constant && !a->expression) || (!b->constant && !b->expression))
        of->outputs[0] = clipc_onnx_refuse(in, of, "has not two inputs");
    else if (a->constant && b->constant)
        of->outputs[0] = clipc_onnx_compute(in, of);
    else if (clipc_onnx_add_keys(in, of))
        return;
    else if (a->constant || b->constant)
        run_with_constant(in, of);
    else
        run_with_activation(in, of);
}

/* A guard against division by zero is all that it is for in a CLIP tower. */
static void run_clip(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    of->outputs[0] = clipc_onnx_is(&of->inputs[0], CLIPC_ONNX_LENGTH)
                         ? of->inputs[0]
                         : clipc_onnx_refuse(in, of, "clips what is no length");
}

const clipc_onnx_operator_entry clipc_onnx_arithmetic_operators[] = {
    {"Add", run_binary},
    {"Sub", run_binary},
    {"Mul", run_binary},
    {"Div", run_binary},
    {"Pow", run_binary},
    {"Mod", run_binary},
    {"Min", run_binary},
    {"Max", run_binary},
    {"Equal", run_binary},
    {"Less", run_binary},
    {"LessOrEqual", run_binary},
    {"Greater", run_binary},
    {"GreaterOrEqual", run_binary},
    {"And", run_binary},
    {"Or", run_binary},
    {"Xor", run_binary},
    {"Sigmoid", run_unary},
    {"Erf", run_unary},
    {"Tanh", run_unary},
    {"Exp", run_unary},
    {"Log", run_unary},
    {"Neg", run_unary},
    {"Sqrt", run_unary},
    {"Reciprocal", run_unary},
    {"Relu", run_unary},
    {"Abs", run_unary},
    {"Floor", run_unary},
    {"Ceil", run_unary},
    {"Not", run_unary},
    {"IsNaN", run_unary},
    {"IsInf", run_unary},
    {"Gelu", run_unary},
    {"FastGelu", run_unary},
    {"QuickGelu", run_unary},
    {"Clip", run_clip},
    {NULL, NULL},
};
