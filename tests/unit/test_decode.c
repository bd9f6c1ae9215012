/* Recognition, limits and damaged files. That pixels equal Pillow's is tested by test_decode_files. */
#include "base/mapped_file.h"
#include "image/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EVAL_IMAGES CLIPC_SOURCE_DIR "/models/demo/eval/images/"

static void test_format_is_told_from_content(void **state)
{
    (void)state;
    uint8_t bmp[32] = "BM";
    assert_null(clipc_image_format(bmp, 32));
    bmp[14] = 40;
    assert_string_equal(clipc_image_format(bmp, 32), "bmp");
    assert_null(clipc_image_format(bmp, 17));
    assert_string_equal(clipc_image_format("\xFF\xD8\xFF\xE0", 4), "jpeg");
    assert_string_equal(clipc_image_format("\x89PNG\r\n\x1A\n", 8), "png");
    assert_string_equal(clipc_image_format("GIF87a", 6), "gif");
    assert_string_equal(clipc_image_format("GIF89a", 6), "gif");
    assert_string_equal(clipc_image_format("RIFF\1\2\3\4WEBPVP8L", 16), "webp");
    assert_string_equal(clipc_image_format("RIFF\1\2\3\4WEBPVP8 ", 16), "webp");
    assert_string_equal(clipc_image_format("RIFF\1\2\3\4WEBPVP8X", 16), "webp");
    assert_null(clipc_image_format("RIFF\1\2\3\4WAVEfmt ", 16));
    assert_null(clipc_image_format("\x89PNG\r\n\x1A", 7));
    assert_null(clipc_image_format("", 0));
    assert_null(clipc_image_format(NULL, 0));
}

static void test_what_is_no_image(void **state)
{
    (void)state;
    clipc_error error;
    clipc_image *image = NULL;
    assert_int_equal(clipc_image_decode("", 0, "a.jpg", NULL, &image, &error), CLIPC_ERROR_TRUNCATED);
    assert_string_equal(error.message, "a.jpg: the file is empty");
    assert_int_equal(clipc_image_decode("hello", 5, "b.jpg", NULL, &image, &error), CLIPC_ERROR_FORMAT);
    assert_string_equal(error.message, "b.jpg: not a JPEG, PNG, WebP, GIF or BMP image");
    assert_int_equal(clipc_image_read("/nowhere.png", NULL, &image, &error), CLIPC_ERROR_NOT_FOUND);
    assert_int_equal(clipc_image_decode(NULL, 5, "c", NULL, &image, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_image_decode("x", 1, "c", NULL, NULL, &error), CLIPC_ERROR_ARGUMENT);
    clipc_image_options options;
    clipc_image_options_init(&options);
    options.alpha = (clipc_alpha)7;
    assert_int_equal(clipc_image_decode("x", 1, "c", &options, &image, &error), CLIPC_ERROR_ARGUMENT);
    options.size = 3;
    assert_int_equal(clipc_image_decode("x", 1, "c", &options, &image, &error), CLIPC_ERROR_ARGUMENT);
    assert_null(image);
    assert_int_equal(clipc_image_width(NULL), 0);
    assert_null(clipc_image_pixels(NULL));
    clipc_image_destroy(&image);
    clipc_image_destroy(NULL);
}

/* Cut at every length, an image fails as truncated: no prefix decodes, none is taken for something else. */
static void check_every_prefix(const char *path, size_t first, size_t step, size_t may_miss)
{
    clipc_mapped_file file;
    assert_int_equal(clipc_mapped_file_open(path, 0, &file, NULL), CLIPC_OK);
    clipc_image *image = NULL;
    clipc_error error;
    assert_int_equal(clipc_image_decode(file.bytes, file.size, path, NULL, &image, &error), CLIPC_OK);
    clipc_image_destroy(&image);
    for (size_t size = first; size + may_miss < file.size; size += step) {
        uint8_t *cut = malloc(size); /* an exact block, for AddressSanitizer */
        assert_non_null(cut);
        memcpy(cut, file.bytes, size);
        const clipc_status status = clipc_image_decode(cut, size, path, NULL, &image, &error);
        if (status != CLIPC_ERROR_TRUNCATED)
            print_error("%zu of %zu bytes: %s\n", size, file.size, error.message);
        assert_int_equal(status, CLIPC_ERROR_TRUNCATED);
        assert_null(image);
        free(cut);
    }
    clipc_mapped_file_close(&file);
}

static void test_truncated_files_fail(void **state)
{
    (void)state;
    check_every_prefix(EVAL_IMAGES "heldout_000.jpg", 3, 1, 0);
    /* Like Pillow, without the IEND chunk and the check sums before it a PNG has lost nothing. */
    check_every_prefix(EVAL_IMAGES "shape_000.png", 8, 1, 20);
}

static void test_limit_comes_before_memory(void **state)
{
    (void)state;
    static const uint8_t png[] = "\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR\0\1\x11\x70\0\1\x11\x70\x08\2\0\0\0\xB0\x5C\xA3\x9C";
    clipc_error error;
    clipc_image *image = NULL;
    assert_int_equal(clipc_image_decode(png, sizeof png - 1, "bomb.png", NULL, &image, &error), CLIPC_ERROR_LIMIT);
    assert_string_equal(error.message, "bomb.png: the header claims 70000×70000 pixels, over the limit of 178956970 "
                                       "pixels");
    clipc_image_options options;
    clipc_image_options_init(&options);
    assert_int_equal(options.max_pixels, 178956970);
    options.max_pixels = 100;
    assert_int_equal(clipc_image_read(EVAL_IMAGES "heldout_000.jpg", &options, &image, &error), CLIPC_ERROR_LIMIT);
    assert_int_equal(clipc_image_read(EVAL_IMAGES "shape_000.png", &options, &image, &error), CLIPC_ERROR_LIMIT);
}

static void test_orientation_block(void **state)
{
    (void)state;
    static const uint8_t little[] = "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0";
    static const uint8_t big[] = "Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x08\0\0\0\0\0\0";
    static const uint8_t attribute[] = "<x tiff:Orientation=\"3\"/>";
    static const uint8_t element[] = "<tiff:Orientation>5</tiff:Orientation>";
    assert_int_equal(clipc_exif_orientation(little, 26, NULL, 0), 6);
    assert_int_equal(clipc_exif_orientation(big, 32, NULL, 0), 8);
    assert_int_equal(clipc_exif_orientation(NULL, 0, attribute, sizeof attribute - 1), 3);
    assert_int_equal(clipc_exif_orientation(NULL, 0, element, sizeof element - 1), 5);
    assert_int_equal(clipc_exif_orientation(NULL, 0, NULL, 0), 1);
    for (size_t size = 0; size < 22; size++) {
        uint8_t *cut = malloc(size ? size : 1);
        assert_non_null(cut);
        memcpy(cut, little, size);
        assert_int_equal(clipc_exif_orientation(cut, size, NULL, 0), 1);
        free(cut);
    }
}

static void test_resize_makes_a_copy(void **state)
{
    (void)state;
    clipc_image *image = NULL;
    clipc_image *resized = NULL;
    clipc_error error;
    assert_int_equal(clipc_image_read(EVAL_IMAGES "heldout_000.jpg", NULL, &image, &error), CLIPC_OK);
    assert_int_equal(clipc_image_resize(image, 7, 5, &resized, &error), CLIPC_OK);
    assert_int_equal(clipc_image_width(resized), 7);
    assert_int_equal(clipc_image_height(resized), 5);
    clipc_image_destroy(&resized);
    assert_int_equal(clipc_image_resize(image, clipc_image_width(image), clipc_image_height(image), &resized, &error),
                     CLIPC_OK);
    assert_memory_equal(clipc_image_pixels(image), clipc_image_pixels(resized),
                        3 * clipc_image_width(image) * clipc_image_height(image));
    clipc_image_destroy(&resized);
    assert_int_equal(clipc_image_resize(image, 0, 5, &resized, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_image_resize(NULL, 5, 5, &resized, &error), CLIPC_ERROR_ARGUMENT);
    assert_null(resized);
    clipc_image_destroy(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_is_told_from_content), cmocka_unit_test(test_what_is_no_image),
        cmocka_unit_test(test_truncated_files_fail),        cmocka_unit_test(test_limit_comes_before_memory),
        cmocka_unit_test(test_orientation_block),           cmocka_unit_test(test_resize_makes_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
