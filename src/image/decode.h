/* One decoder a format, behind clipc_image_decode_native. Each gives the image in the file's own mode with the samples
 * that Pillow 13 gives, and fails where the file ends before its last pixel. */
#ifndef CLIPC_IMAGE_DECODE_H
#define CLIPC_IMAGE_DECODE_H

#include "image/image.h"

typedef enum clipc_image_format_id {
    CLIPC_FORMAT_UNKNOWN,
    CLIPC_FORMAT_JPEG,
    CLIPC_FORMAT_PNG,
    CLIPC_FORMAT_WEBP,
    CLIPC_FORMAT_GIF,
    CLIPC_FORMAT_BMP
} clipc_image_format_id;

/* Told from the first bytes; 32 are enough. */
clipc_image_format_id clipc_image_format_detect(const uint8_t *bytes, size_t size);

typedef struct clipc_image_source {
    const uint8_t *bytes;
    size_t size;
    const char *name; /* what error messages call it */
    uint64_t max_pixels;
} clipc_image_source;

/* Fails unless 0 < width × height ≤ max_pixels. Called on the header's numbers, before anything is allocated. */
clipc_status clipc_image_check_size(const clipc_image_source *source, uint64_t width, uint64_t height,
                                    clipc_error *error);

clipc_status clipc_decode_jpeg(const clipc_image_source *source, clipc_image **out, clipc_error *error);
clipc_status clipc_decode_png(const clipc_image_source *source, clipc_image **out, clipc_error *error);
clipc_status clipc_decode_webp(const clipc_image_source *source, clipc_image **out, clipc_error *error);
clipc_status clipc_decode_gif(const clipc_image_source *source, clipc_image **out, clipc_error *error);
clipc_status clipc_decode_bmp(const clipc_image_source *source, clipc_image **out, clipc_error *error);

/* Spreads packed samples of 1, 2, 4 or 8 bits, the first in the highest bits, to one byte each, times `scale`. */
void clipc_unpack_samples(const uint8_t *packed, unsigned bits, unsigned scale, size_t count, uint8_t *samples);

/* The orientation (1 … 8; 1 when there is none) that an EXIF block (a TIFF structure, "Exif\0\0" before it or not)
 * names, or else an XMP packet. Either may be NULL. */
int clipc_exif_orientation(const uint8_t *exif, size_t exif_size, const uint8_t *xmp, size_t xmp_size);

#endif
