/* Decodes the small files of tests/unit/images and compares the RGB bytes, by their hash, with what Pillow reads. */
#include "clipc/clipc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER CLIPC_SOURCE_DIR "/tests/unit/images/"

/* 64-bit FNV-1a. */
static uint64_t hash(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0xCBF29CE484222325u;
    for (size_t i = 0; i < size; i++)
        value = (value ^ bytes[i]) * 0x100000001B3u;
    return value;
}

static void check_file(const char *name, const char *alpha, const char *exif, size_t width, size_t height,
                       uint64_t expected)
{
    char path[400];
    snprintf(path, sizeof path, FOLDER "%s", name);
    clipc_image_options options;
    clipc_image_options_init(&options);
    options.alpha = strcmp(alpha, "drop") == 0 ? CLIPC_ALPHA_DROP : CLIPC_ALPHA_WHITE;
    options.apply_exif = strcmp(exif, "exif") == 0;
    clipc_image *image = NULL;
    clipc_error error = {0};
    const clipc_status status = clipc_image_read(path, &options, &image, &error);
    if (status != CLIPC_OK)
        fail_msg("%s", error.message);
    assert_int_equal(clipc_image_width(image), width);
    assert_int_equal(clipc_image_height(image), height);
    if (hash(clipc_image_pixels(image), 3 * width * height) != expected)
        fail_msg("%s (%s, %s): other bytes than Pillow's", name, alpha, exif);
    clipc_image_destroy(&image);
}

static void test_pixels_equal_pillows(void **state)
{
    (void)state;
    FILE *list = fopen(FOLDER "expected.txt", "r");
    assert_non_null(list);
    char line[256];
    size_t files = 0;
    while (fgets(line, sizeof line, list)) {
        char name[64];
        char alpha[8];
        char exif[8];
        size_t width = 0;
        size_t height = 0;
        unsigned long long expected = 0;
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%63s %7s %7s %zu %zu %llx", name, alpha, exif, &width, &height, &expected), 6);
        check_file(name, alpha, exif, width, height, expected);
        files++;
    }
    fclose(list);
    assert_int_equal(files, 276);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pixels_equal_pillows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
