/* What is measured of calls: the cpu backend has nothing of the kind, and says so. */
#include "clipc/clipc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static clipc_engine *open_engine(const char *backend)
{
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = backend;
    config.threads = 1;
    config.image_tower = 0;
    assert_int_equal(clipc_model_open(NULL, NULL, &model, NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_create(model, &config, &engine, NULL), CLIPC_OK);
    clipc_model_destroy(&model);
    return engine;
}

static void backends_of_the_host(void **state)
{
    (void)state;
    static const char *const backends[] = {"cpu", "ref"};
    for (size_t i = 0; i < 2; i++) {
        clipc_error error = {0};
        clipc_call_parts parts = {.size = sizeof parts};
        clipc_engine *engine = open_engine(backends[i]);
        assert_int_equal(clipc_engine_measure(engine, 0, &error), CLIPC_OK);
        for (unsigned flags = 1; flags < 8; flags++) {
            assert_int_equal(clipc_engine_measure(engine, flags, &error), CLIPC_ERROR_UNSUPPORTED);
            assert_ptr_equal(strstr(error.message, "backend "), error.message);
        }
        assert_int_equal(clipc_engine_get_parts(engine, &parts, &error), CLIPC_ERROR_UNSUPPORTED);
        clipc_engine_destroy(&engine);
    }
}

static void wrong_arguments(void **state)
{
    (void)state;
    clipc_error error = {0};
    clipc_call_parts parts = {.size = sizeof parts - 1};
    clipc_engine *engine = open_engine("cpu");
    assert_int_equal(clipc_engine_measure(NULL, 0, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_measure(engine, 8, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_get_parts(NULL, &parts, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_get_parts(engine, NULL, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_get_parts(engine, &parts, &error), CLIPC_ERROR_ARGUMENT);
    clipc_engine_destroy(&engine);
}

/* Profiles of batches are three rising numbers, or nothing. */
static void batches(void **state)
{
    (void)state;
    static const struct {
        clipc_batches batches;
        clipc_status status;
    } cases[] = {
        {{0, 0, 0}, CLIPC_OK},
        {{1, 1, 1}, CLIPC_OK},
        {{1, 8, 32}, CLIPC_OK},
        {{0, 8, 32}, CLIPC_ERROR_ARGUMENT},
        {{1, 0, 32}, CLIPC_ERROR_ARGUMENT},
        {{1, 8, 0}, CLIPC_ERROR_ARGUMENT},
        {{9, 8, 32}, CLIPC_ERROR_ARGUMENT},
        {{1, 33, 32}, CLIPC_ERROR_ARGUMENT},
        {{1, 2, SIZE_MAX}, CLIPC_ERROR_ARGUMENT},
    };
    clipc_model *model = NULL;
    assert_int_equal(clipc_model_open(NULL, NULL, &model, NULL), CLIPC_OK);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        clipc_engine_info info = {.size = sizeof info};
        clipc_engine_config config;
        clipc_engine_config_init(&config);
        config.backend = "cpu";
        *(i % 2 ? &config.tensorrt_image_batches : &config.tensorrt_text_batches) = cases[i / 2].batches;
        assert_int_equal(clipc_engine_plan(model, &config, &info, NULL), cases[i / 2].status);
    }
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(backends_of_the_host), cmocka_unit_test(wrong_arguments),
                                       cmocka_unit_test(batches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
