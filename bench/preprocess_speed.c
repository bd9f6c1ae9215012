/* Times resize + crop + normalise alone: `preprocess_speed WIDTH HEIGHT ROUNDS` prints the microseconds of each round.
 * preprocess_speed.py runs it beside Pillow and NumPy. */
#include "image/preprocess.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: preprocess_speed WIDTH HEIGHT ROUNDS\n");
        return 2;
    }
    const size_t width = strtoul(argv[1], NULL, 10);
    const size_t height = strtoul(argv[2], NULL, 10);
    const long rounds = strtol(argv[3], NULL, 10);
    const clipc_preprocess_rule rule = clipc_preprocess_rule_openai(224);
    uint8_t *source = malloc(width * height * 3);
    float *pixels = malloc(sizeof(float) * 3 * 224 * 224);
    if (!source || !pixels)
        return 3;
    uint32_t random = 1;
    for (size_t i = 0; i < width * height * 3; i++) {
        random = random * 1664525 + 1013904223;
        source[i] = (uint8_t)(random >> 24);
    }
    const clipc_image image = {.mode = CLIPC_MODE_RGB,
                               .width = width,
                               .height = height,
                               .channels = 3,
                               .pixels = source,
                               .exif_orientation = 1};
    for (long round = 0; round < rounds; round++) {
        clipc_error error;
        const double begin = now();
        if (clipc_preprocess(&rule, &image, 224, 224, pixels, &error) != CLIPC_OK) {
            fprintf(stderr, "preprocess_speed: %s\n", error.message);
            return 3;
        }
        printf("%.1f\n", now() - begin);
    }
    free(source);
    free(pixels);
    return 0;
}
