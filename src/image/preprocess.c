#include "image/preprocess.h"

#include "base/checked.h"
#include "base/memory.h"

#include <string.h>

/* ---- geometry ---- */

/* The long side of a resize to `shortest`, as Python computes int(shortest * long / short): one exact product, one
 * rounded quotient, cut down. */
static size_t long_side(size_t shortest, size_t long_edge, size_t short_edge)
{
    return (size_t)((double)(shortest * long_edge) / (double)short_edge);
}

static void resized_size(const clipc_preprocess_rule *rule, const clipc_image *image, size_t *height, size_t *width)
{
    *height = image->height;
    *width = image->width;
    if (rule->resize == CLIPC_RESIZE_EXACT) {
        *height = rule->resize_height;
        *width = rule->resize_width;
    } else if (rule->resize == CLIPC_RESIZE_SHORTEST_EDGE) {
        const bool upright = image->width <= image->height;
        const size_t shortest = rule->resize_height;
        *width = upright ? shortest : long_side(shortest, image->width, image->height);
        *height = upright ? long_side(shortest, image->height, image->width) : shortest;
    }
}

/* Where a centre crop begins; negative when the image is smaller. transformers' center_crop floors (size - crop) / 2;
 * torchvision rounds it half to even, but pads a smaller image with the smaller half first. */
static ptrdiff_t crop_begin(clipc_preprocess_order order, size_t size, size_t crop)
{
    const ptrdiff_t difference = (ptrdiff_t)size - (ptrdiff_t)crop;
    if (difference >= 0) {
        const ptrdiff_t half = difference / 2;
        return half + (order == CLIPC_ORDER_TORCHVISION && difference % 2 && half % 2);
    }
    const ptrdiff_t missing = -difference;
    return order == CLIPC_ORDER_TORCHVISION ? -(missing / 2) : -((missing + 1) / 2);
}

/* In the image's own mode: bytes [height, width, channels]. */
static clipc_status resize_and_crop(const clipc_preprocess_rule *rule, const clipc_image *image, size_t height,
                                    size_t width, uint8_t *bytes, clipc_error *error)
{
    size_t resized_height = 0;
    size_t resized_width = 0;
    const bool indexed = image->mode == CLIPC_MODE_P || image->mode == CLIPC_MODE_1;
    resized_size(rule, image, &resized_height, &resized_width);
    clipc_crop crop = {0, 0, width, height};
    if (rule->crop) {
        crop.left = crop_begin(rule->order, resized_width, rule->crop_width);
        crop.top = crop_begin(rule->order, resized_height, rule->crop_height);
    }
    return clipc_resize_crop(image->pixels, image->width, image->height, image->channels,
                             indexed ? CLIPC_FILTER_NEAREST : rule->filter, resized_width, resized_height, crop, bytes,
                             error);
}

/* ---- images that are not RGB, as torchvision has Pillow prepare them ---- */

/* Pillow's MULDIV255: a × b / 255, rounded. */
static uint8_t multiply_255(unsigned a, unsigned b)
{
    const unsigned product = a * b + 128;
    return (uint8_t)(((product >> 8) + product) >> 8);
}

/* Colours times alpha, as in Pillow's modes RGBa and La; alpha comes last. */
static void premultiply(const uint8_t *from, size_t count, size_t channels, uint8_t *to)
{
    for (size_t i = 0; i < count; i++, from += channels, to += channels) {
        for (size_t c = 0; c + 1 < channels; c++)
            to[c] = multiply_255(from[c], from[channels - 1]);
        to[channels - 1] = from[channels - 1];
    }
}

/* Back again: cut down, not rounded (rgba2rgbA of Pillow's Convert.c). */
static void divide_by_alpha(uint8_t *pixels, size_t count, size_t channels)
{
    for (size_t i = 0; i < count; i++, pixels += channels) {
        const unsigned alpha = pixels[channels - 1];
        for (size_t c = 0; c + 1 < channels && alpha != 0 && alpha != 255; c++) {
            const unsigned value = 255u * pixels[c] / alpha;
            pixels[c] = (uint8_t)(value < 255 ? value : 255);
        }
    }
}

/* Pillow resizes premultiplied colours; it leaves an image alone that has the wanted size already. */
static clipc_status resize_with_alpha(const clipc_preprocess_rule *rule, const clipc_image *image, size_t height,
                                      size_t width, uint8_t *bytes, clipc_error *error)
{
    size_t resized_height = 0;
    size_t resized_width = 0;
    resized_size(rule, image, &resized_height, &resized_width);
    const bool same = resized_height == image->height && resized_width == image->width;
    if (same || rule->filter == CLIPC_FILTER_NEAREST)
        return resize_and_crop(rule, image, height, width, bytes, error);
    clipc_image *multiplied = NULL;
    CLIPC_TRY(clipc_image_allocate(image->mode, image->width, image->height, &multiplied, error));
    premultiply(image->pixels, image->width * image->height, image->channels, multiplied->pixels);
    const clipc_status status = resize_and_crop(rule, multiplied, height, width, bytes, error);
    clipc_image_destroy(&multiplied);
    if (status == CLIPC_OK)
        divide_by_alpha(bytes, height * width, image->channels);
    return status;
}

static clipc_status preprocess_native(const clipc_preprocess_rule *rule, const clipc_image *image, size_t height,
                                      size_t width, uint8_t *bytes, clipc_error *error)
{
    CLIPC_FAIL_IF(image->mode == CLIPC_MODE_I16, error, CLIPC_ERROR_UNSUPPORTED,
                  "preprocessing: a gray image of 16 bits, which clipc does not resize as torchvision does");
    clipc_status status = CLIPC_OK;
    clipc_image *cropped = NULL;
    CLIPC_TRY(clipc_image_allocate(image->mode, width, height, &cropped, error));
    memcpy(cropped->palette, image->palette, sizeof cropped->palette);
    cropped->palette_size = image->palette_size;
    if (image->mode == CLIPC_MODE_LA || image->mode == CLIPC_MODE_RGBA)
        CLIPC_CHECK(resize_with_alpha(rule, image, height, width, cropped->pixels, error));
    else
        CLIPC_CHECK(resize_and_crop(rule, image, height, width, cropped->pixels, error));
    CLIPC_CHECK(clipc_image_to_rgb(&cropped, CLIPC_ALPHA_DROP, error));
    memcpy(bytes, cropped->pixels, 3 * height * width);
fail:
    clipc_image_destroy(&cropped);
    return status;
}

clipc_status clipc_preprocess_bytes(const clipc_preprocess_rule *rule, const clipc_image *image, size_t height,
                                    size_t width, uint8_t *bytes, clipc_error *error)
{
    CLIPC_TRY(clipc_preprocess_rule_check(rule, height, width, "preprocessing rule", error));
    if (image->mode != CLIPC_MODE_RGB && rule->order == CLIPC_ORDER_TORCHVISION)
        return preprocess_native(rule, image, height, width, bytes, error);
    CLIPC_FAIL_IF(image->mode != CLIPC_MODE_RGB, error, CLIPC_ERROR_ARGUMENT, "preprocessing: the image is not RGB");
    return resize_and_crop(rule, image, height, width, bytes, error);
}

/* ---- floats ---- */

/* What transformers' PIL backend makes of each byte: the product in fp64, rounded to fp32; mean and deviation rounded
 * to fp32, then one fp32 subtraction and one fp32 division. */
void clipc_preprocess_values(const clipc_preprocess_rule *rule, size_t channel, float values[256])
{
    const float mean = (float)rule->mean[channel];
    const float deviation = (float)rule->standard_deviation[channel];
    for (size_t byte = 0; byte < 256; byte++) {
        const float value = rule->rescale ? (float)((double)byte * rule->rescale_factor) : (float)byte;
        values[byte] = rule->normalize ? (value - mean) / deviation : value;
    }
}

void clipc_preprocess_floats(const clipc_preprocess_rule *rule, const uint8_t *bytes, size_t area, float *pixels)
{
    float tables[3][256];
    for (size_t channel = 0; channel < 3; channel++)
        clipc_preprocess_values(rule, channel, tables[channel]);
    for (size_t i = 0; i < area; i++) {
        pixels[i] = tables[0][bytes[3 * i]];
        pixels[area + i] = tables[1][bytes[3 * i + 1]];
        pixels[2 * area + i] = tables[2][bytes[3 * i + 2]];
    }
}

clipc_status clipc_preprocess(const clipc_preprocess_rule *rule, const clipc_image *image, size_t height, size_t width,
                              float *pixels, clipc_error *error)
{
    size_t area = 0;
    CLIPC_FAIL_IF(!clipc_multiply(height, width, &area), error, CLIPC_ERROR_ARGUMENT,
                  "preprocessing: %zu × %zu pixels are more than memory has addresses", width, height);
    uint8_t *bytes = clipc_allocate_aligned(area, 3);
    if (!bytes)
        return clipc_fail_memory(error, area * 3, "pixels");
    clipc_status status = clipc_preprocess_bytes(rule, image, height, width, bytes, error);
    if (status == CLIPC_OK)
        clipc_preprocess_floats(rule, bytes, area, pixels);
    clipc_free_aligned(bytes);
    return status;
}
