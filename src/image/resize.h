/* Pillow's antialiased resize, byte for byte: 8-bit, a horizontal and a vertical pass in Pillow 13's order,
 * fixed-point weights. */
#ifndef CLIPC_IMAGE_RESIZE_H
#define CLIPC_IMAGE_RESIZE_H

#include "base/error.h"

#include <stdint.h>

/* Pillow's Image.Resampling numbers, which preprocessor_config.json uses. */
typedef enum clipc_filter {
    CLIPC_FILTER_NEAREST = 0,
    CLIPC_FILTER_LANCZOS = 1,
    CLIPC_FILTER_BILINEAR = 2,
    CLIPC_FILTER_BICUBIC = 3,
    CLIPC_FILTER_BOX = 4,
    CLIPC_FILTER_HAMMING = 5
} clipc_filter;

/* Which part of the resized image is wanted, in its coordinates; it may reach outside, where zeros are written (as
 * transformers' center_crop pads). */
typedef struct clipc_crop {
    ptrdiff_t left;
    ptrdiff_t top;
    size_t width;
    size_t height;
} clipc_crop;

/* Resizes source [source_height, source_width, channels] (channels 1 … 4, rows dense) to [height, width, channels] and
 * writes only the crop: destination [crop.height, crop.width, channels]. Only rows and columns that the crop needs are
 * computed, and memory is bounded by the crop, not by the sizes. */
clipc_status clipc_resize_crop(const uint8_t *source, size_t source_width, size_t source_height, size_t channels,
                               clipc_filter filter, size_t width, size_t height, clipc_crop crop, uint8_t *destination,
                               clipc_error *error);

#endif
