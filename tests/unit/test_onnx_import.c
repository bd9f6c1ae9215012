/* Exported graphs, opened again: what comes back is the model that was exported, bit for bit; what is no CLIP tower,
 * or no ONNX at all, is refused with a sentence. Other exporters' graphs are read in tests/interop. */
#include "base/memory.h"
#include "model/model.h"
#include "model/resnet.h"
#include "onnx/import.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODELS CLIPC_SOURCE_DIR "/tests/golden/models/"
#define GRAPHS CLIPC_SOURCE_DIR "/tests/unit/onnx/"
#define ROOM   ((size_t)1 << 25)

typedef struct memory_file {
    uint8_t bytes[ROOM];
    size_t size;
} memory_file;

static memory_file graph_file;
static memory_file data_file;

static int append(void *user, const void *bytes, size_t size)
{
    memory_file *file = user;
    if (size > ROOM - file->size)
        return 1;
    memcpy(file->bytes + file->size, bytes, size);
    file->size += size;
    return 0;
}

static clipc_model *open_model(const char *path)
{
    clipc_error error = {0};
    clipc_model *model = NULL;
    if (clipc_model_open(path, NULL, &model, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    return model;
}

static void export_graph(const clipc_model *model, const clipc_onnx_options *options, bool external)
{
    clipc_error error = {0};
    graph_file.size = data_file.size = 0;
    if (clipc_model_export_onnx(model, options, append, &graph_file, external ? append : NULL, &data_file, "weights",
                                &error) != CLIPC_OK)
        fail_msg("%s", error.message);
}

static clipc_status find_weights(void *user, const char *location, const uint8_t **bytes, size_t *size,
                                 clipc_error *error)
{
    (void)user;
    CLIPC_FAIL_IF(strcmp(location, "weights") != 0, error, CLIPC_ERROR_NOT_FOUND, "%s: no such file", location);
    *bytes = data_file.bytes;
    *size = data_file.size;
    return CLIPC_OK;
}

static const clipc_onnx_external external_data = {find_weights, NULL};

static clipc_status import(clipc_onnx_import *out, clipc_error *error)
{
    return clipc_onnx_import_read(graph_file.bytes, graph_file.size, "graph.onnx", &external_data, out, error);
}

/* ---- what comes back ---- */

typedef struct comparison {
    const clipc_weights *other;
    const clipc_weights *weights;
    bool half; /* matrices were stored in fp16, whatever they were before */
} comparison;

static const clipc_tensor *same_slot(const comparison *between, const clipc_slot *slot)
{
    const clipc_weights *from = between->weights;
    const clipc_layer_weights *layers = slot->image ? from->image.layers : from->text.layers;
    const clipc_layer_weights *others = slot->image ? between->other->image.layers : between->other->text.layers;
    const char *tensor = (const char *)slot->tensor;
    if (tensor >= (const char *)from && tensor < (const char *)(from + 1))
        return (const clipc_tensor *)((const char *)between->other + (tensor - (const char *)from));
    if (slot->image && between->other->image.convolutions)
        return (const clipc_tensor *)((const char *)between->other->image.convolutions +
                                      (tensor - (const char *)from->image.convolutions));
    return (const clipc_tensor *)((const char *)others + (tensor - (const char *)layers));
}

static clipc_status compare_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    (void)error;
    const comparison *between = context;
    const clipc_tensor *other = same_slot(between, slot);
    assert_int_equal(other->count, slot->count);
    assert_int_equal(other->rank, slot->rank);
    for (size_t i = 0; i < slot->rank; i++)
        assert_int_equal(other->shape[i], slot->shape[i]);
    float *expected = test_malloc(slot->count * sizeof *expected);
    float *values = test_malloc(slot->count * sizeof *values);
    clipc_tensor_read(slot->tensor, 0, slot->count, expected);
    clipc_tensor_read(other, 0, slot->count, values);
    if (memcmp(expected, values, slot->count * sizeof *values) != 0)
        fail_msg("%s differs", slot->name);
    /* from the middle of a row */
    clipc_tensor_read(other, slot->count / 3, slot->count - slot->count / 3, values);
    assert_memory_equal(values, expected + slot->count / 3, (slot->count - slot->count / 3) * sizeof *values);
    test_free(expected);
    test_free(values);
    return CLIPC_OK;
}

typedef struct distance {
    comparison between;
    double worst; /* difference in steps of 1 / 255 of a tensor's range */
} distance;

static clipc_status measure_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    (void)error;
    distance *found = context;
    const clipc_tensor *other = same_slot(&found->between, slot);
    float least = 0;
    float most = 0;
    float apart = 0;
    for (size_t i = 0; i < slot->count; i++) {
        float a = 0;
        float b = 0;
        clipc_tensor_read(slot->tensor, i, 1, &a);
        clipc_tensor_read(other, i, 1, &b);
        least = fminf(least, a);
        most = fmaxf(most, a);
        apart = fmaxf(apart, fabsf(a - b));
    }
    const double steps = (double)apart / (double)(most - least) * 255;
    found->worst = steps > found->worst ? steps : found->worst;
    return CLIPC_OK;
}

static void compare_towers(const clipc_tower_config *a, const clipc_tower_config *b)
{
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->mlp_width, b->mlp_width);
    assert_int_equal(a->activation, b->activation);
    assert_true(a->layer_norm_epsilon == b->layer_norm_epsilon);
}

static void expect_same(const clipc_model *model, bool text)
{
    clipc_error error = {0};
    clipc_onnx_import found;
    if (import(&found, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    const clipc_config *config = &model->config;
    assert_int_equal(found.image, !text);
    assert_int_equal(found.text, text);
    compare_towers(text ? &found.config.text : &found.config.image, text ? &config->text : &config->image);
    assert_int_equal(found.config.embedding_dimension, config->embedding_dimension);
    if (text) {
        assert_int_equal(found.config.vocabulary_size, config->vocabulary_size);
        assert_int_equal(found.config.max_positions, config->max_positions);
        assert_int_equal(found.config.pooling, config->pooling);
        assert_int_equal(found.config.text_class_token, config->text_class_token);
        assert_int_equal(found.config.causal, config->causal);
        assert_int_equal(found.config.pad_token, clipc_config_places_tokens(config) ? config->pad_token : 0);
        if (config->pooling == CLIPC_POOL_FIRST_EOT)
            assert_int_equal(found.config.eot_token, config->eot_token);
    } else {
        assert_int_equal(found.config.image_size, config->image_size);
        assert_int_equal(found.config.patch_size, config->patch_size);
        assert_int_equal(found.config.image_tokens, config->image_tokens);
        assert_int_equal(found.config.image_pooling, config->image_pooling);
        assert_int_equal(found.config.pooling_heads, config->pooling_heads);
        assert_memory_equal(&found.config.resnet, &config->resnet, sizeof config->resnet);
    }
    comparison between = {.weights = &model->weights, .other = &found.weights};
    clipc_family_each(model->family, config, &model->weights, !text, text, compare_slot, &between, &error);
    clipc_onnx_import_free(&found);
}

static void expect_same_towers(const clipc_model *model, clipc_onnx_options *options, bool external)
{
    for (int text = 0; text < 2; text++) {
        options->text = text;
        export_graph(model, options, external);
        expect_same(model, text);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const models[] = {"odd_widths",       "gelu_tanh", "gelu_one_head", "legacy_eos", "open_clip",
                                         "siglip_one_patch", "siglip",    "eva",           "coca",       "clipa",
                                         "average"};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char path[1024];
        snprintf(path, sizeof path, MODELS "%s", models[i]);
        clipc_model *model = open_model(path);
        clipc_onnx_options options;
        clipc_onnx_options_init(&options);
        for (options.opset = 12; options.opset <= 20; options.opset++)
            for (options.fold = 0; options.fold < 2; options.fold++)
                expect_same_towers(model, &options, options.opset % 2);
        clipc_model_destroy(&model);
    }
}

static void test_round_trip_of_resnets(void **state)
{
    (void)state;
    static const char *const models[] = {"openai_resnet", "open_clip_resnet"};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char path[1024];
        snprintf(path, sizeof path, MODELS "%s", models[i]);
        clipc_model *model = open_model(path);
        clipc_onnx_options options;
        clipc_onnx_options_init(&options);
        for (options.opset = 13; options.opset <= 19; options.opset += 2)
            for (options.fold = 0; options.fold < 2; options.fold++) {
                options.normalize = options.fold;
                export_graph(model, &options, options.fold);
                expect_same(model, false);
            }
        clipc_model_destroy(&model);
    }
}

static void test_round_trip_of_options(void **state)
{
    (void)state;
    clipc_model *model = open_model(MODELS "odd_widths");
    clipc_onnx_options options;
    clipc_onnx_options_init(&options);
    options.normalize = options.int32_tokens = 1;
    options.input_name = "pixels";
    options.output_name = "embedding";
    expect_same_towers(model, &options, true);
    options.input_axis = options.output_axis = NULL;
    for (options.batch = 1; options.batch <= 77; options.batch += 38)
        expect_same_towers(model, &options, false);
    clipc_model_destroy(&model);
}

/* Weights that fp16 holds come back, too. */
static void test_round_trip_of_halves(void **state)
{
    (void)state;
    clipc_model *model = open_model(MODELS "fp16");
    clipc_onnx_options options;
    clipc_onnx_options_init(&options);
    for (options.fold = 0; options.fold < 2; options.fold++) {
        options.precision = CLIPC_PRECISION_FP16;
        expect_same_towers(model, &options, false);
        options.opset = 13;
        expect_same_towers(model, &options, true);
    }
    clipc_model_destroy(&model);
}

/* Integers of clipc's own come back as the numbers they stand for, half a step off at most but at the ends. */
static void test_round_trip_of_integers(void **state)
{
    (void)state;
    clipc_model *model = open_model(MODELS "odd_widths");
    clipc_onnx_options options;
    clipc_onnx_options_init(&options);
    options.quantize_dynamic = 1;
    for (options.opset = 12; options.opset <= 20; options.opset += 4)
        for (options.text = 0; options.text < 2; options.text++) {
            clipc_error error = {0};
            clipc_onnx_import found;
            export_graph(model, &options, options.opset == 16);
            if (import(&found, &error) != CLIPC_OK)
                fail_msg("%s", error.message);
            assert_true(found.integers);
            distance apart = {.between = {.weights = &model->weights, .other = &found.weights}};
            clipc_family_each(model->family, &model->config, &model->weights, !options.text, options.text,
                              measure_slot, &apart, &error);
            assert_true(apart.worst > 0.1 && apart.worst < 1.01);
            clipc_onnx_import_free(&found);
        }
    clipc_model_destroy(&model);
}

static void test_round_trip_of_plugin(void **state)
{
    (void)state;
    clipc_model *model = open_model(NULL);
    clipc_onnx_options options;
    clipc_onnx_options_init(&options);
    options.layer_norm_plugin = 1;
    export_graph(model, &options, false);
    expect_same(model, false);
    clipc_model_destroy(&model);
}

/* ---- what is refused ---- */

static void expect_refused(clipc_status status, const char *words)
{
    clipc_error error = {0};
    clipc_onnx_import found;
    const clipc_status got = import(&found, &error);
    clipc_onnx_import_free(&found);
    if (got != status || !strstr(error.message, words))
        fail_msg("%s: %s (expected: %s)", clipc_status_text(got), error.message, words);
}

/* Replaces a name wherever it stands, by one of the same length. */
static void rename_all(const char *from, const char *to)
{
    const size_t length = strlen(from);
    assert_int_equal(length, strlen(to));
    size_t count = 0;
    for (size_t i = 0; i + length <= graph_file.size; i++)
        if (memcmp(graph_file.bytes + i, from, length) == 0) {
            memcpy(graph_file.bytes + i, to, length);
            count++;
        }
    assert_true(count > 0);
}

/* ---- graphs of other exporters ---- */

static void read_file(const char *path, memory_file *out)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    out->size = fread(out->bytes, 1, ROOM, file);
    assert_true(out->size > 0 && out->size < ROOM);
    fclose(file);
}

/* The weights that all of them were made of, under transformers' names. */
static void read_common(clipc_config *config, clipc_safetensors **file, clipc_weights *weights)
{
    static memory_file json;
    clipc_error error = {0};
    read_file(GRAPHS "config.json", &json);
    read_file(GRAPHS "model.safetensors", &data_file);
    assert_int_equal(clipc_config_parse(json.bytes, json.size, "config.json", config, &error), CLIPC_OK);
    assert_int_equal(clipc_safetensors_open(data_file.bytes, data_file.size, "weights", file, &error), CLIPC_OK);
    const clipc_weight_file weight_file = {"weights", clipc_safetensors_table(*file)};
    if (clipc_family_bind(&clipc_family_transformers, config, &weight_file, 1, weights, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
}

static void expect_common(const char *name, bool text, bool integers)
{
    char path[1024];
    clipc_error error = {0};
    clipc_config config;
    clipc_safetensors *file = NULL;
    clipc_weights weights = {0};
    clipc_onnx_import found;
    snprintf(path, sizeof path, GRAPHS "%s_%s.onnx", name, text ? "textual" : "visual");
    read_common(&config, &file, &weights);
    read_file(path, &graph_file);
    if (import(&found, &error) != CLIPC_OK)
        fail_msg("%s: %s", path, error.message);
    assert_int_equal(found.image, !text);
    assert_int_equal(found.text, text);
    assert_int_equal(found.integers, integers);
    compare_towers(text ? &found.config.text : &found.config.image, text ? &config.text : &config.image);
    assert_int_equal(text ? found.config.max_positions : found.config.image_size,
                     text ? config.max_positions : config.image_size);
    if (text)
        assert_int_equal(found.config.pooling, CLIPC_POOL_LARGEST_ID);
    comparison between = {.weights = &weights, .other = &found.weights};
    distance apart = {.between = between};
    if (integers)
        clipc_family_each(&clipc_family_transformers, &config, &weights, !text, text, measure_slot, &apart, &error);
    else
        clipc_family_each(&clipc_family_transformers, &config, &weights, !text, text, compare_slot, &between, &error);
    if (integers) /* half a step, and at the ends up to half a step more, as zero must be a whole number */
        assert_true(apart.worst > 0.1 && apart.worst < 1.01);
    clipc_onnx_import_free(&found);
    clipc_weights_free(&weights);
    clipc_safetensors_close(&file);
}

static void test_other_exporters(void **state)
{
    (void)state;
    static const char *const names[] = {"openai_12",
                                        "openai_14_unfolded",
                                        "openai_17",
                                        "openai_18_export",
                                        "transformers_12_eager",
                                        "transformers_17_sdpa",
                                        "transformers_20_export"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int text = 0; text < 2; text++)
            expect_common(names[i], text, false);
}

/* BatchNorm is folded into the kernels, and what is left of it is one that changes nothing; the traced graph chooses
 * by a condition that its sides tell. */
static void test_resnets_of_other_exporters(void **state)
{
    (void)state;
    static const char *const names[] = {"resnet_17_visual", "resnet_18_export_visual"};
    for (size_t i = 0; i < 2; i++) {
        char path[1024];
        clipc_error error = {0};
        clipc_onnx_import found;
        snprintf(path, sizeof path, GRAPHS "%s.onnx", names[i]);
        read_file(path, &graph_file);
        if (import(&found, &error) != CLIPC_OK)
            fail_msg("%s: %s", path, error.message);
        const clipc_resnet_config expected = {{1, 2, 1, 1}, 2};
        assert_memory_equal(&found.config.resnet, &expected, sizeof expected);
        assert_int_equal(found.config.image.heads, 2);
        assert_int_equal(found.config.image_size, 64);
        for (size_t at = 0; at < clipc_resnet_count(&found.config); at++) {
            const clipc_convolution convolution = clipc_resnet_at(&found.config, at);
            const clipc_convolution_weights *weights = &found.weights.image.convolutions[at];
            const size_t inner = convolution.inputs * convolution.kernel * convolution.kernel;
            float *values = test_malloc(3 * inner * sizeof *values);
            float bias[2];
            clipc_tensor_read(&weights->kernel, 0, inner, values);
            clipc_tensor_read(&weights->norm_bias, 0, 1, &bias[1]);
            assert_true(clipc_resnet_fold(&convolution, weights, 0, 1, 0, values + inner, values + 2 * inner, bias));
            assert_memory_equal(values, values + 2 * inner, inner * sizeof *values);
            assert_memory_equal(&bias[0], &bias[1], sizeof bias[0]);
            test_free(values);
        }
        clipc_onnx_import_free(&found);
        if (i > 0)
            continue;
        rename_all("then_branch", "then_broken");
        expect_refused(CLIPC_ERROR_UNSUPPORTED, "(If) chooses by what only running the graph tells");
    }
}

static void read_graph(const char *name, clipc_onnx_import *out)
{
    char path[1024];
    clipc_error error = {0};
    snprintf(path, sizeof path, GRAPHS "%s.onnx", name);
    read_file(path, &graph_file);
    if (import(out, &error) != CLIPC_OK)
        fail_msg("%s: %s", path, error.message);
}

static void test_poolings_of_other_exporters(void **state)
{
    (void)state;
    static const char *const cocas[] = {"coca_14", "coca_18_export"};
    clipc_onnx_import found;
    char name[64];
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s_visual", cocas[i]);
        read_graph(name, &found);
        assert_int_equal(found.config.image_pooling, CLIPC_IMAGE_POOL_QUERY);
        assert_int_equal(found.config.pooling_heads, 2);
        assert_int_equal(found.weights.image.probe.count, found.config.embedding_dimension);
        clipc_onnx_import_free(&found);
        snprintf(name, sizeof name, "%s_textual", cocas[i]);
        read_graph(name, &found);
        assert_true(found.config.text_class_token && found.config.causal);
        assert_int_equal(found.config.max_positions, 6);
        assert_int_equal(found.config.pad_token, 0);
        clipc_onnx_import_free(&found);
    }
    rename_all("Not", "Abs");
    expect_refused(CLIPC_ERROR_UNSUPPORTED, "(Concat) joins constants and an activation");
    read_graph("average_17_visual", &found);
    assert_int_equal(found.config.image_pooling, CLIPC_IMAGE_POOL_AVERAGE);
    assert_false(found.config.norm_pre);
    clipc_onnx_import_free(&found);
    rename_all("ReduceMean", "ReduceLMax");
    expect_refused(CLIPC_ERROR_UNSUPPORTED, "(ReduceLMax) is an operator that no CLIP tower needs");
    read_graph("average_17_textual", &found);
    assert_int_equal(found.config.pooling, CLIPC_POOL_LARGEST_ID);
    assert_false(found.config.causal);
    clipc_onnx_import_free(&found);
}

static void test_integers(void **state)
{
    (void)state;
    for (int text = 0; text < 2; text++) {
        expect_common("openai_17_quint8", text, true);
        expect_common("transformers_14_quint8", text, true);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    clipc_model *model = open_model(MODELS "odd_widths");
    clipc_onnx_options options;
    clipc_onnx_options_init(&options);
    export_graph(model, &options, false);
    rename_all("Softmax", "Sigmoid");
    expect_refused(CLIPC_ERROR_UNSUPPORTED, "/attention/mixed' (MatMul)");
    export_graph(model, &options, false);
    rename_all("Conv", "Bonv");
    expect_refused(CLIPC_ERROR_UNSUPPORTED, "(Bonv) is an operator that no CLIP tower needs");
    export_graph(model, &options, false);
    rename_all("strides", "scrides");
    expect_refused(CLIPC_ERROR_UNSUPPORTED, "(Conv) is a convolution of 5 by 5 pixels that is neither");
    export_graph(model, &options, false);
    graph_file.size /= 2;
    expect_refused(CLIPC_ERROR_FORMAT, "damaged");
    graph_file.size = 0;
    expect_refused(CLIPC_ERROR_FORMAT, "no graph");
    export_graph(model, &options, true);
    rename_all("weights", "../secr");
    expect_refused(CLIPC_ERROR_FORMAT, "no file inside the graph's directory");
    export_graph(model, &options, true);
    data_file.size /= 2;
    expect_refused(CLIPC_ERROR_TRUNCATED, "bytes long");
    options.text = 1;
    export_graph(model, &options, false);
    rename_all("ArgMax", "ArgMin");
    expect_refused(CLIPC_ERROR_UNSUPPORTED, "(ArgMin)");
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_round_trip_of_resnets),
        cmocka_unit_test(test_round_trip_of_options),
        cmocka_unit_test(test_round_trip_of_halves),
        cmocka_unit_test(test_round_trip_of_integers),
        cmocka_unit_test(test_round_trip_of_plugin),
        cmocka_unit_test(test_other_exporters),
        cmocka_unit_test(test_resnets_of_other_exporters),
        cmocka_unit_test(test_poolings_of_other_exporters),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
