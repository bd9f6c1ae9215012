#include "image/image.h"

#include "base/checked.h"
#include "base/memory.h"

static size_t channels_of(clipc_image_mode mode)
{
    switch (mode) {
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

clipc_status clipc_image_allocate(clipc_image_mode mode, size_t width, size_t height, clipc_image **out,
                                  clipc_error *error)
{
    *out = NULL;
    const size_t channels = channels_of(mode);
    size_t bytes = 0;
    CLIPC_FAIL_IF(!clipc_multiply(width, height, &bytes) || !clipc_multiply(bytes, channels, &bytes), error,
                  CLIPC_ERROR_LIMIT, "an image of %zu×%zu pixels does not fit the address space", width, height);
    clipc_image *image = clipc_allocate(1, sizeof *image);
    if (!image)
        return clipc_fail_memory(error, sizeof *image, "an image");
    image->pixels = clipc_allocate_aligned(bytes, 1);
    if (!image->pixels) {
        clipc_free(image);
        return clipc_fail_memory(error, bytes, "an image's pixels");
    }
    image->mode = mode;
    image->width = width;
    image->height = height;
    image->channels = channels;
    image->exif_orientation = 1;
    *out = image;
    return CLIPC_OK;
}

void clipc_image_destroy(clipc_image **image)
{
    if (!image || !*image)
        return;
    clipc_free_aligned((*image)->pixels);
    clipc_free(*image);
    *image = NULL;
}
