#include "image/decode.h"

#include <string.h>

static uint32_t read_u32_little(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static bool begins_with(const uint8_t *bytes, size_t size, const char *magic, size_t length)
{
    return size >= length && memcmp(bytes, magic, length) == 0;
}

/* "BM" alone begins many a text; the size of the second header is one of the few that exist. */
static bool is_bmp(const uint8_t *bytes, size_t size)
{
    if (size < 18 || !begins_with(bytes, size, "BM", 2))
        return false;
    switch (read_u32_little(bytes + 14)) {
    case 12:
    case 40:
    case 52:
    case 56:
    case 64:
    case 108:
    case 124: return true;
    default: return false;
    }
}

static bool is_webp(const uint8_t *bytes, size_t size)
{
    return size >= 16 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBPVP8", 7) == 0 &&
           (bytes[15] == ' ' || bytes[15] == 'L' || bytes[15] == 'X');
}

clipc_image_format_id clipc_image_format_detect(const uint8_t *bytes, size_t size)
{
    if (begins_with(bytes, size, "\xFF\xD8\xFF", 3))
        return CLIPC_FORMAT_JPEG;
    if (begins_with(bytes, size, "\x89PNG\r\n\x1A\n", 8))
        return CLIPC_FORMAT_PNG;
    if (is_webp(bytes, size))
        return CLIPC_FORMAT_WEBP;
    if (begins_with(bytes, size, "GIF87a", 6) || begins_with(bytes, size, "GIF89a", 6))
        return CLIPC_FORMAT_GIF;
    if (is_bmp(bytes, size))
        return CLIPC_FORMAT_BMP;
    return CLIPC_FORMAT_UNKNOWN;
}

clipc_status clipc_image_check_size(const clipc_image_source *source, uint64_t width, uint64_t height,
                                    clipc_error *error)
{
    CLIPC_FAIL_IF(width == 0 || height == 0, error, CLIPC_ERROR_FORMAT, "%s: the image is %llu×%llu pixels",
                  source->name, (unsigned long long)width, (unsigned long long)height);
    CLIPC_FAIL_IF(width > source->max_pixels / height, error, CLIPC_ERROR_LIMIT,
                  "%s: the header claims %llu×%llu pixels, over the limit of %llu pixels", source->name,
                  (unsigned long long)width, (unsigned long long)height, (unsigned long long)source->max_pixels);
    return CLIPC_OK;
}

void clipc_unpack_samples(const uint8_t *packed, unsigned bits, unsigned scale, size_t count, uint8_t *samples)
{
    const unsigned mask = (1u << bits) - 1;
    for (size_t i = 0; i < count; i++) {
        const unsigned shift = 8 - bits - (unsigned)(i * bits % 8);
        samples[i] = (uint8_t)(((unsigned)packed[i * bits / 8] >> shift & mask) * scale);
    }
}

clipc_status clipc_image_decode_native(const void *bytes, size_t size, const char *name, uint64_t max_pixels,
                                       clipc_image **out, clipc_error *error)
{
    *out = NULL;
    CLIPC_FAIL_IF(size == 0, error, CLIPC_ERROR_TRUNCATED, "%s: the file is empty", name);
    const clipc_image_source source = {.bytes = bytes, .size = size, .name = name, .max_pixels = max_pixels};
    switch (clipc_image_format_detect(bytes, size)) {
    case CLIPC_FORMAT_JPEG: return clipc_decode_jpeg(&source, out, error);
    case CLIPC_FORMAT_PNG: return clipc_decode_png(&source, out, error);
    case CLIPC_FORMAT_WEBP: return clipc_decode_webp(&source, out, error);
    case CLIPC_FORMAT_GIF: return clipc_decode_gif(&source, out, error);
    case CLIPC_FORMAT_BMP: return clipc_decode_bmp(&source, out, error);
    case CLIPC_FORMAT_UNKNOWN: break;
    }
    return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: not a JPEG, PNG, WebP, GIF or BMP image", name);
}
