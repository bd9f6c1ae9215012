/* Where a tower hands out what it computes on its way, while somebody asks for it. */
#ifndef CLIPC_BACKEND_TAP_H
#define CLIPC_BACKEND_TAP_H

#include "clipc/clipc.h"

#include <stdbool.h>

typedef struct clipc_tap_target {
    clipc_tap_function function; /* NULL: nobody asks */
    void *user;
} clipc_tap_target;

/* In the order of a tower; clipc_tap says what each holds. */
typedef enum clipc_tap_point {
    CLIPC_TAP_EMBEDDING,
    CLIPC_TAP_ATTENTION,
    CLIPC_TAP_MLP,
    CLIPC_TAP_NORM,
    CLIPC_TAP_PROJECTION
} clipc_tap_point;

/* Rows of `width` floats that lie `stride` floats apart. */
typedef struct clipc_tap_rows {
    const float *values;
    size_t rows;
    size_t width;
    size_t stride;
} clipc_tap_rows;

/* Hands rows to the target, under the name of the point and, for the two points of a layer, of the layer's number. */
void clipc_tap_give(const clipc_tap_target *target, bool image, clipc_tap_point point, size_t layer,
                    clipc_tap_rows rows);

#endif
