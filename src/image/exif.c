/* EXIF and XMP orientation, and turning an image upright by it. */
#include "image/decode.h"

#include <string.h>

#define TAG_ORIENTATION 0x0112

typedef struct tiff_view {
    const uint8_t *bytes;
    size_t size;
    bool big_endian;
} tiff_view;

static uint32_t tiff_u16(const tiff_view *tiff, size_t at)
{
    const uint32_t first = tiff->bytes[at];
    const uint32_t second = tiff->bytes[at + 1];
    return tiff->big_endian ? first << 8 | second : second << 8 | first;
}

static uint32_t tiff_u32(const tiff_view *tiff, size_t at)
{
    const uint32_t first = tiff_u16(tiff, at);
    const uint32_t second = tiff_u16(tiff, at + 2);
    return tiff->big_endian ? first << 16 | second : second << 16 | first;
}

/* The value of a directory entry of one BYTE, SHORT or LONG, which TIFF stores in place; 0 for any other. */
static uint32_t entry_value(const tiff_view *tiff, size_t at)
{
    if (tiff_u32(tiff, at + 4) != 1)
        return 0;
    switch (tiff_u16(tiff, at + 2)) {
    case 1: return tiff->bytes[at + 8];
    case 3: return tiff_u16(tiff, at + 8);
    case 4: return tiff_u32(tiff, at + 8);
    default: return 0;
    }
}

/* 0 when the block has no such entry. */
static uint32_t tiff_orientation(const uint8_t *bytes, size_t size)
{
    if (size >= 6 && memcmp(bytes, "Exif\0", 6) == 0) {
        bytes += 6;
        size -= 6;
    }
    if (size < 8 || (memcmp(bytes, "II*\0", 4) != 0 && memcmp(bytes, "MM\0*", 4) != 0))
        return 0;
    const tiff_view tiff = {.bytes = bytes, .size = size, .big_endian = bytes[0] == 'M'};
    const size_t directory = tiff_u32(&tiff, 4);
    if (directory > size - 2)
        return 0;
    const size_t count = tiff_u16(&tiff, directory);
    for (size_t i = 0; i < count; i++) {
        const size_t at = directory + 2 + 12 * i;
        if (at + 12 > size)
            return 0;
        if (tiff_u16(&tiff, at) == TAG_ORIENTATION)
            return entry_value(&tiff, at);
    }
    return 0;
}

/* tiff:Orientation="6" or <tiff:Orientation>6<; 0 when there is none. */
static uint32_t xmp_orientation(const uint8_t *xmp, size_t size)
{
    static const char key[] = "tiff:Orientation";
    const size_t length = sizeof key - 1;
    for (size_t at = 0; at + length < size; at++) {
        if (memcmp(xmp + at, key, length) != 0)
            continue;
        size_t value = at + length;
        if (xmp[value] == '>')
            value += 1;
        else if (size - value > 2 && xmp[value] == '=' && xmp[value + 1] == '"')
            value += 2;
        else
            continue;
        if (value < size && xmp[value] >= '0' && xmp[value] <= '9')
            return (uint32_t)(xmp[value] - '0');
    }
    return 0;
}

int clipc_exif_orientation(const uint8_t *exif, size_t exif_size, const uint8_t *xmp, size_t xmp_size)
{
    uint32_t orientation = exif ? tiff_orientation(exif, exif_size) : 0;
    if (orientation == 0 && xmp)
        orientation = xmp_orientation(xmp, xmp_size);
    return orientation >= 1 && orientation <= 8 ? (int)orientation : 1;
}

/* Orientations 5 … 8 swap the axes. Bit by bit, what the others do to (x, y) of the upright image is: mirror x, mirror
 * y, swap (TIFF 6.0, tag 274). */
clipc_status clipc_image_apply_exif(clipc_image **image, clipc_error *error)
{
    const clipc_image *source = *image;
    const int orientation = source->exif_orientation;
    if (orientation <= 1 || orientation > 8)
        return CLIPC_OK;
    const bool swap = orientation >= 5;
    const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const size_t width = swap ? source->height : source->width;
    const size_t height = swap ? source->width : source->height;
    const size_t channels = source->channels;
    clipc_image *upright = NULL;
    CLIPC_TRY(clipc_image_allocate(source->mode, width, height, &upright, error));
    memcpy(upright->palette, source->palette, sizeof upright->palette);
    upright->palette_size = source->palette_size;
    upright->has_transparency = source->has_transparency;
    memcpy(upright->transparent_colour, source->transparent_colour, sizeof upright->transparent_colour);
    uint8_t *pixel = upright->pixels;
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) {
            size_t column = swap ? y : x;
            size_t row = swap ? x : y;
            if (mirror_x)
                column = source->width - 1 - column;
            if (mirror_y)
                row = source->height - 1 - row;
            const uint8_t *from = source->pixels + (row * source->width + column) * channels;
            for (size_t channel = 0; channel < channels; channel++)
                *pixel++ = from[channel];
        }
    }
    clipc_image_destroy(image);
    *image = upright;
    return CLIPC_OK;
}
