/* Operators of rows: linear layers, patches, attention, normalisation. */
#include "onnx/interpret.h"
#include "onnx/interpret_parts.h"
#include "onnx/plugin.h"

#include <math.h>
#include <string.h>

typedef clipc_onnx_known known;

/* ---- linear layers ---- */

/* The last two sides, when there are no others. */
static const clipc_onnx_constant *matrix(clipc_onnx_interpreter *in, const clipc_onnx_constant *from, bool turned)
{
    clipc_onnx_constant *view = clipc_onnx_arena_cut(in->arena, 1, sizeof *view);
    if (!view || from->rank < 2)
        return NULL;
    for (size_t i = 0; i + 2 < from->rank; i++)
        if (from->shape[i] != 1)
            return NULL;
    *view = *from;
    view->rank = 2;
    for (size_t i = 0; i < 2; i++) {
        const size_t side = from->rank - 2 + (turned ? 1 - i : i);
        view->shape[i] = from->shape[side];
        view->strides[i] = from->strides[side];
    }
    return view;
}

known clipc_onnx_linear_of(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *x,
                           const clipc_onnx_constant *weight, bool turned, clipc_onnx_kind kind,
                           const clipc_onnx_constant *zero)
{
    const clipc_onnx_constant *found = matrix(in, weight, turned);
    const size_t rank = x->layout->rank;
    const clipc_onnx_expression *base = x->expression;
    if (!found)
        return clipc_onnx_refuse(in, of, "multiplies by a constant of %zu dimensions, expected a matrix",
                                 weight->rank);
    if (rank == 0 || !clipc_onnx_layout_is(x->layout, rank - 1, CLIPC_ONNX_FEATURE, base->features) ||
        base->features != found->shape[0])
        return clipc_onnx_refuse(in, of, "multiplies by a matrix of %zu rows, expected one for all %zu features",
                                 found->shape[0], base->features);
    clipc_onnx_expression linear = clipc_onnx_derive(kind, base);
    linear.index = CLIPC_ONNX_LINEAR;
    linear.features = found->shape[1];
    linear.weight = found;
    linear.zero = zero;
    clipc_onnx_layout layout = {0};
    for (size_t i = 0; i + 1 < rank; i++)
        clipc_onnx_layout_copy_side(&layout, x->layout, i);
    clipc_onnx_layout_open_side(&layout);
    if (!clipc_onnx_layout_add(&layout, CLIPC_ONNX_FEATURE, linear.features, 1))
        return clipc_onnx_refuse(in, of, "an activation is split into too many parts");
    return clipc_onnx_of_expression(in, of, &linear, &layout);
}

/* With sides of one element before queries and features, or one that repeats them for each item. */
known clipc_onnx_probe_of(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const clipc_onnx_constant *row)
{
    clipc_onnx_layout layout = {0};
    clipc_onnx_constant *view = clipc_onnx_arena_cut(in->arena, 1, sizeof *view);
    if (!view)
        return (known){0};
    *view = *row;
    view->rank = 2;
    view->shape[0] = 1;
    view->strides[0] = 0;
    for (size_t side = 0; side + 1 < row->rank; side++) {
        const bool items = row->shape[side] == in->batch && row->strides[side] == 0;
        const bool queries = row->shape[side] > 1 && row->strides[side] > 0 && view->shape[0] == 1;
        if ((row->shape[side] != 1 && !items && !queries) || !clipc_onnx_layout_open_side(&layout) ||
            !clipc_onnx_layout_add(&layout, queries ? CLIPC_ONNX_TOKEN : CLIPC_ONNX_BATCH, row->shape[side], 1))
            return clipc_onnx_refuse(in, of, "multiplies constants that are no query of attention pooling");
        if (queries) {
            view->shape[0] = row->shape[side];
            view->strides[0] = row->strides[side];
        }
    }
    const size_t last = row->rank ? row->rank - 1 : 0;
    view->shape[1] = row->rank ? row->shape[last] : 1;
    view->strides[1] = row->rank ? row->strides[last] : 0;
    const clipc_onnx_expression probe = {.kind = CLIPC_ONNX_PROBE,
                                         .node = of->node,
                                         .tokens = view->shape[0],
                                         .features = view->shape[1],
                                         .weight = view};
    clipc_onnx_layout_open_side(&layout);
    if (row->rank == 0 || !clipc_onnx_layout_add(&layout, CLIPC_ONNX_FEATURE, probe.features, 1))
        return clipc_onnx_refuse(in, of, "multiplies constants that are no query of attention pooling");
    return clipc_onnx_of_expression(in, of, &probe, &layout);
}

static void run_gemm(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    const clipc_onnx_constant *weight = of->inputs[1].constant;
    const clipc_onnx_constant *bias = of->inputs[2].constant;
    known probe;
    if (x->constant && weight) {
        probe = clipc_onnx_probe_of(in, of, x->constant);
        x = &probe;
    }
    if (!x->expression || !weight || of->inputs[2].expression || x->layout->rank != 2 || weight->rank != 2 ||
        clipc_onnx_integer_of(of, "transA", 0) != 0 || clipc_onnx_float_of(of, "alpha", 1) != 1 ||
        (bias && clipc_onnx_float_of(of, "beta", 1) != 1)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "is no linear layer");
        return;
    }
    known made =
        clipc_onnx_linear_of(in, of, x, weight, clipc_onnx_integer_of(of, "transB", 0) != 0, CLIPC_ONNX_LINEAR, NULL);
    if (made.expression && bias) {
        clipc_onnx_expression linear = *made.expression;
        linear.bias = clipc_onnx_over(in, &made, bias, false);
        made = linear.bias ? clipc_onnx_of_expression(in, of, &linear, made.layout)
                           : clipc_onnx_refuse(in, of, "its bias is not one number for each feature");
    }
    of->outputs[0] = made;
}

/* ---- patches ---- */

/* Windows that neither overlap nor leave gaps; those of one pixel say so. */
static bool are_patches(const clipc_onnx_operation *of, size_t patch)
{
    return clipc_onnx_all_are(of, "strides", (int64_t)patch, 2, false) && clipc_onnx_pads(of, 0) &&
           clipc_onnx_all_are(of, "dilations", 1, 2, true) && clipc_onnx_integer_of(of, "group", 1) == 1;
}

known clipc_onnx_patches_of(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *x,
                            const clipc_onnx_constant *weight, clipc_onnx_kind kind, const clipc_onnx_constant *zero)
{
    clipc_onnx_expression patches = clipc_onnx_derive(kind, x->expression);
    const bool pixels = x->expression->kind == CLIPC_ONNX_PIXELS || x->expression->kind == CLIPC_ONNX_QUANTIZED;
    const size_t side = x->layout->rank == 4 ? clipc_onnx_layout_size(x->layout, 3) : 0;
    if (!pixels || weight->rank != 4 || weight->shape[1] != 3 || weight->shape[2] != weight->shape[3] ||
        weight->shape[2] == 0 || weight->shape[2] > side ||
        !clipc_onnx_layout_is(x->layout, 1, CLIPC_ONNX_FEATURE, 3) ||
        !clipc_onnx_layout_is(x->layout, 2, CLIPC_ONNX_ROW, side) ||
        !clipc_onnx_layout_is(x->layout, 3, CLIPC_ONNX_COLUMN, side))
        return clipc_onnx_refuse(in, of, "convolves what is no image of three channels with square patches");
    const size_t patch = weight->shape[2];
    const size_t grid = side / patch;
    if (!are_patches(of, patch))
        return clipc_onnx_refuse(in, of,
                                 "is a convolution of integers whose patches of %zu pixels overlap or leave gaps; "
                                 "expected a vision transformer's",
                                 patch);
    patches.index = CLIPC_ONNX_PATCHES;
    patches.features = weight->shape[0];
    patches.patch = patch;
    patches.weight = weight;
    patches.zero = zero;
    return clipc_onnx_map_of(in, of, &patches, grid);
}

static void run_conv(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    const clipc_onnx_constant *weight = of->inputs[1].constant;
    if (!x->expression || !weight || of->inputs[2].expression) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "is no convolution of pixels with constants");
        return;
    }
    const bool patches =
        x->expression->kind == CLIPC_ONNX_PIXELS && weight->rank == 4 && are_patches(of, weight->shape[3]);
    known made = patches ? clipc_onnx_patches_of(in, of, x, weight, CLIPC_ONNX_PATCHES, NULL)
                         : clipc_onnx_convolved(in, of, x, weight);
    const clipc_onnx_constant *bias = of->inputs[2].constant;
    if (made.expression && bias && bias->rank == 1 && bias->shape[0] == made.expression->features) {
        clipc_onnx_expression biased = *made.expression;
        biased.bias = bias;
        made = clipc_onnx_of_expression(in, of, &biased, made.layout);
    } else if (made.expression && bias) {
        made = clipc_onnx_refuse(in, of, "its bias is not one number for each feature");
    }
    of->outputs[0] = made;
}

/* ---- attention ---- */

/* The leading sides of a query, key or value, with heads told from the features within one: `width` each. */
static bool lead(const known *x, size_t width, bool to_heads, clipc_onnx_layout *out)
{
    const clipc_onnx_layout *from = x->layout;
    for (size_t side = 0; side + 2 < from->rank; side++) {
        if (!clipc_onnx_layout_open_side(out))
            return false;
        for (size_t i = from->begin[side]; i < from->begin[side + 1]; i++) {
            clipc_onnx_segment segment = from->segments[i];
            if (to_heads && segment.label == CLIPC_ONNX_FEATURE) {
                if (segment.stride % width != 0)
                    return false;
                segment.label = CLIPC_ONNX_HEAD;
                segment.stride /= width;
            } else if (!to_heads && segment.label == CLIPC_ONNX_HEAD) {
                segment.label = CLIPC_ONNX_FEATURE;
                segment.stride *= width;
            } else if (segment.label != CLIPC_ONNX_BATCH && segment.label != CLIPC_ONNX_HEAD) {
                return false;
            }
            if (!clipc_onnx_layout_add(out, segment.label, segment.size, segment.stride))
                return false;
        }
    }
    return true;
}

/* Whether the side is the features within one head, and how many those are. */
static bool within_head(const known *x, size_t side, size_t *width)
{
    const clipc_onnx_layout *layout = x->layout;
    const size_t begin = layout->begin[side];
    const clipc_onnx_segment *segment = &layout->segments[begin];
    *width = clipc_onnx_layout_size(layout, side);
    if (*width == 0 || x->expression->features % *width != 0)
        return false;
    return *width == 1 ||
           (layout->begin[side + 1] == begin + 1 && segment->label == CLIPC_ONNX_FEATURE && segment->stride == 1);
}

bool clipc_onnx_is_of_probe(const clipc_onnx_expression *query)
{
    while (query->kind == CLIPC_ONNX_FUNCTION || query->kind == CLIPC_ONNX_LINEAR || query->kind == CLIPC_ONNX_NORM)
        query = query->base;
    return query->kind == CLIPC_ONNX_PROBE;
}

/* The same leading sides, but that one query for all items need not tell them apart. */
static bool leads_alike(const clipc_onnx_layout *query, const clipc_onnx_layout *key, bool shared)
{
    for (size_t i = 0; i < key->rank; i++) {
        const size_t begin = key->begin[i];
        const bool items = key->begin[i + 1] == begin + 1 && key->segments[begin].label == CLIPC_ONNX_BATCH;
        const bool none = query->begin[i + 1] == query->begin[i];
        if (!clipc_onnx_layout_side_equal(query, i, key, i) && !(shared && items && none))
            return false;
    }
    return query->rank == key->rank;
}

static known make_scores(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *query,
                         const known *key)
{
    const size_t rank = query->layout->rank;
    const size_t tokens = query->expression->tokens;
    const size_t keys = key->expression->tokens;
    const bool probe = clipc_onnx_is_of_probe(query->expression);
    const bool one = tokens == 1; /* asks: what may is told when the tower is recognised */
    clipc_onnx_layout layout = {0};
    clipc_onnx_layout other = {0};
    size_t width = 0;
    size_t key_width = 0;
    if (rank < 2 || key->layout->rank != rank || (keys != tokens && !one && !probe) ||
        key->expression->features != query->expression->features || !within_head(query, rank - 1, &width) ||
        !within_head(key, rank - 2, &key_width) || width != key_width ||
        !clipc_onnx_layout_is(query->layout, rank - 2, CLIPC_ONNX_TOKEN, tokens) ||
        !clipc_onnx_layout_is(key->layout, rank - 1, CLIPC_ONNX_TOKEN, keys) || !lead(query, width, true, &other) ||
        !lead(key, width, true, &layout) || !leads_alike(&other, &layout, probe))
        return clipc_onnx_refuse(in, of,
                                 "two activations are multiplied that are not the queries and keys, or the "
                                 "weights and values, of attention");
    clipc_onnx_expression scores = clipc_onnx_derive(CLIPC_ONNX_SCORES, query->expression);
    scores.other = key->expression;
    scores.number = 1;
    scores.heads = query->expression->features / width;
    scores.keys = keys;
    clipc_onnx_layout_open_side(&layout);
    clipc_onnx_layout_add(&layout, CLIPC_ONNX_TOKEN, tokens, 1);
    clipc_onnx_layout_open_side(&layout);
    clipc_onnx_layout_add(&layout, CLIPC_ONNX_KEY, keys, 1);
    return clipc_onnx_of_expression(in, of, &scores, &layout);
}

static known make_attention(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *weights,
                            const known *value)
{
    const size_t rank = weights->layout->rank;
    const size_t tokens = weights->expression->tokens;
    const size_t keys = weights->expression->keys;
    clipc_onnx_layout layout = {0};
    clipc_onnx_layout of_weights = {0};
    clipc_onnx_layout of_value = {0};
    size_t width = 0;
    if (value->layout->rank != rank || rank < 2 || !within_head(value, rank - 1, &width) ||
        value->expression->tokens != keys || value->expression->features / width != weights->expression->heads ||
        !clipc_onnx_layout_is(weights->layout, rank - 2, CLIPC_ONNX_TOKEN, tokens) ||
        !clipc_onnx_layout_is(weights->layout, rank - 1, CLIPC_ONNX_KEY, keys) ||
        !clipc_onnx_layout_is(value->layout, rank - 2, CLIPC_ONNX_TOKEN, keys) ||
        !lead(weights, width, true, &of_weights) || !lead(value, width, true, &of_value) ||
        !clipc_onnx_layout_equal(&of_weights, &of_value) || !lead(weights, width, false, &layout))
        return clipc_onnx_refuse(in, of, "the weights of attention meet what are not its values");
    clipc_onnx_expression mixed = clipc_onnx_derive(CLIPC_ONNX_ATTENTION, weights->expression);
    mixed.other = value->expression;
    mixed.features = value->expression->features;
    clipc_onnx_layout_open_side(&layout);
    clipc_onnx_layout_add(&layout, CLIPC_ONNX_TOKEN, tokens, 1);
    clipc_onnx_layout_open_side(&layout);
    if (!clipc_onnx_layout_add(&layout, CLIPC_ONNX_FEATURE, width, 1))
        return clipc_onnx_refuse(in, of, "an activation is split into too many parts");
    return clipc_onnx_of_expression(in, of, &mixed, &layout);
}

static void run_matmul(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *a = &of->inputs[0];
    const known *b = &of->inputs[1];
    if (a->constant && b->constant) {
        const known probe = clipc_onnx_probe_of(in, of, a->constant);
        of->outputs[0] = probe.expression
                             ? clipc_onnx_linear_of(in, of, &probe, b->constant, false, CLIPC_ONNX_LINEAR, NULL)
                             : probe;
    } else if (a->expression && b->constant)
        of->outputs[0] = clipc_onnx_linear_of(in, of, a, b->constant, false, CLIPC_ONNX_LINEAR, NULL);
    else if (!a->expression || !b->expression)
        of->outputs[0] = clipc_onnx_refuse(in, of, "multiplies a constant by something, expected an activation first");
    else if (a->expression->kind == CLIPC_ONNX_PROBABILITIES)
        of->outputs[0] = make_attention(in, of, a, b);
    else
        of->outputs[0] = make_scores(in, of, a, b);
}

/* Whether the element says what a causal mask does, and what that is: 1 to look, 0 not to, -1 something else. */
static int reading(const clipc_onnx_constant *mask, size_t offset, clipc_onnx_mask meaning)
{
    if (meaning != CLIPC_ONNX_MASK_ADDED)
        return (clipc_onnx_constant_integer(mask, offset) != 0) == (meaning == CLIPC_ONNX_MASK_ALLOWED);
    const double value = clipc_onnx_constant_real(mask, offset);
    return value == 0 ? 1 : value <= CLIPC_ONNX_VERY_NEGATIVE ? 0 : -1;
}

bool clipc_onnx_is_causal(clipc_onnx_interpreter *in, const clipc_onnx_constant *mask, size_t tokens)
{
    const size_t count = clipc_onnx_constant_count(mask);
    if (mask->rank < 2 || mask->shape[mask->rank - 1] != tokens || mask->shape[mask->rank - 2] != tokens ||
        count != tokens * tokens || !clipc_onnx_afford(in, count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (reading(mask, clipc_onnx_constant_offset(mask, i), CLIPC_ONNX_MASK_ADDED) != (i % tokens <= i / tokens))
            return false;
    return true;
}

known clipc_onnx_masked(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *scores,
                        const clipc_onnx_constant *mask, clipc_onnx_mask meaning)
{
    const size_t tokens = scores->expression->tokens;
    const size_t rank = scores->layout->rank;
    clipc_onnx_constant once = *mask;
    bool causal = true;
    bool open = true;
    for (size_t i = 0; i + 2 < mask->rank; i++)
        if (mask->strides[i] == 0)
            once.shape[i] = 1;
    const size_t count = clipc_onnx_constant_count(&once);
    if (once.rank < 2 || rank < 2 || once.shape[once.rank - 1] != tokens || once.shape[once.rank - 2] != tokens ||
        !clipc_onnx_layout_is(scores->layout, rank - 1, CLIPC_ONNX_KEY, tokens) ||
        !clipc_onnx_layout_is(scores->layout, rank - 2, CLIPC_ONNX_TOKEN, tokens) || !clipc_onnx_afford(in, count))
        return clipc_onnx_refuse(in, of, "has a mask that is not one number for each pair of %zu tokens", tokens);
    for (size_t i = 0; i < count && (causal || open); i++) {
        const int look = reading(mask, clipc_onnx_constant_offset(&once, i), meaning);
        const bool before = i % tokens <= i / tokens % tokens;
        causal = causal && look == before;
        open = open && look == 1;
    }
    if (!causal && !open)
        return clipc_onnx_refuse(in, of, "has a mask that is neither causal nor empty");
    clipc_onnx_expression masked = *scores->expression;
    masked.causal = masked.causal || (causal && tokens > 1);
    return clipc_onnx_of_expression(in, of, &masked, scores->layout);
}

static void run_softmax(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    const size_t rank = clipc_onnx_rank_of(x);
    size_t axis = 0;
    if (!clipc_onnx_is(x, CLIPC_ONNX_SCORES) || !clipc_onnx_axis(clipc_onnx_integer_of(of, "axis", -1), rank, &axis) ||
        axis + 1 != rank || !clipc_onnx_layout_is(x->layout, axis, CLIPC_ONNX_KEY, x->expression->keys)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "is not over the scores of attention");
        return;
    }
    clipc_onnx_expression made = clipc_onnx_derive(CLIPC_ONNX_PROBABILITIES, x->expression);
    made.keys = x->expression->keys;
    of->outputs[0] = clipc_onnx_of_expression(in, of, &made, x->layout);
}

/* ---- normalisation ---- */

static bool is_square(const clipc_onnx_expression *of)
{
    for (size_t i = 0; of->kind == CLIPC_ONNX_FUNCTION && i < CLIPC_ONNX_SAMPLES; i++) {
        const double point = clipc_onnx_sample_points[i];
        if (fabs(of->samples[i] - point * point) > 1e-6 * point * point)
            return false;
    }
    return of->kind == CLIPC_ONNX_FUNCTION;
}

static bool reduced_kind(const clipc_onnx_operation *of, const clipc_onnx_expression *x, clipc_onnx_expression *out)
{
    const char *name = of->node->op_type;
    const bool mean = strcmp(name, "ReduceMean") == 0;
    if (mean && x->kind == CLIPC_ONNX_SQUARES) {
        *out = *x;
        out->kind = CLIPC_ONNX_VARIANCE;
    } else if (mean) {
        *out = clipc_onnx_derive(CLIPC_ONNX_MEAN, x);
    } else if (strcmp(name, "ReduceL2") == 0) {
        *out = clipc_onnx_derive(CLIPC_ONNX_LENGTH, x);
    } else if (strcmp(name, "ReduceSumSquare") == 0) {
        *out = clipc_onnx_derive(CLIPC_ONNX_SUM_OF_SQUARES, x);
    } else if (is_square(x)) {
        *out = clipc_onnx_derive(CLIPC_ONNX_SUM_OF_SQUARES, x->base);
    } else {
        return false;
    }
    return true;
}

/* The mean of all tokens that there are. */
static bool is_mean_token(const clipc_onnx_operation *of, const known *x, size_t axis)
{
    const size_t tokens = x->expression->tokens;
    return strcmp(of->node->op_type, "ReduceMean") == 0 && clipc_onnx_has_rows(x->expression->kind) &&
           (tokens > 1 ? clipc_onnx_layout_is(x->layout, axis, CLIPC_ONNX_TOKEN, tokens)
                       : clipc_onnx_layout_size(x->layout, axis) == 1 &&
                             !clipc_onnx_layout_is(x->layout, axis, CLIPC_ONNX_FEATURE, x->expression->features));
}

static void run_reduce(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const clipc_onnx_constant *queries = of->inputs[0].constant;
    const known probe = queries ? clipc_onnx_probe_of(in, of, queries) : (known){0};
    const known *x = queries ? &probe : &of->inputs[0];
    int64_t axes[2];
    size_t count = 0;
    size_t axis = 0;
    clipc_onnx_expression made;
    clipc_onnx_layout layout = {0};
    if (!x->expression || !clipc_onnx_integers_of(of, "axes", 1, axes, 2, &count) || count != 1 ||
        !clipc_onnx_axis(axes[0], x->layout->rank, &axis)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "is not over one side of an activation");
        return;
    }
    if (is_mean_token(of, x, axis)) {
        made = clipc_onnx_derive(CLIPC_ONNX_MEAN_TOKEN, x->expression);
        made.tokens = 1;
    } else if (!clipc_onnx_layout_is(x->layout, axis, CLIPC_ONNX_FEATURE, x->expression->features) ||
               !reduced_kind(of, x->expression, &made)) {
        of->outputs[0] = clipc_onnx_refuse(in, of,
                                           "is neither a step of a layer normalisation, nor the length of an "
                                           "embedding, nor the mean of all tokens");
        return;
    }
    clipc_onnx_layout_reduce(&layout, x->layout, axis, clipc_onnx_integer_of(of, "keepdims", 1) != 0);
    of->outputs[0] = clipc_onnx_of_expression(in, of, &made, &layout);
}

static void run_layer_norm(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const clipc_onnx_constant *queries = of->inputs[0].constant;
    const known probe = queries ? clipc_onnx_probe_of(in, of, queries) : (known){0};
    const known *x = queries ? &probe : &of->inputs[0];
    const clipc_onnx_constant *bias = of->inputs[2].constant;
    const size_t rank = clipc_onnx_rank_of(x);
    size_t axis = 0;
    if (!x->expression || !of->inputs[1].constant || of->inputs[2].expression ||
        !clipc_onnx_axis(clipc_onnx_integer_of(of, "axis", -1), rank, &axis) || axis + 1 != rank ||
        !clipc_onnx_layout_is(x->layout, axis, CLIPC_ONNX_FEATURE, x->expression->features)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "is not over all features of a token, with constant gains");
        return;
    }
    clipc_onnx_expression norm = clipc_onnx_derive(CLIPC_ONNX_NORM, x->expression);
    norm.number = clipc_onnx_float_of(of, "epsilon", 1e-5);
    norm.weight = clipc_onnx_over(in, x, of->inputs[1].constant, false);
    norm.bias = bias ? clipc_onnx_over(in, x, bias, false) : NULL;
    of->outputs[0] = norm.weight && (norm.bias || !bias)
                         ? clipc_onnx_of_expression(in, of, &norm, x->layout)
                         : clipc_onnx_refuse(in, of, "its gains or biases are not one for each feature");
}

const clipc_onnx_operator_entry clipc_onnx_product_operators[] = {
    {"MatMul", run_matmul},
    {"Gemm", run_gemm},
    {"Conv", run_conv},
    {"Softmax", run_softmax},
    {"ReduceMean", run_reduce},
    {"ReduceSum", run_reduce},
    {"ReduceL2", run_reduce},
    {"ReduceSumSquare", run_reduce},
    {"LayerNormalization", run_layer_norm},
    {CLIPC_ONNX_PLUGIN, run_layer_norm},
    {NULL, NULL},
};
