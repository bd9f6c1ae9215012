#include "api/engine.h"
#include "base/cpu_features.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODELS CLIPC_SOURCE_DIR "/tests/golden/models/"
/* Of the golden model odd_widths: see tests/parity/golden_models.py. */
#define IMAGE      (3 * 23 * 23)
#define CONTEXT    7
#define VOCABULARY 517
#define END        516
#define DIMENSION  13

static clipc_engine *open_engine(const char *path, size_t max_batch)
{
    clipc_error error = {0};
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.max_batch = max_batch;
    if (clipc_model_open(path, NULL, &model, &error) != CLIPC_OK ||
        clipc_engine_create(model, &config, &engine, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    clipc_model_destroy(&model); /* the engine keeps what it needs */
    return engine;
}

static clipc_status create(void (*change)(clipc_engine_config *), clipc_error *error)
{
    clipc_model *model = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    change(&config);
    clipc_engine *engine = (clipc_engine *)&config;
    assert_int_equal(clipc_model_open(MODELS "odd_widths", NULL, &model, error), CLIPC_OK);
    const clipc_status status = clipc_engine_create(model, &config, &engine, error);
    assert_true((status == CLIPC_OK) == (engine != NULL));
    clipc_engine_destroy(&engine);
    clipc_model_destroy(&model);
    return status;
}

static void wrong_size(clipc_engine_config *config)
{
    config->size = 3;
}
static void wrong_backend(clipc_engine_config *config)
{
    config->backend = "abacus";
}
static void wrong_level(clipc_engine_config *config)
{
    config->cpu_level = "sse1";
}
static void wrong_precision(clipc_engine_config *config)
{
    config->precision = (clipc_precision)77;
}
static void absent_precision(clipc_engine_config *config)
{
    config->backend = "ref";
    config->precision = CLIPC_PRECISION_FP8;
}
static void no_batch(clipc_engine_config *config)
{
    config->max_batch = 0;
}
static void huge_batch(clipc_engine_config *config)
{
    config->max_batch = SIZE_MAX;
}
static void huge_threads(clipc_engine_config *config)
{
    config->threads = SIZE_MAX;
}
static void no_tower(clipc_engine_config *config)
{
    config->image_tower = 0;
    config->text_tower = 0;
}

static void test_config_is_checked(void **state)
{
    (void)state;
    const struct {
        void (*change)(clipc_engine_config *);
        clipc_status status;
        const char *word;
    } cases[] = {
        {wrong_size, CLIPC_ERROR_ARGUMENT, "size"},         {wrong_backend, CLIPC_ERROR_ARGUMENT, "abacus"},
        {wrong_level, CLIPC_ERROR_ARGUMENT, "sse1"},        {wrong_precision, CLIPC_ERROR_ARGUMENT, "77"},
        {absent_precision, CLIPC_ERROR_UNSUPPORTED, "fp8"}, {no_batch, CLIPC_ERROR_ARGUMENT, "max_batch"},
        {huge_batch, CLIPC_ERROR_ARGUMENT, "max_batch"},    {huge_threads, CLIPC_ERROR_ARGUMENT, "threads"},
        {no_tower, CLIPC_ERROR_ARGUMENT, "tower"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clipc_error error = {0};
        assert_int_equal(create(cases[i].change, &error), cases[i].status);
        assert_non_null(strstr(error.message, cases[i].word));
    }
}

static void test_info(void **state)
{
    (void)state;
    clipc_error error = {0};
    clipc_model *model = NULL;
    assert_int_equal(clipc_model_open(MODELS "odd_widths", NULL, &model, &error), CLIPC_OK);
    for (size_t i = 0; clipc_backend_at(i); i++) {
        clipc_engine *engine = NULL;
        clipc_engine_config config;
        clipc_engine_config_init(&config);
        config.backend = clipc_backend_at(i)->name;
        if (strcmp(config.backend, "cuda") == 0)
            continue; /* needs a device: tests/device */
        config.cpu_level = "c";
        config.threads = 3;
        assert_int_equal(clipc_engine_create(model, &config, &engine, &error), CLIPC_OK);
        clipc_engine_info info = {.size = sizeof info};
        assert_int_equal(clipc_engine_get_info(engine, &info, &error), CLIPC_OK);
        clipc_engine_destroy(&engine);
        assert_string_equal(info.backend, config.backend);
        assert_string_equal(info.isa, "c");
        assert_int_equal(info.precision, CLIPC_PRECISION_FP32);
        assert_int_equal(info.threads, strcmp(info.backend, "ref") == 0 ? 1 : 3);
        assert_true(info.workspace_bytes > 0);
    }
    clipc_model_destroy(&model);
}

/* Left to choose, the CPU backend takes bf16 where the processor multiplies it, and only there. */
static void test_auto_is_bf16_where_there_is_bf16_arithmetic(void **state)
{
    (void)state;
    clipc_error error = {0};
    clipc_model *model = NULL;
    clipc_cpu_level best = CLIPC_CPU_C;
    assert_int_equal(clipc_model_open(MODELS "odd_widths", NULL, &model, &error), CLIPC_OK);
    assert_int_equal(clipc_cpu_level_detect(&best, &error), CLIPC_OK);
    for (int level = CLIPC_CPU_C; level <= (int)best; level++) {
        clipc_engine_config config;
        clipc_engine_config_init(&config);
        config.backend = "cpu";
        config.cpu_level = clipc_cpu_level_name((clipc_cpu_level)level);
        clipc_engine_info info = {.size = sizeof info};
        assert_int_equal(clipc_engine_plan(model, &config, &info, &error), CLIPC_OK);
        assert_int_equal(info.precision,
                         strstr(config.cpu_level, "_bf16") ? CLIPC_PRECISION_BF16 : CLIPC_PRECISION_FP32);
    }
    clipc_model_destroy(&model);
}

static void huge_streams(clipc_engine_config *config)
{
    config->streams = 17;
}

static void test_streams_are_checked(void **state)
{
    (void)state;
    clipc_error error = {0};
    assert_int_equal(create(huge_streams, &error), CLIPC_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "17 streams"));
}

/* Bytes give the bits that the floats made of them give, in calls larger than any buffer. */
static void test_bytes_are_floats(void **state)
{
    (void)state;
    enum { COUNT = 70, AREA = 23 * 23 };
    static uint8_t bytes[COUNT * IMAGE];
    static float pixels[COUNT * IMAGE];
    static float expected[COUNT * DIMENSION];
    static float embeddings[COUNT * DIMENSION];
    clipc_engine *engine = open_engine(MODELS "odd_widths", 50);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 2654435761U >> 24);
    for (size_t i = 0; i < COUNT; i++)
        clipc_preprocess_floats(&engine->model->preprocess, bytes + i * IMAGE, AREA, pixels + i * IMAGE);
    assert_int_equal(clipc_engine_encode_images(engine, pixels, COUNT, 0, expected, NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_encode_bytes(engine, bytes, COUNT, 0, embeddings, NULL), CLIPC_OK);
    assert_memory_equal(embeddings, expected, sizeof expected);
    assert_int_equal(clipc_engine_encode_bytes(engine, bytes, 0, 0, NULL, NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_encode_bytes(engine, NULL, 1, 0, embeddings, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_encode_bytes(NULL, bytes, 1, 0, embeddings, NULL), CLIPC_ERROR_ARGUMENT);
    clipc_engine_destroy(&engine);
}

/* Without a device everything falls to the processor, and asking for one is a sentence. */
static void test_devices(void **state)
{
    (void)state;
    size_t count = 7;
    clipc_error error = {0};
    clipc_device_info info = {.size = sizeof info};
    assert_int_equal(clipc_device_count("cpu", &count, &error), CLIPC_OK);
    assert_int_equal(count, 1);
    assert_int_equal(clipc_device_get_info("cpu", 0, &info, &error), CLIPC_OK);
    assert_string_equal(info.backend, "cpu");
    assert_true(info.name[0] && info.isa[0] && !info.problem[0] && info.units > 0);
    assert_int_equal(clipc_device_get_info("cpu", 1, &info, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_device_count("ref", &count, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(count, 0);
    assert_int_equal(clipc_device_count("abacus", &count, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_device_count(NULL, &count, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_device_count("cpu", NULL, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_device_get_info("cpu", 0, NULL, &error), CLIPC_ERROR_ARGUMENT);
    info.size = 1;
    assert_int_equal(clipc_device_get_info("cpu", 0, &info, &error), CLIPC_ERROR_ARGUMENT);
    const clipc_status status = clipc_device_count("cuda", &count, &error);
    if (status != CLIPC_OK) {
        assert_true(status == CLIPC_ERROR_DEVICE || status == CLIPC_ERROR_UNSUPPORTED);
        assert_int_equal(count, 0);
        assert_true(error.message[0]);
    }
}

static void test_null_arguments(void **state)
{
    (void)state;
    clipc_engine *engine = NULL;
    assert_int_equal(clipc_engine_create(NULL, NULL, &engine, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_encode_images(NULL, NULL, 0, 0, NULL, NULL), CLIPC_ERROR_ARGUMENT);
    clipc_engine_destroy(NULL);
    clipc_engine_destroy(&engine);
    engine = open_engine(MODELS "odd_widths", 2);
    assert_int_equal(clipc_engine_encode_images(engine, NULL, 1, 0, NULL, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_encode_images(engine, NULL, 0, 0, NULL, NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_encode_tokens(engine, NULL, NULL, 0, 0, NULL, NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_encode_images(engine, NULL, 0, 6, NULL, NULL), CLIPC_ERROR_ARGUMENT);
    clipc_engine_info info = {.size = 1};
    assert_int_equal(clipc_engine_get_info(engine, &info, NULL), CLIPC_ERROR_ARGUMENT);
    clipc_engine_destroy(&engine);
    assert_null(engine);
}

static clipc_status encode_tokens(const int32_t *ids, const size_t *offsets, size_t count, float *embeddings,
                                  clipc_error *error)
{
    clipc_engine *engine = open_engine(MODELS "odd_widths", 2);
    const clipc_status status = clipc_engine_encode_tokens(engine, ids, offsets, count, 0, embeddings, error);
    clipc_engine_destroy(&engine);
    return status;
}

static void test_tokens_are_checked(void **state)
{
    (void)state;
    float embeddings[2 * DIMENSION] = {7};
    const int32_t good[CONTEXT + 1] = {1, 2, 3, 4, 5, 6, 7, 8};
    const int32_t large[2] = {1, VOCABULARY};
    const int32_t negative[2] = {1, -1};
    clipc_error error = {0};
    assert_int_equal(encode_tokens(large, (size_t[]){0, 1, 2}, 2, embeddings, &error), CLIPC_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "sequence 1"));
    assert_int_equal(encode_tokens(negative, (size_t[]){0, 2}, 1, embeddings, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(encode_tokens(good, (size_t[]){0, CONTEXT + 1}, 1, embeddings, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(encode_tokens(good, (size_t[]){0, 0}, 1, embeddings, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(encode_tokens(good, (size_t[]){1, 2}, 1, embeddings, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(encode_tokens(good, (size_t[]){0, 3, 2}, 2, embeddings, &error), CLIPC_ERROR_ARGUMENT);
    assert_true(embeddings[0] == 7); /* nothing was written */
    assert_int_equal(encode_tokens(good, (size_t[]){0, CONTEXT}, 1, embeddings, &error), CLIPC_OK);
}

/* What follows the first end token does not matter; without one, row 0 is the embedding. */
static void test_pooling_at_the_first_end_token(void **state)
{
    (void)state;
    const int32_t ids[] = {9, 8, END, /**/ 9, 8, END, 5, 4, END, 3, /**/ 9, /**/ 9, 8, 7};
    const size_t offsets[] = {0, 3, 10, 11, 14};
    float rows[4][DIMENSION];
    clipc_error error = {0};
    assert_int_equal(encode_tokens(ids, offsets, 4, &rows[0][0], &error), CLIPC_OK);
    assert_memory_equal(rows[0], rows[1], sizeof rows[0]);
    assert_memory_equal(rows[2], rows[3], sizeof rows[0]);
    assert_memory_not_equal(rows[0], rows[2], sizeof rows[0]);
}

static void test_legacy_pooling_at_the_largest_id(void **state)
{
    (void)state;
    const int32_t ids[] = {9, 300, /**/ 9, 300, 5, 300, 299, /**/ 9, 300, 5, 301};
    const size_t offsets[] = {0, 2, 7, 11};
    float rows[3][8];
    clipc_engine *engine = open_engine(MODELS "legacy_eos", 32);
    assert_int_equal(clipc_engine_encode_tokens(engine, ids, offsets, 3, 0, &rows[0][0], NULL), CLIPC_OK);
    clipc_engine_destroy(&engine);
    assert_memory_equal(rows[0], rows[1], sizeof rows[0]);
    assert_memory_not_equal(rows[0], rows[2], sizeof rows[0]);
}

static void test_rows_have_unit_length(void **state)
{
    (void)state;
    static float pixels[5 * IMAGE];
    for (size_t i = 0; i < 5 * IMAGE; i++)
        pixels[i] = (float)(i % 17) / 8 - 1;
    float unit[5][DIMENSION];
    float raw[5][DIMENSION];
    clipc_engine *engine = open_engine(MODELS "odd_widths", 2);
    assert_int_equal(clipc_engine_encode_images(engine, pixels, 5, 0, &unit[0][0], NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_encode_images(engine, pixels, 5, CLIPC_ENCODE_UNNORMALIZED, &raw[0][0], NULL),
                     CLIPC_OK);
    clipc_engine_destroy(&engine);
    for (size_t row = 0; row < 5; row++) {
        double unit_squares = 0;
        double raw_squares = 0;
        for (size_t i = 0; i < DIMENSION; i++) {
            unit_squares += (double)unit[row][i] * (double)unit[row][i];
            raw_squares += (double)raw[row][i] * (double)raw[row][i];
        }
        assert_true(fabs(unit_squares - 1) < 1e-6);
        for (size_t i = 0; i < DIMENSION; i++)
            assert_true(fabs((double)raw[row][i] / sqrt(raw_squares) - (double)unit[row][i]) < 1e-7);
    }
}

/* A NaN in one image is reported by its index and stays in its row. */
static void test_pixels_that_are_not_finite(void **state)
{
    (void)state;
    static float pixels[3 * IMAGE];
    float good[3][DIMENSION];
    float bad[3][DIMENSION];
    clipc_error error = {0};
    clipc_engine *engine = open_engine(MODELS "odd_widths", 32);
    assert_int_equal(clipc_engine_encode_images(engine, pixels, 3, 0, &good[0][0], &error), CLIPC_OK);
    pixels[IMAGE + 5] = NAN;
    assert_int_equal(clipc_engine_encode_images(engine, pixels, 3, 0, &bad[0][0], &error), CLIPC_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "image 1"));
    assert_memory_equal(good[0], bad[0], sizeof good[0]);
    assert_memory_equal(good[2], bad[2], sizeof good[0]);
    assert_true(isnan(bad[1][0]));
    clipc_engine_destroy(&engine);
}

/* An engine of the model one_patch whose image projection was replaced by numbers that are finite but overflow. */
static clipc_engine *open_overflowing(void)
{
    static const char path[] = MODELS "one_patch";
    clipc_error error = {0};
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.text_tower = 0;
    assert_int_equal(clipc_model_open(path, NULL, &model, &error), CLIPC_OK);
    clipc_tensor *projection = &model->weights.image.projection;
    static float values[3 * 10];
    assert_int_equal(projection->count, sizeof values / sizeof *values);
    clipc_tensor_read(projection, 0, projection->count, values);
    for (size_t i = 0; i < projection->count; i++)
        values[i] = copysignf(3e38F, values[i]);
    projection->data = values;
    assert_int_equal(clipc_engine_create(model, &config, &engine, &error), CLIPC_OK);
    clipc_model_destroy(&model);
    return engine;
}

static void test_arithmetic_that_overflows(void **state)
{
    (void)state;
    static float pixels[2 * 3 * 9 * 9];
    float rows[2][3];
    clipc_error error = {0};
    clipc_engine *engine = open_overflowing();
    assert_int_equal(clipc_engine_encode_images(engine, pixels, 2, 0, &rows[0][0], &error), CLIPC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "image 0"));
    clipc_engine_destroy(&engine);
}

static void test_an_absent_tower_is_an_error(void **state)
{
    (void)state;
    clipc_error error = {0};
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.text_tower = 0;
    assert_int_equal(clipc_model_open(MODELS "odd_widths", NULL, &model, &error), CLIPC_OK);
    assert_int_equal(clipc_engine_create(model, &config, &engine, &error), CLIPC_OK);
    static float pixels[IMAGE];
    float row[DIMENSION];
    const int32_t id = 1;
    assert_int_equal(clipc_engine_encode_images(engine, pixels, 1, 0, row, &error), CLIPC_OK);
    assert_int_equal(clipc_engine_encode_tokens(engine, &id, (size_t[]){0, 1}, 1, 0, row, &error),
                     CLIPC_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "text tower"));
    clipc_engine_destroy(&engine);
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_is_checked),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_auto_is_bf16_where_there_is_bf16_arithmetic),
        cmocka_unit_test(test_streams_are_checked),
        cmocka_unit_test(test_bytes_are_floats),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_null_arguments),
        cmocka_unit_test(test_tokens_are_checked),
        cmocka_unit_test(test_pooling_at_the_first_end_token),
        cmocka_unit_test(test_legacy_pooling_at_the_largest_id),
        cmocka_unit_test(test_rows_have_unit_length),
        cmocka_unit_test(test_pixels_that_are_not_finite),
        cmocka_unit_test(test_arithmetic_that_overflows),
        cmocka_unit_test(test_an_absent_tower_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
