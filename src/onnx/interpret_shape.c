/* Operators that move elements about: of constants they make views, of activations other layouts. */
#include "base/checked.h"
#include "onnx/interpret.h"
#include "onnx/interpret_parts.h"

#include <string.h>

typedef clipc_onnx_known known;

static bool is_something(const known *value)
{
    return value->constant || value->expression;
}

/* ---- what others use, too ---- */

static known select_constant(clipc_onnx_interpreter *in, const clipc_onnx_constant *from, size_t side, size_t begin,
                             size_t end, bool remove)
{
    clipc_onnx_constant *view = clipc_onnx_arena_cut(in->arena, 1, sizeof *view);
    if (!view)
        return (known){0};
    *view = *from;
    view->data += begin * from->strides[side] * clipc_dtype_size(from->dtype);
    view->shape[side] = end - begin;
    if (remove) {
        view->rank--;
        for (size_t i = side; i < view->rank; i++) {
            view->shape[i] = from->shape[i + 1];
            view->strides[i] = from->strides[i + 1];
        }
    }
    return clipc_onnx_of_constant(view);
}

static clipc_onnx_layout without_side(const clipc_onnx_layout *from, size_t side, bool remove)
{
    clipc_onnx_layout to = {0};
    for (size_t i = 0; i < from->rank; i++) {
        if (i != side)
            clipc_onnx_layout_copy_side(&to, from, i);
        else if (!remove)
            clipc_onnx_layout_open_side(&to);
    }
    return to;
}

/* A part of what a linear layer makes is a linear layer with a part of the weights. */
static known select_features(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *value,
                             size_t side, size_t begin, size_t end, bool remove)
{
    const clipc_onnx_expression *from = value->expression;
    const clipc_onnx_segment whole = value->layout->segments[value->layout->begin[side]];
    if (from->kind != CLIPC_ONNX_LINEAR || whole.size * whole.stride != from->features)
        return clipc_onnx_refuse(in, of, "takes a part of the features of what is no linear layer");
    clipc_onnx_expression part = *from;
    part.features = (end - begin) * whole.stride;
    const clipc_onnx_constant **parts[] = {&part.weight, &part.bias, &part.zero, &part.scale};
    for (size_t i = 0; i < 4; i++) {
        const clipc_onnx_constant *all = *parts[i];
        if (!all || clipc_onnx_constant_is_uniform(all))
            continue;
        *parts[i] = select_constant(in, all, all->rank - 1, begin * whole.stride, end * whole.stride, false).constant;
        if (!*parts[i])
            return (known){0};
    }
    clipc_onnx_layout layout = {0};
    for (size_t i = 0; i < value->layout->rank; i++) {
        if (i != side)
            clipc_onnx_layout_copy_side(&layout, value->layout, i);
        else if (!remove && clipc_onnx_layout_open_side(&layout))
            clipc_onnx_layout_add(&layout, CLIPC_ONNX_FEATURE, end - begin, whole.stride);
    }
    return clipc_onnx_of_expression(in, of, &part, &layout);
}

bool clipc_onnx_has_rows(clipc_onnx_kind kind)
{
    return (kind >= CLIPC_ONNX_PATCHES && kind <= CLIPC_ONNX_SUM) || kind == CLIPC_ONNX_LATER_TOKENS ||
           kind == CLIPC_ONNX_FUNCTION || kind == CLIPC_ONNX_NORM || kind == CLIPC_ONNX_UNIT;
}

/* One token, or those after the first ones. */
static known select_tokens(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *value, size_t side,
                           size_t begin, size_t end, bool remove)
{
    const bool one = end == begin + 1;
    clipc_onnx_expression rows =
        clipc_onnx_derive(one ? CLIPC_ONNX_ONE_TOKEN : CLIPC_ONNX_LATER_TOKENS, value->expression);
    rows.index = begin;
    rows.tokens = end - begin;
    clipc_onnx_layout to = without_side(value->layout, side, remove);
    if (!one) {
        to = (clipc_onnx_layout){0};
        for (size_t i = 0; i < value->layout->rank; i++) {
            if (i != side)
                clipc_onnx_layout_copy_side(&to, value->layout, i);
            else if (clipc_onnx_layout_open_side(&to))
                clipc_onnx_layout_add(&to, CLIPC_ONNX_TOKEN, rows.tokens, 1);
        }
    }
    return clipc_onnx_of_expression(in, of, &rows, &to);
}

known clipc_onnx_select(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *value, size_t side,
                        size_t begin, size_t end, bool remove)
{
    if (value->constant)
        return select_constant(in, value->constant, side, begin, end, remove);
    const clipc_onnx_layout *layout = value->layout;
    const size_t size = clipc_onnx_layout_size(layout, side);
    if (begin == 0 && end == size && (!remove || size == 1)) {
        const clipc_onnx_layout to = without_side(layout, side, true);
        return remove ? clipc_onnx_relaid(in, of, value, &to) : *value;
    }
    if (layout->begin[side + 1] == layout->begin[side] + 1) {
        if (layout->segments[layout->begin[side]].label == CLIPC_ONNX_FEATURE)
            return select_features(in, of, value, side, begin, end, remove);
        if ((end == begin + 1 || end == size) && clipc_onnx_has_rows(value->expression->kind) &&
            clipc_onnx_layout_is(layout, side, CLIPC_ONNX_TOKEN, value->expression->tokens))
            return select_tokens(in, of, value, side, begin, end, remove);
    }
    return clipc_onnx_refuse(in, of,
                             "takes elements %zu to %zu of %zu of side %zu, expected one token or a third of "
                             "the features",
                             begin, end - 1, size, side);
}

known clipc_onnx_reshaped(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *value,
                          const size_t *shape, size_t rank)
{
    if (value->constant) {
        const clipc_onnx_constant *made = clipc_onnx_constant_reshape(in->arena, value->constant, shape, rank);
        return made ? clipc_onnx_of_constant(made)
                    : clipc_onnx_refuse(in, of, "reshapes a constant that is too large to be turned");
    }
    clipc_onnx_layout to;
    if (!clipc_onnx_layout_reshape(value->layout, shape, rank, &to))
        return clipc_onnx_refuse(in, of, "cuts an activation where neither heads nor tokens end");
    return clipc_onnx_relaid(in, of, value, &to);
}

/* ---- operators ---- */

static void run_identity(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    of->outputs[0] = of->input_count ? of->inputs[0] : clipc_onnx_refuse(in, of, "has no input");
}

static size_t count_of(const known *value)
{
    return value->constant ? clipc_onnx_constant_count(value->constant) : clipc_onnx_layout_count(value->layout);
}

/* Zeros stand for the old side, -1 for what is left. */
static void run_reshape(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    int64_t wanted[CLIPC_ONNX_RANK];
    size_t shape[CLIPC_ONNX_RANK];
    size_t rank = 0;
    size_t open = SIZE_MAX;
    size_t product = 1;
    known *x = &of->inputs[0];
    of->outputs[0] = clipc_onnx_refuse(in, of, "its shape is none that the input has room for");
    if (!is_something(x) || !clipc_onnx_integers_of(of, NULL, 1, wanted, CLIPC_ONNX_RANK, &rank) ||
        rank > CLIPC_ONNX_RANK)
        return;
    for (size_t i = 0; i < rank; i++) {
        if (wanted[i] == 0 && i < clipc_onnx_rank_of(x) && !clipc_onnx_integer_of(of, "allowzero", 0))
            wanted[i] = (int64_t)clipc_onnx_side_of(x, i);
        if (wanted[i] == -1 && open == SIZE_MAX)
            open = i;
        else if (wanted[i] < 0 || !clipc_multiply(product, (size_t)wanted[i], &product))
            return;
        shape[i] = (size_t)wanted[i];
    }
    const size_t count = count_of(x);
    if (open != SIZE_MAX) {
        if (product == 0 || count % product != 0)
            return;
        shape[open] = count / product;
        product = count;
    }
    if (product == count)
        of->outputs[0] = clipc_onnx_reshaped(in, of, x, shape, rank);
}

static void run_flatten(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    known *x = &of->inputs[0];
    const size_t rank = clipc_onnx_rank_of(x);
    const int64_t axis = clipc_onnx_integer_of(of, "axis", 1);
    size_t at = rank;
    if (!is_something(x) || (axis != (int64_t)rank && !clipc_onnx_axis(axis, rank, &at))) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "its axis is none of the input");
        return;
    }
    size_t shape[2] = {1, 1};
    for (size_t i = 0; i < rank; i++)
        shape[i >= at] *= clipc_onnx_side_of(x, i);
    of->outputs[0] = clipc_onnx_reshaped(in, of, x, shape, 2);
}

static void run_transpose(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    known *x = &of->inputs[0];
    const size_t rank = clipc_onnx_rank_of(x);
    int64_t order[CLIPC_ONNX_RANK];
    size_t count = rank;
    unsigned seen = 0;
    for (size_t i = 0; i < rank; i++)
        order[i] = (int64_t)(rank - 1 - i);
    clipc_onnx_integers_of(of, "perm", SIZE_MAX, order, CLIPC_ONNX_RANK, &count);
    for (size_t i = 0; i < rank && i < count; i++)
        seen |= order[i] >= 0 && order[i] < (int64_t)rank ? 1u << order[i] : 0;
    if (!is_something(x) || count != rank || seen != (1u << rank) - 1) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "its order is no order of the input's sides");
        return;
    }
    if (x->expression) {
        clipc_onnx_layout to = {0};
        for (size_t i = 0; i < rank; i++)
            clipc_onnx_layout_copy_side(&to, x->layout, (size_t)order[i]);
        of->outputs[0] = clipc_onnx_relaid(in, of, x, &to);
        return;
    }
    clipc_onnx_constant *view = clipc_onnx_arena_cut(in->arena, 1, sizeof *view);
    if (!view)
        return;
    *view = *x->constant;
    for (size_t i = 0; i < rank; i++) {
        view->shape[i] = x->constant->shape[order[i]];
        view->strides[i] = x->constant->strides[order[i]];
    }
    of->outputs[0] = clipc_onnx_of_constant(view);
}

/* The input with sides of one element added or taken away: `flags` has a bit for each side that is. */
static void change_sides(clipc_onnx_interpreter *in, clipc_onnx_operation *of, unsigned flags, bool add)
{
    known *x = &of->inputs[0];
    const size_t rank = clipc_onnx_rank_of(x);
    size_t shape[CLIPC_ONNX_RANK];
    size_t to = 0;
    size_t from = 0;
    while (from < rank || (add && flags >> to)) {
        if (to >= CLIPC_ONNX_RANK && add) {
            of->outputs[0] = clipc_onnx_refuse(in, of, "makes more than %d sides", CLIPC_ONNX_RANK);
            return;
        }
        if (add && (flags >> to & 1))
            shape[to++] = 1;
        else if (from == rank)
            break;
        else if (!add && (flags >> from & 1))
            from++;
        else
            shape[to++] = clipc_onnx_side_of(x, from++);
    }
    of->outputs[0] = clipc_onnx_reshaped(in, of, x, shape, to);
}

static void run_unsqueeze(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    int64_t axes[CLIPC_ONNX_RANK];
    size_t count = 0;
    unsigned flags = 0;
    known *x = &of->inputs[0];
    bool good = is_something(x) && clipc_onnx_integers_of(of, "axes", 1, axes, CLIPC_ONNX_RANK, &count) &&
                count + clipc_onnx_rank_of(x) <= CLIPC_ONNX_RANK;
    for (size_t i = 0; good && i < count; i++) {
        size_t axis = 0;
        good = clipc_onnx_axis(axes[i], clipc_onnx_rank_of(x) + count, &axis) && !(flags >> axis & 1);
        flags |= 1u << axis;
    }
    if (good)
        change_sides(in, of, flags, true);
    else
        of->outputs[0] = clipc_onnx_refuse(in, of, "its axes are none of its output");
}

static void run_squeeze(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    int64_t axes[CLIPC_ONNX_RANK];
    size_t count = 0;
    unsigned flags = 0;
    known *x = &of->inputs[0];
    const size_t rank = clipc_onnx_rank_of(x);
    bool good = is_something(x);
    if (!clipc_onnx_integers_of(of, "axes", 1, axes, CLIPC_ONNX_RANK, &count)) {
        for (size_t i = 0; good && i < rank; i++)
            flags |= clipc_onnx_side_of(x, i) == 1 ? 1u << i : 0;
    }
    for (size_t i = 0; good && i < count; i++) {
        size_t axis = 0;
        good = count <= CLIPC_ONNX_RANK && clipc_onnx_axis(axes[i], rank, &axis) && clipc_onnx_side_of(x, axis) == 1;
        flags |= 1u << axis;
    }
    if (good)
        change_sides(in, of, flags, false);
    else
        of->outputs[0] = clipc_onnx_refuse(in, of, "its axes are no sides of one element");
}

static void run_shape(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    known *x = &of->inputs[0];
    const size_t rank = clipc_onnx_rank_of(x);
    int64_t begin = clipc_onnx_integer_of(of, "start", 0);
    int64_t end = clipc_onnx_integer_of(of, "end", (int64_t)rank);
    begin += begin < 0 ? (int64_t)rank : 0;
    end += end < 0 ? (int64_t)rank : 0;
    const size_t last = end < 0 ? 0 : clipc_min((size_t)end, rank);
    const size_t first = begin < 0 ? 0 : clipc_min((size_t)begin, last);
    const size_t count = last - first;
    void *values = NULL;
    const clipc_onnx_constant *made =
        is_something(x) ? clipc_onnx_constant_create(in->arena, CLIPC_DTYPE_I64, &count, 1, &values) : NULL;
    for (size_t i = 0; made && i < count; i++)
        ((int64_t *)values)[i] = (int64_t)clipc_onnx_side_of(x, first + i);
    of->outputs[0] = made ? clipc_onnx_of_constant(made) : clipc_onnx_refuse(in, of, "has no input");
}

/* ---- parts ---- */

static int64_t clamp(int64_t value, int64_t size)
{
    value += value < 0 ? size : 0;
    return value < 0 ? 0 : value > size ? size : value;
}

static void run_slice(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    int64_t begins[CLIPC_ONNX_RANK];
    int64_t ends[CLIPC_ONNX_RANK];
    int64_t axes[CLIPC_ONNX_RANK];
    int64_t steps[CLIPC_ONNX_RANK];
    size_t count = 0;
    size_t others[3] = {0};
    known x = of->inputs[0];
    of->outputs[0] = clipc_onnx_refuse(in, of, "does not cut a part out of its input");
    if (!is_something(&x) || !clipc_onnx_integers_of(of, "starts", 1, begins, CLIPC_ONNX_RANK, &count) ||
        !clipc_onnx_integers_of(of, "ends", 2, ends, CLIPC_ONNX_RANK, &others[0]) || count > CLIPC_ONNX_RANK ||
        others[0] != count)
        return;
    for (size_t i = 0; i < count; i++) {
        axes[i] = (int64_t)i;
        steps[i] = 1;
    }
    others[1] = others[2] = count;
    clipc_onnx_integers_of(of, "axes", 3, axes, CLIPC_ONNX_RANK, &others[1]);
    clipc_onnx_integers_of(of, NULL, 4, steps, CLIPC_ONNX_RANK, &others[2]);
    for (size_t i = 0; i < count; i++) {
        size_t side = 0;
        if (others[1] != count || others[2] != count || steps[i] != 1 ||
            !clipc_onnx_axis(axes[i], clipc_onnx_rank_of(&x), &side))
            return;
        const int64_t size = (int64_t)clipc_onnx_side_of(&x, side);
        const int64_t begin = clamp(begins[i] < -size ? -size : begins[i], size);
        const int64_t end = clamp(ends[i] < -size ? -size : ends[i], size);
        if (begin >= end && x.expression)
            return;
        x = clipc_onnx_select(in, of, &x, side, (size_t)begin, (size_t)(begin < end ? end : begin), false);
        if (x.refusal || !is_something(&x))
            break;
    }
    of->outputs[0] = x;
}

static void run_split(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    known *x = &of->inputs[0];
    int64_t sizes[CLIPC_ONNX_OUTPUTS];
    size_t count = 0;
    size_t side = 0;
    size_t begin = 0;
    of->outputs[0] = clipc_onnx_refuse(in, of, "does not split its input");
    if (!is_something(x) || of->output_count == 0 ||
        !clipc_onnx_axis(clipc_onnx_integer_of(of, "axis", 0), clipc_onnx_rank_of(x), &side))
        return;
    const size_t size = clipc_onnx_side_of(x, side);
    if (!clipc_onnx_integers_of(of, "split", 1, sizes, CLIPC_ONNX_OUTPUTS, &count)) {
        count = of->output_count;
        for (size_t i = 0; i < count; i++)
            sizes[i] = (int64_t)((size + count - 1) / count);
        sizes[count - 1] = (int64_t)size - (int64_t)(count - 1) * sizes[0];
    }
    if (count != of->output_count)
        return;
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] <= 0 || (size_t)sizes[i] > size - begin)
            return;
        const known part = clipc_onnx_select(in, of, x, side, begin, begin + (size_t)sizes[i], false);
        of->outputs[i] = part;
        if (part.refusal) {
            of->outputs[0] = part;
            return;
        }
        begin += (size_t)sizes[i];
    }
}

/* ---- repeating ---- */

static known expand_constant(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                             const clipc_onnx_constant *from, const int64_t *wanted, size_t rank)
{
    clipc_onnx_constant *view = clipc_onnx_arena_cut(in->arena, 1, sizeof *view);
    size_t count = 1;
    if (!view)
        return (known){0};
    *view = *from;
    view->rank = from->rank > rank ? from->rank : rank;
    for (size_t i = 0; i < view->rank; i++) { /* from the last side on */
        const size_t to = view->rank - 1 - i;
        const size_t size = i < from->rank ? from->shape[from->rank - 1 - i] : 1;
        const int64_t other = i < rank ? wanted[rank - 1 - i] : 1;
        if (other < 0 || (size != 1 && other != 1 && (size_t)other != size))
            return clipc_onnx_refuse(in, of, "its shape does not fit the input");
        view->shape[to] = size != 1 ? size : (size_t)other;
        view->strides[to] = size != 1 ? from->strides[from->rank - 1 - i] : 0;
        if (!clipc_multiply(count, view->shape[to], &count) || count > CLIPC_ONNX_COMPUTED << 10)
            return clipc_onnx_refuse(in, of, "makes more elements than a CLIP tower needs");
    }
    return clipc_onnx_of_constant(view);
}

/* Queries that all items have in common are those of each item. */
static clipc_onnx_label repeated(const clipc_onnx_interpreter *in, const known *x, int64_t count)
{
    return clipc_onnx_is_of_probe(x->expression) && (size_t)count == in->batch ? CLIPC_ONNX_BATCH : CLIPC_ONNX_REPEAT;
}

static known expand_activation(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *x,
                               const int64_t *wanted, size_t rank)
{
    clipc_onnx_layout to = {0};
    const size_t sides = x->layout->rank > rank ? x->layout->rank : rank;
    for (size_t i = sides; i-- > 0;) {
        const size_t back = i + 1;
        const bool has = back <= x->layout->rank;
        const size_t size = has ? clipc_onnx_layout_size(x->layout, x->layout->rank - back) : 1;
        const int64_t other = back <= rank ? wanted[rank - back] : 1;
        bool good = other > 0 && (other == 1 || size == 1 || (size_t)other == size);
        if (good && (size != 1 || other == 1))
            good = has ? clipc_onnx_layout_copy_side(&to, x->layout, x->layout->rank - back)
                       : clipc_onnx_layout_open_side(&to);
        else if (good)
            good = clipc_onnx_layout_open_side(&to) &&
                   clipc_onnx_layout_add(&to, repeated(in, x, other), (size_t)other, 1);
        if (!good)
            return clipc_onnx_refuse(in, of, "its shape does not fit the input");
    }
    return clipc_onnx_relaid(in, of, x, &to);
}

static void run_expand(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    int64_t wanted[CLIPC_ONNX_RANK];
    size_t rank = 0;
    known *x = &of->inputs[0];
    if (!is_something(x) || !clipc_onnx_integers_of(of, NULL, 1, wanted, CLIPC_ONNX_RANK, &rank) ||
        rank > CLIPC_ONNX_RANK)
        of->outputs[0] = clipc_onnx_refuse(in, of, "its shape is not known");
    else if (x->constant)
        of->outputs[0] = expand_constant(in, of, x->constant, wanted, rank);
    else
        of->outputs[0] = expand_activation(in, of, x, wanted, rank);
}

/* Sides of one element as often as wanted: what Expand does, too. */
static void run_tile(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    int64_t wanted[CLIPC_ONNX_RANK];
    size_t count = 0;
    known *x = &of->inputs[0];
    bool good = is_something(x) && clipc_onnx_integers_of(of, NULL, 1, wanted, CLIPC_ONNX_RANK, &count) &&
                count == clipc_onnx_rank_of(x);
    for (size_t i = 0; good && i < count; i++) {
        const int64_t side = (int64_t)clipc_onnx_side_of(x, i);
        good = wanted[i] == 1 || (wanted[i] > 0 && side == 1);
        wanted[i] = wanted[i] == 1 ? side : wanted[i];
    }
    if (!good)
        of->outputs[0] = clipc_onnx_refuse(in, of, "repeats more than sides of one element");
    else if (x->constant)
        of->outputs[0] = expand_constant(in, of, x->constant, wanted, count);
    else
        of->outputs[0] = expand_activation(in, of, x, wanted, count);
}

const clipc_onnx_operator_entry clipc_onnx_shape_operators[] = {
    {"Identity", run_identity},
    {"Dropout", run_identity},
    {"Reshape", run_reshape},
    {"Flatten", run_flatten},
    {"Transpose", run_transpose},
    {"Unsqueeze", run_unsqueeze},
    {"Squeeze", run_squeeze},
    {"Shape", run_shape},
    {"Slice", run_slice},
    {"Split", run_split},
    {"Expand", run_expand},
    {"Tile", run_tile},
    {NULL, NULL},
};
