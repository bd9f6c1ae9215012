/* Resizes and preprocesses what it is sent on standard input, for resize_pillow.py and the like. Numbers are 64-bit,
 * native order.
 *
 * A request is 16 numbers: operation, kernel level, mode (clipc_image_mode), source width and height, filter, width
 * and height to resize to, crop left, top, width and height, order, bytes of JSON, 2 spare; then the JSON, then the
 * source pixels. Operation 0 resizes and crops; 1 preprocesses to floats by the JSON rule. A reply is the status, the
 * number of bytes, and the bytes (of the result, or of the error's sentence). */
#include "base/memory.h"
#include "image/preprocess.h"
#include "image/resize_kernels.h"

#include <stdio.h>
#include <string.h>

typedef struct request {
    int64_t operation, level, mode, source_width, source_height, filter, width, height;
    int64_t left, top, crop_width, crop_height, order, json_size, spare[2];
} request;

static size_t bytes_per_pixel(int64_t mode)
{
    switch ((clipc_image_mode)mode) {
    case CLIPC_MODE_RGB: return 3;
    case CLIPC_MODE_RGBA:
    case CLIPC_MODE_CMYK: return 4;
    case CLIPC_MODE_LA:
    case CLIPC_MODE_I16: return 2;
    case CLIPC_MODE_L:
    case CLIPC_MODE_1:
    case CLIPC_MODE_P: break;
    }
    return 1;
}

static void reply(clipc_status status, const void *bytes, size_t size)
{
    const int64_t header[2] = {status, (int64_t)size};
    fwrite(header, sizeof header, 1, stdout);
    fwrite(bytes, 1, size, stdout);
    fflush(stdout);
}

static clipc_status preprocess(const request *it, const char *json, uint8_t *pixels, float *out, clipc_error *error)
{
    clipc_image image = {.mode = (clipc_image_mode)it->mode,
                         .width = (size_t)it->source_width,
                         .height = (size_t)it->source_height,
                         .channels = bytes_per_pixel(it->mode),
                         .pixels = pixels,
                         .exif_orientation = 1};
    clipc_preprocess_rule rule;
    const clipc_status status =
        clipc_preprocess_rule_parse(json, (size_t)it->json_size, "preprocessor_config.json", &rule, error);
    if (status != CLIPC_OK)
        return status;
    rule.order = (clipc_preprocess_order)it->order;
    return clipc_preprocess(&rule, &image, (size_t)it->crop_height, (size_t)it->crop_width, out, error);
}

static void answer(const request *it, const char *json, uint8_t *pixels)
{
    const size_t channels = bytes_per_pixel(it->mode);
    const size_t area = (size_t)it->crop_width * (size_t)it->crop_height;
    clipc_error error = {0};
    void *out = clipc_allocate(area, 3 * sizeof(float));
    size_t size = area * channels;
    clipc_status status = CLIPC_ERROR_MEMORY;
    if (out && it->operation == 0) {
        const clipc_crop crop = {(ptrdiff_t)it->left, (ptrdiff_t)it->top, (size_t)it->crop_width,
                                 (size_t)it->crop_height};
        status =
            clipc_resize_crop_with(clipc_resize_kernels_for((clipc_cpu_level)it->level), pixels,
                                   (size_t)it->source_width, (size_t)it->source_height, channels,
                                   (clipc_filter)it->filter, (size_t)it->width, (size_t)it->height, crop, out, &error);
    } else if (out) {
        size = area * 3 * sizeof(float);
        status = preprocess(it, json, pixels, out, &error);
    }
    if (status == CLIPC_OK)
        reply(status, out, size);
    else
        reply(status, error.message, strlen(error.message));
    clipc_free(out);
}

int main(void)
{
    request it;
    while (fread(&it, sizeof it, 1, stdin) == 1) {
        const size_t size = (size_t)it.source_width * (size_t)it.source_height * bytes_per_pixel(it.mode);
        char *json = clipc_allocate((size_t)it.json_size, 1);
        uint8_t *pixels = clipc_allocate(size, 1);
        const bool complete = json && pixels && fread(json, 1, (size_t)it.json_size, stdin) == (size_t)it.json_size &&
                              fread(pixels, 1, size, stdin) == size;
        if (complete)
            answer(&it, json, pixels);
        clipc_free(json);
        clipc_free(pixels);
        if (!complete)
            return 1;
    }
    return 0;
}
