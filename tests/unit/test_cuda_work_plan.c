#include "backend/cuda/work_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void lists_name_devices(void **state)
{
    (void)state;
    int devices[CLIPC_CUDA_DEVICES];
    size_t count = 0;
    assert_int_equal(clipc_cuda_devices_parse(NULL, 4, devices, &count, NULL), CLIPC_OK);
    assert_int_equal(count, 1);
    assert_int_equal(devices[0], 0);
    assert_int_equal(clipc_cuda_devices_parse("3,0", 4, devices, &count, NULL), CLIPC_OK);
    assert_int_equal(count, 2);
    assert_int_equal(devices[0], 3);
    assert_int_equal(devices[1], 0);
    assert_int_equal(clipc_cuda_devices_parse("all", 3, devices, &count, NULL), CLIPC_OK);
    assert_int_equal(count, 3);
    assert_int_equal(devices[2], 2);
    assert_int_equal(clipc_cuda_devices_parse("all", 1000, devices, &count, NULL), CLIPC_OK);
    assert_int_equal(count, CLIPC_CUDA_DEVICES);
}

static void wrong_lists_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        const char *word;
    } cases[] = {
        {"", "neither"},
        {",", "neither"},
        {"0,", "neither"},
        {"0,,1", "neither"},
        {"-1", "neither"},
        {" 0", "neither"},
        {"0 ,1", "neither"},
        {"gpu", "neither"},
        {"0x1", "neither"},
        {"all,0", "neither"},
        {"4", "end at 3"},
        {"0,9", "end at 3"},
        {"1,0,1", "twice"},
        {"0,0", "twice"},
        {"99999999999999999999999", "neither"},
        {"4294967296", "end at 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int devices[CLIPC_CUDA_DEVICES];
        size_t count = 0;
        clipc_error error = {0};
        assert_int_equal(clipc_cuda_devices_parse(cases[i].list, 4, devices, &count, &error), CLIPC_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, cases[i].word));
    }
}

static void passes_cover_a_call_and_keep_within_bounds(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 31, 32, 63, 64, 65, 255, 256, 511, 512, 513, 1000, 1024, 5000, 100000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t devices = 1; devices <= 8; devices++)
            for (size_t streams = 1; streams <= 4; streams++)
                for (size_t most = 1; most <= 1024; most *= 4) {
                    const size_t items = clipc_cuda_pass_items(counts[i], devices, streams, most);
                    assert_in_range(items, 1, most);
                    assert_true(items <= counts[i]);
                }
}

static void small_calls_stay_whole(void **state)
{
    (void)state;
    assert_int_equal(clipc_cuda_pass_items(1, 8, 2, 1024), 1);
    assert_int_equal(clipc_cuda_pass_items(63, 8, 2, 1024), 63);
    assert_int_equal(clipc_cuda_pass_items(511, 1, 2, 1024), 511);
    assert_int_equal(clipc_cuda_pass_items(0, 2, 2, 1024), 1);
}

static void large_calls_are_shared_out(void **state)
{
    (void)state;
    assert_int_equal(clipc_cuda_pass_items(64, 2, 1, 1024), 32);
    assert_int_equal(clipc_cuda_pass_items(65, 2, 1, 1024), 33);
    assert_int_equal(clipc_cuda_pass_items(1024, 2, 1, 1024), 512);
    assert_int_equal(clipc_cuda_pass_items(1024, 1, 1, 1024), 1024);
    assert_int_equal(clipc_cuda_pass_items(1024, 1, 2, 1024), 256);
    assert_int_equal(clipc_cuda_pass_items(1024, 2, 2, 1024), 256);
    assert_int_equal(clipc_cuda_pass_items(700, 1, 2, 1024), 234); /* three parts, nearly equal */
}

static void uploads_are_cut_while_their_parts_are_worth_it(void **state)
{
    (void)state;
    const size_t mebibyte = (size_t)1 << 20;
    assert_int_equal(clipc_cuda_upload_part(1, 32 * mebibyte), 2 * mebibyte);
    assert_int_equal(clipc_cuda_upload_part(18 * mebibyte, 32 * mebibyte), 4 * mebibyte);
    assert_int_equal(clipc_cuda_upload_part(600 * mebibyte, 32 * mebibyte), 32 * mebibyte);
    assert_int_equal(clipc_cuda_upload_part(600 * mebibyte, 1000), 1000); /* an area for small passes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_name_devices),
        cmocka_unit_test(wrong_lists_are_refused),
        cmocka_unit_test(passes_cover_a_call_and_keep_within_bounds),
        cmocka_unit_test(small_calls_stay_whole),
        cmocka_unit_test(large_calls_are_shared_out),
        cmocka_unit_test(uploads_are_cut_while_their_parts_are_worth_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
