/* JPEG through libjpeg-turbo, which both this program and Pillow's wheels use. */
#include "image/decode.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

/* A crafted progressive file costs a pass over the whole image for every few bytes of scan header. Real encoders write
 * about ten scans; a file of one coefficient a scan has under 1000. */
#define MAX_SCANS 1000

/* Everything the decoder's callbacks and its one setjmp share. It lives in the caller of run(), so a jump leaves it
 * intact. */
typedef struct jpeg_reader {
    struct jpeg_decompress_struct decoder;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr input;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    const clipc_image_source *source;
    clipc_image *image;
    clipc_status status;
    clipc_error *error;
} jpeg_reader;

/* Ends the decoding from within libjpeg. */
__attribute__((noreturn)) static void stop(jpeg_reader *reader, clipc_status status)
{
    reader->status = status;
    longjmp(reader->jump, 1);
}

static clipc_status fail_truncated(jpeg_reader *reader)
{
    return clipc_fail(reader->error, CLIPC_ERROR_TRUNCATED, "%s: the JPEG data end too early", reader->source->name);
}

static void on_error(j_common_ptr common)
{
    jpeg_reader *reader = common->client_data;
    char message[JMSG_LENGTH_MAX];
    common->err->format_message(common, message);
    const int code = common->err->msg_code;
    const clipc_status status = code == JERR_OUT_OF_MEMORY        ? CLIPC_ERROR_MEMORY
                                : code == JERR_IMAGE_TOO_BIG      ? CLIPC_ERROR_LIMIT
                                : code == JERR_SOF_UNSUPPORTED    ? CLIPC_ERROR_UNSUPPORTED
                                : code == JERR_BAD_PRECISION      ? CLIPC_ERROR_UNSUPPORTED
                                : code == JERR_CONVERSION_NOTIMPL ? CLIPC_ERROR_UNSUPPORTED
                                                                  : CLIPC_ERROR_FORMAT;
    stop(reader, clipc_fail(reader->error, status, "%s: %s", reader->source->name, message));
}

/* libjpeg fills what a cut-off segment lacks with gray and warns; that warning is a failure here. Other warnings (a
 * bad code, stray bytes between markers) leave an image, and Pillow passes over them too. */
static void on_message(j_common_ptr common, int level)
{
    jpeg_reader *reader = common->client_data;
    if (level >= 0)
        return;
    common->err->num_warnings++;
    if (common->err->msg_code == JWRN_HIT_MARKER || common->err->msg_code == JWRN_JPEG_EOF)
        stop(reader, fail_truncated(reader));
}

/* libjpeg's own would print to standard error. */
static void on_output(j_common_ptr common)
{
    (void)common;
}

static void on_progress(j_common_ptr common)
{
    jpeg_reader *reader = common->client_data;
    if (reader->decoder.input_scan_number > MAX_SCANS)
        stop(reader, clipc_fail(reader->error, CLIPC_ERROR_LIMIT, "%s: more than %d JPEG scans", reader->source->name,
                                MAX_SCANS));
}

/* The whole file lies in memory: there is nothing to prepare or to finish. */
static void input_nothing(j_decompress_ptr decoder)
{
    (void)decoder;
}

static boolean input_more(j_decompress_ptr decoder)
{
    jpeg_reader *reader = decoder->client_data;
    stop(reader, fail_truncated(reader));
}

static void input_skip(j_decompress_ptr decoder, long count)
{
    jpeg_reader *reader = decoder->client_data;
    if (count <= 0)
        return;
    if ((size_t)count > decoder->src->bytes_in_buffer)
        stop(reader, fail_truncated(reader));
    decoder->src->next_input_byte += count;
    decoder->src->bytes_in_buffer -= (size_t)count;
}

static void connect(jpeg_reader *reader)
{
    reader->decoder.err = jpeg_std_error(&reader->errors);
    reader->errors.error_exit = on_error;
    reader->errors.emit_message = on_message;
    reader->errors.output_message = on_output;
    reader->decoder.client_data = reader; /* kept by the call below, whose own errors need it */
    jpeg_create_decompress(&reader->decoder);
    reader->input.next_input_byte = reader->source->bytes;
    reader->input.bytes_in_buffer = reader->source->size;
    reader->input.init_source = input_nothing;
    reader->input.fill_input_buffer = input_more;
    reader->input.skip_input_data = input_skip;
    reader->input.resync_to_restart = jpeg_resync_to_restart;
    reader->input.term_source = input_nothing;
    reader->decoder.src = &reader->input;
    reader->progress.progress_monitor = on_progress;
    reader->decoder.progress = &reader->progress;
}

static bool marker_begins(const struct jpeg_marker_struct *marker, const char *text, size_t length)
{
    return marker->marker == JPEG_APP0 + 1 && marker->data_length >= length && memcmp(marker->data, text, length) == 0;
}

static int read_orientation(const struct jpeg_decompress_struct *decoder)
{
    static const char xmp_header[] = "http://ns.adobe.com/xap/1.0/"; /* its NUL included */
    const struct jpeg_marker_struct *exif = NULL;
    const struct jpeg_marker_struct *xmp = NULL;
    for (const struct jpeg_marker_struct *marker = decoder->marker_list; marker; marker = marker->next) {
        if (!exif && marker_begins(marker, "Exif\0", 6))
            exif = marker;
        else if (marker_begins(marker, xmp_header, sizeof xmp_header))
            xmp = marker;
    }
    return clipc_exif_orientation(exif ? exif->data : NULL, exif ? exif->data_length : 0, xmp ? xmp->data : NULL,
                                  xmp ? xmp->data_length : 0);
}

static void read_header(jpeg_reader *reader)
{
    struct jpeg_decompress_struct *decoder = &reader->decoder;
    jpeg_save_markers(decoder, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(decoder, TRUE);
    const clipc_status size =
        clipc_image_check_size(reader->source, decoder->image_width, decoder->image_height, reader->error);
    if (size != CLIPC_OK)
        stop(reader, size);
    clipc_image_mode mode = CLIPC_MODE_RGB;
    switch (decoder->num_components) {
    case 1:
        mode = CLIPC_MODE_L;
        decoder->out_color_space = JCS_GRAYSCALE;
        break;
    case 3: decoder->out_color_space = JCS_RGB; break;
    case 4:
        mode = CLIPC_MODE_CMYK;
        decoder->out_color_space = JCS_CMYK;
        break;
    default:
        stop(reader, clipc_fail(reader->error, CLIPC_ERROR_UNSUPPORTED, "%s: a JPEG of %d components",
                                reader->source->name, decoder->num_components));
    }
    const clipc_status allocated =
        clipc_image_allocate(mode, decoder->image_width, decoder->image_height, &reader->image, reader->error);
    if (allocated != CLIPC_OK)
        stop(reader, allocated);
    reader->image->exif_orientation = read_orientation(decoder);
}

static void read_rows(jpeg_reader *reader)
{
    enum { rows_at_once = 16 };
    struct jpeg_decompress_struct *decoder = &reader->decoder;
    const size_t stride = reader->image->width * reader->image->channels;
    jpeg_start_decompress(decoder);
    while (decoder->output_scanline < decoder->output_height) {
        JSAMPROW rows[rows_at_once];
        const size_t first = decoder->output_scanline;
        const size_t count = clipc_min(rows_at_once, decoder->output_height - first);
        for (size_t i = 0; i < count; i++)
            rows[i] = reader->image->pixels + (first + i) * stride;
        jpeg_read_scanlines(decoder, rows, (JDIMENSION)count);
    }
    jpeg_finish_decompress(decoder);
}

/* The only function with a setjmp: libjpeg's failures and ours all come back here. */
static clipc_status run(jpeg_reader *reader)
{
    if (setjmp(reader->jump))
        return reader->status;
    connect(reader);
    read_header(reader);
    read_rows(reader);
    return CLIPC_OK;
}

/* Adobe stores ink inverted, and Pillow takes every CMYK file for Adobe's. */
static void invert(clipc_image *image)
{
    const size_t bytes = image->width * image->height * image->channels;
    for (size_t i = 0; i < bytes; i++)
        image->pixels[i] = (uint8_t)~image->pixels[i];
}

clipc_status clipc_decode_jpeg(const clipc_image_source *source, clipc_image **out, clipc_error *error)
{
    jpeg_reader reader;
    memset(&reader, 0, sizeof reader);
    reader.source = source;
    reader.error = error;
    const clipc_status status = run(&reader);
    jpeg_destroy_decompress(&reader.decoder);
    if (status != CLIPC_OK) {
        clipc_image_destroy(&reader.image);
        return status;
    }
    if (reader.image->mode == CLIPC_MODE_CMYK)
        invert(reader.image);
    *out = reader.image;
    return CLIPC_OK;
}
