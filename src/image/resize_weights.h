/* The fixed-point filter weights of one axis of a resize: Pillow's, number for number. */
#ifndef CLIPC_IMAGE_RESIZE_WEIGHTS_H
#define CLIPC_IMAGE_RESIZE_WEIGHTS_H

#include "image/resize.h"

/* Fraction bits of a weight: 8 bits are for the pixel and 2 are headroom, since weights may be negative and the sum
 * may overshoot (PRECISION_BITS of Pillow's libImaging/Resample.c). */
#define CLIPC_RESIZE_BITS 22

/* Weights are stored in rows of this many: what the widest kernel takes at once. */
#define CLIPC_RESIZE_TAP_STEP ((size_t)8)

/* Output positions first … first+count-1 of one axis. Position i is the weighted sum of the `used[i]` source pixels
 * that begin at start[i]; its weights begin at i × taps, and those after `used[i]` are zero. Each weight is there
 * whole, for C, and split as high × 65536 + low, for the kernels that multiply 16-bit pairs. */
typedef struct clipc_resize_weights {
    size_t count;
    size_t taps; /* a multiple of CLIPC_RESIZE_TAP_STEP, at least the largest `used` */
    size_t *start;
    size_t *used;
    int32_t *whole;
    int16_t *low;
    int16_t *high;
} clipc_resize_weights;

/* Weights an output position has room for. */
size_t clipc_resize_taps(clipc_filter filter, size_t source_size, size_t size);
/* For a resize of `source_size` pixels to `size`; first + count ≤ size. Not for CLIPC_FILTER_NEAREST. */
clipc_status clipc_resize_weights_create(clipc_filter filter, size_t source_size, size_t size, size_t first,
                                         size_t count, clipc_resize_weights *out, clipc_error *error);
/* A zeroed struct is allowed; leaves it zeroed. */
void clipc_resize_weights_destroy(clipc_resize_weights *weights);

#endif
