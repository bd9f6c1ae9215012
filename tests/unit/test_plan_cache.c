/* Plans of TensorRT on disk: by what they were made of, whole or not at all. Needs no TensorRT. */
#include "backend/tensorrt/plan_cache.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char graph[] = "graph";

static void test_paths_tell_graphs_and_settings_apart(void **state)
{
    (void)state;
    char first[4096];
    char other[4096];
    assert_true(clipc_plan_cache_path("folder", graph, 5, "batch 8", first));
    assert_int_equal(strncmp(first, "folder/clipc-", 13), 0);
    assert_true(clipc_plan_cache_path("folder", graph, 5, "batch 8", other));
    assert_string_equal(first, other);
    assert_true(clipc_plan_cache_path("folder", graph, 4, "batch 8", other));
    assert_string_not_equal(first, other);
    assert_true(clipc_plan_cache_path("folder", graph, 5, "batch 9", other));
    assert_string_not_equal(first, other);
    static char deep[5000];
    memset(deep, 'a', sizeof deep - 1);
    assert_false(clipc_plan_cache_path(deep, graph, 5, "", other));
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    char path[4096];
    clipc_error error = {0};
    size_t bytes = 1;
    assert_true(clipc_plan_cache_path(".", graph, 5, "test", path));
    remove(path);
    assert_null(clipc_plan_cache_read(path, &bytes));
    assert_int_equal(bytes, 0);
    assert_int_equal(clipc_plan_cache_write(path, "a plan", 6, &error), CLIPC_OK);
    char *read = clipc_plan_cache_read(path, &bytes);
    assert_non_null(read);
    assert_int_equal(bytes, 6);
    assert_memory_equal(read, "a plan", 6);
    clipc_free(read);
    remove(path);
}

static void test_a_folder_that_is_not_there(void **state)
{
    (void)state;
    clipc_error error = {0};
    assert_int_equal(clipc_plan_cache_write("no such folder/plan", "a plan", 6, &error), CLIPC_ERROR_IO);
    assert_non_null(strstr(error.message, "no such folder/plan"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_tell_graphs_and_settings_apart),
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_a_folder_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
