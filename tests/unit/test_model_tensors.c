/* The tensors of a model, one by one, as stored in directories and in engine files. */
#include "clipc/tensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static clipc_model *demo(void)
{
    clipc_model *model = NULL;
    assert_int_equal(clipc_model_open(NULL, NULL, &model, NULL), CLIPC_OK);
    return model;
}

static int append(void *user, const void *bytes, size_t size)
{
    return fwrite(bytes, 1, size, user) != size;
}

/* The demo model as an engine file of that precision, opened; the file itself is gone. */
static clipc_model *packed(clipc_precision precision)
{
    char path[] = "/tmp/clipc-tensors-XXXXXX.clipc";
    FILE *file = fdopen(mkstemps(path, 6), "w");
    assert_non_null(file);
    clipc_model *model = demo();
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = "cpu";
    config.precision = precision;
    assert_int_equal(clipc_model_convert(model, &config, append, file, NULL), CLIPC_OK);
    clipc_model_destroy(&model);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(clipc_model_open(path, NULL, &model, NULL), CLIPC_OK);
    unlink(path);
    return model;
}

static clipc_tensor_info info_of(const clipc_model *model, size_t index)
{
    clipc_tensor_info info = {.size = sizeof info};
    assert_int_equal(clipc_model_get_tensor(model, index, &info, NULL), CLIPC_OK);
    return info;
}

static float *read_all(const clipc_model *model, size_t index)
{
    float *values = malloc(info_of(model, index).count * sizeof *values);
    assert_non_null(values);
    assert_int_equal(clipc_model_read_tensor(model, index, values, NULL), CLIPC_OK);
    return values;
}

static void tensors_are_listed(void **state)
{
    (void)state;
    clipc_model *model = demo();
    clipc_model_info model_info = {.size = sizeof model_info};
    assert_int_equal(clipc_model_get_info(model, &model_info, NULL), CLIPC_OK);
    const size_t count = clipc_model_tensor_count(model);
    size_t parameters = 0;
    int was_text = 0;
    for (size_t i = 0; i < count; i++) {
        const clipc_tensor_info info = info_of(model, i);
        size_t product = 1;
        for (size_t axis = 0; axis < info.rank; axis++)
            product *= info.shape[axis];
        assert_int_equal(product, info.count);
        assert_string_equal(info.dtype, "fp16");
        assert_int_equal(info.bytes, 2 * info.count);
        assert_true(info.readable && (!was_text || !info.image));
        was_text = !info.image;
        parameters += info.count;
        for (size_t other = 0; other < i; other++)
            assert_string_not_equal(info_of(model, other).name, info.name);
    }
    assert_int_equal(parameters, model_info.image.parameters + model_info.text.parameters);
    clipc_model_destroy(&model);
}

/* Each weight of an engine file is the original, or what rounding may make of it. */
static void engine_files_keep_their_values(void **state)
{
    (void)state;
    static const clipc_precision precisions[] = {CLIPC_PRECISION_FP32, CLIPC_PRECISION_BF16, CLIPC_PRECISION_INT8};
    clipc_model *model = demo();
    const size_t count = clipc_model_tensor_count(model);
    for (size_t p = 0; p < sizeof precisions / sizeof *precisions; p++) {
        clipc_model *file = packed(precisions[p]);
        const char *name = clipc_precision_name(precisions[p]);
        size_t rounded = 0;
        assert_int_equal(clipc_model_tensor_count(file), count);
        for (size_t i = 0; i < count; i++) {
            const clipc_tensor_info original = info_of(model, i);
            const clipc_tensor_info info = info_of(file, i);
            assert_string_equal(info.name, original.name);
            assert_int_equal(info.count, original.count);
            assert_true(info.readable);
            const int exact = strcmp(info.dtype, "fp32") == 0 || strcmp(info.dtype, "fp16") == 0;
            const int bytes = strcmp(info.dtype, "int8") == 0;
            rounded += strcmp(info.dtype, name) == 0;
            float *expected = read_all(model, i);
            float *values = read_all(file, i);
            double largest = 0;
            for (size_t k = 0; k < info.count; k++)
                largest = fabs((double)expected[k]) > largest ? fabs((double)expected[k]) : largest;
            for (size_t k = 0; k < info.count; k++) {
                const double apart = fabs((double)values[k] - (double)expected[k]);
                /* bf16 has 8 bits; a byte's step is at most 2/254 of the largest of its row, half of which is lost */
                assert_true(apart <= (exact ? 0 : bytes ? largest / 253 : fabs((double)expected[k]) / 256));
            }
            free(expected);
            free(values);
        }
        assert_true(rounded > 40);
        clipc_model_destroy(&file);
    }
    clipc_model_destroy(&model);
}

static void tokenizers_have_a_checksum(void **state)
{
    (void)state;
    clipc_model *model = demo();
    clipc_model *file = packed(CLIPC_PRECISION_BF16);
    assert_int_not_equal(clipc_model_tokenizer_checksum(model), 0);
    assert_int_equal(clipc_model_tokenizer_checksum(model), clipc_model_tokenizer_checksum(file));
    assert_int_equal(clipc_model_tokenizer_checksum(NULL), 0);
    clipc_model_destroy(&file);
    clipc_model_destroy(&model);
}

static void every_architecture(void **state)
{
    (void)state;
    for (size_t i = 0; clipc_architecture_name(i); i++) {
        clipc_model *model = NULL;
        clipc_model_info model_info = {.size = sizeof model_info};
        assert_int_equal(clipc_model_create_random(clipc_architecture_name(i), 1, NULL, &model, NULL), CLIPC_OK);
        assert_int_equal(clipc_model_get_info(model, &model_info, NULL), CLIPC_OK);
        const size_t count = clipc_model_tensor_count(model);
        assert_true(count > 100);
        assert_true(info_of(model, 0).image && !info_of(model, count - 1).image);
        clipc_model_destroy(&model);
    }
}

static void wrong_arguments(void **state)
{
    (void)state;
    clipc_model *model = demo();
    const size_t count = clipc_model_tensor_count(model);
    clipc_tensor_info info = {.size = sizeof info};
    float value = 0;
    assert_int_equal(clipc_model_tensor_count(NULL), 0);
    assert_int_equal(clipc_model_get_tensor(NULL, 0, &info, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_model_get_tensor(model, 0, NULL, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_model_get_tensor(model, count, &info, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_model_read_tensor(model, count, &value, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_model_read_tensor(model, 0, NULL, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_model_read_tensor(NULL, 0, &value, NULL), CLIPC_ERROR_ARGUMENT);
    info.size = 1;
    assert_int_equal(clipc_model_get_tensor(model, 0, &info, NULL), CLIPC_ERROR_ARGUMENT);
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_listed),
        cmocka_unit_test(engine_files_keep_their_values),
        cmocka_unit_test(tokenizers_have_a_checksum),
        cmocka_unit_test(every_architecture),
        cmocka_unit_test(wrong_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
