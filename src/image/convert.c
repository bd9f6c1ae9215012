/* To RGB, as Pillow's Image.convert and transformers 5 do it: without transparency convert("RGB"); with it,
 * convert("RGBA") and alpha_composite on opaque white. Every mode is first seen as RGBA, a pixel at a time. */
#include "image/image.h"

#include <string.h>

typedef struct pixel {
    uint8_t red;
    uint8_t green;
    uint8_t blue;
    uint8_t alpha;
} pixel;

/* Pillow's MULDIV255: a × b / 255, rounded. */
static uint8_t multiply_255(unsigned a, unsigned b)
{
    const unsigned product = a * b + 128;
    return (uint8_t)(((product >> 8) + product) >> 8);
}

static pixel from_gray(const clipc_image *image, uint8_t gray)
{
    const bool transparent = image->has_transparency && gray == image->transparent_colour[0];
    return (pixel){gray, gray, gray, transparent ? 0 : 255};
}

static pixel from_rgb(const clipc_image *image, const uint8_t *from)
{
    const uint16_t *key = image->transparent_colour;
    const bool transparent = image->has_transparency && from[0] == key[0] && from[1] == key[1] && from[2] == key[2];
    return (pixel){from[0], from[1], from[2], transparent ? 0 : 255};
}

/* Ink c under black k leaves (255 - k) - c × (255 - k) / 255. */
static pixel from_cmyk(const uint8_t *from)
{
    const unsigned light = 255u - from[3];
    return (pixel){(uint8_t)(light - multiply_255(from[0], light)), (uint8_t)(light - multiply_255(from[1], light)),
                   (uint8_t)(light - multiply_255(from[2], light)), 255};
}

/* Pillow clips 16-bit gray instead of scaling it. */
static pixel from_gray_16(const clipc_image *image, const uint8_t *from)
{
    uint16_t sample = 0;
    memcpy(&sample, from, 2);
    return from_gray(image, (uint8_t)(sample > 255 ? 255 : sample));
}

static pixel get_pixel(const clipc_image *image, const uint8_t *from)
{
    switch (image->mode) {
    case CLIPC_MODE_RGB: return from_rgb(image, from);
    case CLIPC_MODE_RGBA: return (pixel){from[0], from[1], from[2], from[3]};
    case CLIPC_MODE_L:
    case CLIPC_MODE_1: return from_gray(image, from[0]);
    case CLIPC_MODE_LA: return (pixel){from[0], from[0], from[0], from[1]};
    case CLIPC_MODE_P: {
        const uint8_t *entry = image->palette[from[0]];
        return (pixel){entry[0], entry[1], entry[2], entry[3]};
    }
    case CLIPC_MODE_CMYK: return from_cmyk(from);
    case CLIPC_MODE_I16: return from_gray_16(image, from);
    }
    return (pixel){0, 0, 0, 255};
}

/* Pillow's alpha_composite over an opaque white background: fixed point with 7 bits, divided by 255 by shifts. */
static uint8_t over_white(unsigned value, unsigned alpha)
{
    const unsigned sum = (value * alpha + 255 * (255 - alpha)) * 128 + (0x80u << 7);
    return (uint8_t)((((sum >> 8) + sum) >> 8) >> 7);
}

static bool has_alpha(const clipc_image *image)
{
    return image->has_transparency || image->mode == CLIPC_MODE_RGBA || image->mode == CLIPC_MODE_LA;
}

clipc_status clipc_image_to_rgb(clipc_image **image, clipc_alpha alpha, clipc_error *error)
{
    const clipc_image *source = *image;
    const bool composite = alpha == CLIPC_ALPHA_WHITE && has_alpha(source);
    if (source->mode == CLIPC_MODE_RGB && !composite) {
        (*image)->has_transparency = false;
        return CLIPC_OK;
    }
    clipc_image *rgb = NULL;
    CLIPC_TRY(clipc_image_allocate(CLIPC_MODE_RGB, source->width, source->height, &rgb, error));
    rgb->exif_orientation = source->exif_orientation;
    const size_t count = source->width * source->height;
    const uint8_t *from = source->pixels;
    uint8_t *to = rgb->pixels;
    for (size_t i = 0; i < count; i++, from += source->channels, to += 3) {
        const pixel value = get_pixel(source, from);
        to[0] = composite ? over_white(value.red, value.alpha) : value.red;
        to[1] = composite ? over_white(value.green, value.alpha) : value.green;
        to[2] = composite ? over_white(value.blue, value.alpha) : value.blue;
    }
    clipc_image_destroy(image);
    *image = rgb;
    return CLIPC_OK;
}
