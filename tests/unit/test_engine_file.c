/* Engine files: the embeddings of the model they were made of, bit for bit, at every pair of levels; and damage. */
#include "backend/backend.h"
#include "base/cpu_features.h"
#include "base/memory.h"
#include "model/linear.h"
#include "model/model.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN CLIPC_SOURCE_DIR "/tests/golden/models/"
#define ITEMS  3

static const clipc_precision precisions[] = {CLIPC_PRECISION_FP32, CLIPC_PRECISION_BF16, CLIPC_PRECISION_INT8};
#define PRECISIONS (sizeof precisions / sizeof precisions[0])

/* What a conversion writes. */
typedef struct memory_file {
    uint8_t *bytes; /* aligned to CLIPC_ALIGNMENT */
    size_t size;
    size_t capacity;
    size_t limit; /* writing fails beyond it */
} memory_file;

static int append(void *user, const void *bytes, size_t size)
{
    memory_file *file = user;
    if (size > file->limit - file->size)
        return 1;
    if (file->size + size > file->capacity) {
        file->capacity = 2 * (file->size + size);
        uint8_t *larger = clipc_allocate_aligned(1, file->capacity);
        assert_non_null(larger);
        if (file->size)
            memcpy(larger, file->bytes, file->size);
        clipc_free_aligned(file->bytes);
        file->bytes = larger;
    }
    memcpy(file->bytes + file->size, bytes, size);
    file->size += size;
    return 0;
}

static clipc_engine_config at_level(const char *level, clipc_precision precision)
{
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = "cpu";
    config.cpu_level = level;
    config.precision = precision;
    config.threads = 2;
    config.max_batch = 2;
    return config;
}

static clipc_model *open_model(const char *path)
{
    clipc_model *model = NULL;
    clipc_error error = {0};
    if (clipc_model_open(path, NULL, &model, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    return model;
}

static memory_file convert(const clipc_model *model, const char *level, clipc_precision precision)
{
    memory_file file = {.limit = SIZE_MAX};
    clipc_error error = {0};
    const clipc_engine_config config = at_level(level, precision);
    if (clipc_model_convert(model, &config, append, &file, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    return file;
}

static clipc_status open_bytes(const memory_file *file, clipc_model **model, clipc_error *error)
{
    clipc_mapped_file view = {.bytes = file->bytes, .size = file->size};
    return clipc_model_open_engine_bytes("memory.clipc", &view, model, error);
}

static clipc_model *open_converted(const memory_file *file)
{
    clipc_model *model = NULL;
    clipc_error error = {0};
    if (open_bytes(file, &model, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    return model;
}

/* Pixels and ids that say nothing, but differ. */
static clipc_status encode(const clipc_model *model, const clipc_engine_config *config, float *embeddings,
                           clipc_error *error)
{
    const clipc_config *shape = &model->config;
    const size_t pixel_count = 3 * shape->image_size * shape->image_size;
    float *pixels = malloc(ITEMS * pixel_count * sizeof *pixels);
    int32_t ids[ITEMS * 4];
    const size_t offsets[ITEMS + 1] = {0, 2, 3, 5}; /* one model reads no more than two tokens */
    assert_non_null(pixels);
    for (size_t i = 0; i < ITEMS * pixel_count; i++)
        pixels[i] = (float)((i * 7919) % 1000) / 500.0F - 1.0F;
    for (size_t i = 0; i < ITEMS * 4; i++)
        ids[i] = (int32_t)((i * 31) % (shape->vocabulary_size));
    clipc_engine *engine = NULL;
    clipc_status status = clipc_engine_create(model, config, &engine, error);
    if (status == CLIPC_OK)
        status = clipc_engine_encode_images(engine, pixels, ITEMS, 0, embeddings, error);
    if (status == CLIPC_OK)
        status = clipc_engine_encode_tokens(engine, ids, offsets, ITEMS, 0,
                                            embeddings + ITEMS * shape->embedding_dimension, error);
    clipc_engine_destroy(&engine);
    free(pixels);
    return status;
}

static float *embed(const clipc_model *model, const clipc_engine_config *config)
{
    clipc_error error = {0};
    float *embeddings = calloc(2 * ITEMS * model->config.embedding_dimension, sizeof *embeddings);
    assert_non_null(embeddings);
    if (encode(model, config, embeddings, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    return embeddings;
}

static void count_notice(void *user, clipc_log_level level, const char *message)
{
    if (level == CLIPC_LOG_WARNING && strstr(message, "repacked"))
        ++*(size_t *)user;
}

static bool have_same_layout(const clipc_model *a, const clipc_model *b)
{
    for (int image = 0; image < 2; image++)
        for (size_t i = 0; i < clipc_linear_count(&a->config, image); i++)
            if (a->linears[image][i]->panel_columns != b->linears[image][i]->panel_columns)
                return false;
    return true;
}

/* A file made at one level and opened at another gives what the original gives there. */
static void check_levels(const clipc_model *original, clipc_precision precision, clipc_cpu_level made,
                         clipc_cpu_level opened)
{
    memory_file file = convert(original, clipc_cpu_level_name(made), precision);
    memory_file native = convert(original, clipc_cpu_level_name(opened), precision);
    clipc_model *model = open_converted(&file);
    clipc_model *native_model = open_converted(&native);
    size_t notices = 0;
    clipc_engine_config config = at_level(clipc_cpu_level_name(opened), precision);
    config.log = count_notice;
    config.log_user = &notices;
    float *want = embed(original, &config);
    float *got = embed(model, &config);
    assert_memory_equal(got, want, 2 * ITEMS * original->config.embedding_dimension * sizeof *got);
    assert_int_equal(notices, !have_same_layout(model, native_model));
    assert_int_equal(clipc_model_verify(model, NULL), CLIPC_OK);
    /* Converting the file is converting the original. */
    memory_file again = convert(model, clipc_cpu_level_name(opened), CLIPC_PRECISION_AUTO);
    assert_int_equal(again.size, native.size);
    assert_memory_equal(again.bytes, native.bytes, native.size);
    free(want);
    free(got);
    clipc_model_destroy(&model);
    clipc_model_destroy(&native_model);
    clipc_free_aligned(file.bytes);
    clipc_free_aligned(native.bytes);
    clipc_free_aligned(again.bytes);
}

static void check_model(const char *path)
{
    clipc_cpu_level best = CLIPC_CPU_C;
    clipc_model *original = open_model(path);
    assert_int_equal(clipc_cpu_level_detect(&best, NULL), CLIPC_OK);
    for (clipc_cpu_level made = CLIPC_CPU_C; made <= best; made++)
        for (clipc_cpu_level opened = CLIPC_CPU_C; opened <= best; opened++)
            for (size_t i = 0; i < PRECISIONS; i++)
                if (precisions[i] != CLIPC_PRECISION_INT8 || !clipc_config_is_resnet(&original->config))
                    check_levels(original, precisions[i], made, opened);
    clipc_model_destroy(&original);
}

static void gives_the_bits_of_the_golden_models(void **state)
{
    (void)state;
    DIR *directory = opendir(GOLDEN);
    size_t count = 0;
    assert_non_null(directory);
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        char path[1024];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, GOLDEN "%s", entry->d_name);
        check_model(path);
        count++;
    }
    closedir(directory);
    assert_true(count >= 8);
}

static void gives_the_bits_of_the_demo_model(void **state)
{
    (void)state;
    clipc_model *original = open_model(NULL);
    clipc_cpu_level best = CLIPC_CPU_C;
    assert_int_equal(clipc_cpu_level_detect(&best, NULL), CLIPC_OK);
    for (size_t i = 0; i < PRECISIONS; i++) {
        check_levels(original, precisions[i], best, best);
        check_levels(original, precisions[i], best, CLIPC_CPU_C);
    }
    clipc_model_destroy(&original);
}

/* Everything else a model knows survives, too. */
/* Field by field, as what lies between fields is anything. */
static void assert_same_tower(const clipc_tower_config *a, const clipc_tower_config *b)
{
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->mlp_width, b->mlp_width);
    assert_int_equal(a->activation, b->activation);
    assert_memory_equal(&a->layer_norm_epsilon, &b->layer_norm_epsilon, sizeof a->layer_norm_epsilon);
}

static void assert_same_config(const clipc_config *a, const clipc_config *b)
{
    assert_same_tower(&a->image, &b->image);
    assert_memory_equal(&a->resnet, &b->resnet, sizeof a->resnet);
    assert_int_equal(a->image_size, b->image_size);
    assert_int_equal(a->patch_size, b->patch_size);
    assert_int_equal(a->image_tokens, b->image_tokens);
    assert_int_equal(a->class_token, b->class_token);
    assert_int_equal(a->patch_bias, b->patch_bias);
    assert_int_equal(a->norm_pre, b->norm_pre);
    assert_int_equal(a->image_pooling, b->image_pooling);
    assert_int_equal(a->pooling_heads, b->pooling_heads);
    assert_int_equal(a->image_projection, b->image_projection);
    assert_int_equal(a->image_projection_bias, b->image_projection_bias);
    assert_same_tower(&a->text, &b->text);
    assert_int_equal(a->vocabulary_size, b->vocabulary_size);
    assert_int_equal(a->max_positions, b->max_positions);
    assert_int_equal(a->causal, b->causal);
    assert_int_equal(a->text_class_token, b->text_class_token);
    assert_int_equal(a->pooling, b->pooling);
    assert_int_equal(a->eot_token, b->eot_token);
    assert_int_equal(a->pad_token, b->pad_token);
    assert_int_equal(a->text_projection_bias, b->text_projection_bias);
    assert_int_equal(a->embedding_dimension, b->embedding_dimension);
    assert_int_equal(a->scoring, b->scoring);
}

static void assert_same_rule(const clipc_preprocess_rule *a, const clipc_preprocess_rule *b)
{
    assert_int_equal(a->order, b->order);
    assert_int_equal(a->resize, b->resize);
    assert_int_equal(a->filter, b->filter);
    assert_int_equal(a->resize_height, b->resize_height);
    assert_int_equal(a->resize_width, b->resize_width);
    assert_int_equal(a->crop, b->crop);
    assert_int_equal(a->crop_height, b->crop_height);
    assert_int_equal(a->crop_width, b->crop_width);
    assert_int_equal(a->rescale, b->rescale);
    assert_memory_equal(&a->rescale_factor, &b->rescale_factor, sizeof a->rescale_factor);
    assert_int_equal(a->normalize, b->normalize);
    assert_memory_equal(a->mean, b->mean, sizeof a->mean);
    assert_memory_equal(a->standard_deviation, b->standard_deviation, sizeof a->standard_deviation);
}

static void keeps_tokenizer_rule_and_template(void **state)
{
    (void)state;
    static const char text[] = "a photo of two dogs";
    clipc_model *original = open_model(NULL);
    memory_file file = convert(original, NULL, CLIPC_PRECISION_AUTO);
    clipc_model *model = open_converted(&file);
    assert_same_config(&model->config, &original->config);
    assert_same_rule(&model->preprocess, &original->preprocess);
    assert_memory_equal(&model->weights.logit_scale, &original->weights.logit_scale, sizeof(float));
    assert_memory_equal(model->steps, original->steps, sizeof model->steps);
    assert_string_equal(model->default_template, original->default_template);
    assert_int_equal(model->context_length, original->context_length);
    assert_int_equal(model->image_parameters, original->image_parameters);
    assert_int_equal(model->text_parameters, original->text_parameters);
    int32_t ids[2][77];
    size_t counts[2];
    assert_int_equal(clipc_model_tokenize(model, text, strlen(text), ids[0], &counts[0], NULL), CLIPC_OK);
    assert_int_equal(clipc_model_tokenize(original, text, strlen(text), ids[1], &counts[1], NULL), CLIPC_OK);
    assert_int_equal(counts[0], counts[1]);
    assert_memory_equal(ids[0], ids[1], counts[0] * sizeof ids[0][0]);
    clipc_model_destroy(&original);
    clipc_model_destroy(&model);
    clipc_free_aligned(file.bytes);
}

static void serves_its_own_precision_alone(void **state)
{
    (void)state;
    clipc_model *original = open_model(GOLDEN "odd_widths");
    memory_file file = convert(original, NULL, CLIPC_PRECISION_AUTO);
    clipc_model *model = open_converted(&file);
    clipc_engine *engine = NULL;
    clipc_error error = {0};
    clipc_model_info info = {.size = sizeof info};
    assert_int_equal(clipc_model_get_info(model, &info, NULL), CLIPC_OK);
    assert_string_equal(info.format, "engine file");
    assert_int_equal(info.format_version, CLIPC_ENGINE_FILE_VERSION);
    assert_true(strstr(info.layout, "cpu, ") != NULL);
    clipc_engine_config config = at_level(NULL, CLIPC_PRECISION_AUTO);
    config.precision = info.precision;
    assert_int_equal(clipc_engine_create(model, &config, &engine, &error), CLIPC_OK);
    clipc_engine_destroy(&engine);
    config.precision = info.precision == CLIPC_PRECISION_FP32 ? CLIPC_PRECISION_BF16 : CLIPC_PRECISION_FP32;
    assert_int_equal(clipc_engine_create(model, &config, &engine, &error), CLIPC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "convert the original"));
    config = at_level(NULL, CLIPC_PRECISION_AUTO);
    config.backend = "ref";
    assert_int_equal(clipc_engine_create(model, &config, &engine, &error), CLIPC_ERROR_UNSUPPORTED);
    assert_int_equal(clipc_model_verify(original, &error), CLIPC_ERROR_UNSUPPORTED);
    clipc_model_destroy(&original);
    clipc_model_destroy(&model);
    clipc_free_aligned(file.bytes);
}

/* ---- damage ---- */

static void is_truncated_at_every_length(void **state)
{
    (void)state;
    clipc_model *original = open_model(GOLDEN "one_patch");
    memory_file file = convert(original, NULL, CLIPC_PRECISION_AUTO);
    clipc_model *model = NULL;
    const size_t size = file.size;
    for (file.size = 0; file.size < size; file.size += file.size < 512 || size - file.size < 512 ? 1 : 61)
        assert_int_not_equal(open_bytes(&file, &model, NULL), CLIPC_OK);
    clipc_model_destroy(&original);
    clipc_free_aligned(file.bytes);
}

static void writing_may_fail_anywhere(void **state)
{
    (void)state;
    clipc_model *original = open_model(GOLDEN "one_patch");
    const clipc_engine_config config = at_level(NULL, CLIPC_PRECISION_AUTO);
    memory_file whole = convert(original, NULL, CLIPC_PRECISION_AUTO);
    for (size_t limit = 0; limit < whole.size; limit += 997) {
        memory_file file = {.limit = limit};
        assert_int_equal(clipc_model_convert(original, &config, append, &file, NULL), CLIPC_ERROR_IO);
        clipc_free_aligned(file.bytes);
    }
    clipc_model_destroy(&original);
    clipc_free_aligned(whole.bytes);
}

/* What may happen to a file with a flipped bit: it is refused, or works, or gives embeddings that are not finite. */
static bool survives(const memory_file *file)
{
    clipc_model *model = NULL;
    if (open_bytes(file, &model, NULL) != CLIPC_OK)
        return false;
    const clipc_engine_config config = at_level(NULL, CLIPC_PRECISION_AUTO);
    float *embeddings = calloc(2 * ITEMS * model->config.embedding_dimension, sizeof *embeddings);
    assert_non_null(embeddings);
    encode(model, &config, embeddings, NULL);
    free(embeddings);
    const bool found = clipc_model_verify(model, NULL) != CLIPC_OK;
    clipc_model_destroy(&model);
    if (!found)
        return true;
    return false;
}

/* The bits of a section of bytes, of the header and of the table are all checked when the file is opened. Those of
 * weights are found by verifying; those between the sections mean nothing. */
static void every_flipped_bit_is_harmless(void **state)
{
    (void)state;
    clipc_model *original = open_model(GOLDEN "one_patch");
    memory_file file = convert(original, NULL, CLIPC_PRECISION_AUTO);
    clipc_model *model = open_converted(&file);
    const clipc_engine_file *sections = model->engine_file;
    size_t begin_of_bytes = SIZE_MAX;
    uint8_t *meaning = calloc(file.size, 1); /* 1: weights, 2: checked at open */
    assert_non_null(meaning);
    memset(meaning, 2, 64);
    for (size_t i = 0; i < clipc_engine_file_count(sections); i++) {
        const clipc_section *section = clipc_engine_file_at(sections, i);
        const size_t place = (size_t)((const uint8_t *)section->bytes - file.bytes);
        memset(meaning + place, section->kind == CLIPC_SECTION_BYTES ? 2 : 1, section->size);
        if (section->kind == CLIPC_SECTION_BYTES && place < begin_of_bytes)
            begin_of_bytes = place;
    }
    const size_t table = file.size - 64 - clipc_engine_file_count(sections) * 160;
    memset(meaning + table, 2, file.size - table);
    clipc_model_destroy(&model);
    for (size_t bit = 0; bit < 8 * file.size; bit += meaning[bit / 8] == 2 ? 1 : 173) {
        file.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const bool unnoticed = survives(&file);
        file.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (unnoticed != (meaning[bit / 8] == 0))
            fail_msg("bit %zu: %s", bit, unnoticed ? "not found" : "found");
    }
    assert_true(survives(&file));
    free(meaning);
    clipc_model_destroy(&original);
    clipc_free_aligned(file.bytes);
}

static void verifying_names_the_tensor(void **state)
{
    (void)state;
    clipc_model *original = open_model(GOLDEN "one_patch");
    memory_file file = convert(original, NULL, CLIPC_PRECISION_AUTO);
    clipc_model *model = open_converted(&file);
    clipc_error error = {0};
    const clipc_section *section = clipc_engine_file_find(model->engine_file, "text.layers.0.fc1", 0);
    assert_non_null(section);
    file.bytes[(size_t)((const uint8_t *)section->bytes - file.bytes) + section->size / 2] ^= 4;
    assert_int_equal(clipc_model_verify(model, &error), CLIPC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "'text.layers.0.fc1'"));
    clipc_model_destroy(&model);
    clipc_model_destroy(&original);
    clipc_free_aligned(file.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_bits_of_the_golden_models), cmocka_unit_test(gives_the_bits_of_the_demo_model),
        cmocka_unit_test(keeps_tokenizer_rule_and_template),   cmocka_unit_test(serves_its_own_precision_alone),
        cmocka_unit_test(is_truncated_at_every_length),        cmocka_unit_test(writing_may_fail_anywhere),
        cmocka_unit_test(every_flipped_bit_is_harmless),       cmocka_unit_test(verifying_names_the_tensor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
