/* PNG through libspng, to the modes Pillow gives: 16-bit colour keeps its high bytes, 16-bit gray stays 16 bits. */
#include "image/decode.h"

#include "base/checked.h"
#include "base/memory.h"

#include <string.h>

#include <spng.h>

static clipc_status fail_spng(const clipc_image_source *source, int code, clipc_error *error)
{
    switch (code) {
    case SPNG_IO_EOF:
    case SPNG_EOF:
    case SPNG_EIDAT_TOO_SHORT:
        return clipc_fail(error, CLIPC_ERROR_TRUNCATED, "%s: the PNG data end too early", source->name);
    case SPNG_EMEM: return clipc_fail(error, CLIPC_ERROR_MEMORY, "%s: out of memory", source->name);
    default: return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: PNG: %s", source->name, spng_strerror(code));
    }
}

#define TRY_SPNG(call)                                                                                                \
    do {                                                                                                              \
        const int try_code = (call);                                                                                  \
        if (try_code != 0)                                                                                            \
            return fail_spng(source, try_code, error);                                                                \
    } while (0)

static clipc_image_mode mode_of(const struct spng_ihdr *header)
{
    switch (header->color_type) {
    case SPNG_COLOR_TYPE_TRUECOLOR: return CLIPC_MODE_RGB;
    case SPNG_COLOR_TYPE_INDEXED: return CLIPC_MODE_P;
    case SPNG_COLOR_TYPE_GRAYSCALE_ALPHA: return header->bit_depth == 16 ? CLIPC_MODE_RGBA : CLIPC_MODE_LA;
    case SPNG_COLOR_TYPE_TRUECOLOR_ALPHA: return CLIPC_MODE_RGBA;
    default: break;
    }
    return header->bit_depth == 1 ? CLIPC_MODE_1 : header->bit_depth == 16 ? CLIPC_MODE_I16 : CLIPC_MODE_L;
}

static clipc_status read_palette(spng_ctx *context, const clipc_image_source *source, clipc_image *image,
                                 clipc_error *error)
{
    struct spng_plte palette;
    TRY_SPNG(spng_get_plte(context, &palette));
    for (size_t i = 0; i < 256; i++) {
        const bool known = i < palette.n_entries;
        image->palette[i][0] = known ? palette.entries[i].red : 0;
        image->palette[i][1] = known ? palette.entries[i].green : 0;
        image->palette[i][2] = known ? palette.entries[i].blue : 0;
        image->palette[i][3] = 255;
    }
    image->palette_size = palette.n_entries;
    return CLIPC_OK;
}

/* The transparent colour as Pillow compares it: the low byte of the stored value against the sample brought to 8 bits
 * (for 1 bit: any non-zero value is white). */
static void read_transparency(spng_ctx *context, clipc_image *image)
{
    struct spng_trns transparency;
    if (spng_get_trns(context, &transparency) != 0)
        return;
    image->has_transparency = true;
    switch (image->mode) {
    case CLIPC_MODE_P:
        for (size_t i = 0; i < transparency.n_type3_entries && i < 256; i++)
            image->palette[i][3] = transparency.type3_alpha[i];
        break;
    case CLIPC_MODE_RGB:
        image->transparent_colour[0] = transparency.red & 255;
        image->transparent_colour[1] = transparency.green & 255;
        image->transparent_colour[2] = transparency.blue & 255;
        break;
    case CLIPC_MODE_1: image->transparent_colour[0] = transparency.gray ? 255 : 0; break;
    default: image->transparent_colour[0] = transparency.gray & 255; break;
    }
}

/* One byte a sample out of rows of packed 1-, 2- or 4-bit samples; gray is scaled to 0 … 255, indices are not. */
static void unpack_bits(const uint8_t *packed, unsigned bits, clipc_image *image)
{
    const size_t stride = (image->width * bits + 7) / 8;
    const unsigned scale = image->mode == CLIPC_MODE_P ? 1 : 255 / ((1u << bits) - 1);
    for (size_t y = 0; y < image->height; y++)
        clipc_unpack_samples(packed + y * stride, bits, scale, image->width, image->pixels + y * image->width);
}

/* Big-endian 16-bit samples: gray keeps both bytes, in native order; colour and alpha keep the high byte. */
static void reduce_16_bits(const uint8_t *wide, unsigned color_type, clipc_image *image)
{
    const size_t pixels = image->width * image->height;
    if (image->mode == CLIPC_MODE_I16) {
        for (size_t i = 0; i < pixels; i++) {
            const uint16_t sample = (uint16_t)(wide[2 * i] << 8 | wide[2 * i + 1]);
            memcpy(image->pixels + 2 * i, &sample, 2);
        }
        return;
    }
    if (color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA) {
        for (size_t i = 0; i < pixels; i++) {
            memset(image->pixels + 4 * i, wide[4 * i], 3);
            image->pixels[4 * i + 3] = wide[4 * i + 2];
        }
        return;
    }
    for (size_t i = 0; i < pixels * image->channels; i++)
        image->pixels[i] = wide[2 * i];
}

static clipc_status read_pixels(spng_ctx *context, const clipc_image_source *source, const struct spng_ihdr *header,
                                clipc_image *image, clipc_error *error)
{
    size_t bytes = 0;
    TRY_SPNG(spng_decoded_image_size(context, SPNG_FMT_RAW, &bytes));
    if (header->bit_depth == 8) {
        CLIPC_FAIL_IF(bytes != image->width * image->height * image->channels, error, CLIPC_ERROR_INTERNAL,
                      "%s: the PNG decoder expects %zu bytes", source->name, bytes);
        TRY_SPNG(spng_decode_image(context, image->pixels, bytes, SPNG_FMT_RAW, 0));
        return CLIPC_OK;
    }
    uint8_t *raw = clipc_allocate_aligned(bytes, 1);
    if (!raw)
        return clipc_fail_memory(error, bytes, source->name);
    if (header->interlace_method) /* libspng adds the bits of interlaced rows to what is there */
        memset(raw, 0, bytes);    /* else left untouched: a short file that claims to be large then costs no memory */
    const int code = spng_decode_image(context, raw, bytes, SPNG_FMT_RAW, 0);
    if (code == 0 && header->bit_depth == 16)
        reduce_16_bits(raw, header->color_type, image);
    else if (code == 0)
        unpack_bits(raw, header->bit_depth, image);
    clipc_free_aligned(raw);
    return code == 0 ? CLIPC_OK : fail_spng(source, code, error);
}

/* The orientation may come after the pixels; a file that is damaged there is still whole up to its last pixel. */
static int read_orientation(spng_ctx *context)
{
    struct spng_exif exif;
    spng_decode_chunks(context);
    if (spng_get_exif(context, &exif) != 0)
        return 1;
    return clipc_exif_orientation((const uint8_t *)exif.data, exif.length, NULL, 0);
}

#define IHDR_AT 12 /* after the signature and the chunk's length: the name, the width and the height, big-endian */

/* Before libspng looks, which calls a size that its arithmetic does not hold an overflow. */
static clipc_status check_claim(const clipc_image_source *source, clipc_error *error)
{
    if (source->size < IHDR_AT + 12 || memcmp(source->bytes + IHDR_AT, "IHDR", 4) != 0)
        return CLIPC_OK;
    uint32_t sides[2] = {0};
    for (size_t i = 0; i < 8; i++)
        sides[i / 4] = sides[i / 4] << 8 | source->bytes[IHDR_AT + 4 + i];
    return clipc_image_check_size(source, sides[0], sides[1], error);
}

static clipc_status decode(spng_ctx *context, const clipc_image_source *source, clipc_image **image,
                           clipc_error *error)
{
    struct spng_ihdr header;
    CLIPC_TRY(check_claim(source, error));
    TRY_SPNG(spng_set_crc_action(context, SPNG_CRC_ERROR, SPNG_CRC_ERROR));
    TRY_SPNG(spng_set_png_buffer(context, source->bytes, source->size));
    TRY_SPNG(spng_get_ihdr(context, &header));
    CLIPC_TRY(clipc_image_check_size(source, header.width, header.height, error));
    TRY_SPNG(spng_decode_chunks(context));
    CLIPC_TRY(clipc_image_allocate(mode_of(&header), header.width, header.height, image, error));
    if ((*image)->mode == CLIPC_MODE_P)
        CLIPC_TRY(read_palette(context, source, *image, error));
    read_transparency(context, *image);
    CLIPC_TRY(read_pixels(context, source, &header, *image, error));
    (*image)->exif_orientation = read_orientation(context);
    return CLIPC_OK;
}

clipc_status clipc_decode_png(const clipc_image_source *source, clipc_image **out, clipc_error *error)
{
    spng_ctx *context = spng_ctx_new(0);
    if (!context)
        return clipc_fail(error, CLIPC_ERROR_MEMORY, "%s: out of memory", source->name);
    clipc_image *image = NULL;
    const clipc_status status = decode(context, source, &image, error);
    spng_ctx_free(context);
    if (status != CLIPC_OK)
        clipc_image_destroy(&image);
    *out = image;
    return status;
}
