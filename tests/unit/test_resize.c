#include "base/memory.h"
#include "image/resize_kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

/* The source images are a formula, the expected bytes are Pillow 13's:
 * i = numpy.arange(height * width * 3); source = ((i * i * 37 + i * 11) % 256).astype("uint8") */
static void fill(uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pixels[i] = (uint8_t)((i * i * 37 + i * 11) % 256);
}

/* Image.resize((4, 3), filter) of 7 x 5 RGB pixels. */
static const uint8_t wanted_4x3[6][36] = {
    [CLIPC_FILTER_NEAREST] = {0,   48,  170, 118, 98,  152, 84,  252, 238, 154, 254, 172, 194, 22, 180, 16, 32,  122,
                              198, 146, 168, 228, 108, 62,  108, 228, 166, 146, 198, 68,  32,  16, 74,  22, 194, 184},
    [CLIPC_FILTER_LANCZOS] = {87,  116, 181, 101, 126, 192, 108, 182, 174, 135, 215, 152,
                              153, 151, 125, 50,  65,  119, 126, 87,  121, 165, 141, 106,
                              125, 155, 129, 83,  94,  117, 59,  45,  107, 141, 141, 136},
    [CLIPC_FILTER_BILINEAR] = {83,  121, 175, 99, 125, 184, 110, 179, 175, 133, 205, 149,
                               142, 134, 129, 64, 77,  124, 122, 101, 126, 151, 140, 112,
                               120, 152, 132, 90, 102, 120, 73,  51,  105, 134, 137, 137},
    [CLIPC_FILTER_BICUBIC] = {83,  118, 178, 99, 124, 187, 110, 182, 177, 134, 211, 149,
                              150, 143, 126, 54, 68,  122, 125, 94,  123, 158, 140, 107,
                              123, 155, 131, 85, 98,  118, 65,  43,  103, 139, 141, 138},
    [CLIPC_FILTER_BOX] = {87,  127, 177, 93,  129, 175, 146, 195, 190, 137, 199, 143, 175, 114, 127, 23,  22,  95,
                          198, 146, 168, 118, 143, 114, 121, 151, 127, 67,  93,  129, 43,  18,  67,  149, 137, 135},
    [CLIPC_FILTER_HAMMING] = {76,  117, 175, 104, 123, 180, 110, 192, 190, 130, 211, 150,
                              158, 122, 132, 48,  59,  122, 136, 107, 134, 148, 139, 108,
                              122, 155, 138, 90,  114, 114, 56,  38,  93,  130, 146, 145},
};

/* Image.resize((5, 2), BICUBIC) of 4 x 40 RGB pixels: so tall that the vertical pass comes first. */
static const uint8_t wanted_tall[30] = {101, 109, 137, 123, 114, 121, 126, 126, 138, 130, 134, 149, 152, 132, 124,
                                        137, 142, 129, 132, 116, 111, 126, 118, 121, 126, 132, 136, 131, 126, 129};

static void resize_equals_pillow(void **state)
{
    (void)state;
    uint8_t source[7 * 5 * 3];
    uint8_t got[36];
    fill(source, sizeof source);
    for (clipc_filter filter = CLIPC_FILTER_NEAREST; filter <= CLIPC_FILTER_HAMMING; filter++) {
        const clipc_crop all = {0, 0, 4, 3};
        assert_int_equal(clipc_resize_crop(source, 7, 5, 3, filter, 4, 3, all, got, NULL), CLIPC_OK);
        assert_memory_equal(got, wanted_4x3[filter], sizeof got);
    }
}

static void tall_image_equals_pillow(void **state)
{
    (void)state;
    uint8_t source[4 * 40 * 3];
    uint8_t got[30];
    fill(source, sizeof source);
    const clipc_crop all = {0, 0, 5, 2};
    assert_int_equal(clipc_resize_crop(source, 4, 40, 3, CLIPC_FILTER_BICUBIC, 5, 2, all, got, NULL), CLIPC_OK);
    assert_memory_equal(got, wanted_tall, sizeof got);
}

/* A crop is cut out of the whole resized image, and zero where it reaches outside. */
static void crop_is_part_of_whole(void **state)
{
    (void)state;
    uint8_t source[7 * 5 * 3];
    fill(source, sizeof source);
    for (ptrdiff_t left = -3; left < 5; left++)
        for (ptrdiff_t top = -3; top < 4; top++) {
            const clipc_crop crop = {left, top, 3, 2};
            uint8_t got[3 * 2 * 3];
            assert_int_equal(clipc_resize_crop(source, 7, 5, 3, CLIPC_FILTER_BICUBIC, 4, 3, crop, got, NULL),
                             CLIPC_OK);
            for (ptrdiff_t y = 0; y < 2; y++)
                for (ptrdiff_t x = 0; x < 9; x++) {
                    const ptrdiff_t column = left * 3 + x;
                    const bool inside = column >= 0 && column < 12 && top + y >= 0 && top + y < 3;
                    const uint8_t wanted = inside ? wanted_4x3[CLIPC_FILTER_BICUBIC][(top + y) * 12 + column] : 0;
                    assert_int_equal(got[y * 9 + x], wanted);
                }
        }
}

/* Without the bound by the crop this would take 56 gigabytes. */
static void long_strip_needs_little_memory(void **state)
{
    (void)state;
    const size_t length = 100000;
    uint8_t *source = clipc_allocate(length, 12);
    uint8_t *got = clipc_allocate(224 * 224, 3);
    assert_non_null(source);
    assert_non_null(got);
    memset(source, 77, length * 12);
    const clipc_crop middle = {0, 2800000 - 112, 224, 224};
    assert_int_equal(clipc_resize_crop(source, 4, length, 3, CLIPC_FILTER_BICUBIC, 224, 5600000, middle, got, NULL),
                     CLIPC_OK);
    for (size_t i = 0; i < 224 * 224 * 3; i++)
        assert_int_equal(got[i], 77);
    clipc_free(source);
    clipc_free(got);
}

static void absurd_sizes_are_refused(void **state)
{
    (void)state;
    const uint8_t source[3] = {0};
    uint8_t got[3];
    clipc_error error;
    const clipc_crop one = {0, 0, 1, 1};
    const clipc_crop none = {0, 0, 0, 1};
    const size_t huge = (size_t)1 << 40;
    assert_int_equal(clipc_resize_crop(source, 1, 1, 3, CLIPC_FILTER_BOX, 0, 1, one, got, &error),
                     CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_resize_crop(source, 1, 1, 3, CLIPC_FILTER_BOX, 1, 1, none, got, &error),
                     CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_resize_crop(source, 1, 1, 5, CLIPC_FILTER_BOX, 1, 1, one, got, &error),
                     CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_resize_crop(source, 1, 1, 3, CLIPC_FILTER_BOX, huge, 1, one, got, &error),
                     CLIPC_ERROR_LIMIT);
    assert_non_null(strstr(error.message, "1099511627776"));
}

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 8;
}

/* Every level against C, on random shapes; the source is an allocation of its own size, so that a read past its end is
 * seen by the address sanitizer, and the bytes after the destination are watched. */
static void levels_equal_c(void **state)
{
    (void)state;
    clipc_cpu_level best = CLIPC_CPU_C;
    assert_int_equal(clipc_cpu_level_detect(&best, NULL), CLIPC_OK);
    uint32_t random = 7;
    for (size_t round = 0; round < 400; round++) {
        const size_t channels = 1 + next_random(&random) % 4;
        const size_t source_width = 1 + next_random(&random) % (round % 8 ? 90 : 5);
        const size_t source_height = 1 + next_random(&random) % (round % 5 ? 90 : 400);
        const size_t width = 1 + next_random(&random) % 70;
        const size_t height = 1 + next_random(&random) % 70;
        const clipc_filter filter = CLIPC_FILTER_LANCZOS + next_random(&random) % 5;
        const clipc_crop crop = {(ptrdiff_t)(next_random(&random) % width), (ptrdiff_t)(next_random(&random) % height),
                                 1 + next_random(&random) % width, 1 + next_random(&random) % height};
        uint8_t *source = clipc_allocate(source_width * source_height, channels);
        for (size_t i = 0; i < source_width * source_height * channels; i++)
            source[i] = round % 3 ? (uint8_t)next_random(&random) : (uint8_t)(next_random(&random) % 2 * 255);
        const size_t size = crop.width * crop.height * channels;
        uint8_t *wanted = clipc_allocate(size, 1);
        uint8_t *got = clipc_allocate(size + 64, 1);
        assert_int_equal(clipc_resize_crop_with(&clipc_resize_kernels_c, source, source_width, source_height, channels,
                                                filter, width, height, crop, wanted, NULL),
                         CLIPC_OK);
        for (clipc_cpu_level level = CLIPC_CPU_C + 1; level <= best; level++) {
            if (clipc_resize_kernels_for(level) == clipc_resize_kernels_for(level - 1))
                continue; /* nothing new at this level */
            memset(got, 0xA5, size + 64);
            assert_int_equal(clipc_resize_crop_with(clipc_resize_kernels_for(level), source, source_width,
                                                    source_height, channels, filter, width, height, crop, got, NULL),
                             CLIPC_OK);
            assert_memory_equal(got, wanted, size);
            for (size_t i = 0; i < 64; i++)
                assert_int_equal(got[size + i], 0xA5);
        }
        clipc_free(source);
        clipc_free(wanted);
        clipc_free(got);
    }
}

/* A row, and a column, so long that the weights of eight pixels are not made at once: the same as pixel by pixel. */
static void long_filters_are_cut(void **state)
{
    (void)state;
    const size_t length = 3000001;
    uint8_t *source = clipc_allocate(length, 1);
    assert_non_null(source);
    fill(source, length);
    for (int tall = 0; tall < 2; tall++) {
        const size_t width = tall ? 1 : length;
        const size_t height = tall ? length : 1;
        const clipc_crop all = {.width = 8, .height = 8};
        uint8_t whole[64];
        assert_int_equal(clipc_resize_crop(source, width, height, 1, CLIPC_FILTER_BICUBIC, 8, 8, all, whole, NULL),
                         CLIPC_OK);
        for (int i = 0; i < 8; i++) {
            const clipc_crop one = {.left = tall ? 3 : i, .top = tall ? i : 3, .width = 1, .height = 1};
            uint8_t pixel = 0;
            assert_int_equal(
                clipc_resize_crop(source, width, height, 1, CLIPC_FILTER_BICUBIC, 8, 8, one, &pixel, NULL), CLIPC_OK);
            assert_int_equal(pixel, whole[one.top * 8 + one.left]);
        }
    }
    clipc_free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resize_equals_pillow),     cmocka_unit_test(tall_image_equals_pillow),
        cmocka_unit_test(crop_is_part_of_whole),    cmocka_unit_test(long_strip_needs_little_memory),
        cmocka_unit_test(absurd_sizes_are_refused), cmocka_unit_test(levels_equal_c),
        cmocka_unit_test(long_filters_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
