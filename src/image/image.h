/* A decoded image, in the mode its file has. */
#ifndef CLIPC_IMAGE_IMAGE_H
#define CLIPC_IMAGE_IMAGE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Named after Pillow's modes; all 8 bits a channel except I16, which is 16 bits, native order. */
typedef enum clipc_image_mode {
    CLIPC_MODE_RGB,
    CLIPC_MODE_RGBA,
    CLIPC_MODE_L, /* gray */
    CLIPC_MODE_LA,
    CLIPC_MODE_1,    /* gray of only 0 and 255 */
    CLIPC_MODE_P,    /* index into `palette` */
    CLIPC_MODE_CMYK, /* as Pillow holds it: 255 is full ink */
    CLIPC_MODE_I16
} clipc_image_mode;

struct clipc_image {
    clipc_image_mode mode;
    size_t width;
    size_t height;
    size_t channels;         /* bytes a pixel */
    uint8_t *pixels;         /* [height, width, channels], dense */
    uint8_t palette[256][4]; /* RGBA, for CLIPC_MODE_P */
    size_t palette_size;
    bool has_transparency; /* P, L or RGB with a transparent colour: the palette's alpha, or transparent_* below */
    uint16_t transparent_colour[3];
    int exif_orientation; /* 1 … 8; 1 when the file says nothing */
};

/* Allocates the struct and its pixels (not cleared); the caller has checked the size against its limit. */
clipc_status clipc_image_allocate(clipc_image_mode mode, size_t width, size_t height, clipc_image **out,
                                  clipc_error *error);

/* Decodes in the file's own mode, with no conversion to RGB and no rotation. */
clipc_status clipc_image_decode_native(const void *bytes, size_t size, const char *name, uint64_t max_pixels,
                                       clipc_image **out, clipc_error *error);

/* To mode RGB as Pillow and transformers 5 do it: palette looked up, gray replicated, CMYK by Pillow's formula, 16
 * bits as Pillow reduces them, alpha composited on white or dropped. Replaces *image (RGB is left as it is). */
clipc_status clipc_image_to_rgb(clipc_image **image, clipc_alpha alpha, clipc_error *error);
/* Turns the pixels upright (any mode) and sets the orientation to 1. Replaces *image. */
clipc_status clipc_image_apply_exif(clipc_image **image, clipc_error *error);

#endif
