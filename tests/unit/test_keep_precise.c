/* Linear layers kept in a higher precision than the rest: names, engines, engine files. */
#include "clipc/clipc.h"
#include "model/keep_precise.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BATCH = 3, IMAGE = 3 * 128 * 128, DIMENSION = 256 }; /* the demo model */

static clipc_model *open_demo(void)
{
    clipc_model *model = NULL;
    assert_int_equal(clipc_model_open(NULL, NULL, &model, NULL), CLIPC_OK);
    return model;
}

static clipc_engine_config config_of(clipc_precision precision, const char *keep, const char *level)
{
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = "cpu";
    config.precision = precision;
    config.threads = 2;
    config.keep_precise = keep;
    config.cpu_level = level;
    return config;
}

/* Images, then texts. */
static void encode(const clipc_model *model, const clipc_engine_config *config, float *embeddings)
{
    static float pixels[BATCH * IMAGE];
    static const int32_t ids[] = {49406, 320, 2368, 49407, 49406, 49407, 49406, 320, 1125, 539, 320, 1929, 49407};
    static const size_t offsets[] = {0, 4, 6, 13};
    clipc_engine *engine = NULL;
    clipc_error error = {0};
    if (clipc_engine_create(model, config, &engine, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < (size_t)BATCH * IMAGE; i++)
        pixels[i] = (float)((i * 2654435761u >> 7) % 1000) / 400 - 1.25F;
    assert_int_equal(clipc_engine_encode_images(engine, pixels, BATCH, 0, embeddings, NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_encode_tokens(engine, ids, offsets, BATCH, 0, embeddings + BATCH * DIMENSION, NULL),
                     CLIPC_OK);
    clipc_engine_destroy(&engine);
}

static double difference(const float *a, const float *b)
{
    double largest = 0;
    for (size_t i = 0; i < (size_t)2 * BATCH * DIMENSION; i++) {
        const double one = fabs((double)a[i] - (double)b[i]);
        if (!(one <= largest)) /* gcc 12 for aarch64 fails on fmax here */
            largest = one;
    }
    return largest;
}

typedef float rows[2 * BATCH * DIMENSION];

/* Every combination of neighbours: each kind of layer kept alone, then all. With everything kept in fp32 an engine of
 * bf16 differs from one of fp32 by attention alone, and one of int8 with all in bf16 from one of bf16 not at all. */
static void kept_layers_bring_accuracy(void **state)
{
    (void)state;
    static rows exact;
    static rows coarse;
    static rows kept;
    static const char *const lists[] = {"*.query_key_value",
                                        "*.attention_out",
                                        "*.fc1",
                                        "*.fc2",
                                        "*.patch_embedding",
                                        "image.3.fc1=bf16",
                                        "*=fp32",
                                        "*",
                                        "*.fc1=fp32,*.fc2",
                                        "*.projection=fp32",
                                        "*.fc1,*.fc2=fp32",
                                        "*.fc2=fp32",
                                        "*.attention_out=fp32",
                                        "*.query_key_value=fp32"};
    static const char *const levels[] = {"c", NULL};
    clipc_model *model = open_demo();
    for (size_t level = 0; level < 2; level++) {
        clipc_engine_config config = config_of(CLIPC_PRECISION_FP32, NULL, levels[level]);
        encode(model, &config, exact);
        config = config_of(CLIPC_PRECISION_INT8, NULL, levels[level]);
        encode(model, &config, coarse);
        const double worst = difference(coarse, exact);
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
            config = config_of(CLIPC_PRECISION_INT8, lists[i], levels[level]);
            encode(model, &config, kept);
            const double error = difference(kept, exact);
            assert_true(error < 1.5 * worst); /* one layer alone may happen to make up for another */
            assert_true(difference(kept, coarse) > 0);
            if (lists[i][0] == '*' && (lists[i][1] == '=' || !lists[i][1]))
                assert_true(error < worst / 2);
        }
        config = config_of(CLIPC_PRECISION_BF16, NULL, levels[level]);
        encode(model, &config, coarse);
        config = config_of(CLIPC_PRECISION_INT8, "*", levels[level]);
        config.keep_precise = "*.query_key_value,*.attention_out,*.fc1,*.fc2,*.patch_embedding";
        encode(model, &config, kept);
        assert_memory_equal(kept, coarse, sizeof kept);
        config = config_of(CLIPC_PRECISION_BF16, "*", levels[level]);
        encode(model, &config, kept);
        assert_true(difference(kept, exact) < difference(coarse, exact) / 2);
        assert_true(difference(kept, exact) > 0); /* attention itself */
    }
    clipc_model_destroy(&model);
}

static int append(void *user, const void *bytes, size_t size)
{
    return fwrite(bytes, 1, size, user) == size ? 0 : 1;
}

/* The file says by itself what each layer is in; a processor of another level repacks it. */
static void engine_files_keep_them(void **state)
{
    (void)state;
    static rows expected;
    static rows got;
    static const char *const levels[] = {NULL, "c"};
    char path[] = "/tmp/clipc-keep-XXXXXX";
    clipc_model *model = open_demo();
    clipc_model *file = NULL;
    clipc_engine_config config = config_of(CLIPC_PRECISION_INT8, "image.3.fc2,text.*.fc1=fp32,image.0.fc1=fp32", NULL);
    const int descriptor = mkstemp(path);
    FILE *stream = fdopen(descriptor, "wb");
    assert_non_null(stream);
    assert_int_equal(clipc_model_convert(model, &config, append, stream, NULL), CLIPC_OK);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(clipc_model_open(path, NULL, &file, NULL), CLIPC_OK);
    for (size_t i = 0; i < clipc_model_linear_count(file); i++) {
        clipc_linear_info info = {.size = sizeof info};
        assert_int_equal(clipc_model_get_linear(file, i, &info, NULL), CLIPC_OK);
        const bool single = strcmp(info.name, "image.layers.0.fc1") == 0 ||
                            (strncmp(info.name, "text.", 5) == 0 && strstr(info.name, "fc1"));
        const bool half = strcmp(info.name, "image.layers.3.fc2") == 0 || strstr(info.name, "projection");
        assert_string_equal(info.dtype, single ? "fp32" : half ? "bf16" : "int8");
    }
    for (size_t i = 0; i < 2; i++) {
        config.cpu_level = levels[i];
        config.keep_precise = "image.3.fc2,text.*.fc1=fp32,image.0.fc1=fp32";
        encode(model, &config, expected);
        config.keep_precise = NULL;
        encode(file, &config, got);
        assert_memory_equal(expected, got, sizeof got);
    }
    config.keep_precise = "image.3.fc2";
    clipc_engine *engine = NULL;
    assert_int_equal(clipc_engine_create(file, &config, &engine, NULL), CLIPC_ERROR_UNSUPPORTED);
    clipc_model_destroy(&file);
    clipc_model_destroy(&model);
    unlink(path);
}

static void names_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        const char *name;
        clipc_precision engine;
        clipc_precision kept;
    } cases[] = {
        {"image.3.fc2", "image.layers.3.fc2", CLIPC_PRECISION_INT8, CLIPC_PRECISION_BF16},
        {"image.layers.3.fc2", "image.layers.3.fc2", CLIPC_PRECISION_BF16, CLIPC_PRECISION_FP32},
        {"image.3.fc2", "image.layers.13.fc2", CLIPC_PRECISION_INT8, CLIPC_PRECISION_AUTO},
        {"image.3.fc2", "text.layers.3.fc2", CLIPC_PRECISION_INT8, CLIPC_PRECISION_AUTO},
        {"*.fc2=fp32", "text.layers.3.fc2", CLIPC_PRECISION_INT8, CLIPC_PRECISION_FP32},
        {"text.*,*.fc2=fp32,image.0.*", "text.layers.3.fc2", CLIPC_PRECISION_INT8, CLIPC_PRECISION_FP32},
        {"text.*,*.fc2=fp32,image.0.*", "image.layers.0.fc1", CLIPC_PRECISION_INT8, CLIPC_PRECISION_BF16},
        {"*1*1*", "image.layers.1.fc1", CLIPC_PRECISION_INT8, CLIPC_PRECISION_BF16},
        {"*1*1*2", "image.layers.1.fc1", CLIPC_PRECISION_INT8, CLIPC_PRECISION_AUTO},
        {"", "image.layers.1.fc1", CLIPC_PRECISION_INT8, CLIPC_PRECISION_AUTO},
        {NULL, "image.layers.1.fc1", CLIPC_PRECISION_INT8, CLIPC_PRECISION_AUTO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(clipc_keep_precise_of(cases[i].list, cases[i].name, cases[i].engine), cases[i].kept);
}

static void refuse(const clipc_model *model, const char *backend, clipc_precision precision, const char *list,
                   clipc_status status, const char *words)
{
    clipc_engine *engine = NULL;
    clipc_engine_info info = {.size = sizeof info};
    clipc_error error = {0};
    clipc_engine_config config = config_of(precision, list, NULL);
    config.backend = backend;
    assert_int_equal(clipc_engine_create(model, &config, &engine, &error), status);
    if (!strstr(error.message, words))
        fail_msg("%s", error.message);
    assert_int_equal(clipc_engine_plan(model, &config, &info, NULL), status);
}

static void wrong_lists(void **state)
{
    (void)state;
    clipc_model *model = open_demo();
    refuse(model, "cpu", CLIPC_PRECISION_INT8, "image.9.fc2", CLIPC_ERROR_ARGUMENT, "names no linear layer");
    refuse(model, "cpu", CLIPC_PRECISION_INT8, "image.3.fc2,,", CLIPC_ERROR_ARGUMENT, "names no linear layer");
    refuse(model, "cpu", CLIPC_PRECISION_INT8, "image.3.fc2=fp64", CLIPC_ERROR_ARGUMENT, "neither fp32 nor bf16");
    refuse(model, "cpu", CLIPC_PRECISION_BF16, "image.3.fc2=bf16", CLIPC_ERROR_ARGUMENT,
           "not above the engine's bf16");
    refuse(model, "cpu", CLIPC_PRECISION_FP32, "image.3.fc2", CLIPC_ERROR_ARGUMENT, "nothing is more precise");
    refuse(model, "ref", CLIPC_PRECISION_FP32, "image.3.fc2", CLIPC_ERROR_UNSUPPORTED, "backend ref");
    clipc_linear_info info = {.size = sizeof info};
    assert_int_equal(clipc_model_linear_count(NULL), 0);
    assert_int_equal(clipc_model_linear_count(model), 1 + 4 * 6 + 1 + 4 * 4 + 1);
    assert_int_equal(clipc_model_get_linear(model, 43, &info, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_model_get_linear(model, 0, NULL, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_model_get_linear(model, 0, &info, NULL), CLIPC_OK);
    assert_string_equal(info.name, "image.patch_embedding");
    assert_string_equal(info.dtype, "fp16");
    assert_int_equal(info.bytes, 2 * 256 * 3 * 16 * 16);
    info.size = 1;
    assert_int_equal(clipc_model_get_linear(model, 0, &info, NULL), CLIPC_ERROR_ARGUMENT);
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_layers_bring_accuracy),
        cmocka_unit_test(engine_files_keep_them),
        cmocka_unit_test(names_are_understood),
        cmocka_unit_test(wrong_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
