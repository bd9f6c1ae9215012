/* How the sides of an activation are made of what it is about: items, tokens, features. Reshapes and transposes change
 * the layout alone, so whatever an exporter turned and split, a value remains what it is. */
#ifndef CLIPC_ONNX_LAYOUT_H
#define CLIPC_ONNX_LAYOUT_H

#include "onnx/constant.h"

typedef enum clipc_onnx_label {
    CLIPC_ONNX_BATCH,
    CLIPC_ONNX_TOKEN,
    CLIPC_ONNX_FEATURE,
    CLIPC_ONNX_HEAD, /* of scores; elsewhere heads are a part of the features */
    CLIPC_ONNX_KEY,  /* the token that is looked at */
    CLIPC_ONNX_ROW,  /* of pixels */
    CLIPC_ONNX_COLUMN,
    CLIPC_ONNX_REPEAT /* the same values again, by broadcasting */
} clipc_onnx_label;

/* A part of a label's indices: index = … + i × stride, i < size. */
typedef struct clipc_onnx_segment {
    clipc_onnx_label label;
    size_t size;
    size_t stride;
} clipc_onnx_segment;

#define CLIPC_ONNX_SEGMENTS 12

/* Sides of one element have no segments; none has a segment of size 1. */
typedef struct clipc_onnx_layout {
    size_t rank;
    size_t begin[CLIPC_ONNX_RANK + 1]; /* side i has the segments begin[i] … begin[i + 1] - 1, outermost first */
    clipc_onnx_segment segments[CLIPC_ONNX_SEGMENTS];
} clipc_onnx_layout;

/* These return false when there is no room for another side or segment. */
bool clipc_onnx_layout_open_side(clipc_onnx_layout *layout);
bool clipc_onnx_layout_add(clipc_onnx_layout *layout, clipc_onnx_label label, size_t size, size_t stride);
/* Side `side` of `from` as another side. */
bool clipc_onnx_layout_copy_side(clipc_onnx_layout *layout, const clipc_onnx_layout *from, size_t side);
/* To an empty layout, which has room: the sides of `from` but for `axis`, which goes, or stays with the length 1. */
void clipc_onnx_layout_reduce(clipc_onnx_layout *layout, const clipc_onnx_layout *from, size_t axis, bool keep);

size_t clipc_onnx_layout_size(const clipc_onnx_layout *layout, size_t side);
size_t clipc_onnx_layout_count(const clipc_onnx_layout *layout);
/* Whether the side is all of the label's `size` indices, and nothing else. */
bool clipc_onnx_layout_is(const clipc_onnx_layout *layout, size_t side, clipc_onnx_label label, size_t size);
/* The side that is all of the label's indices; SIZE_MAX when none is. */
size_t clipc_onnx_layout_find(const clipc_onnx_layout *layout, clipc_onnx_label label, size_t size);
bool clipc_onnx_layout_side_equal(const clipc_onnx_layout *a, size_t i, const clipc_onnx_layout *b, size_t j);
bool clipc_onnx_layout_equal(const clipc_onnx_layout *a, const clipc_onnx_layout *b);
/* A shape with the same number of elements; false when a new side would cut through a segment unevenly. */
bool clipc_onnx_layout_reshape(const clipc_onnx_layout *from, const size_t *shape, size_t rank, clipc_onnx_layout *to);

#endif
