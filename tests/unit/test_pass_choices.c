#include "backend/cuda/pass_choices.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void put(clipc_choice_set *set, const char *name, const char *value)
{
    assert_int_equal(clipc_choice_put(set, name, value, NULL), CLIPC_OK);
}

static void choices_in_range_are_read(void **state)
{
    (void)state;
    clipc_cuda_pass_choices choices;
    clipc_choice_set set = {0};
    clipc_cuda_pass_choices_read(NULL, &choices);
    assert_int_equal(choices.streams, 0);
    assert_int_equal(clipc_cuda_pass_choices_get(&choices, 256, 200), 200);
    put(&set, "streams", "3");
    put(&set, "image.pass.256", "64");
    put(&set, "image.pass.32", "33"); /* more than the call has */
    put(&set, "image.pass.16", "0");
    put(&set, "image.pass.0", "1");
    put(&set, "image.pass.", "1");
    put(&set, "image.pass.8x", "1");
    put(&set, "image.pass.99999999999999999999999999", "1");
    put(&set, "tile.fp16.1600x3072x768", "128x256");
    clipc_cuda_pass_choices_read(&set, &choices);
    assert_int_equal(choices.streams, 3);
    assert_int_equal(clipc_cuda_pass_choices_get(&choices, 256, 256), 64);
    assert_int_equal(clipc_cuda_pass_choices_get(&choices, 256, 40), 40); /* never more than there is room for */
    assert_int_equal(clipc_cuda_pass_choices_get(&choices, 255, 255), 255);
    assert_int_equal(clipc_cuda_pass_choices_get(&choices, 32, 32), 32);
    assert_int_equal(clipc_cuda_pass_choices_get(&choices, 16, 16), 16);
    assert_int_equal(clipc_cuda_pass_choices_get(&choices, 8, 8), 8);
    for (const char *const *value = (const char *const[]){"0", "5", "-1", "2.5", "", NULL}; *value; value++) {
        put(&set, "streams", *value);
        clipc_cuda_pass_choices_read(&set, &choices);
        assert_int_equal(choices.streams, 0);
    }
    clipc_free(set.items);
}

static void no_more_cuts_than_there_is_room_for(void **state)
{
    (void)state;
    clipc_cuda_pass_choices choices;
    clipc_choice_set set = {0};
    for (size_t i = 1; i <= 2 * CLIPC_CUDA_CUTS; i++) {
        char name[CLIPC_CHOICE_NAME];
        snprintf(name, sizeof name, "image.pass.%zu", 100 * i);
        put(&set, name, "50");
    }
    clipc_cuda_pass_choices_read(&set, &choices);
    assert_int_equal(choices.count, CLIPC_CUDA_CUTS);
    clipc_free(set.items);
}

/* ---- measuring, with a device that is made up ---- */

enum { COUNT = 64, DIMENSION = 3 };

struct device {
    size_t own;         /* items of a pass */
    size_t most;        /* streams */
    double copy;        /* seconds that an item's copy takes, beside the computing of other passes */
    double start;       /* seconds that every pass costs */
    size_t other_bits;  /* below so many items a pass computes otherwise */
    size_t failing_run; /* counted from 1; 0: none */
    size_t runs;
};

static size_t own_pass(void *user, size_t count)
{
    const struct device *device = user;
    return count < device->own ? count : device->own;
}

/* Computing takes 1 a call; what cannot be copied meanwhile comes before it. */
static clipc_status run(void *user, size_t count, size_t pass_items, size_t streams, float *embeddings,
                        double *seconds, clipc_error *error)
{
    struct device *device = user;
    const size_t passes = (count + pass_items - 1) / pass_items;
    const size_t first = streams > 1 ? pass_items : count;
    device->runs++;
    CLIPC_FAIL_IF(device->runs == device->failing_run, error, CLIPC_ERROR_DEVICE, "a device that fails");
    assert_true(streams >= 1 && streams <= device->most && pass_items >= 1 && pass_items <= own_pass(user, count));
    for (size_t i = 0; i < count * DIMENSION; i++)
        embeddings[i] = pass_items < device->other_bits ? 2 : 1;
    *seconds = 1 + device->copy * (double)first + device->start * (double)passes;
    return CLIPC_OK;
}

static clipc_status tune(struct device *device, clipc_choice_set *set, bool full, clipc_error *error)
{
    const clipc_cuda_caller caller = {device, 2, device->most, DIMENSION, own_pass, run};
    const clipc_tune_request request = {.full = full, .set = set, .count = COUNT};
    return clipc_cuda_tune_calls(&caller, &request, error);
}

static void assert_choice(const clipc_choice_set *set, const char *name, const char *value)
{
    const char *found = clipc_choice_get(set, name);
    assert_non_null(found);
    assert_string_equal(found, value);
}

static void the_fastest_is_chosen(void **state)
{
    (void)state;
    clipc_choice_set set = {0};
    struct device device = {.own = COUNT, .most = 4, .copy = 0.01, .start = 0.001};
    assert_int_equal(tune(&device, &set, false, NULL), CLIPC_OK);
    assert_choice(&set, "image.pass.64", "8");
    assert_non_null(clipc_choice_get(&set, "streams"));
    assert_int_equal(set.count, 2);
    /* What is there is not measured again. */
    const size_t runs = device.runs;
    assert_int_equal(tune(&device, &set, false, NULL), CLIPC_OK);
    assert_int_equal(device.runs, runs);
    /* Halves keep the streams that are settled. */
    assert_int_equal(tune(&device, &set, true, NULL), CLIPC_OK);
    assert_choice(&set, "image.pass.32", "8");
    assert_choice(&set, "image.pass.16", "8");
    assert_int_equal(set.count, 4);
    clipc_free(set.items);
}

static void own_choice_stays_where_nothing_is_faster(void **state)
{
    (void)state;
    clipc_choice_set set = {0};
    struct device device = {.own = COUNT, .most = 4, .copy = 0.0002, .start = 0.001}; /* 1 % to gain at most */
    assert_int_equal(tune(&device, &set, false, NULL), CLIPC_OK);
    assert_choice(&set, "image.pass.64", "64");
    assert_choice(&set, "streams", "2");
    clipc_free(set.items);
}

static void other_bits_are_out(void **state)
{
    (void)state;
    clipc_choice_set set = {0};
    struct device device = {.own = COUNT, .most = 4, .copy = 0.01, .start = 0.001, .other_bits = 20};
    assert_int_equal(tune(&device, &set, false, NULL), CLIPC_OK);
    assert_choice(&set, "image.pass.64", "22"); /* three passes */
    clipc_free(set.items);
}

static void calls_too_small_to_cut_settle_no_streams(void **state)
{
    (void)state;
    clipc_choice_set set = {0};
    struct device device = {.own = 8, .most = 1, .copy = 0.01};
    assert_int_equal(tune(&device, &set, false, NULL), CLIPC_OK);
    assert_choice(&set, "image.pass.64", "8");
    assert_null(clipc_choice_get(&set, "streams"));
    assert_int_equal(device.runs, 0);
    clipc_free(set.items);
}

static void a_failure_ends_it(void **state)
{
    (void)state;
    for (size_t i = 1; i < 9; i++) {
        clipc_choice_set set = {0};
        clipc_error error = {0};
        struct device device = {.own = COUNT, .most = 4, .copy = 0.01, .failing_run = i};
        assert_int_equal(tune(&device, &set, false, &error), CLIPC_ERROR_DEVICE);
        assert_string_equal(error.message, "a device that fails");
        assert_int_equal(device.runs, i);
        assert_int_equal(set.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices_in_range_are_read), cmocka_unit_test(no_more_cuts_than_there_is_room_for),
        cmocka_unit_test(the_fastest_is_chosen),     cmocka_unit_test(own_choice_stays_where_nothing_is_faster),
        cmocka_unit_test(other_bits_are_out),        cmocka_unit_test(calls_too_small_to_cut_settle_no_streams),
        cmocka_unit_test(a_failure_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
