/* ResNet image towers: their list of convolutions, their configs, folding, and what is refused. */
#include "base/memory.h"
#include "model/model.h"
#include "model/open_clip_config.h"
#include "model/resnet.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL CLIPC_SOURCE_DIR "/tests/golden/models/open_clip_resnet"

static clipc_model *open_model(void)
{
    clipc_model *model = NULL;
    clipc_error error = {0};
    if (clipc_model_open(MODEL, NULL, &model, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    return model;
}

static void lists_the_convolutions_of_rn50(void **state)
{
    (void)state;
    static const struct {
        size_t index;
        const char *name;
        const char *norm;
        size_t inputs, outputs, kernel, pool, side;
    } rows[] = {
        {0, "conv1", "bn1", 3, 32, 3, 1, 112},
        {2, "conv3", "bn3", 32, 64, 3, 1, 112},
        {3, "layer1.0.conv1", "layer1.0.bn1", 64, 64, 1, 2, 56},
        {5, "layer1.0.downsample.0", "layer1.0.downsample.1", 64, 256, 1, 2, 56},
        {6, "layer1.0.conv3", "layer1.0.bn3", 64, 256, 1, 1, 56},
        {7, "layer1.1.conv1", "layer1.1.bn1", 256, 64, 1, 1, 56},
        {13, "layer2.0.conv1", "layer2.0.bn1", 256, 128, 1, 1, 56},
        {14, "layer2.0.conv2", "layer2.0.bn2", 128, 128, 3, 1, 56},
        {15, "layer2.0.downsample.0", "layer2.0.downsample.1", 256, 512, 1, 2, 28},
        {16, "layer2.0.conv3", "layer2.0.bn3", 128, 512, 1, 2, 28},
        {54, "layer4.2.conv3", "layer4.2.bn3", 512, 2048, 1, 1, 7},
    };
    clipc_config config;
    assert_true(clipc_architecture_find("RN50", &config));
    assert_int_equal(clipc_resnet_count(&config), 55);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const clipc_convolution at = clipc_resnet_at(&config, rows[i].index);
        assert_string_equal(at.name, rows[i].name);
        assert_string_equal(at.norm, rows[i].norm);
        assert_int_equal(at.inputs, rows[i].inputs);
        assert_int_equal(at.outputs, rows[i].outputs);
        assert_int_equal(at.kernel, rows[i].kernel);
        assert_int_equal(at.pool, rows[i].pool);
        assert_int_equal(at.side, rows[i].side);
        assert_int_equal(at.input_side, at.side * at.pool * at.stride);
    }
    assert_true(clipc_architecture_find("ViT-B-32", &config));
    assert_int_equal(clipc_resnet_count(&config), 0);
}

static void knows_the_names_of_its_tensors(void **state)
{
    (void)state;
    static const char *const known[] = {"visual.conv1.weight", "visual.bn3.num_batches_tracked",
                                        "visual.layer3.22.bn2.running_var", "visual.layer4.0.downsample.1.weight",
                                        "visual.attnpool.c_proj.bias"};
    static const char *const strange[] = {"visual.conv4.weight",           "visual.layer5.0.conv1.weight",
                                          "visual.layer3.23.conv1.weight", "visual.layer1.1.downsample.0.weight",
                                          "visual.layer1.0.conv1.bias",    "visual.layer1.0.",
                                          "visual.attnpool.q_proj",        "visual.bn1.weights"};
    clipc_config config;
    assert_true(clipc_architecture_find("RN101", &config));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_true(clipc_resnet_has_name(&config, known[i]));
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++)
        assert_false(clipc_resnet_has_name(&config, strange[i]));
}

static void configs_survive_being_written(void **state)
{
    (void)state;
    clipc_config config;
    clipc_config again;
    clipc_error error = {0};
    char *json = NULL;
    assert_true(clipc_architecture_find("RN50x16", &config));
    for (int alone = 0; alone < 2; alone++) {
        if (alone)
            config.text = (clipc_tower_config){0};
        assert_int_equal(clipc_config_write(&config, &json, &error), CLIPC_OK);
        if (clipc_config_parse(json, strlen(json), "config.json", &again, &error) != CLIPC_OK)
            fail_msg("%s", error.message);
        clipc_free(json);
        assert_memory_equal(&again.resnet, &config.resnet, sizeof config.resnet);
        assert_memory_equal(&again.image, &config.image, sizeof config.image);
        assert_int_equal(again.image_size, 384);
        assert_int_equal(again.image_tokens, 145);
        assert_int_equal(again.patch_size, 32);
        assert_int_equal(again.text.layers, alone ? 0 : 12);
    }
}

static void refuses_bad_configs(void **state)
{
    (void)state;
#define CLIP(vision) "{\"model_type\":\"clip\",\"vision_config\":{" vision "},\"text_config\":{}}"
    static const struct {
        const char *json;
        clipc_status status;
        const char *sentence;
    } bad[] = {
        {CLIP("\"depths\":[1,1,1]"), CLIPC_ERROR_FORMAT, "depths are not four"},
        {CLIP("\"depths\":[1,0,1,1]"), CLIPC_ERROR_FORMAT, "no whole number above 0"},
        {CLIP("\"depths\":[1,1,1,1025]"), CLIPC_ERROR_FORMAT, "stage 4 of the ResNet has 1025 blocks"},
        {CLIP("\"depths\":[1,1,1,1],\"embedding_size\":2049"), CLIPC_ERROR_FORMAT, "width 2049"},
        {CLIP("\"depths\":[1,1,1,1],\"num_attention_heads\":3"), CLIPC_ERROR_FORMAT, "cannot have 3 heads"},
        {CLIP("\"depths\":[1,1,1,1],\"image_size\":225"), CLIPC_ERROR_UNSUPPORTED, "no multiple of 32"},
        {CLIP("\"depths\":[1,1,1,1],\"image_size\":16384"), CLIPC_ERROR_FORMAT, "262144 patches"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        clipc_config config;
        clipc_error error = {0};
        assert_int_equal(clipc_config_parse(bad[i].json, strlen(bad[i].json), "f", &config, &error), bad[i].status);
        if (!strstr(error.message, bad[i].sentence))
            fail_msg("'%s' does not say '%s'", error.message, bad[i].sentence);
    }
}

static void reads_open_clip_configs(void **state)
{
    (void)state;
    clipc_open_clip_config config;
    clipc_error error = {0};
    static const char good[] = "{\"vision_cfg\":{\"layers\":[3,4,23,3],\"width\":64},\"text_cfg\":{}}";
    assert_int_equal(clipc_open_clip_config_parse(good, sizeof good - 1, "f", &config, &error), CLIPC_OK);
    assert_int_equal(config.resnet.depths[2], 23);
    assert_int_equal(config.resnet.width, 64);
    assert_int_equal(config.image.heads, 32);
    static const char *const bad[] = {"{\"vision_cfg\":{\"layers\":[3,4,23]},\"text_cfg\":{}}",
                                      "{\"vision_cfg\":{\"layers\":[3,4,0,3]},\"text_cfg\":{}}",
                                      "{\"vision_cfg\":{\"layers\":[3,4,1.5,3]},\"text_cfg\":{}}",
                                      "{\"vision_cfg\":{\"layers\":[3,4,6,3],\"width\":4096},\"text_cfg\":{}}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_not_equal(clipc_open_clip_config_parse(bad[i], strlen(bad[i]), "f", &config, &error), CLIPC_OK);
}

/* (w × x - mean) × gain / √(variance + epsilon) + bias, as one product. */
static void folds_the_norm_into_the_kernel(void **state)
{
    (void)state;
    const float kernel[2 * 2 * 9] = {[0] = 1, [8] = 2, [9] = 3, [18] = 4, [35] = 5};
    const float gain[2] = {2, -1};
    const float bias[2] = {0.5F, 0.25F};
    const float mean[2] = {3, 7};
    const float variance[2] = {4, 0.0625F};
    const clipc_convolution at = {.inputs = 2, .outputs = 2, .kernel = 3};
    const clipc_convolution_weights weights = {
        .kernel = {.data = kernel, .count = 36},
        .norm_weight = {.data = gain, .count = 2},
        .norm_bias = {.data = bias, .count = 2},
        .norm_mean = {.data = mean, .count = 2},
        .norm_variance = {.data = variance, .count = 2},
    };
    float row[18];
    float taps[2 * 9 * 4];
    float biases[2];
    const double scale[2] = {2 / sqrt(4 + 1e-5), -1 / sqrt(0.0625 + 1e-5)};
    assert_true(clipc_resnet_fold(&at, &weights, 0, 2, 4, row, taps, biases));
    assert_true(taps[0] == (float)scale[0]);           /* channel 0, tap 0 */
    assert_true(taps[8 * 4] == (float)(2 * scale[0])); /* channel 0, tap 8 */
    assert_true(taps[1] == (float)(3 * scale[0]));     /* channel 1, tap 0 */
    assert_true(taps[2] == 0 && taps[3] == 0);         /* padding */
    assert_true(taps[36] == (float)(4 * scale[1]));    /* output 1 */
    assert_true(taps[36 + 8 * 4 + 1] == (float)(5 * scale[1]));
    assert_true(biases[0] == (float)(0.5 - 3 * scale[0]));
    assert_true(biases[1] == (float)(0.25 - 7 * scale[1]));
    assert_true(clipc_resnet_fold(&at, &weights, 1, 1, 0, row, taps, biases)); /* in the file's own order */
    assert_true(taps[0] == (float)(4 * scale[1]) && taps[17] == (float)(5 * scale[1]));
    const float negative[2] = {4, -1};
    clipc_convolution_weights broken = weights;
    broken.norm_variance.data = negative;
    assert_false(clipc_resnet_fold(&at, &broken, 0, 2, 4, row, taps, biases));
}

static clipc_status make_engine(const clipc_model *model, clipc_precision precision, const char *backend,
                                clipc_engine **engine, clipc_error *error)
{
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = backend;
    config.precision = precision;
    config.threads = 2;
    return clipc_engine_create(model, &config, engine, error);
}

static void refuses_what_it_cannot_run(void **state)
{
    (void)state;
    clipc_model *model = open_model();
    clipc_engine *engine = NULL;
    clipc_error error = {0};
    assert_int_equal(make_engine(model, CLIPC_PRECISION_INT8, "cpu", &engine, &error), CLIPC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "fp32 and bf16, not in int8"));
    float negative[12];
    for (size_t i = 0; i < 12; i++)
        negative[i] = -1;
    clipc_convolution_weights *at = &model->weights.image.convolutions[6]; /* 12 outputs */
    assert_int_equal(at->norm_variance.count, 12);
    at->norm_variance.data = negative;
    assert_int_equal(make_engine(model, CLIPC_PRECISION_FP32, "cpu", &engine, &error), CLIPC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "running_var"));
    negative[3] = NAN;
    assert_int_equal(make_engine(model, CLIPC_PRECISION_FP32, "cpu", &engine, &error), CLIPC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "'visual.layer1.0.bn3.running_var' holds NaN"));
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_the_convolutions_of_rn50), cmocka_unit_test(knows_the_names_of_its_tensors),
        cmocka_unit_test(configs_survive_being_written),  cmocka_unit_test(refuses_bad_configs),
        cmocka_unit_test(reads_open_clip_configs),        cmocka_unit_test(folds_the_norm_into_the_kernel),
        cmocka_unit_test(refuses_what_it_cannot_run),
    };
    return cmocka_run_group_tests_name("resnet", tests, NULL, NULL);
}
