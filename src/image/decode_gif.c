/* The first frame of a GIF through giflib, placed on the screen as Pillow does it. */
#include "image/decode.h"

#include "base/checked.h"

#include <string.h>

#include <gif_lib.h>

typedef struct gif_reader {
    const clipc_image_source *source;
    size_t position;
    bool ended; /* more bytes were asked for than there are */
} gif_reader;

/* giflib's way to read: fewer bytes than asked for mean the end. */
static int read_bytes(GifFileType *file, GifByteType *to, int count)
{
    gif_reader *reader = file->UserData;
    const size_t left = reader->source->size - reader->position;
    const size_t wanted = count > 0 ? (size_t)count : 0;
    const size_t given = clipc_min(wanted, left);
    if (given < wanted)
        reader->ended = true;
    memcpy(to, reader->source->bytes + reader->position, given);
    reader->position += given;
    return (int)given;
}

static clipc_status fail_gif(const gif_reader *reader, int code, clipc_error *error)
{
    const char *name = reader->source->name;
    if (code == D_GIF_ERR_NOT_ENOUGH_MEM)
        return clipc_fail(error, CLIPC_ERROR_MEMORY, "%s: out of memory", name);
    if (reader->ended || code == D_GIF_ERR_EOF_TOO_SOON)
        return clipc_fail(error, CLIPC_ERROR_TRUNCATED, "%s: the GIF data end too early", name);
    const char *text = GifErrorString(code);
    return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: GIF: %s", name, text ? text : "damaged");
}

#define TRY_GIF(call)                                                                                                 \
    do {                                                                                                              \
        if ((call) == GIF_ERROR)                                                                                      \
            return fail_gif(file->UserData, file->Error, error);                                                      \
    } while (0)

/* Reads one extension; the last graphic control block before the frame names its transparent index. */
static clipc_status read_extension(GifFileType *file, int *transparent, clipc_error *error)
{
    int code = 0;
    GifByteType *block = NULL;
    TRY_GIF(DGifGetExtension(file, &code, &block));
    if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4 && (block[1] & 1))
        *transparent = block[4];
    while (block)
        TRY_GIF(DGifGetExtensionNext(file, &block));
    return CLIPC_OK;
}

static clipc_status find_frame(GifFileType *file, int *transparent, clipc_error *error)
{
    const gif_reader *reader = file->UserData;
    for (;;) {
        GifRecordType record = UNDEFINED_RECORD_TYPE;
        TRY_GIF(DGifGetRecordType(file, &record));
        switch (record) {
        case IMAGE_DESC_RECORD_TYPE: TRY_GIF(DGifGetImageDesc(file)); return CLIPC_OK;
        case EXTENSION_RECORD_TYPE: CLIPC_TRY(read_extension(file, transparent, error)); break;
        default: return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: the GIF has no image", reader->source->name);
        }
    }
}

/* Pillow reads a palette whose entry i is the gray i as no palette at all. */
static bool is_gray_ramp(const ColorMapObject *map)
{
    for (int i = 0; i < map->ColorCount; i++) {
        const GifColorType *colour = &map->Colors[i];
        if (colour->Red != i || colour->Green != i || colour->Blue != i)
            return false;
    }
    return true;
}

static void copy_palette(const ColorMapObject *map, clipc_image *image)
{
    image->palette_size = clipc_min((size_t)map->ColorCount, 256);
    for (size_t i = 0; i < 256; i++)
        image->palette[i][3] = 255;
    for (size_t i = 0; i < image->palette_size; i++) {
        image->palette[i][0] = map->Colors[i].Red;
        image->palette[i][1] = map->Colors[i].Green;
        image->palette[i][2] = map->Colors[i].Blue;
    }
}

static clipc_status read_rows(GifFileType *file, clipc_image *image, clipc_error *error)
{
    static const size_t first_row[] = {0, 4, 2, 1};
    static const size_t row_step[] = {8, 8, 4, 2};
    const GifImageDesc *frame = &file->Image;
    const size_t height = (size_t)frame->Height;
    uint8_t *corner = image->pixels + (size_t)frame->Top * image->width + (size_t)frame->Left;
    for (size_t pass = 0; pass < (frame->Interlace ? 4 : 1); pass++) {
        const size_t step = frame->Interlace ? row_step[pass] : 1;
        for (size_t y = first_row[pass]; y < height; y += step)
            TRY_GIF(DGifGetLine(file, corner + y * image->width, frame->Width));
    }
    return CLIPC_OK;
}

static clipc_status decode(GifFileType *file, clipc_image **out, clipc_error *error)
{
    const gif_reader *reader = file->UserData;
    int transparent = NO_TRANSPARENT_COLOR;
    CLIPC_TRY(find_frame(file, &transparent, error));
    const GifImageDesc *frame = &file->Image;
    CLIPC_FAIL_IF(frame->Width <= 0 || frame->Height <= 0 || frame->Left < 0 || frame->Top < 0, error,
                  CLIPC_ERROR_FORMAT, "%s: the GIF's frame is %d×%d pixels", reader->source->name, frame->Width,
                  frame->Height);
    /* a frame that reaches out of the screen widens it */
    const size_t width = clipc_max((size_t)file->SWidth, (size_t)frame->Left + (size_t)frame->Width);
    const size_t height = clipc_max((size_t)file->SHeight, (size_t)frame->Top + (size_t)frame->Height);
    CLIPC_TRY(clipc_image_check_size(reader->source, width, height, error));
    const ColorMapObject *map = frame->ColorMap ? frame->ColorMap : file->SColorMap;
    if (map && is_gray_ramp(map))
        map = NULL;
    CLIPC_TRY(clipc_image_allocate(map ? CLIPC_MODE_P : CLIPC_MODE_L, width, height, out, error));
    clipc_image *image = *out;
    if (map)
        copy_palette(map, image);
    if (transparent != NO_TRANSPARENT_COLOR) {
        image->has_transparency = true;
        image->transparent_colour[0] = (uint16_t)transparent;
        image->palette[transparent][3] = 0;
    }
    memset(image->pixels, transparent == NO_TRANSPARENT_COLOR ? 0 : transparent, width * height);
    return read_rows(file, image, error);
}

clipc_status clipc_decode_gif(const clipc_image_source *source, clipc_image **out, clipc_error *error)
{
    gif_reader reader = {.source = source};
    int code = 0;
    GifFileType *file = DGifOpen(&reader, read_bytes, &code);
    if (!file)
        return fail_gif(&reader, code, error);
    clipc_image *image = NULL;
    const clipc_status status = decode(file, &image, error);
    DGifCloseFile(file, &code);
    if (status != CLIPC_OK)
        clipc_image_destroy(&image);
    *out = image;
    return status;
}
