/* Times decoding: `decode_speed FILE...` answers every line of standard input with the milliseconds of one pass over
 * the files, in memory, on one thread. decode_speed.py runs it and Pillow in turn. */
#define _GNU_SOURCE
#include "clipc/clipc.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct file_bytes {
    void *bytes;
    size_t size;
} file_bytes;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int read_file(const char *path, file_bytes *out)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    rewind(file);
    out->bytes = malloc((size_t)size);
    out->size = (size_t)size;
    const int done = out->bytes && fread(out->bytes, 1, out->size, file) == out->size;
    fclose(file);
    return done;
}

static int decode_all(const file_bytes *files, int count)
{
    for (int i = 0; i < count; i++) {
        clipc_image *image = NULL;
        clipc_error error;
        if (clipc_image_decode(files[i].bytes, files[i].size, "file", NULL, &image, &error) != CLIPC_OK) {
            fprintf(stderr, "%s\n", error.message);
            return 0;
        }
        clipc_image_destroy(&image);
    }
    return 1;
}

int main(int argc, char **argv)
{
    const int count = argc - 1;
    file_bytes *files = calloc((size_t)argc, sizeof *files);
    if (!files || count == 0)
        return 2;
    for (int i = 0; i < count; i++)
        if (!read_file(argv[i + 1], &files[i]))
            return 2;
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        const double begin = now();
        if (!decode_all(files, count))
            return 1;
        printf("%.6f\n", 1e3 * (now() - begin));
        fflush(stdout);
    }
    return 0;
}
