/* Operators of a ResNet's maps. A map is laid out [items, features, rows, columns] with the pixels as tokens, so that
 * flattening one gives rows. */
#include "onnx/interpret.h"
#include "onnx/interpret_parts.h"

#include <string.h>

typedef clipc_onnx_known known;

/* ---- attributes of windows ---- */

bool clipc_onnx_all_are(const clipc_onnx_operation *of, const char *attribute, int64_t expected, size_t count,
                        bool absent)
{
    int64_t values[4];
    size_t found = 0;
    if (!clipc_onnx_integers_of(of, attribute, SIZE_MAX, values, 4, &found))
        return absent;
    for (size_t i = 0; i < found && i < 4; i++)
        if (values[i] != expected)
            return false;
    return found == count;
}

/* What is added at each side; nothing else may say so. */
bool clipc_onnx_pads(const clipc_onnx_operation *of, size_t pixels)
{
    const Onnx__AttributeProto *found = clipc_onnx_attribute(of, "auto_pad");
    const bool named = found && found->s.len && !(found->s.len == 6 && memcmp(found->s.data, "NOTSET", 6) == 0) &&
                       !(pixels == 0 && found->s.len == 5 && memcmp(found->s.data, "VALID", 5) == 0);
    return clipc_onnx_all_are(of, "pads", (int64_t)pixels, 4, pixels == 0) && !named;
}

/* ---- maps ---- */

/* Sides of the square that a map or the pixels are; 0 when they are neither. */
static size_t map_side(const known *x)
{
    const clipc_onnx_layout *layout = x->layout;
    if (layout->rank != 4 || !clipc_onnx_layout_is(layout, 1, CLIPC_ONNX_FEATURE, x->expression->features))
        return 0;
    const size_t side = clipc_onnx_layout_size(layout, 3);
    if (x->expression->kind == CLIPC_ONNX_PIXELS)
        return clipc_onnx_layout_is(layout, 2, CLIPC_ONNX_ROW, side) &&
                       clipc_onnx_layout_is(layout, 3, CLIPC_ONNX_COLUMN, side)
                   ? side
                   : 0;
    const clipc_onnx_segment *rows = &layout->segments[layout->begin[2]];
    const bool square = x->expression->tokens == side * side && clipc_onnx_layout_size(layout, 2) == side;
    const bool in_order = side == 1 || (clipc_onnx_layout_is(layout, 3, CLIPC_ONNX_TOKEN, side) &&
                                        layout->begin[3] == layout->begin[2] + 1 && rows->label == CLIPC_ONNX_TOKEN &&
                                        rows->stride == side);
    return square && in_order ? side : 0;
}

known clipc_onnx_map_of(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                        const clipc_onnx_expression *expression, size_t side)
{
    clipc_onnx_expression map = *expression;
    clipc_onnx_layout layout = {0};
    const clipc_onnx_label labels[4] = {CLIPC_ONNX_BATCH, CLIPC_ONNX_FEATURE, CLIPC_ONNX_TOKEN, CLIPC_ONNX_TOKEN};
    const size_t sizes[4] = {in->batch, map.features, side, side};
    const size_t strides[4] = {1, 1, side, 1};
    map.tokens = side * side;
    for (size_t i = 0; i < 4; i++)
        if (!clipc_onnx_layout_open_side(&layout) || !clipc_onnx_layout_add(&layout, labels[i], sizes[i], strides[i]))
            return clipc_onnx_refuse(in, of, "makes a map without pixels");
    return clipc_onnx_of_expression(in, of, &map, &layout);
}

known clipc_onnx_convolved(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *x,
                           const clipc_onnx_constant *weight)
{
    const size_t side = map_side(x);
    const size_t kernel = weight->rank == 4 ? weight->shape[3] : 0;
    const size_t stride = clipc_onnx_all_are(of, "strides", 2, 2, false) ? 2 : 1;
    if (side == 0)
        return clipc_onnx_refuse(in, of, "convolves what is neither pixels of three channels nor a square map");
    if ((kernel != 1 && kernel != 3) || weight->shape[2] != kernel || weight->shape[1] != x->expression->features ||
        (stride == 1 && !clipc_onnx_all_are(of, "strides", 1, 2, true)) || side % stride != 0 ||
        !clipc_onnx_pads(of, kernel / 2) || !clipc_onnx_all_are(of, "dilations", 1, 2, true) ||
        clipc_onnx_integer_of(of, "group", 1) != 1)
        return clipc_onnx_refuse(in, of,
                                 "is a convolution of %zu by %zu pixels that is neither a vision transformer's, of "
                                 "patches beside each other, nor one of a CLIP's ResNet",
                                 weight->rank == 4 ? weight->shape[2] : 0, kernel);
    clipc_onnx_expression map = clipc_onnx_derive(CLIPC_ONNX_CONVOLVED, x->expression);
    map.features = weight->shape[0];
    map.patch = kernel;
    map.index = stride;
    map.weight = weight;
    return clipc_onnx_map_of(in, of, &map, side / stride);
}

static void run_batch_norm(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    const clipc_onnx_constant *parts[4] = {0};
    bool good = x->expression && map_side(x) != 0 && clipc_onnx_integer_of(of, "training_mode", 0) == 0;
    for (size_t i = 0; i < 4; i++) {
        parts[i] = of->inputs[1 + i].constant;
        good = good && parts[i] && parts[i]->rank == 1 && parts[i]->shape[0] == x->expression->features;
    }
    if (!good) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "is not of a map, with constants for each of its channels");
        return;
    }
    clipc_onnx_expression norm = clipc_onnx_derive(CLIPC_ONNX_BATCH_NORM, x->expression);
    norm.weight = parts[0];
    norm.bias = parts[1];
    norm.mean = parts[2];
    norm.variance = parts[3];
    norm.number = clipc_onnx_float_of(of, "epsilon", 1e-5);
    of->outputs[0] = clipc_onnx_of_expression(in, of, &norm, x->layout);
}

/* Of 2 × 2 pixels, or of one, which is nothing. */
static void run_average(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const known *x = &of->inputs[0];
    const bool one =
        clipc_onnx_all_are(of, "kernel_shape", 1, 2, false) && clipc_onnx_all_are(of, "strides", 1, 2, true);
    const bool four =
        clipc_onnx_all_are(of, "kernel_shape", 2, 2, false) && clipc_onnx_all_are(of, "strides", 2, 2, false);
    const size_t side = x->expression ? map_side(x) : 0;
    if (!(one || four) || side == 0 || (four && side % 2 != 0) || !clipc_onnx_pads(of, 0) ||
        !clipc_onnx_all_are(of, "dilations", 1, 2, true)) {
        of->outputs[0] = clipc_onnx_refuse(in, of, "is not of each 2 by 2 pixels of a map");
        return;
    }
    const clipc_onnx_expression halved = clipc_onnx_derive(CLIPC_ONNX_HALVED, x->expression);
    of->outputs[0] = one ? *x : clipc_onnx_map_of(in, of, &halved, side / 2);
}

const clipc_onnx_operator_entry clipc_onnx_map_operators[] = {
    {"BatchNormalization", run_batch_norm},
    {"AveragePool", run_average},
    {NULL, NULL},
};
