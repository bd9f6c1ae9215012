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

clipc_status clipc_preprocess_bytes(const clipc_preprocess_rule *rule, const clipc_image *image, size_t height,
                                    size_t width, uint8_t *bytes, clipc_error *error)
{
    CLIPC_TRY(clipc_preprocess_rule_check(rule, height, width, "preprocessing rule", error));
    CLIPC_FAIL_IF(image->mode != CLIPC_MODE_RGB, error, CLIPC_ERROR_ARGUMENT, "preprocessing: the image is not RGB");
    size_t resized_height = 0;
    size_t resized_width = 0;
    resized_size(rule, image, &resized_height, &resized_width);
    clipc_crop crop = {0, 0, width, height};
    if (rule->crop) {
        crop.left = crop_begin(rule->order, resized_width, rule->crop_width);
        crop.top = crop_begin(rule->order, resized_height, rule->crop_height);
    }
    return clipc_resize_crop(image->pixels, image->width, image->height, 3, rule->filter, resized_width,
                             resized_height, crop, bytes, error);
}

/* ---- floats ---- */

/* What transformers' PIL backend makes of each byte: the product in fp64, rounded to fp32; mean and deviation rounded
 * to fp32, then one fp32 subtraction and one fp32 division. */
static void value_table(const clipc_preprocess_rule *rule, size_t channel, float table[256])
{
    const float mean = (float)rule->mean[channel];
    const float deviation = (float)rule->standard_deviation[channel];
    for (size_t byte = 0; byte < 256; byte++) {
        const float value = rule->rescale ? (float)((double)byte * rule->rescale_factor) : (float)byte;
        table[byte] = rule->normalize ? (value - mean) / deviation : value;
    }
}

static void bytes_to_floats(const clipc_preprocess_rule *rule, const uint8_t *bytes, size_t area, float *pixels)
{
    float tables[3][256];
    for (size_t channel = 0; channel < 3; channel++)
        value_table(rule, channel, tables[channel]);
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
        bytes_to_floats(rule, bytes, area, pixels);
    clipc_free_aligned(bytes);
    return status;
}
