/* Any bytes: recognised, decoded in their own mode, turned upright, made RGB both ways and resized. */
#include "base/memory.h"
#include "image/decode.h"
#include "image/resize.h"

#include <stdlib.h>

#define MAX_PIXELS (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void resize(const clipc_image *image)
{
    const clipc_crop crop = {.left = -3, .top = 5, .width = 16, .height = 16};
    uint8_t pixels[16 * 16 * 3];
    if (clipc_resize_crop(image->pixels, image->width, image->height, 3, CLIPC_FILTER_BICUBIC, 24, 21, crop, pixels,
                          NULL) != CLIPC_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const clipc_image_format_id format = clipc_image_format_detect(bytes, size < 32 ? size : 32);
    for (int alpha = CLIPC_ALPHA_WHITE; alpha <= CLIPC_ALPHA_DROP; alpha++) {
        clipc_image *image = NULL;
        clipc_error error = {0};
        if (clipc_image_decode_native(bytes, size, "fuzz", MAX_PIXELS, &image, &error) != CLIPC_OK) {
            if (image || error.message[0] == '\0')
                abort();
            continue;
        }
        if (format == CLIPC_FORMAT_UNKNOWN || image->width * image->height > MAX_PIXELS)
            abort();
        if (clipc_image_apply_exif(&image, NULL) != CLIPC_OK ||
            clipc_image_to_rgb(&image, (clipc_alpha)alpha, NULL) != CLIPC_OK || image->channels != 3)
            abort();
        resize(image);
        clipc_image_destroy(&image);
    }
    return 0;
}
