/* A tower's block for backend cuda, and engine files that hold it: all of that is host code, tested with no GPU. */
#include "backend/cuda/weight_pack.h"
#include "io/engine_layout.h"
#include "model/keep_precise.h"
#include "unit/cuda_block.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN CLIPC_SOURCE_DIR "/tests/golden/models/"

static const clipc_precision precisions[] = {CLIPC_PRECISION_FP16, CLIPC_PRECISION_BF16, CLIPC_PRECISION_FP8,
                                             CLIPC_PRECISION_INT8};
#define PRECISIONS (sizeof precisions / sizeof precisions[0])

/* ---- blocks ---- */

/* The block of a tower whose places begin at `base`. */
static collected pack(const clipc_model *model, bool image, clipc_precision precision, const char *keep,
                      clipc_cuda_tower *tower)
{
    const clipc_cuda_packing packing = clipc_cuda_packing_of(precision);
    assert_int_equal(clipc_cuda_tower_create(model, image, &packing, tower, NULL), CLIPC_OK);
    clipc_cuda_tower_keep(model, image, keep, tower);
    collected block = place_tower(model, image, tower);
    assert_int_equal(clipc_cuda_tower_pack(model, image, false, tower, collect, &block, NULL), CLIPC_OK);
    assert_int_equal(block.size, tower->bytes);
    return block;
}

/* Whoever changes what is packed raises CLIPC_CUDA_LAYOUT, and puts the new checksums here. */
static void the_layout_is_the_one_of_its_version(void **state)
{
    (void)state;
    static const uint32_t checksums[PRECISIONS][2] = {
        {0xDFADDFCD, 0x5575161D}, {0x425ED42D, 0x6E39584E}, {0x129FDE84, 0xE0F421DC}, {0xDFBA76ED, 0xC2327F03}};
    assert_int_equal(CLIPC_CUDA_LAYOUT, 1);
    clipc_model *model = open_model(NULL);
    for (size_t i = 0; i < PRECISIONS; i++)
        for (int image = 0; image < 2; image++) {
            clipc_cuda_tower tower;
            collected block = pack(model, image, precisions[i], NULL, &tower);
            const uint32_t found = clipc_checksum(block.bytes, block.size);
            if (found != checksums[i][image])
                print_error("%s, %s: 0x%08X\n", clipc_precision_name(precisions[i]), image ? "image" : "text", found);
            assert_int_equal(found, checksums[i][image]);
            clipc_free_aligned(block.bytes);
            clipc_cuda_tower_destroy(&tower);
        }
    clipc_model_destroy(&model);
}

/* fc2 has neither a LayerNorm before it nor padded heads: its weights lie in the block as they are. */
static void a_matrix_is_where_its_place_says(void **state)
{
    (void)state;
    clipc_model *model = open_model(NULL);
    clipc_cuda_tower tower;
    collected block = pack(model, true, CLIPC_PRECISION_FP16, NULL, &tower);
    const clipc_tensor *weight = &model->weights.image.layers[2].fc2_weight;
    const clipc_cuda_matrix *packed = &tower.layers[2].fc2;
    float row[1024];
    assert_int_equal(weight->shape[1], 1024);
    assert_true((uint8_t *)packed->weight > block.bytes && (uint8_t *)packed->terms < block.bytes + block.size);
    for (size_t r = 0; r < weight->shape[0]; r++) {
        clipc_tensor_read(weight, r * 1024, 1024, row);
        const uint16_t *halves = (const uint16_t *)packed->weight + r * (size_t)packed->depth;
        float bias = 0;
        clipc_tensor_read(&model->weights.image.layers[2].fc2_bias, r, 1, &bias);
        assert_true(packed->terms[2 * r] == bias);
        for (size_t i = 0; i < 1024; i++)
            assert_int_equal(halves[i], clipc_half_of_float(CLIPC_CUDA_F16, row[i]));
    }
    clipc_free_aligned(block.bytes);
    clipc_cuda_tower_destroy(&tower);
    clipc_model_destroy(&model);
}

static void layers_are_kept_in_halves(void **state)
{
    (void)state;
    clipc_model *model = open_model(NULL);
    static const struct {
        clipc_precision precision;
        clipc_cuda_type fc1; /* of the image tower's first layer, where fc2 is kept */
    } cases[] = {{CLIPC_PRECISION_FP8, CLIPC_CUDA_F16}, {CLIPC_PRECISION_INT8, CLIPC_CUDA_S8}};
    for (size_t i = 0; i < 2; i++) {
        clipc_cuda_tower tower;
        collected block = pack(model, true, cases[i].precision, "image.0.fc2,image.1.attention_out", &tower);
        const clipc_cuda_type operand = tower.operand;
        assert_int_equal(tower.layers[0].fc2.type, CLIPC_CUDA_F16);
        assert_int_equal(tower.layers[0].fc1.type, cases[i].fc1);
        assert_int_equal(tower.layers[0].out.type, operand);
        assert_int_equal(tower.layers[1].out.type, CLIPC_CUDA_F16);
        assert_int_equal(tower.layers[1].fc2.type, operand);
        assert_true(cases[i].precision == CLIPC_PRECISION_INT8 || tower.layers[0].fc1.output_scale == 1);
        assert_true(cases[i].precision == CLIPC_PRECISION_INT8 || tower.layers[1].fc1.output_scale != 1);
        assert_int_equal(clipc_cuda_tower_check(&tower, true, "it", NULL), CLIPC_OK);
        clipc_free_aligned(block.bytes);
        clipc_cuda_tower_destroy(&tower);
    }
    clipc_model_destroy(&model);
}

static void lists_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        clipc_precision precision;
        const char *words; /* NULL: it is good */
    } cases[] = {
        {"image.0.fc2,text.*", CLIPC_PRECISION_FP8, NULL},
        {"image.0.fc2=fp16", CLIPC_PRECISION_INT8, NULL},
        {NULL, CLIPC_PRECISION_FP16, NULL},
        {"image.0.fc2=bf16", CLIPC_PRECISION_INT8, "layers are kept in fp16"},
        {"image.0.fc2", CLIPC_PRECISION_FP16, "this one is fp16"},
        {"image.9.fc2", CLIPC_PRECISION_FP8, "names no linear layer"},
    };
    clipc_model *model = open_model(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clipc_error error = {0};
        const clipc_status status = clipc_keep_precise_check_halves(cases[i].list, &model->config, &model->weights,
                                                                    cases[i].precision, &error);
        assert_int_equal(status, cases[i].words ? CLIPC_ERROR_ARGUMENT : CLIPC_OK);
        assert_true(!cases[i].words || strstr(error.message, cases[i].words));
    }
    assert_true(clipc_keep_precise_names("text.*,image.0.fc2", "image.layers.0.fc2"));
    assert_false(clipc_keep_precise_names("text.*,image.0.fc2", "image.layers.0.fc1"));
    assert_false(clipc_keep_precise_names(NULL, "image.layers.0.fc1"));
    clipc_model_destroy(&model);
}

/* ---- files ---- */

typedef struct memory_file {
    uint8_t *bytes; /* aligned */
    size_t size;
    size_t capacity;
} memory_file;

static int append(void *user, const void *bytes, size_t size)
{
    memory_file *file = user;
    if (size > file->capacity - file->size)
        return 1;
    memcpy(file->bytes + file->size, bytes, size);
    file->size += size;
    return 0;
}

static memory_file convert(const clipc_model *model, clipc_precision precision, const char *keep)
{
    memory_file file = {.capacity = (size_t)64 << 20};
    clipc_error error = {0};
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = model->engine_file ? NULL : "cuda";
    config.precision = precision;
    config.keep_precise = keep;
    file.bytes = clipc_allocate_aligned(1, file.capacity);
    assert_non_null(file.bytes);
    if (clipc_model_convert(model, &config, append, &file, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    return file;
}

static clipc_status open_file(const memory_file *file, clipc_model **model, clipc_error *error)
{
    clipc_mapped_file view = {.bytes = file->bytes, .size = file->size};
    return clipc_model_open_engine_bytes("it.clipc", &view, model, error);
}

static void same_tower(const clipc_model *model, const clipc_model *read, bool image, clipc_precision precision,
                       const char *keep)
{
    clipc_cuda_tower packed;
    clipc_cuda_tower opened = {0};
    const clipc_cuda_packing packing = clipc_cuda_packing_of(precision);
    clipc_error error = {0};
    collected block = pack(model, image, precision, keep, &packed);
    if (clipc_cuda_tower_open(read, image, &packing, &opened, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    assert_int_equal(read->blocks[image].weights->size, block.size);
    assert_memory_equal(read->blocks[image].weights->bytes, block.bytes, block.size);
    assert_memory_equal(opened.types, packed.types, packed.linear_count);
    assert_memory_equal(opened.scales, packed.scales, packed.linear_count * sizeof *packed.scales);
    assert_int_equal(opened.bytes, packed.bytes);
    for (int32_t i = 0; i < packed.layer_count; i++)
        assert_true(opened.layers[i].fc1.output_scale == packed.layers[i].fc1.output_scale);
    clipc_free_aligned(block.bytes);
    clipc_cuda_tower_destroy(&packed);
    clipc_cuda_tower_destroy(&opened);
}

static void files_hold_what_is_packed(void **state)
{
    (void)state;
    static const char *const models[] = {GOLDEN "odd_widths", GOLDEN "siglip", NULL};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t i = 0; i < PRECISIONS; i++) {
            const char *keep = i < 2 ? NULL : "text.0.*,image.0.fc1";
            clipc_model *model = open_model(models[m]);
            clipc_model *read = NULL;
            clipc_error error = {0};
            memory_file file = convert(model, precisions[i], keep);
            if (open_file(&file, &read, &error) != CLIPC_OK)
                fail_msg("%s", error.message);
            assert_string_equal(read->packed_for, "cuda");
            assert_int_equal(read->precision, precisions[i]);
            assert_int_equal(clipc_model_verify(read, NULL), CLIPC_OK);
            same_tower(model, read, true, precisions[i], keep);
            same_tower(model, read, false, precisions[i], keep);
            memory_file again = convert(read, CLIPC_PRECISION_AUTO, NULL); /* as it is */
            assert_int_equal(again.size, file.size);
            assert_memory_equal(again.bytes, file.bytes, file.size);
            clipc_model_destroy(&read);
            clipc_model_destroy(&model);
            clipc_free_aligned(again.bytes);
            clipc_free_aligned(file.bytes);
        }
}

static void layers_tell_what_they_are_stored_as(void **state)
{
    (void)state;
    clipc_model *model = open_model(NULL);
    clipc_model *read = NULL;
    memory_file file = convert(model, CLIPC_PRECISION_FP8, "image.0.fc2");
    assert_int_equal(open_file(&file, &read, NULL), CLIPC_OK);
    uint64_t total = 0;
    for (size_t i = 0; i < clipc_model_linear_count(read); i++) {
        clipc_linear_info info = {.size = sizeof info};
        assert_int_equal(clipc_model_get_linear(read, i, &info, NULL), CLIPC_OK);
        const bool of_layer = strstr(info.name, ".layers.") != NULL;
        const bool kept = strcmp(info.name, "image.layers.0.fc2") == 0 || strcmp(info.name, "image.layers.0.fc1") == 0;
        assert_string_equal(info.dtype, of_layer && !kept ? "fp8" : "fp16");
        total += info.bytes;
    }
    /* The rest is tables, vectors and alignment. */
    assert_true(total < read->blocks[0].weights->size + read->blocks[1].weights->size);
    clipc_model_destroy(&read);
    clipc_model_destroy(&model);
    clipc_free_aligned(file.bytes);
}

/* Other backends refuse it in a sentence, and this one those of others. */
static void backends_refuse_each_others_files(void **state)
{
    (void)state;
    static const char *const others[] = {"cpu", "ref"};
    clipc_model *model = open_model(GOLDEN "odd_widths");
    clipc_model *read = NULL;
    clipc_engine *engine = NULL;
    clipc_error error = {0};
    clipc_engine_config config;
    memory_file file = convert(model, CLIPC_PRECISION_BF16, NULL);
    memory_file ignored = {.capacity = 0};
    assert_int_equal(open_file(&file, &read, NULL), CLIPC_OK);
    clipc_engine_config_init(&config);
    for (size_t i = 0; i < 2; i++) {
        config.backend = others[i];
        assert_int_equal(clipc_engine_create(read, &config, &engine, &error), CLIPC_ERROR_UNSUPPORTED);
        assert_null(engine);
    }
    config.backend = "cpu";
    assert_int_equal(clipc_model_convert(read, &config, append, &ignored, &error), CLIPC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "packed for backend cuda"));
    config.backend = "cuda";
    config.precision = CLIPC_PRECISION_FP32;
    assert_int_equal(clipc_model_convert(model, &config, append, &ignored, &error), CLIPC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "no precision fp32"));
    clipc_model_destroy(&read);
    clipc_model_destroy(&model);
    clipc_free_aligned(file.bytes);
}

/* ---- damage ---- */

/* Puts `size` bytes at `at` of a section's bytes and repairs the checksums of nothing: tensors' are not looked at. */
static void damage_section(memory_file *file, const char *name, size_t at, const void *bytes, size_t size)
{
    clipc_engine_file *table = NULL;
    assert_int_equal(clipc_engine_file_open(file->bytes, file->size, "it", &table, NULL), CLIPC_OK);
    const clipc_section *section = clipc_engine_file_find(table, name, 0);
    assert_non_null(section);
    memcpy(file->bytes + ((const uint8_t *)section->bytes - file->bytes) + at, bytes, size);
    clipc_engine_file_close(&table);
}

static void damaged_tables_are_refused(void **state)
{
    (void)state;
    static const float infinite = INFINITY;
    static const float zero = 0;
    static const uint8_t alien = 77;
    static const uint8_t s8 = CLIPC_CUDA_S8;
    static const uint8_t half = CLIPC_CUDA_F16;
    static const struct {
        const char *section;
        size_t at;
        const void *bytes;
        size_t size;
        const char *words;
    } cases[] = {
        {"image.block.types", 1, &alien, 1, "of a type"}, {"image.block.types", 2, &s8, 1, "of a type"},
        {"image.block.types", 4, &half, 1, "of a type"},  {"image.block.types", 1, &half, 1, "take"},
        {"image.block.scales", 8, &infinite, 4, "scale"}, {"image.block.scales", 0, &zero, 4, "scale"},
    };
    clipc_model *model = open_model(GOLDEN "odd_widths");
    const clipc_cuda_packing packing = clipc_cuda_packing_of(CLIPC_PRECISION_FP8);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clipc_model *read = NULL;
        clipc_cuda_tower tower = {0};
        clipc_error error = {0};
        memory_file file = convert(model, CLIPC_PRECISION_FP8, NULL);
        damage_section(&file, cases[i].section, cases[i].at, cases[i].bytes, cases[i].size);
        assert_int_equal(open_file(&file, &read, &error), CLIPC_OK);
        assert_int_equal(clipc_cuda_tower_open(read, true, &packing, &tower, &error), CLIPC_ERROR_FORMAT);
        if (!strstr(error.message, cases[i].words))
            fail_msg("case %zu: %s", i, error.message);
        clipc_cuda_tower_destroy(&tower);
        clipc_model_destroy(&read);
        clipc_free_aligned(file.bytes);
    }
    clipc_model_destroy(&model);
}

/* Another text of the same length in clipc.json, whose checksum is repaired. */
static clipc_status open_with(const clipc_model *model, const char *from, const char *to, clipc_model **read,
                              clipc_error *error, memory_file *file)
{
    *file = convert(model, CLIPC_PRECISION_FP8, NULL);
    clipc_engine_file *table = NULL;
    assert_int_equal(clipc_engine_file_open(file->bytes, file->size, "it", &table, NULL), CLIPC_OK);
    const clipc_section *section = clipc_engine_file_find(table, "clipc.json", 0);
    uint8_t *json = file->bytes + ((const uint8_t *)section->bytes - file->bytes);
    size_t at = 0;
    while (at < section->size && memcmp(json + at, from, strlen(from)) != 0)
        at++;
    assert_true(at < section->size && strlen(from) == strlen(to));
    memcpy(json + at, to, strlen(to));
    clipc_engine_trailer trailer;
    uint8_t *end = file->bytes + file->size - sizeof trailer;
    memcpy(&trailer, end, sizeof trailer);
    for (size_t i = 0; i < trailer.section_count; i++) {
        clipc_engine_section entry;
        uint8_t *place = file->bytes + trailer.table_offset + i * sizeof entry;
        memcpy(&entry, place, sizeof entry);
        entry.checksum = clipc_checksum(file->bytes + entry.offset, entry.size);
        memcpy(place, &entry, sizeof entry);
    }
    trailer.table_checksum =
        clipc_checksum(file->bytes + trailer.table_offset, trailer.section_count * sizeof(clipc_engine_section));
    trailer.checksum = clipc_checksum(&trailer, offsetof(clipc_engine_trailer, checksum));
    memcpy(end, &trailer, sizeof trailer);
    clipc_engine_file_close(&table);
    return open_file(file, read, error);
}

static void other_versions_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        const char *to;
        const char *words; /* of opening it; NULL: of opening a tower */
    } cases[] = {
        {"\"layout\": 1", "\"layout\": 9", NULL},
        {"\"layout\": 1", "\"layout\": 0", "layout is missing"},
        {"\"cuda\"", "\"cudb\"", "packed for backend 'cudb'"},
        {"\"cuda\"", "\"cpu\" ", "is missing"},
        {"\"fp8\"", "\"fp9\"", "unknown precision"},
    };
    clipc_model *model = open_model(GOLDEN "odd_widths");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clipc_model *read = NULL;
        clipc_error error = {0};
        memory_file file;
        const clipc_status status = open_with(model, cases[i].from, cases[i].to, &read, &error, &file);
        if (!cases[i].words) {
            clipc_cuda_tower tower = {0};
            const clipc_cuda_packing packing = clipc_cuda_packing_of(CLIPC_PRECISION_FP8);
            assert_int_equal(status, CLIPC_OK);
            assert_int_equal(clipc_cuda_tower_open(read, true, &packing, &tower, &error), CLIPC_ERROR_UNSUPPORTED);
            assert_non_null(strstr(error.message, "in layout 9"));
            clipc_cuda_tower_destroy(&tower);
        } else {
            assert_int_not_equal(status, CLIPC_OK);
            if (!strstr(error.message, cases[i].words))
                fail_msg("case %zu: %s", i, error.message);
        }
        clipc_model_destroy(&read);
        clipc_free_aligned(file.bytes);
    }
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_is_the_one_of_its_version),
        cmocka_unit_test(a_matrix_is_where_its_place_says),
        cmocka_unit_test(layers_are_kept_in_halves),
        cmocka_unit_test(lists_are_checked),
        cmocka_unit_test(files_hold_what_is_packed),
        cmocka_unit_test(layers_tell_what_they_are_stored_as),
        cmocka_unit_test(backends_refuse_each_others_files),
        cmocka_unit_test(damaged_tables_are_refused),
        cmocka_unit_test(other_versions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
