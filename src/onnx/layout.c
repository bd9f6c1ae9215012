#include "onnx/layout.h"

bool clipc_onnx_layout_open_side(clipc_onnx_layout *layout)
{
    if (layout->rank == CLIPC_ONNX_RANK)
        return false;
    layout->rank++;
    layout->begin[layout->rank] = layout->begin[layout->rank - 1];
    return true;
}

bool clipc_onnx_layout_add(clipc_onnx_layout *layout, clipc_onnx_label label, size_t size, size_t stride)
{
    const size_t end = layout->begin[layout->rank];
    if (size == 1)
        return true;
    if (size == 0)
        return false;
    if (end > layout->begin[layout->rank - 1]) {
        clipc_onnx_segment *outer = &layout->segments[end - 1];
        if (outer->label == label && outer->stride == size * stride) {
            outer->size *= size;
            outer->stride = stride;
            return true;
        }
    }
    if (end == CLIPC_ONNX_SEGMENTS)
        return false;
    layout->segments[end] = (clipc_onnx_segment){label, size, stride};
    layout->begin[layout->rank]++;
    return true;
}

bool clipc_onnx_layout_copy_side(clipc_onnx_layout *layout, const clipc_onnx_layout *from, size_t side)
{
    if (!clipc_onnx_layout_open_side(layout))
        return false;
    for (size_t i = from->begin[side]; i < from->begin[side + 1]; i++)
        if (!clipc_onnx_layout_add(layout, from->segments[i].label, from->segments[i].size, from->segments[i].stride))
            return false;
    return true;
}

void clipc_onnx_layout_reduce(clipc_onnx_layout *layout, const clipc_onnx_layout *from, size_t axis, bool keep)
{
    for (size_t i = 0; i < from->rank; i++) {
        if (i != axis)
            clipc_onnx_layout_copy_side(layout, from, i);
        else if (keep)
            clipc_onnx_layout_open_side(layout);
    }
}

size_t clipc_onnx_layout_size(const clipc_onnx_layout *layout, size_t side)
{
    size_t size = 1;
    for (size_t i = layout->begin[side]; i < layout->begin[side + 1]; i++)
        size *= layout->segments[i].size;
    return size;
}

size_t clipc_onnx_layout_count(const clipc_onnx_layout *layout)
{
    size_t count = 1;
    for (size_t i = 0; i < layout->begin[layout->rank]; i++)
        count *= layout->segments[i].size;
    return count;
}

bool clipc_onnx_layout_is(const clipc_onnx_layout *layout, size_t side, clipc_onnx_label label, size_t size)
{
    const size_t begin = layout->begin[side];
    if (side >= layout->rank)
        return false;
    if (size == 1)
        return layout->begin[side + 1] == begin;
    const clipc_onnx_segment *segment = &layout->segments[begin];
    return layout->begin[side + 1] == begin + 1 && segment->label == label && segment->size == size &&
           segment->stride == 1;
}

size_t clipc_onnx_layout_find(const clipc_onnx_layout *layout, clipc_onnx_label label, size_t size)
{
    for (size_t i = 0; i < layout->rank && size > 1; i++)
        if (clipc_onnx_layout_is(layout, i, label, size))
            return i;
    return SIZE_MAX;
}

bool clipc_onnx_layout_side_equal(const clipc_onnx_layout *a, size_t i, const clipc_onnx_layout *b, size_t j)
{
    const size_t count = a->begin[i + 1] - a->begin[i];
    if (b->begin[j + 1] - b->begin[j] != count)
        return false;
    for (size_t k = 0; k < count; k++) {
        const clipc_onnx_segment *one = &a->segments[a->begin[i] + k];
        const clipc_onnx_segment *other = &b->segments[b->begin[j] + k];
        if (one->label != other->label || one->size != other->size || one->stride != other->stride)
            return false;
    }
    return true;
}

bool clipc_onnx_layout_equal(const clipc_onnx_layout *a, const clipc_onnx_layout *b)
{
    if (a->rank != b->rank)
        return false;
    for (size_t i = 0; i < a->rank; i++)
        if (!clipc_onnx_layout_side_equal(a, i, b, i))
            return false;
    return true;
}

bool clipc_onnx_layout_reshape(const clipc_onnx_layout *from, const size_t *shape, size_t rank, clipc_onnx_layout *to)
{
    const size_t count = from->begin[from->rank];
    clipc_onnx_segment rest = {.size = 1};
    size_t next = 0;
    *to = (clipc_onnx_layout){0};
    for (size_t i = 0; i < rank; i++) {
        size_t need = shape[i];
        if (!clipc_onnx_layout_open_side(to))
            return false;
        while (need > 1) {
            if (rest.size == 1) {
                if (next == count)
                    return false;
                rest = from->segments[next++];
            }
            const size_t part = rest.size < need ? rest.size : need; /* the outer part of the segment */
            if (need % part != 0 || rest.size % part != 0)
                return false;
            rest.size /= part;
            if (!clipc_onnx_layout_add(to, rest.label, part, rest.stride * rest.size))
                return false;
            need /= part;
        }
        if (need == 0)
            return false;
    }
    return rest.size == 1 && next == count;
}
