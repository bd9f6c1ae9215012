#include "thumbnail.h"

#include "base64.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#define JPEG_QUALITY 82

typedef struct jpeg_failure {
    struct jpeg_error_mgr manager;
    jmp_buf escape;
} jpeg_failure;

/* libjpeg wants a way out of a fatal error. */
static void on_jpeg_error(j_common_ptr state)
{
    longjmp(((jpeg_failure *)state->err)->escape, 1);
}

static void on_jpeg_message(j_common_ptr state)
{
    (void)state;
}

/* Writes the pixels as a JPEG to *bytes, which the caller frees. */
static void compress(const clipc_image *image, unsigned char **bytes, unsigned long *size)
{
    struct jpeg_compress_struct jpeg;
    jpeg_failure failure;
    jpeg.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = on_jpeg_error;
    failure.manager.output_message = on_jpeg_message;
    jpeg_create_compress(&jpeg);
    if (setjmp(failure.escape) == 0) {
        jpeg_mem_dest(&jpeg, bytes, size);
        jpeg.image_width = (JDIMENSION)clipc_image_width(image);
        jpeg.image_height = (JDIMENSION)clipc_image_height(image);
        jpeg.input_components = 3;
        jpeg.in_color_space = JCS_RGB;
        jpeg_set_defaults(&jpeg);
        jpeg_set_quality(&jpeg, JPEG_QUALITY, TRUE);
        jpeg_start_compress(&jpeg, TRUE);
        while (jpeg.next_scanline < jpeg.image_height) {
            /* libjpeg does not change what it is given, but does not say so. */
            JSAMPROW row =
                (JSAMPROW)(uintptr_t)(clipc_image_pixels(image) + (size_t)jpeg.next_scanline * jpeg.image_width * 3);
            jpeg_write_scanlines(&jpeg, &row, 1);
        }
        jpeg_finish_compress(&jpeg);
    } else {
        *size = 0;
    }
    jpeg_destroy_compress(&jpeg);
}

/* The longer side becomes THUMBNAIL_SIDE when it is more. */
static size_t shrunk(size_t side, size_t longest)
{
    if (longest <= THUMBNAIL_SIDE)
        return side;
    const size_t result = (side * THUMBNAIL_SIDE + longest / 2) / longest;
    return result ? result : 1;
}

char *thumbnail_data_uri(const char *path, const clipc_image_options *options)
{
    clipc_image *image = NULL;
    clipc_image *small = NULL;
    char *uri = NULL;
    if (clipc_image_read(path, options, &image, NULL) != CLIPC_OK)
        return NULL;
    const size_t width = clipc_image_width(image);
    const size_t height = clipc_image_height(image);
    const size_t longest = width > height ? width : height;
    if (clipc_image_resize(image, shrunk(width, longest), shrunk(height, longest), &small, NULL) == CLIPC_OK) {
        unsigned char *bytes = NULL;
        unsigned long size = 0;
        compress(small, &bytes, &size);
        if (size)
            uri = data_uri("image/jpeg", bytes, size);
        free(bytes);
    }
    clipc_image_destroy(&small);
    clipc_image_destroy(&image);
    return uri;
}
