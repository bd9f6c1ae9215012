/* The allocations of the libraries that clipc uses fail in turn: no crash, nothing left behind. jansson aborts when it
 * cannot hold a string's bytes (lex_scan_string in its load.c), so strings in JSON are left out here. */
#include "base/json.h"
#include "clipc/clipc.h"
#include "fail/failing_allocator.h"

#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PICTURES CLIPC_SOURCE_DIR "/tests/unit/images"

/* libwebp's demuxer does not tell a failed allocation from bad input. */
static void check_failure(const char *path, size_t n, const clipc_error *error)
{
    assert_true(error->message[0] != '\0');
    if (error->status == CLIPC_ERROR_FORMAT && strstr(error->message, "WebP"))
        return;
    if (error->status != CLIPC_ERROR_MEMORY)
        print_error("%s, allocation %zu: %s\n", path, n, error->message);
    assert_int_equal(error->status, CLIPC_ERROR_MEMORY);
}

static void decode_with_each_failure(const char *path)
{
    const ptrdiff_t blocks = failing_allocator_blocks();
    for (size_t n = 1, calls = 1; n <= calls; n++) {
        clipc_error error = {0};
        clipc_image *image = NULL;
        failing_allocator_arm(n, false);
        const clipc_status status = clipc_image_read(path, NULL, &image, &error);
        calls = failing_allocator_calls();
        failing_allocator_arm(0, false);
        assert_true((status == CLIPC_OK) == (image != NULL));
        if (status != CLIPC_OK)
            check_failure(path, n, &error);
        else
            assert_true(calls < n);
        clipc_image_destroy(&image);
        assert_int_equal(failing_allocator_blocks(), blocks);
    }
}

static void test_every_allocation_of_the_decoders_may_fail(void **state)
{
    (void)state;
    DIR *folder = opendir(PICTURES);
    assert_non_null(folder);
    size_t count = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, PICTURES "/%s", entry->d_name);
        clipc_image *image = NULL;
        if (clipc_image_read(path, NULL, &image, NULL) != CLIPC_OK)
            continue;
        clipc_image_destroy(&image);
        decode_with_each_failure(path);
        count++;
    }
    closedir(folder);
    assert_true(count > 50);
}

static void test_json_runs_out_of_memory(void **state)
{
    (void)state;
    static const char text[] = "{}";
    const ptrdiff_t blocks = failing_allocator_blocks();
    for (size_t n = 1, calls = 1; n <= calls; n++) {
        clipc_error error = {0};
        json_t *value = NULL;
        failing_allocator_arm(n, false);
        const clipc_status status = clipc_json_parse(text, strlen(text), "config.json", 0, &value, &error);
        calls = failing_allocator_calls();
        failing_allocator_arm(0, false);
        json_decref(value);
        assert_int_equal(status, calls < n ? CLIPC_OK : CLIPC_ERROR_MEMORY);
        assert_int_equal(failing_allocator_blocks(), blocks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_of_the_decoders_may_fail),
        cmocka_unit_test(test_json_runs_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
