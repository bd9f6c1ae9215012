/* CoCa's texts: a class token after the others, and a mask that hides every key whose predecessor is the pad token.
 * What is computed of ids for that are truths of tokens, then of keys, then numbers that are added to scores. */
#include "onnx/interpret.h"
#include "onnx/interpret_parts.h"

#include <string.h>

typedef clipc_onnx_known known;

static known step(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *from, clipc_onnx_kind kind)
{
    clipc_onnx_expression next = *from->expression;
    next.kind = kind;
    return clipc_onnx_of_expression(in, of, &next, from->layout);
}

bool clipc_onnx_negate_tokens(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    static const clipc_onnx_kind pairs[2][2] = {{CLIPC_ONNX_IS_TOKEN, CLIPC_ONNX_IS_OTHER},
                                                {CLIPC_ONNX_HIDDEN, CLIPC_ONNX_SEEN}};
    const known *x = &of->inputs[0];
    for (size_t i = 0; i < 4; i++)
        if (clipc_onnx_is(x, pairs[i / 2][i % 2])) {
            of->outputs[0] = step(in, of, x, pairs[i / 2][1 - i % 2]);
            return true;
        }
    return false;
}

/* One truth for each item, the same for all. */
static bool is_column(const clipc_onnx_interpreter *in, const clipc_onnx_constant *from, bool truth)
{
    const bool fits = from->rank == 2 && from->shape[0] == in->batch && from->shape[1] == 1 &&
                      clipc_onnx_constant_is_integer(from) && in->batch <= CLIPC_ONNX_COMPUTED;
    for (size_t i = 0; fits && i < in->batch; i++)
        if ((clipc_onnx_constant_integer(from, clipc_onnx_constant_offset(from, i)) != 0) != truth)
            return false;
    return fits;
}

/* Truths of tokens after that of a first key, which is always seen: token i is the predecessor of key i + 1. */
bool clipc_onnx_join_keys(clipc_onnx_interpreter *in, clipc_onnx_operation *of, size_t axis)
{
    const clipc_onnx_constant *first = of->inputs[0].constant;
    const known *x = &of->inputs[1];
    const bool hidden = clipc_onnx_is(x, CLIPC_ONNX_IS_TOKEN);
    if (of->input_count != 2 || !first || (!hidden && !clipc_onnx_is(x, CLIPC_ONNX_IS_OTHER)))
        return false;
    const size_t tokens = x->expression->tokens;
    if (axis != 1 || x->layout->rank != 2 || !clipc_onnx_layout_is(x->layout, 0, CLIPC_ONNX_BATCH, in->batch) ||
        !clipc_onnx_layout_is(x->layout, 1, CLIPC_ONNX_TOKEN, tokens) || !is_column(in, first, !hidden)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "joins truths about tokens with what is no first key that is seen");
        return true;
    }
    clipc_onnx_layout layout = {0};
    clipc_onnx_expression keys = *x->expression;
    keys.kind = hidden ? CLIPC_ONNX_HIDDEN : CLIPC_ONNX_SEEN;
    keys.tokens = tokens + 1;
    clipc_onnx_layout_copy_side(&layout, x->layout, 0);
    clipc_onnx_layout_open_side(&layout);
    clipc_onnx_layout_add(&layout, CLIPC_ONNX_KEY, keys.tokens, 1);
    of->outputs[0] = clipc_onnx_of_expression(in, of, &keys, &layout);
    return true;
}

/* A number that is the same everywhere. */
static bool is_number(const known *value, bool zero)
{
    if (!value->constant || !clipc_onnx_constant_is_uniform(value->constant))
        return false;
    const double number = clipc_onnx_constant_real(value->constant, 0);
    return zero ? number == 0 : number <= CLIPC_ONNX_VERY_NEGATIVE;
}

bool clipc_onnx_choose_keys(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *truths = &of->inputs[0];
    const bool hidden = clipc_onnx_is(truths, CLIPC_ONNX_HIDDEN);
    if (!hidden && !clipc_onnx_is(truths, CLIPC_ONNX_SEEN))
        return false;
    if (is_number(&of->inputs[hidden ? 1 : 2], false) && is_number(&of->inputs[hidden ? 2 : 1], true))
        of->outputs[0] = step(in, of, truths, CLIPC_ONNX_KEY_MASK);
    else
        of->outputs[0] = clipc_onnx_refuse(in, of, "gives hidden keys what is not added to scores");
    return true;
}

/* ---- adding ---- */

static bool last_is_keys(const known *x, size_t keys)
{
    return x->layout->rank > 0 && clipc_onnx_layout_is(x->layout, x->layout->rank - 1, CLIPC_ONNX_KEY, keys);
}

/* A side of one element, or one that repeats it. */
static bool is_for_all(const clipc_onnx_layout *layout, size_t side)
{
    const size_t begin = layout->begin[side];
    return layout->begin[side + 1] == begin ||
           (layout->begin[side + 1] == begin + 1 && layout->segments[begin].label == CLIPC_ONNX_REPEAT);
}

/* A causal mask and that of hidden keys: [items (and heads), rows, keys]. */
static known with_causal(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *mask,
                         const clipc_onnx_constant *causal)
{
    clipc_onnx_layout layout = {0};
    const size_t keys = mask->expression->tokens;
    const size_t rank = mask->layout->rank;
    if (rank < 2 || causal->rank > rank || !last_is_keys(mask, keys) || !is_for_all(mask->layout, rank - 2) ||
        !clipc_onnx_is_causal(in, causal, keys))
        return clipc_onnx_refuse(in, of, "adds to a mask of hidden keys what is no causal mask");
    clipc_onnx_expression both = *mask->expression;
    both.causal = true;
    for (size_t i = 0; i < rank; i++) {
        if (i != rank - 2)
            clipc_onnx_layout_copy_side(&layout, mask->layout, i);
        else if (clipc_onnx_layout_open_side(&layout))
            clipc_onnx_layout_add(&layout, CLIPC_ONNX_TOKEN, keys, 1);
    }
    return clipc_onnx_of_expression(in, of, &both, &layout);
}

/* Whether a side of the mask is of the same items as that of the scores; it says the same to all heads. */
static bool same_items(const clipc_onnx_layout *mask, const clipc_onnx_layout *scores, size_t side)
{
    size_t at = scores->begin[side];
    const size_t end = scores->begin[side + 1];
    if (is_for_all(mask, side))
        return at == end || (at + 1 == end && scores->segments[at].label == CLIPC_ONNX_HEAD);
    for (size_t i = mask->begin[side]; i < mask->begin[side + 1]; i++, at++) {
        const clipc_onnx_segment *one = &mask->segments[i];
        const clipc_onnx_segment *other = &scores->segments[at];
        const bool heads = at < end && one->label == CLIPC_ONNX_REPEAT && other->label == CLIPC_ONNX_HEAD;
        if (at >= end || one->size != other->size || (one->label != other->label && !heads))
            return false;
    }
    return at == end;
}

static known on_scores(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *scores,
                       const known *mask)
{
    const size_t rank = scores->layout->rank;
    const size_t keys = mask->expression->tokens;
    bool fits = rank >= 2 && mask->layout->rank == rank && keys == scores->expression->keys &&
                last_is_keys(mask, keys) && last_is_keys(scores, keys) && !scores->expression->mask &&
                (clipc_onnx_layout_is(mask->layout, rank - 2, CLIPC_ONNX_TOKEN, scores->expression->tokens) ||
                 is_for_all(mask->layout, rank - 2));
    for (size_t i = 0; fits && i + 2 < rank; i++)
        fits = same_items(mask->layout, scores->layout, i);
    if (!fits)
        return clipc_onnx_refuse(in, of, "has a mask of hidden keys that is of other items or keys");
    clipc_onnx_expression masked = *scores->expression;
    masked.causal = masked.causal || mask->expression->causal;
    masked.mask = mask->expression;
    return clipc_onnx_of_expression(in, of, &masked, scores->layout);
}

bool clipc_onnx_add_keys(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const bool first = clipc_onnx_is(&of->inputs[0], CLIPC_ONNX_KEY_MASK);
    const known *mask = &of->inputs[first ? 0 : 1];
    const known *other = &of->inputs[first ? 1 : 0];
    if (strcmp(of->node->op_type, "Add") != 0 || !clipc_onnx_is(mask, CLIPC_ONNX_KEY_MASK))
        return false;
    if (other->constant)
        of->outputs[0] = with_causal(in, of, mask, other->constant);
    else if (clipc_onnx_is(other, CLIPC_ONNX_SCORES))
        of->outputs[0] = on_scores(in, of, other, mask);
    else
        return false;
    return true;
}
