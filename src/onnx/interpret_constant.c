/* Operators of constants alone: what exporters leave to be computed about shapes, indices and masks. */
#include "base/checked.h"
#include "onnx/interpret.h"

#include <math.h>
#include <string.h>

typedef clipc_onnx_known known;

/* ---- making ---- */

static known from_numbers(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const float *reals,
                          const int64_t *integers, size_t count, size_t rank)
{
    void *values = NULL;
    const clipc_onnx_constant *made =
        clipc_onnx_constant_create(in->arena, reals ? CLIPC_DTYPE_F32 : CLIPC_DTYPE_I64, &count, rank, &values);
    if (!made)
        return clipc_onnx_refuse(in, of, "is a constant that is too large");
    if (count)
        memcpy(values, reals ? (const void *)reals : (const void *)integers, count * (reals ? 4 : 8));
    return clipc_onnx_of_constant(made);
}

static void run_constant(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const Onnx__AttributeProto *tensor = clipc_onnx_attribute(of, "value");
    const Onnx__AttributeProto *real = clipc_onnx_attribute(of, "value_float");
    const Onnx__AttributeProto *integer = clipc_onnx_attribute(of, "value_int");
    const Onnx__AttributeProto *reals = clipc_onnx_attribute(of, "value_floats");
    const Onnx__AttributeProto *integers = clipc_onnx_attribute(of, "value_ints");
    clipc_onnx_constant *array = NULL;
    clipc_error error;
    if (tensor && tensor->t) {
        if (clipc_onnx_file_array_of(in->file, tensor->t, &array, &error) == CLIPC_OK)
            of->outputs[0] = clipc_onnx_of_constant(array);
        else
            of->outputs[0] = clipc_onnx_refuse(in, of, "%s", error.message);
    } else if (real) {
        of->outputs[0] = from_numbers(in, of, &real->f, NULL, 1, 0);
    } else if (integer) {
        of->outputs[0] = from_numbers(in, of, NULL, &integer->i, 1, 0);
    } else if (reals && reals->n_floats) {
        of->outputs[0] = from_numbers(in, of, reals->floats, NULL, reals->n_floats, 1);
    } else if (integers) {
        of->outputs[0] = from_numbers(in, of, NULL, integers->ints, integers->n_ints, 1);
    } else {
        of->outputs[0] = clipc_onnx_refuse(in, of, "holds no numbers");
    }
}

/* One element, repeated. */
static void run_constant_of_shape(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    static const float zero = 0;
    const Onnx__AttributeProto *value = clipc_onnx_attribute(of, "value");
    int64_t shape[CLIPC_ONNX_RANK];
    size_t rank = 0;
    size_t count = 1;
    clipc_onnx_constant *view = NULL;
    clipc_error error;
    of->outputs[0] = clipc_onnx_refuse(in, of, "its shape or value is not known");
    if (!clipc_onnx_integers_of(of, NULL, 0, shape, CLIPC_ONNX_RANK, &rank) || rank > CLIPC_ONNX_RANK)
        return;
    if (value && value->t) {
        if (clipc_onnx_file_array_of(in->file, value->t, &view, &error) != CLIPC_OK ||
            clipc_onnx_constant_count(view) != 1)
            return;
    } else {
        view = clipc_onnx_arena_cut(in->arena, 1, sizeof *view);
        if (!view)
            return;
        *view = (clipc_onnx_constant){.dtype = CLIPC_DTYPE_F32, .data = (const uint8_t *)&zero};
    }
    view->rank = rank;
    view->name = "";
    for (size_t i = 0; i < rank; i++) {
        if (shape[i] < 0 || !clipc_multiply(count, (size_t)shape[i], &count) || count > CLIPC_ONNX_COMPUTED << 10)
            return;
        view->shape[i] = (size_t)shape[i];
        view->strides[i] = 0;
    }
    of->outputs[0] = clipc_onnx_of_constant(view);
}

static bool read_scalar(const known *value, double *out)
{
    if (!value->constant || clipc_onnx_constant_count(value->constant) != 1)
        return false;
    *out = clipc_onnx_constant_real(value->constant, 0);
    return isfinite(*out);
}

static void run_range(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    double start = 0;
    double limit = 0;
    double step = 1;
    void *values = NULL;
    of->outputs[0] = clipc_onnx_refuse(in, of, "its limits are not known");
    if (!read_scalar(&of->inputs[0], &start) || !read_scalar(&of->inputs[1], &limit) ||
        !read_scalar(&of->inputs[2], &step) || step == 0)
        return;
    const double exact = ceil((limit - start) / step);
    const size_t count = exact > 0 && exact <= (double)CLIPC_ONNX_COMPUTED ? (size_t)exact : 0;
    const bool integer = clipc_onnx_constant_is_integer(of->inputs[0].constant);
    if ((exact > 0 && !count) || !clipc_onnx_afford(in, count))
        return;
    const clipc_onnx_constant *made =
        clipc_onnx_constant_create(in->arena, integer ? CLIPC_DTYPE_I64 : CLIPC_DTYPE_F32, &count, 1, &values);
    for (size_t i = 0; made && i < count; i++) {
        const double value = start + (double)i * step;
        if (integer)
            ((int64_t *)values)[i] = (int64_t)value;
        else
            ((float *)values)[i] = (float)value;
    }
    if (made)
        of->outputs[0] = clipc_onnx_of_constant(made);
}

/* ---- each element ---- */

bool clipc_onnx_function(const char *operator, double x, double *y)
{
    if (strcmp(operator, "Sigmoid") == 0)
        *y = 1 / (1 + exp(-x));
    else if (strcmp(operator, "Erf") == 0)
        *y = erf(x);
    else if (strcmp(operator, "Tanh") == 0)
        *y = tanh(x);
    else if (strcmp(operator, "Exp") == 0)
        *y = exp(x);
    else if (strcmp(operator, "Log") == 0)
        *y = log(x);
    else if (strcmp(operator, "Neg") == 0)
        *y = -x;
    else if (strcmp(operator, "Sqrt") == 0)
        *y = sqrt(x);
    else if (strcmp(operator, "Reciprocal") == 0)
        *y = 1 / x;
    else if (strcmp(operator, "Relu") == 0)
        *y = x > 0 ? x : 0;
    else if (strcmp(operator, "Abs") == 0)
        *y = fabs(x);
    else if (strcmp(operator, "Floor") == 0)
        *y = floor(x);
    else if (strcmp(operator, "Ceil") == 0)
        *y = ceil(x);
    else if (strcmp(operator, "Not") == 0)
        *y = x == 0;
    else if (strcmp(operator, "IsNaN") == 0)
        *y = isnan(x);
    else if (strcmp(operator, "IsInf") == 0)
        *y = isinf(x);
    else
        return false;
    return true;
}

static double modulo(double a, double b, bool truncated)
{
    const double rest = b != 0 ? fmod(a, b) : 0;
    return !truncated && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/* Integers of shapes and indices are exact in a double. */
static bool combine(const clipc_onnx_operation *of, double a, double b, bool integer, double *y)
{
    const char *name = of->node->op_type;
    if (strcmp(name, "Add") == 0)
        *y = a + b;
    else if (strcmp(name, "Sub") == 0)
        *y = a - b;
    else if (strcmp(name, "Mul") == 0)
        *y = a * b;
    else if (strcmp(name, "Div") == 0)
        *y = integer ? (b != 0 ? trunc(a / b) : 0) : a / b;
    else if (strcmp(name, "Mod") == 0)
        *y = modulo(a, b, clipc_onnx_integer_of(of, "fmod", 0) != 0);
    else if (strcmp(name, "Pow") == 0)
        *y = pow(a, b);
    else if (strcmp(name, "Min") == 0)
        *y = fmin(a, b);
    else if (strcmp(name, "Max") == 0)
        *y = fmax(a, b);
    else if (strcmp(name, "Equal") == 0)
        *y = a == b;
    else if (strcmp(name, "Less") == 0)
        *y = a < b;
    else if (strcmp(name, "LessOrEqual") == 0)
        *y = a <= b;
    else if (strcmp(name, "Greater") == 0)
        *y = a > b;
    else if (strcmp(name, "GreaterOrEqual") == 0)
        *y = a >= b;
    else if (strcmp(name, "And") == 0)
        *y = a != 0 && b != 0;
    else if (strcmp(name, "Or") == 0)
        *y = a != 0 || b != 0;
    else if (strcmp(name, "Xor") == 0)
        *y = (a != 0) != (b != 0);
    else
        return false;
    return true;
}

static bool is_truth(const char *name)
{
    static const char *const names[] = {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And",
                                        "Or",    "Xor",  "Not",         "IsNaN",   "IsInf"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* The shape of all inputs together, and each one's strides in it. */
static bool broadcast(const clipc_onnx_operation *of, size_t count, clipc_onnx_constant views[3])
{
    size_t rank = 0;
    size_t shape[CLIPC_ONNX_RANK];
    for (size_t i = 0; i < count; i++) {
        if (!of->inputs[i].constant)
            return false;
        views[i] = *of->inputs[i].constant;
        rank = clipc_max(rank, views[i].rank);
    }
    for (size_t side = 0; side < rank; side++) {
        shape[side] = 1;
        for (size_t i = 0; i < count; i++) {
            const clipc_onnx_constant *from = of->inputs[i].constant;
            const size_t missing = rank - from->rank;
            const size_t size = side < missing ? 1 : from->shape[side - missing];
            if (size != 1 && shape[side] != 1 && size != shape[side])
                return false;
            shape[side] = size != 1 ? size : shape[side];
        }
    }
    for (size_t i = 0; i < count; i++) {
        const clipc_onnx_constant *from = of->inputs[i].constant;
        const size_t missing = rank - from->rank;
        views[i].rank = rank;
        for (size_t side = 0; side < rank; side++) {
            views[i].shape[side] = shape[side];
            views[i].strides[side] =
                side < missing || from->shape[side - missing] == 1 ? 0 : from->strides[side - missing];
        }
    }
    return true;
}

static void put(void *values, clipc_dtype dtype, size_t i, double value)
{
    if (dtype == CLIPC_DTYPE_F32)
        ((float *)values)[i] = (float)value;
    else if (dtype == CLIPC_DTYPE_BOOL)
        ((uint8_t *)values)[i] = value != 0;
    else
        ((int64_t *)values)[i] = value >= 9e18 ? INT64_MAX : value > -9e18 ? (int64_t)value : INT64_MIN;
}

static double number_at(const clipc_onnx_constant *view, size_t flat)
{
    return clipc_onnx_constant_real(view, clipc_onnx_constant_offset(view, flat));
}

/* "Where" takes a truth and two numbers; the others one number or two. */
static bool compute_element(const clipc_onnx_operation *of, const clipc_onnx_constant *views, size_t count, size_t i,
                            bool integer, double *y)
{
    if (count == 1)
        return clipc_onnx_function(of->node->op_type, number_at(&views[0], i), y);
    if (count == 2)
        return combine(of, number_at(&views[0], i), number_at(&views[1], i), integer, y);
    *y = number_at(&views[0], i) != 0 ? number_at(&views[1], i) : number_at(&views[2], i);
    return true;
}

known clipc_onnx_compute(clipc_onnx_interpreter *in, const clipc_onnx_operation *of)
{
    clipc_onnx_constant views[3];
    void *values = NULL;
    const size_t count = of->input_count;
    if (count < 1 || count > 3 || !broadcast(of, count, views))
        return clipc_onnx_refuse(in, of, "its inputs do not fit each other");
    const bool integer = clipc_onnx_constant_is_integer(&views[count - 1]);
    const clipc_dtype dtype = is_truth(of->node->op_type) ? CLIPC_DTYPE_BOOL
                              : integer                   ? CLIPC_DTYPE_I64
                                                          : CLIPC_DTYPE_F32;
    const size_t elements = clipc_onnx_constant_count(&views[0]);
    clipc_onnx_constant *made =
        elements <= CLIPC_ONNX_COMPUTED && clipc_onnx_afford(in, elements)
            ? clipc_onnx_constant_create(in->arena, dtype, views[0].shape, views[0].rank, &values)
            : NULL;
    if (!made)
        return clipc_onnx_refuse(in, of, "computes %zu numbers from weights, too many to be done here", elements);
    made->name = of->inputs[count - 1].constant->name;
    for (size_t i = 0; i < elements; i++) {
        double value = 0;
        if (!compute_element(of, views, count, i, integer, &value))
            return clipc_onnx_refuse(in, of, "is not computed here");
        put(values, dtype, i, value);
    }
    return clipc_onnx_of_constant(made);
}

/* ---- masks and sums ---- */

static void run_trilu(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const clipc_onnx_constant *from = of->inputs[0].constant;
    double diagonal = 0;
    void *values = NULL;
    of->outputs[0] = clipc_onnx_refuse(in, of, "is not of a small constant matrix");
    if (!from || from->rank < 2 || (of->inputs[1].constant && !read_scalar(&of->inputs[1], &diagonal)))
        return;
    const bool upper = clipc_onnx_integer_of(of, "upper", 1) != 0;
    const bool integer = clipc_onnx_constant_is_integer(from);
    const size_t count = clipc_onnx_constant_count(from);
    const clipc_dtype dtype = from->dtype == CLIPC_DTYPE_BOOL ? CLIPC_DTYPE_BOOL
                              : integer                       ? CLIPC_DTYPE_I64
                                                              : CLIPC_DTYPE_F32;
    const clipc_onnx_constant *made =
        count <= CLIPC_ONNX_COMPUTED && clipc_onnx_afford(in, count)
            ? clipc_onnx_constant_create(in->arena, dtype, from->shape, from->rank, &values)
            : NULL;
    for (size_t i = 0; made && i < count; i++) {
        const double column = (double)(i % from->shape[from->rank - 1]);
        const double row = (double)(i / from->shape[from->rank - 1] % from->shape[from->rank - 2]);
        const bool kept = upper ? column - row >= diagonal : column - row <= diagonal;
        put(values, dtype, i, kept ? number_at(from, i) : 0);
    }
    if (made)
        of->outputs[0] = clipc_onnx_of_constant(made);
}

/* Of all elements: the number of elements of a shape. */
static void run_product(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const clipc_onnx_constant *from = of->inputs[0].constant;
    int64_t product = 1;
    of->outputs[0] = clipc_onnx_refuse(in, of, "is not of a shape");
    if (!from || from->rank != 1 || from->dtype != CLIPC_DTYPE_I64 || from->shape[0] > CLIPC_ONNX_RANK)
        return;
    for (size_t i = 0; i < from->shape[0]; i++)
        if (__builtin_mul_overflow(product, clipc_onnx_constant_integer(from, i * from->strides[0]), &product))
            return;
    of->outputs[0] = from_numbers(in, of, NULL, &product, 1, clipc_onnx_integer_of(of, "keepdims", 1) ? 1 : 0);
}

const clipc_onnx_operator_entry clipc_onnx_constant_operators[] = {
    {"Constant", run_constant},  {"ConstantOfShape", run_constant_of_shape},
    {"Range", run_range},        {"Trilu", run_trilu},
    {"ReduceProd", run_product}, {NULL, NULL},
};
