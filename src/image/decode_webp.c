/* WebP through libwebp: a still image, or an animation's first frame on its canvas. */
#include "image/decode.h"

#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

static clipc_status fail_truncated(const clipc_image_source *source, clipc_error *error)
{
    return clipc_fail(error, CLIPC_ERROR_TRUNCATED, "%s: the WebP data end too early", source->name);
}

static clipc_status fail_webp(const clipc_image_source *source, VP8StatusCode code, clipc_error *error)
{
    switch (code) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED: return fail_truncated(source, error);
    case VP8_STATUS_OUT_OF_MEMORY: return clipc_fail(error, CLIPC_ERROR_MEMORY, "%s: out of memory", source->name);
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "%s: WebP: a feature libwebp does not know", source->name);
    default: return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: WebP: the bit stream is damaged", source->name);
    }
}

/* Decodes one frame to its place on the canvas. */
static clipc_status decode_frame(const clipc_image_source *source, const WebPIterator *frame, clipc_image *image,
                                 clipc_error *error)
{
    const size_t left = (size_t)frame->x_offset;
    const size_t top = (size_t)frame->y_offset;
    const size_t width = (size_t)frame->width;
    const size_t height = (size_t)frame->height;
    CLIPC_FAIL_IF(left + width > image->width || top + height > image->height, error, CLIPC_ERROR_FORMAT,
                  "%s: WebP: the frame is larger than the canvas", source->name);
    const size_t stride = image->width * image->channels;
    if (width < image->width || height < image->height)
        memset(image->pixels, 0, stride * image->height);
    WebPDecoderConfig decoder;
    CLIPC_FAIL_IF(!WebPInitDecoderConfig(&decoder), error, CLIPC_ERROR_INTERNAL, "libwebp has another version");
    decoder.output.colorspace = image->mode == CLIPC_MODE_RGBA ? MODE_RGBA : MODE_RGB;
    decoder.output.is_external_memory = 1;
    decoder.output.u.RGBA.rgba = image->pixels + top * stride + left * image->channels;
    decoder.output.u.RGBA.stride = (int)stride;
    decoder.output.u.RGBA.size = (height - 1) * stride + width * image->channels;
    const VP8StatusCode code = WebPDecode(frame->fragment.bytes, frame->fragment.size, &decoder);
    return code == VP8_STATUS_OK ? CLIPC_OK : fail_webp(source, code, error);
}

static int read_orientation(const WebPDemuxer *demuxer)
{
    WebPChunkIterator exif = {0};
    WebPChunkIterator xmp = {0};
    const bool has_exif = WebPDemuxGetChunk(demuxer, "EXIF", 1, &exif);
    const bool has_xmp = WebPDemuxGetChunk(demuxer, "XMP ", 1, &xmp);
    const int orientation = clipc_exif_orientation(has_exif ? exif.chunk.bytes : NULL, exif.chunk.size,
                                                   has_xmp ? xmp.chunk.bytes : NULL, xmp.chunk.size);
    WebPDemuxReleaseChunkIterator(&exif);
    WebPDemuxReleaseChunkIterator(&xmp);
    return orientation;
}

static clipc_status decode_first(const clipc_image_source *source, WebPDemuxer *demuxer, clipc_image **image,
                                 clipc_error *error)
{
    const uint32_t width = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH);
    const uint32_t height = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
    CLIPC_TRY(clipc_image_check_size(source, width, height, error));
    WebPBitstreamFeatures features;
    const VP8StatusCode code = WebPGetFeatures(source->bytes, source->size, &features);
    if (code != VP8_STATUS_OK)
        return fail_webp(source, code, error);
    const clipc_image_mode mode = features.has_alpha ? CLIPC_MODE_RGBA : CLIPC_MODE_RGB;
    CLIPC_TRY(clipc_image_allocate(mode, width, height, image, error));
    WebPIterator frame;
    CLIPC_FAIL_IF(!WebPDemuxGetFrame(demuxer, 1, &frame), error, CLIPC_ERROR_FORMAT, "%s: WebP: no frame",
                  source->name);
    const clipc_status status = decode_frame(source, &frame, *image, error);
    WebPDemuxReleaseIterator(&frame);
    return status;
}

clipc_status clipc_decode_webp(const clipc_image_source *source, clipc_image **out, clipc_error *error)
{
    const WebPData data = {.bytes = source->bytes, .size = source->size};
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);
    clipc_image *image = NULL;
    clipc_status status = CLIPC_OK;
    if (state == WEBP_DEMUX_PARSE_ERROR)
        status = fail_webp(source, VP8_STATUS_BITSTREAM_ERROR, error);
    else if (!demuxer || state == WEBP_DEMUX_PARSING_HEADER)
        status = fail_truncated(source, error);
    else if (state != WEBP_DEMUX_DONE) {
        /* what the header claims is judged first, as for the other formats */
        status = clipc_image_check_size(source, WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH),
                                        WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT), error);
        status = status == CLIPC_OK ? fail_truncated(source, error) : status;
    } else
        status = decode_first(source, demuxer, &image, error);
    if (status == CLIPC_OK)
        image->exif_orientation = read_orientation(demuxer);
    else
        clipc_image_destroy(&image);
    WebPDemuxDelete(demuxer);
    *out = image;
    return status;
}
