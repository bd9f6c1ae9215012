/* Decodes the evaluation images, for machines that are to have the pixels and no decoder to disagree about: writes a
 * .npy file of uint8 [N, H, W, 3], as the demo model's rule makes them. Usage: write_eval OUT.npy IMAGE... */
#include "clipc/clipc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 128 /* magic, version and length take ten bytes (NumPy's format, version 1.0) */

static void write_header(FILE *file, size_t count, const clipc_model_info *info)
{
    char header[HEADER];
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = HEADER - 10;
    header[9] = 0;
    char text[HEADER - 10];
    const int length =
        snprintf(text, sizeof text, "{'descr': '|u1', 'fortran_order': False, 'shape': (%zu, %zu, %zu, 3), }", count,
                 info->image_height, info->image_width);
    memcpy(header + 10, text, (size_t)length);
    header[HEADER - 1] = '\n';
    fwrite(header, 1, sizeof header, file);
}

int main(int argc, char **argv)
{
    clipc_error error;
    clipc_model *model = NULL;
    clipc_model_info info = {.size = sizeof info};
    FILE *file = argc > 2 ? fopen(argv[1], "wb") : NULL;
    if (!file || clipc_model_open(NULL, NULL, &model, &error) != CLIPC_OK ||
        clipc_model_get_info(model, &info, &error) != CLIPC_OK) {
        fprintf(stderr, "usage: write_eval OUT.npy IMAGE...\n");
        return 2;
    }
    const size_t size = info.image_height * info.image_width * 3;
    uint8_t *bytes = malloc(size);
    write_header(file, (size_t)argc - 2, &info);
    for (int i = 2; i < argc && bytes; i++) {
        if (clipc_model_preprocess_file_bytes(model, argv[i], NULL, bytes, &error) != CLIPC_OK) {
            fprintf(stderr, "%s\n", error.message);
            return 3;
        }
        fwrite(bytes, 1, size, file);
    }
    free(bytes);
    clipc_model_destroy(&model);
    return fclose(file) == 0 ? 0 : 3;
}
