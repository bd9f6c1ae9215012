/* Reads lines "white|drop plain|exif PATH" from standard input and answers each with a line "status width height",
 * then the RGB bytes, or for a failure the message and a line break. */
#include "clipc/clipc.h"

#include <stdio.h>
#include <string.h>

int main(void)
{
    char line[4200];
    while (fgets(line, sizeof line, stdin)) {
        char alpha[8];
        char exif[8];
        char path[4096];
        if (sscanf(line, "%7s %7s %4095[^\n]", alpha, exif, path) != 3)
            return 2;
        clipc_image_options options;
        clipc_image_options_init(&options);
        options.alpha = strcmp(alpha, "drop") == 0 ? CLIPC_ALPHA_DROP : CLIPC_ALPHA_WHITE;
        options.apply_exif = strcmp(exif, "exif") == 0;
        clipc_image *image = NULL;
        clipc_error error;
        const clipc_status status = clipc_image_read(path, &options, &image, &error);
        const size_t width = clipc_image_width(image);
        const size_t height = clipc_image_height(image);
        printf("%d %zu %zu\n", (int)status, width, height);
        if (status == CLIPC_OK)
            fwrite(clipc_image_pixels(image), 3, width * height, stdout);
        else
            printf("%s\n", error.message);
        fflush(stdout);
        clipc_image_destroy(&image);
    }
    return 0;
}
