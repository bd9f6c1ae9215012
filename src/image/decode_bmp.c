/* Windows and OS/2 bitmaps, to the modes and bytes Pillow gives. Written out here because stb_image, the one library
 * at hand, reads no run-length coding, scales 16-bit colours otherwise, forgets the palette and fills what a truncated
 * file lacks with zeros. */
#include "image/decode.h"

#include "base/checked.h"

#include <string.h>

#define FILE_HEADER_SIZE ((size_t)14)

typedef enum bmp_compression { BMP_RAW = 0, BMP_RLE8 = 1, BMP_RLE4 = 2, BMP_BITFIELDS = 3 } bmp_compression;

typedef struct bmp_header {
    size_t size; /* of the second header, whose version it tells */
    uint32_t width;
    uint32_t height;
    bool top_down;
    unsigned bits; /* a pixel */
    uint32_t compression;
    uint32_t colours;  /* in the palette */
    uint32_t masks[4]; /* red, green, blue, alpha */
    size_t palette_entry_size;
    size_t palette_offset;
    size_t pixel_offset;
} bmp_header;

static unsigned read_u16(const uint8_t *bytes)
{
    return (unsigned)bytes[0] | (unsigned)bytes[1] << 8;
}

static uint32_t read_u32(const uint8_t *bytes)
{
    return read_u16(bytes) | (uint32_t)read_u16(bytes + 2) << 16;
}

static clipc_status fail_truncated(const clipc_image_source *source, clipc_error *error)
{
    return clipc_fail(error, CLIPC_ERROR_TRUNCATED, "%s: the BMP data end too early", source->name);
}

static clipc_status read_info_header(const clipc_image_source *source, bmp_header *header, clipc_error *error)
{
    const uint8_t *info = source->bytes + FILE_HEADER_SIZE;
    header->top_down = info[11] == 0xFF; /* a negative height */
    header->width = read_u32(info + 4);
    header->height = header->top_down ? 0u - read_u32(info + 8) : read_u32(info + 8);
    header->bits = read_u16(info + 14);
    header->compression = read_u32(info + 16);
    header->colours = read_u32(info + 32);
    header->palette_entry_size = 4;
    if (header->compression != BMP_BITFIELDS)
        return CLIPC_OK;
    /* the masks are part of the header from version 2 on (alpha from 3 on) and follow it before */
    const size_t masks = header->size >= 56 ? 4 : 3;
    if (header->size == 40)
        header->palette_offset += 12;
    if (source->size < FILE_HEADER_SIZE + 40 + 4 * masks)
        return fail_truncated(source, error);
    for (size_t i = 0; i < masks; i++)
        header->masks[i] = read_u32(info + 40 + 4 * i);
    return CLIPC_OK;
}

static clipc_status read_header(const clipc_image_source *source, bmp_header *header, clipc_error *error)
{
    if (source->size < FILE_HEADER_SIZE + 4)
        return fail_truncated(source, error);
    const uint8_t *info = source->bytes + FILE_HEADER_SIZE;
    header->size = read_u32(info);
    if (source->size - FILE_HEADER_SIZE < header->size)
        return fail_truncated(source, error);
    header->palette_offset = FILE_HEADER_SIZE + header->size;
    if (header->size == 12) {
        header->width = read_u16(info + 4);
        header->height = read_u16(info + 6);
        header->bits = read_u16(info + 10);
        header->palette_entry_size = 3;
    } else
        CLIPC_TRY(read_info_header(source, header, error));
    CLIPC_TRY(clipc_image_check_size(source, header->width, header->height, error));
    if (header->bits <= 8 && header->colours == 0)
        header->colours = 1u << header->bits;
    header->pixel_offset = read_u32(source->bytes + 10);
    if (header->pixel_offset == FILE_HEADER_SIZE + header->size && header->bits <= 8)
        header->pixel_offset += header->palette_entry_size * header->colours;
    if (header->pixel_offset == 0)
        header->pixel_offset =
            header->palette_offset + (header->bits <= 8 ? header->palette_entry_size * header->colours : 0);
    return CLIPC_OK;
}

static clipc_status check_header(const clipc_image_source *source, const bmp_header *header, clipc_error *error)
{
    const unsigned bits = header->bits;
    const bool indexed = bits == 1 || bits == 4 || bits == 8;
    CLIPC_FAIL_IF(!indexed && bits != 16 && bits != 24 && bits != 32, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: a BMP of %u bits a pixel", source->name, bits);
    const uint32_t compression = header->compression;
    const bool known = compression == BMP_RAW || (compression == BMP_BITFIELDS && bits >= 16) ||
                       ((compression == BMP_RLE8 || compression == BMP_RLE4) && indexed);
    CLIPC_FAIL_IF(!known, error, CLIPC_ERROR_UNSUPPORTED, "%s: BMP compression %u with %u bits a pixel", source->name,
                  compression, bits);
    CLIPC_FAIL_IF(indexed && header->colours > 65536, error, CLIPC_ERROR_FORMAT, "%s: a BMP palette of %u colours",
                  source->name, header->colours);
    return CLIPC_OK;
}

static bool is_gray_ramp(const clipc_image *image)
{
    for (size_t i = 0; i < image->palette_size; i++) {
        const uint8_t *entry = image->palette[i];
        if (entry[0] != i || entry[1] != i || entry[2] != i)
            return false;
    }
    return true;
}

/* Fills the palette; Pillow takes one whose entry i is the gray i for no palette. */
static clipc_status read_palette(const clipc_image_source *source, const bmp_header *header, clipc_image *image,
                                 clipc_error *error)
{
    image->palette_size = clipc_min(header->colours, 256);
    const size_t bytes = image->palette_size * header->palette_entry_size;
    if (source->size - header->palette_offset < bytes)
        return fail_truncated(source, error);
    for (size_t i = 0; i < 256; i++) {
        const uint8_t *entry = source->bytes + header->palette_offset + i * header->palette_entry_size;
        const bool known = i < image->palette_size;
        image->palette[i][0] = known ? entry[2] : 0;
        image->palette[i][1] = known ? entry[1] : 0;
        image->palette[i][2] = known ? entry[0] : 0;
        image->palette[i][3] = 255;
    }
    if (image->palette_size > 2 && is_gray_ramp(image))
        image->mode = CLIPC_MODE_L;
    return CLIPC_OK;
}

/* Which byte of a pixel a mask picks; 4 for any mask that is not one whole byte. */
static size_t mask_byte(uint32_t mask)
{
    size_t byte = 0;
    while (byte < 4 && mask != 0xFFu << (8 * byte))
        byte++;
    return byte;
}

/* From 16 bits a pixel: `bits` of them from `shift` on, scaled as Pillow does it. */
static uint8_t scaled(unsigned pixel, unsigned shift, unsigned bits)
{
    const unsigned most = (1u << bits) - 1;
    return (uint8_t)((pixel >> shift & most) * 255 / most);
}

typedef struct colour_layout {
    size_t byte[4]; /* where a pixel's channels lie */
    int green_bits; /* of 16-bit pixels: 5 or 6 */
} colour_layout;

static clipc_status choose_layout(const clipc_image_source *source, const bmp_header *header, colour_layout *layout,
                                  clipc_image_mode *mode, clipc_error *error)
{
    *layout = (colour_layout){.byte = {2, 1, 0, 3}, .green_bits = 5};
    *mode = CLIPC_MODE_RGB;
    if (header->compression != BMP_BITFIELDS)
        return CLIPC_OK;
    const uint32_t *masks = header->masks;
    bool known = false;
    if (header->bits == 16) {
        known = masks[2] == 0x1F &&
                ((masks[0] == 0xF800 && masks[1] == 0x7E0) || (masks[0] == 0x7C00 && masks[1] == 0x3E0));
        layout->green_bits = masks[1] == 0x7E0 ? 6 : 5;
    } else if (header->bits == 24) {
        known = masks[0] == 0xFF0000 && masks[1] == 0xFF00 && masks[2] == 0xFF;
    } else if ((masks[0] | masks[1] | masks[2] | masks[3]) == 0) {
        known = true;
        *mode = CLIPC_MODE_RGBA;
    } else {
        for (size_t i = 0; i < 4; i++)
            layout->byte[i] = mask_byte(masks[i]);
        *mode = masks[3] ? CLIPC_MODE_RGBA : CLIPC_MODE_RGB;
        known =
            layout->byte[0] < 4 && layout->byte[1] < 4 && layout->byte[2] < 4 && (layout->byte[3] < 4 || !masks[3]);
    }
    CLIPC_FAIL_IF(!known, error, CLIPC_ERROR_UNSUPPORTED, "%s: BMP bit fields %08x %08x %08x %08x", source->name,
                  masks[0], masks[1], masks[2], masks[3]);
    return CLIPC_OK;
}

static void unpack_colours(const uint8_t *from, const bmp_header *header, const colour_layout *layout,
                           const clipc_image *image, uint8_t *to)
{
    const size_t step = header->bits / 8;
    for (size_t x = 0; x < image->width; x++, from += step, to += image->channels) {
        if (step == 2) {
            const unsigned pixel = read_u16(from);
            const unsigned green_bits = (unsigned)layout->green_bits;
            to[0] = scaled(pixel, 5 + green_bits, 5);
            to[1] = scaled(pixel, 5, green_bits);
            to[2] = scaled(pixel, 0, 5);
            continue;
        }
        for (size_t channel = 0; channel < image->channels; channel++)
            to[channel] = from[layout->byte[channel]];
    }
}

static clipc_status read_raw(const clipc_image_source *source, const bmp_header *header, const colour_layout *layout,
                             clipc_image *image, clipc_error *error)
{
    /* width × height is within the limit, but the limit is the caller's: the products are checked */
    const size_t row = ((size_t)header->width * header->bits + 7) / 8;
    const size_t stride = clipc_round_up(row, 4);
    size_t needed = 0;
    if (!clipc_multiply(stride, image->height - 1, &needed) || !clipc_add(needed, row, &needed) ||
        header->pixel_offset > source->size || source->size - header->pixel_offset < needed)
        return fail_truncated(source, error);
    for (size_t y = 0; y < image->height; y++) {
        const uint8_t *from = source->bytes + header->pixel_offset + y * stride;
        const size_t line = header->top_down ? y : image->height - 1 - y;
        uint8_t *to = image->pixels + line * image->width * image->channels;
        if (header->bits <= 8)
            clipc_unpack_samples(from, header->bits, 1, image->width, to);
        else
            unpack_colours(from, header, layout, image, to);
    }
    return CLIPC_OK;
}

/* The run-length decoder's place: in the file, and in the pixels, which it fills in the file's row order. */
typedef struct rle_state {
    const uint8_t *bytes;
    size_t size;
    size_t position;
    uint8_t *pixels;
    size_t count;
    size_t capacity;
    size_t width;
    size_t column; /* what has been written of this row by runs: they are cut off at its end */
    bool four_bits;
} rle_state;

static void put_zeros(rle_state *state, size_t count)
{
    count = clipc_min(count, state->capacity - state->count);
    memset(state->pixels + state->count, 0, count);
    state->count += count;
}

static void put_run(rle_state *state, size_t length, uint8_t value)
{
    const size_t row_left = state->width > state->column ? state->width - state->column : 0;
    length = clipc_min(clipc_min(length, row_left), state->capacity - state->count);
    const uint8_t first = state->four_bits ? value >> 4 : value;
    const uint8_t second = state->four_bits ? value & 15 : value;
    for (size_t i = 0; i < length; i++)
        state->pixels[state->count + i] = i % 2 ? second : first;
    state->count += length;
    state->column += length;
}

/* `length` pixels as they are, padded to a 16-bit border of the file. False at the file's end. */
static bool put_literal(rle_state *state, size_t length)
{
    const size_t kept = clipc_min(length, state->capacity - state->count);
    const size_t bytes = state->four_bits ? (kept + 1) / 2 : kept;
    if (state->size - state->position < bytes)
        return false;
    clipc_unpack_samples(state->bytes + state->position, state->four_bits ? 4 : 8, 1, kept,
                         state->pixels + state->count);
    state->count += kept;
    state->column += length;
    state->position += bytes;
    state->position += state->position % 2;
    return true;
}

static clipc_status run_rle(const clipc_image_source *source, rle_state *state, clipc_error *error)
{
    while (state->count < state->capacity) {
        if (state->position > state->size || state->size - state->position < 2)
            return fail_truncated(source, error);
        const uint8_t length = state->bytes[state->position];
        const uint8_t value = state->bytes[state->position + 1];
        state->position += 2;
        if (length) {
            put_run(state, length, value);
        } else if (value == 0) {
            if (state->count % state->width)
                put_zeros(state, state->width - state->count % state->width);
            state->column = 0;
        } else if (value == 1) {
            return clipc_fail(error, CLIPC_ERROR_TRUNCATED, "%s: the BMP's runs end before its last pixel",
                              source->name);
        } else if (value == 2) {
            if (state->size - state->position < 2)
                return fail_truncated(source, error);
            put_zeros(state, state->bytes[state->position] + state->bytes[state->position + 1] * state->width);
            state->position += 2;
            state->column = state->count % state->width;
        } else if (!put_literal(state, value)) {
            return fail_truncated(source, error);
        }
    }
    return CLIPC_OK;
}

static void swap_rows(clipc_image *image)
{
    const size_t stride = image->width * image->channels;
    for (size_t y = 0; y < image->height / 2; y++) {
        uint8_t *upper = image->pixels + y * stride;
        uint8_t *lower = image->pixels + (image->height - 1 - y) * stride;
        for (size_t i = 0; i < stride; i++) {
            const uint8_t byte = upper[i];
            upper[i] = lower[i];
            lower[i] = byte;
        }
    }
}

static clipc_status read_rle(const clipc_image_source *source, const bmp_header *header, clipc_image *image,
                             clipc_error *error)
{
    rle_state state = {.bytes = source->bytes,
                       .size = source->size,
                       .position = header->pixel_offset,
                       .pixels = image->pixels,
                       .capacity = image->width * image->height,
                       .width = image->width,
                       .four_bits = header->compression == BMP_RLE4};
    CLIPC_TRY(run_rle(source, &state, error));
    if (!header->top_down)
        swap_rows(image);
    return CLIPC_OK;
}

static clipc_status decode(const clipc_image_source *source, clipc_image **image, clipc_error *error)
{
    bmp_header header = {0};
    CLIPC_TRY(read_header(source, &header, error));
    CLIPC_TRY(check_header(source, &header, error));
    colour_layout layout = {0};
    clipc_image_mode mode = CLIPC_MODE_P;
    if (header.bits > 8)
        CLIPC_TRY(choose_layout(source, &header, &layout, &mode, error));
    CLIPC_TRY(clipc_image_allocate(mode, header.width, header.height, image, error));
    if (mode == CLIPC_MODE_P)
        CLIPC_TRY(read_palette(source, &header, *image, error));
    if (header.compression == BMP_RLE8 || header.compression == BMP_RLE4)
        return read_rle(source, &header, *image, error);
    return read_raw(source, &header, &layout, *image, error);
}

clipc_status clipc_decode_bmp(const clipc_image_source *source, clipc_image **out, clipc_error *error)
{
    clipc_image *image = NULL;
    const clipc_status status = decode(source, &image, error);
    if (status != CLIPC_OK)
        clipc_image_destroy(&image);
    *out = image;
    return status;
}
