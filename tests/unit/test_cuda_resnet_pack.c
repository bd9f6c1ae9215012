/* A ResNet's block for backend cuda: host code, tested with no GPU. */
#include "backend/cuda/weight_pack.h"
#include "model/linear.h"
#include "unit/cuda_block.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL CLIPC_SOURCE_DIR "/tests/golden/models/openai_resnet"

static clipc_cuda_tower place(const clipc_model *model, collected *block)
{
    clipc_cuda_tower tower;
    const clipc_cuda_packing packing = clipc_cuda_packing_of(CLIPC_PRECISION_FP16);
    assert_int_equal(clipc_cuda_tower_create(model, true, &packing, &tower, NULL), CLIPC_OK);
    *block = place_tower(model, true, &tower);
    return tower;
}

static void compare_convolution(const clipc_model *model, size_t index, const clipc_cuda_convolution *packed)
{
    const clipc_convolution at = clipc_resnet_at(&model->config, index);
    const size_t taps = at.kernel * at.kernel;
    const size_t inner = at.inputs * taps;
    const size_t channels = (at.inputs + 7) / 8 * 8;
    const bool pixels = at.role == CLIPC_CONVOLUTION_PIXELS;
    float *row = malloc(inner * sizeof *row);
    float *folded = malloc(inner * sizeof *folded);
    assert_true(row && folded);
    assert_int_equal(packed->matrix.columns, (at.outputs + 7) / 8 * 8);
    assert_int_equal(packed->matrix.depth, pixels ? CLIPC_CUDA_PIXEL_WINDOW : taps * channels);
    for (size_t output = 0; output < at.outputs; output++) {
        float bias = 0;
        const uint16_t *halves = (const uint16_t *)packed->matrix.weight + output * (size_t)packed->matrix.depth;
        double sum = 0;
        double found = 0;
        assert_true(
            clipc_resnet_fold(&at, &model->weights.image.convolutions[index], output, 1, 0, row, folded, &bias));
        assert_true(packed->matrix.terms[2 * output] == bias && packed->matrix.terms[2 * output + 1] == 0);
        for (size_t input = 0; input < at.inputs; input++)
            for (size_t tap = 0; tap < taps; tap++) {
                const uint16_t half = clipc_half_of_float(CLIPC_CUDA_F16, folded[input * taps + tap]);
                assert_int_equal(halves[pixels ? input * taps + tap : tap * channels + input], half);
                sum += fabs((double)clipc_float_of_half(CLIPC_CUDA_F16, half));
            }
        for (int32_t i = 0; i < packed->matrix.depth; i++)
            found += fabs((double)clipc_float_of_half(CLIPC_CUDA_F16, halves[i]));
        assert_true(fabs(found - sum) <= 1e-9 * sum); /* the padding is zeros */
    }
    free(row);
    free(folded);
}

static void convolutions_are_folded_into_their_places(void **state)
{
    (void)state;
    clipc_model *model = open_model(MODEL);
    collected block;
    clipc_cuda_tower tower = place(model, &block);
    assert_int_equal(clipc_cuda_tower_pack(model, true, false, &tower, collect, &block, NULL), CLIPC_OK);
    assert_int_equal(block.size, tower.bytes);
    assert_int_equal(tower.layer_count, 0);
    assert_int_equal(tower.convolution_count, clipc_resnet_count(&model->config));
    assert_int_equal(clipc_cuda_tower_check(&tower, true, "it", NULL), CLIPC_OK);
    for (size_t i = 0; i < (size_t)tower.convolution_count; i++)
        compare_convolution(model, i, &tower.convolutions[i]);
    clipc_free_aligned(block.bytes);
    clipc_cuda_tower_destroy(&tower);
    clipc_model_destroy(&model);
}

static void bytes_are_refused(void **state)
{
    (void)state;
    static const clipc_precision refused[] = {CLIPC_PRECISION_FP8, CLIPC_PRECISION_INT8};
    clipc_model *model = open_model(MODEL);
    for (size_t i = 0; i < 2; i++) {
        clipc_cuda_tower tower = {0};
        clipc_error error = {0};
        char words[64];
        const clipc_cuda_packing packing = clipc_cuda_packing_of(refused[i]);
        assert_int_equal(clipc_cuda_tower_create(model, true, &packing, &tower, &error), CLIPC_ERROR_UNSUPPORTED);
        snprintf(words, sizeof words, "in fp16 and bf16, not in %s", clipc_precision_name(refused[i]));
        assert_non_null(strstr(error.message, words));
        clipc_cuda_tower_destroy(&tower);
        assert_int_equal(clipc_cuda_tower_create(model, false, &packing, &tower, &error), CLIPC_OK);
        clipc_cuda_tower_destroy(&tower);
    }
    clipc_model_destroy(&model);
}

static void a_variance_below_zero_is_refused(void **state)
{
    (void)state;
    clipc_model *model = open_model(MODEL);
    collected block;
    clipc_error error = {0};
    clipc_cuda_tower tower = place(model, &block);
    clipc_tensor *variance = &model->weights.image.convolutions[4].norm_variance;
    float *values = malloc(variance->count * sizeof *values);
    assert_non_null(values);
    clipc_tensor_read(variance, 0, variance->count, values);
    values[1] = -1;
    const clipc_tensor old = *variance;
    variance->data = values;
    variance->dtype = CLIPC_DTYPE_F32;
    assert_int_equal(clipc_cuda_tower_pack(model, true, false, &tower, collect, &block, &error), CLIPC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "running_var of BatchNorm is negative"));
    *variance = old;
    free(values);
    clipc_free_aligned(block.bytes);
    clipc_cuda_tower_destroy(&tower);
    clipc_model_destroy(&model);
}

static int append(void *user, const void *bytes, size_t size)
{
    return collect(user, bytes, size, NULL) == CLIPC_OK ? 0 : 1;
}

/* A file for devices, made without one, knows its layers in the order of model/linear.h. */
static void engine_files_hold_it(void **state)
{
    (void)state;
    clipc_error error = {0};
    clipc_model *model = open_model(MODEL);
    clipc_model *packed = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = "cuda";
    collected file = {.capacity = (size_t)64 << 20};
    file.bytes = clipc_allocate_aligned(1, file.capacity);
    assert_non_null(file.bytes);
    if (clipc_model_convert(model, &config, append, &file, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    clipc_mapped_file view = {.bytes = file.bytes, .size = file.size};
    if (clipc_model_open_engine_bytes("it.clipc", &view, &packed, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < clipc_linear_count(&model->config, true); i++) {
        clipc_precision stored = CLIPC_PRECISION_AUTO;
        uint64_t bytes = 0;
        const clipc_linear linear = clipc_linear_at(&model->config, &model->weights, true, i);
        assert_int_equal(clipc_cuda_linear_describe(packed, true, i, &stored, &bytes, &error), CLIPC_OK);
        assert_int_equal(stored, CLIPC_PRECISION_FP16);
        assert_true(bytes >= 2 * linear.parts * linear.outputs * linear.inner);
    }
    clipc_model_destroy(&packed);
    clipc_model_destroy(&model);
    clipc_free_aligned(file.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_are_folded_into_their_places),
        cmocka_unit_test(bytes_are_refused),
        cmocka_unit_test(a_variance_below_zero_is_refused),
        cmocka_unit_test(engine_files_hold_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
