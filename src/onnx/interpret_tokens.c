/* Operators that look rows up, join them and choose among them: the class token, the token embedding, and the many
 * ways in which exporters take the row of the end token. */
#include "onnx/interpret.h"
#include "onnx/interpret_parts.h"

#include <math.h>
#include <string.h>

typedef clipc_onnx_known known;

/* ---- types ---- */

static known cast_constant(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const clipc_onnx_constant *from,
                           int64_t type)
{
    const bool integer = clipc_onnx_constant_is_integer(from);
    const bool to_real = type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
                         type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE ||
                         type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
    const bool to_truth = type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
    const size_t count = clipc_onnx_constant_count(from);
    void *values = NULL;
    if (!integer &&
        (to_real || (type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 && from->dtype == CLIPC_DTYPE_BF16))) {
        clipc_onnx_constant *view = clipc_onnx_arena_cut(in->arena, 1, sizeof *view);
        if (!view)
            return (known){0};
        *view = *from;
        view->halved |= type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 && from->dtype != CLIPC_DTYPE_F16;
        return clipc_onnx_of_constant(view);
    }
    if (type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
        return clipc_onnx_refuse(in, of, "rounds constants to bf16");
    if (integer && !to_real && !to_truth)
        return clipc_onnx_of_constant(from);
    const clipc_dtype dtype = to_real ? CLIPC_DTYPE_F32 : to_truth ? CLIPC_DTYPE_BOOL : CLIPC_DTYPE_I64;
    clipc_onnx_constant *made = count <= CLIPC_ONNX_COMPUTED && clipc_onnx_afford(in, count)
                                    ? clipc_onnx_constant_create(in->arena, dtype, from->shape, from->rank, &values)
                                    : NULL;
    if (!made)
        return clipc_onnx_refuse(in, of, "converts %zu numbers, too many to be done here", count);
    for (size_t i = 0; i < count; i++) {
        const size_t offset = clipc_onnx_constant_offset(from, i);
        const double value = clipc_onnx_constant_real(from, offset);
        if (to_real)
            ((float *)values)[i] = (float)value;
        else if (to_truth)
            ((uint8_t *)values)[i] = value != 0;
        else
            ((int64_t *)values)[i] = clipc_onnx_constant_integer(from, offset);
    }
    return clipc_onnx_of_constant(made);
}

static void run_cast(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    of->outputs[0] = x->constant ? cast_constant(in, of, x->constant, clipc_onnx_integer_of(of, "to", 0)) : *x;
}

/* Numbers of activations are what they are, whatever holds them. */
static void run_cast_like(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    const known *like = &of->inputs[1];
    const bool same = x->expression || (like->constant && x->constant->dtype == like->constant->dtype) ||
                      (like->expression && x->constant && !clipc_onnx_constant_is_integer(x->constant));
    of->outputs[0] = same ? *x : clipc_onnx_refuse(in, of, "converts constants");
}

/* ---- ids and places ---- */

static void truth_like(clipc_onnx_interpreter *in, clipc_onnx_operation *of, const known *x, bool truth)
{
    static const uint8_t truths[2] = {0, 1};
    clipc_onnx_constant *made = clipc_onnx_arena_cut(in->arena, 1, sizeof *made);
    if (!made)
        return;
    *made =
        (clipc_onnx_constant){.name = "", .dtype = CLIPC_DTYPE_BOOL, .rank = x->layout->rank, .data = &truths[truth]};
    for (size_t i = 0; i < made->rank; i++)
        made->shape[i] = clipc_onnx_layout_size(x->layout, i);
    of->outputs[0] = clipc_onnx_of_constant(made);
}

bool clipc_onnx_number_meets_tokens(clipc_onnx_interpreter *in, clipc_onnx_operation *of, const known *x,
                                    double number)
{
    const char *name = of->node->op_type;
    const clipc_onnx_kind kind = x->expression->kind;
    if (kind == CLIPC_ONNX_IDS) {
        clipc_onnx_expression made = clipc_onnx_derive(CLIPC_ONNX_IS_TOKEN, x->expression);
        made.index = (size_t)(number >= 0 && number < 1e9 ? number : 1e9);
        of->outputs[0] = strcmp(name, "Equal") == 0 ? clipc_onnx_of_expression(in, of, &made, x->layout)
                                                    : clipc_onnx_refuse(in, of, "computes with token ids");
        return true;
    }
    if (kind != CLIPC_ONNX_PLACE && kind != CLIPC_ONNX_FLAT_PLACE && kind != CLIPC_ONNX_IS_TOKEN)
        return false;
    const bool first = of->inputs[0].expression;
    if ((strcmp(name, "Add") == 0 && number == 0) || (strcmp(name, "Mul") == 0 && number == 1))
        of->outputs[0] = *x;
    else if (first && number == 0 && strcmp(name, "Less") == 0)
        truth_like(in, of, x, false);
    else if (first && number == 0 && strcmp(name, "GreaterOrEqual") == 0)
        truth_like(in, of, x, true);
    else
        of->outputs[0] = clipc_onnx_refuse(in, of, "computes with the place of the end token");
    return true;
}

/* Whether the elements are 0, step, 2 step, …, as many as items. */
static bool counts_items(const clipc_onnx_interpreter *in, const clipc_onnx_constant *from, size_t step)
{
    if (clipc_onnx_constant_count(from) != in->batch || in->batch > CLIPC_ONNX_COMPUTED)
        return false;
    for (size_t i = 0; i < in->batch; i++)
        if (clipc_onnx_constant_integer(from, clipc_onnx_constant_offset(from, i)) != (int64_t)(i * step))
            return false;
    return true;
}

known clipc_onnx_flat_place(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *place,
                            const clipc_onnx_constant *offsets)
{
    if (!counts_items(in, offsets, place->expression->tokens))
        return clipc_onnx_refuse(in, of, "adds to the place of the end token what is not the first row of each item");
    clipc_onnx_expression flat = *place->expression;
    flat.kind = CLIPC_ONNX_FLAT_PLACE;
    return clipc_onnx_of_expression(in, of, &flat, place->layout);
}

static void run_arg_max(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    size_t axis = 0;
    clipc_onnx_layout layout = {0};
    if ((!clipc_onnx_is(x, CLIPC_ONNX_IDS) && !clipc_onnx_is(x, CLIPC_ONNX_IS_TOKEN)) ||
        !clipc_onnx_axis(clipc_onnx_integer_of(of, "axis", 0), x->layout->rank, &axis) ||
        !clipc_onnx_layout_is(x->layout, axis, CLIPC_ONNX_TOKEN, x->expression->tokens) ||
        clipc_onnx_integer_of(of, "select_last_index", 0)) {
        of->outputs[0] =
            clipc_onnx_refuse(in, of, "is not the first of the largest token ids, or of those equal to one");
        return;
    }
    clipc_onnx_layout_reduce(&layout, x->layout, axis, clipc_onnx_integer_of(of, "keepdims", 1) != 0);
    const clipc_onnx_expression place = clipc_onnx_derive(CLIPC_ONNX_PLACE, x->expression);
    of->outputs[0] = clipc_onnx_of_expression(in, of, &place, &layout);
}

/* ---- looking up ---- */

static clipc_onnx_expression pooled(const known *x, const known *place)
{
    clipc_onnx_expression made = clipc_onnx_derive(CLIPC_ONNX_POOLED, x->expression);
    made.tokens = 1;
    made.other = place->expression;
    return made;
}

static bool is_scalar_batch(const clipc_onnx_interpreter *in, const clipc_onnx_layout *layout, size_t sides)
{
    if (layout->rank < sides || !clipc_onnx_layout_is(layout, 0, CLIPC_ONNX_BATCH, in->batch))
        return false;
    for (size_t i = 1; i < sides; i++)
        if (layout->begin[i + 1] != layout->begin[i])
            return false;
    return layout->rank == sides;
}

static void gather_tokens(clipc_onnx_interpreter *in, clipc_onnx_operation *of, const clipc_onnx_constant *table,
                          const known *ids, size_t axis)
{
    clipc_onnx_expression made = clipc_onnx_derive(CLIPC_ONNX_EMBEDDED, ids->expression);
    clipc_onnx_layout layout = *ids->layout;
    if (!clipc_onnx_is(ids, CLIPC_ONNX_IDS) || table->rank != 2 || axis != 0) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "looks up in a table by what are not the token ids");
        return;
    }
    made.features = table->shape[1];
    made.weight = table;
    clipc_onnx_layout_open_side(&layout);
    clipc_onnx_layout_add(&layout, CLIPC_ONNX_FEATURE, made.features, 1);
    of->outputs[0] = clipc_onnx_of_expression(in, of, &made, &layout);
}

/* Rows that are counted through all items: sides [items × tokens, features]. */
static void gather_flat(clipc_onnx_interpreter *in, clipc_onnx_operation *of, const known *x, const known *place,
                        size_t axis)
{
    clipc_onnx_layout rows = {0};
    const clipc_onnx_layout *from = x->layout;
    clipc_onnx_layout_open_side(&rows);
    clipc_onnx_layout_add(&rows, CLIPC_ONNX_BATCH, in->batch, 1);
    clipc_onnx_layout_add(&rows, CLIPC_ONNX_TOKEN, x->expression->tokens, 1);
    const bool flat =
        clipc_onnx_is(place, CLIPC_ONNX_FLAT_PLACE) || (in->batch == 1 && clipc_onnx_is(place, CLIPC_ONNX_PLACE));
    if (!flat || axis != 0 || from->rank != 2 || !clipc_onnx_layout_side_equal(from, 0, &rows, 0) ||
        !is_scalar_batch(in, place->layout, 1)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "takes rows by what is not the place of the end token");
        return;
    }
    clipc_onnx_layout layout = {0};
    clipc_onnx_layout_copy_side(&layout, place->layout, 0);
    clipc_onnx_layout_copy_side(&layout, from, 1);
    const clipc_onnx_expression made = pooled(x, place);
    of->outputs[0] = clipc_onnx_of_expression(in, of, &made, &layout);
}

static int64_t from_the_end(int64_t index, size_t size)
{
    return index < 0 ? index + (int64_t)size : index;
}

/* Constants by constants: a part, when the indices follow each other, else a small copy. */
static void gather_constants(clipc_onnx_interpreter *in, clipc_onnx_operation *of, const clipc_onnx_constant *data,
                             const clipc_onnx_constant *indices, size_t axis)
{
    const size_t count = clipc_onnx_constant_count(indices);
    const size_t size = data->shape[axis];
    size_t shape[2 * CLIPC_ONNX_RANK];
    size_t rank = 0;
    bool follow = count > 0;
    of->outputs[0] = clipc_onnx_refuse(in, of, "takes parts of constants in an order that is not computed here");
    if (count > CLIPC_ONNX_COMPUTED || !clipc_onnx_afford(in, count) || data->rank + indices->rank > CLIPC_ONNX_RANK)
        return;
    const int64_t first = count ? from_the_end(clipc_onnx_constant_integer(indices, 0), size) : 0;
    for (size_t i = 0; i < count; i++) {
        const int64_t index =
            from_the_end(clipc_onnx_constant_integer(indices, clipc_onnx_constant_offset(indices, i)), size);
        if (index < 0 || index >= (int64_t)size)
            return;
        follow = follow && index == first + (int64_t)i;
    }
    for (size_t i = 0; i < data->rank; i++) {
        if (i != axis) {
            shape[rank++] = data->shape[i];
            continue;
        }
        for (size_t j = 0; j < indices->rank; j++)
            shape[rank++] = indices->shape[j];
    }
    const known whole = clipc_onnx_of_constant(data);
    if (follow) {
        const known part = clipc_onnx_select(in, of, &whole, axis, (size_t)first, (size_t)first + count, false);
        of->outputs[0] = part.constant ? clipc_onnx_reshaped(in, of, &part, shape, rank) : part;
        return;
    }
    void *values = NULL;
    const bool integer = clipc_onnx_constant_is_integer(data);
    clipc_onnx_constant *made =
        clipc_onnx_constant_create(in->arena, integer ? CLIPC_DTYPE_I64 : CLIPC_DTYPE_F32, shape, rank, &values);
    if (!made || !clipc_onnx_afford(in, clipc_onnx_constant_count(made)))
        return;
    size_t inner = 1;
    for (size_t i = axis + 1; i < data->rank; i++)
        inner *= data->shape[i];
    for (size_t i = 0; i < clipc_onnx_constant_count(made); i++) {
        const int64_t index = from_the_end(
            clipc_onnx_constant_integer(indices, clipc_onnx_constant_offset(indices, i / inner % count)), size);
        const size_t flat = (i / (inner * count) * size + (size_t)index) * inner + i % inner;
        const size_t offset = clipc_onnx_constant_offset(data, flat);
        if (integer)
            ((int64_t *)values)[i] = clipc_onnx_constant_integer(data, offset);
        else
            ((float *)values)[i] = (float)clipc_onnx_constant_real(data, offset);
    }
    of->outputs[0] = clipc_onnx_of_constant(made);
}

static void run_gather(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *data = &of->inputs[0];
    const known *indices = &of->inputs[1];
    const clipc_onnx_constant *constant = indices->constant;
    size_t axis = 0;
    if ((!data->constant && !data->expression) || (!constant && !indices->expression) ||
        !clipc_onnx_axis(clipc_onnx_integer_of(of, "axis", 0), clipc_onnx_rank_of(data), &axis)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "has no data or no indices");
    } else if (data->constant && constant) {
        gather_constants(in, of, data->constant, constant, axis);
    } else if (data->constant) {
        gather_tokens(in, of, data->constant, indices, axis);
    } else if (!constant) {
        gather_flat(in, of, data, indices, axis);
    } else {
        const size_t size = clipc_onnx_side_of(data, axis);
        const int64_t index = from_the_end(clipc_onnx_constant_integer(constant, 0), size);
        const bool one =
            constant->rank <= 1 && clipc_onnx_constant_count(constant) == 1 && index >= 0 && index < (int64_t)size;
        of->outputs[0] =
            one ? clipc_onnx_select(in, of, data, axis, (size_t)index, (size_t)index + 1, constant->rank == 0)
                : clipc_onnx_refuse(in, of, "takes several parts of an activation, expected one token");
    }
}

/* x [items, tokens, features] at (item, place), or at the place of each item. */
static void run_gather_nd(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    const known *place = &of->inputs[1];
    const bool each = clipc_onnx_integer_of(of, "batch_dims", 0) == 1 && clipc_onnx_is(place, CLIPC_ONNX_PLACE) &&
                      is_scalar_batch(in, place->layout, 2);
    const bool pairs =
        clipc_onnx_integer_of(of, "batch_dims", 0) == 0 && clipc_onnx_is(place, CLIPC_ONNX_INDEXED_PLACE);
    if (!x->expression || !(each || pairs) || x->layout->rank != 3 ||
        !clipc_onnx_layout_is(x->layout, 0, CLIPC_ONNX_BATCH, in->batch) ||
        !clipc_onnx_layout_is(x->layout, 1, CLIPC_ONNX_TOKEN, x->expression->tokens) ||
        place->expression->tokens != x->expression->tokens) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "takes rows by what is not the place of the end token");
        return;
    }
    clipc_onnx_layout layout = {0};
    clipc_onnx_layout_copy_side(&layout, x->layout, 0);
    clipc_onnx_layout_copy_side(&layout, x->layout, 2);
    const clipc_onnx_expression made = pooled(x, place);
    of->outputs[0] = clipc_onnx_of_expression(in, of, &made, &layout);
}

/* ---- joining ---- */

static void join_constants(clipc_onnx_interpreter *in, clipc_onnx_operation *of, size_t axis)
{
    const clipc_onnx_constant *first = of->inputs[0].constant;
    size_t shape[CLIPC_ONNX_RANK];
    size_t inner = 1;
    size_t total = 0;
    void *values = NULL;
    of->outputs[0] = clipc_onnx_refuse(in, of, "joins constants that do not fit, or too many");
    memcpy(shape, first->shape, sizeof shape);
    for (size_t i = axis + 1; i < first->rank; i++)
        inner *= first->shape[i];
    for (size_t i = 0; i < of->input_count; i++) {
        const clipc_onnx_constant *part = of->inputs[i].constant;
        for (size_t side = 0; side < first->rank; side++)
            if (part->rank != first->rank || (side != axis && part->shape[side] != first->shape[side]) ||
                part->shape[side] > CLIPC_ONNX_COMPUTED)
                return;
        total += part->shape[axis];
    }
    shape[axis] = total;
    const bool integer = clipc_onnx_constant_is_integer(first);
    clipc_onnx_constant *made = clipc_onnx_constant_create(in->arena, integer ? CLIPC_DTYPE_I64 : CLIPC_DTYPE_F32,
                                                           shape, first->rank, &values);
    if (!made || !clipc_onnx_afford(in, clipc_onnx_constant_count(made)))
        return;
    size_t begin = 0;
    for (size_t i = 0; i < of->input_count; i++) {
        const clipc_onnx_constant *part = of->inputs[i].constant;
        const size_t run = part->shape[axis] * inner;
        for (size_t j = 0; j < clipc_onnx_constant_count(part); j++) {
            const size_t to = j / run * total * inner + begin * inner + j % run;
            const size_t offset = clipc_onnx_constant_offset(part, j);
            if (integer)
                ((int64_t *)values)[to] = clipc_onnx_constant_integer(part, offset);
            else
                ((float *)values)[to] = (float)clipc_onnx_constant_real(part, offset);
        }
        begin += part->shape[axis];
    }
    of->outputs[0] = clipc_onnx_of_constant(made);
}

/* One row of constants before the patches of each item or after its tokens, the same for all items. */
static known join_class(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const clipc_onnx_constant *row,
                        const known *x, size_t axis, bool after)
{
    clipc_onnx_constant *first = clipc_onnx_arena_cut(in->arena, 1, sizeof *first);
    if (!first)
        return (known){0};
    *first = *row;
    bool fits = row->rank == x->layout->rank && row->shape[axis] == 1 &&
                x->expression->kind == (after ? CLIPC_ONNX_EMBEDDED : CLIPC_ONNX_PATCHES) &&
                clipc_onnx_layout_is(x->layout, axis, CLIPC_ONNX_TOKEN, x->expression->tokens);
    for (size_t i = 0; fits && i < row->rank; i++) {
        const bool items = clipc_onnx_layout_is(x->layout, i, CLIPC_ONNX_BATCH, in->batch);
        fits = i == axis || row->shape[i] == clipc_onnx_layout_size(x->layout, i);
        if (items) { /* computed for each item, but of the one embedding */
            first->shape[i] = 1;
            first->strides[i] = 0;
        }
    }
    const clipc_onnx_constant *features = fits ? clipc_onnx_over(in, x, first, false) : NULL;
    if (!features)
        return clipc_onnx_refuse(in, of,
                                 "joins constants and an activation, expected one class token before patches or after "
                                 "tokens");
    for (size_t i = 0; i < clipc_onnx_constant_count(row) && clipc_onnx_constant_count(row) <= CLIPC_ONNX_COMPUTED;
         i++)
        if (memcmp(row->data + clipc_onnx_constant_offset(row, i) * clipc_dtype_size(row->dtype),
                   row->data +
                       clipc_onnx_constant_offset(first, i % features->shape[0]) * clipc_dtype_size(row->dtype),
                   clipc_dtype_size(row->dtype)) != 0 &&
            row->strides[0] != 0)
            return clipc_onnx_refuse(in, of, "class tokens differ from item to item");
    clipc_onnx_expression made = clipc_onnx_derive(CLIPC_ONNX_WITH_CLASS, x->expression);
    clipc_onnx_layout layout = {0};
    made.tokens++;
    made.weight = features;
    made.index = after;
    for (size_t i = 0; i < x->layout->rank; i++) {
        if (i != axis) {
            clipc_onnx_layout_copy_side(&layout, x->layout, i);
        } else {
            clipc_onnx_layout_open_side(&layout);
            clipc_onnx_layout_add(&layout, CLIPC_ONNX_TOKEN, made.tokens, 1);
        }
    }
    return clipc_onnx_of_expression(in, of, &made, &layout);
}

/* The mean of an activation's tokens before them. */
static known join_mean(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *mean, const known *x,
                       size_t axis)
{
    clipc_onnx_layout layout = {0};
    const size_t tokens = x->expression->tokens;
    const clipc_onnx_layout *first = mean->layout;
    bool fits = clipc_onnx_is(mean, CLIPC_ONNX_MEAN_TOKEN) && mean->expression->base == x->expression &&
                first->rank == x->layout->rank && clipc_onnx_layout_size(x->layout, axis) == tokens &&
                (tokens == 1 || clipc_onnx_layout_is(x->layout, axis, CLIPC_ONNX_TOKEN, tokens));
    for (size_t i = 0; fits && i < first->rank; i++)
        fits =
            i == axis ? first->begin[i] == first->begin[i + 1] : clipc_onnx_layout_side_equal(first, i, x->layout, i);
    if (!fits)
        return clipc_onnx_refuse(in, of, "joins activations, expected the mean of all tokens before them");
    clipc_onnx_expression made = clipc_onnx_derive(CLIPC_ONNX_WITH_MEAN, x->expression);
    made.tokens++;
    for (size_t i = 0; i < first->rank; i++) {
        if (i != axis)
            clipc_onnx_layout_copy_side(&layout, x->layout, i);
        else if (clipc_onnx_layout_open_side(&layout))
            clipc_onnx_layout_add(&layout, CLIPC_ONNX_TOKEN, made.tokens, 1);
    }
    return clipc_onnx_of_expression(in, of, &made, &layout);
}

/* The number of each item beside its place. */
static known join_pairs(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, size_t axis)
{
    const known *place = &of->inputs[1];
    clipc_onnx_layout layout = {0};
    if (!of->inputs[0].constant || !is_scalar_batch(in, place->layout, 2) || axis != 1 ||
        !counts_items(in, of->inputs[0].constant, 1))
        return clipc_onnx_refuse(in, of, "the place of the end token is joined with what does not count the items");
    clipc_onnx_expression made = *place->expression;
    made.kind = CLIPC_ONNX_INDEXED_PLACE;
    clipc_onnx_layout_copy_side(&layout, place->layout, 0);
    clipc_onnx_layout_open_side(&layout);
    clipc_onnx_layout_add(&layout, CLIPC_ONNX_REPEAT, 2, 1);
    return clipc_onnx_of_expression(in, of, &made, &layout);
}

static void run_concat(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    size_t axis = 0;
    bool constants = of->input_count > 0;
    for (size_t i = 0; i < of->input_count; i++)
        constants = constants && of->inputs[i].constant;
    if (of->input_count == 0 ||
        !clipc_onnx_axis(clipc_onnx_integer_of(of, "axis", 0), clipc_onnx_rank_of(&of->inputs[0]), &axis))
        of->outputs[0] = clipc_onnx_refuse(in, of, "its axis is none of the inputs");
    else if (constants && of->input_count == 1)
        of->outputs[0] = of->inputs[0];
    else if (constants)
        join_constants(in, of, axis);
    else if (clipc_onnx_join_keys(in, of, axis))
        return;
    else if (of->input_count == 2 && clipc_onnx_is(&of->inputs[1], CLIPC_ONNX_PLACE))
        of->outputs[0] = join_pairs(in, of, axis);
    else if (of->input_count == 2 && of->inputs[0].constant && axis < of->inputs[1].layout->rank)
        of->outputs[0] = join_class(in, of, of->inputs[0].constant, &of->inputs[1], axis, false);
    else if (of->input_count == 2 && of->inputs[1].constant)
        of->outputs[0] = join_class(in, of, of->inputs[1].constant, &of->inputs[0], axis, true);
    else if (of->input_count == 2 && of->inputs[0].expression && of->inputs[1].expression)
        of->outputs[0] = join_mean(in, of, &of->inputs[0], &of->inputs[1], axis);
    else
        of->outputs[0] = clipc_onnx_refuse(in, of, "joins activations, which no CLIP tower does");
}

/* ---- choosing ---- */

/* Whether all truths are the same, and which. */
static bool same_truth(clipc_onnx_interpreter *in, const clipc_onnx_constant *truths, bool *truth)
{
    const size_t count = clipc_onnx_constant_count(truths);
    const bool uniform = clipc_onnx_constant_is_uniform(truths);
    if (count == 0 || (!uniform && (count > CLIPC_ONNX_COMPUTED || !clipc_onnx_afford(in, count))))
        return false;
    *truth = clipc_onnx_constant_integer(truths, 0) != 0;
    for (size_t i = 1; i < count && !uniform; i++)
        if ((clipc_onnx_constant_integer(truths, clipc_onnx_constant_offset(truths, i)) != 0) != *truth)
            return false;
    return true;
}

static bool is_very_negative(const known *value)
{
    return value->constant && clipc_onnx_constant_is_uniform(value->constant) &&
           clipc_onnx_constant_real(value->constant, 0) <= CLIPC_ONNX_VERY_NEGATIVE;
}

static void run_where(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *truths = &of->inputs[0];
    const known *yes = &of->inputs[1];
    const known *no = &of->inputs[2];
    bool truth = false;
    if (truths->refusal)
        of->outputs[0] = *truths;
    else if (clipc_onnx_choose_keys(in, of))
        return;
    else if (yes->constant && no->constant && truths->constant)
        of->outputs[0] = clipc_onnx_compute(in, of);
    else if (truths->constant && same_truth(in, truths->constant, &truth))
        of->outputs[0] = truth ? *yes : *no;
    else if (clipc_onnx_is(truths, CLIPC_ONNX_IS_NAN))
        of->outputs[0] = *no;
    else if (truths->constant && clipc_onnx_is(yes, CLIPC_ONNX_SCORES) && is_very_negative(no))
        of->outputs[0] = clipc_onnx_masked(in, of, yes, truths->constant, CLIPC_ONNX_MASK_ALLOWED);
    else if (truths->constant && clipc_onnx_is(no, CLIPC_ONNX_SCORES) && is_very_negative(yes))
        of->outputs[0] = clipc_onnx_masked(in, of, no, truths->constant, CLIPC_ONNX_MASK_FORBIDDEN);
    else if (yes->refusal || no->refusal)
        of->outputs[0] = yes->refusal ? *yes : *no;
    else
        of->outputs[0] = clipc_onnx_refuse(in, of, "chooses by what is no constant mask");
}

/* Of a truth that is known: what is computed about sides is. */
static void run_if(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    bool truth = false;
    const bool known_truth = of->inputs[0].constant && same_truth(in, of->inputs[0].constant, &truth);
    const Onnx__AttributeProto *branch = clipc_onnx_attribute(of, truth ? "then_branch" : "else_branch");
    if (known_truth && branch && branch->has_g)
        clipc_onnx_interpret_branch(in, of, branch->g.data, branch->g.len);
    else
        of->outputs[0] = clipc_onnx_refuse(in, of, "chooses by what only running the graph tells");
}

const clipc_onnx_operator_entry clipc_onnx_token_operators[] = {
    {"Cast", run_cast},     {"CastLike", run_cast_like}, {"ArgMax", run_arg_max}, {"Gather", run_gather},
    {"Concat", run_concat}, {"GatherND", run_gather_nd}, {"Where", run_where},    {"If", run_if},
    {NULL, NULL},
};
