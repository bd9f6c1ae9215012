/* Measured choices: reading and writing them, what is refused, tiles of the same bits, and that an engine's embeddings
 * keep their bits whatever is chosen. */
#include "backend/cuda/gemm_select_bytes.h"
#include "backend/cuda/gemm_tiles.h"
#include "base/memory.h"
#include "clipc/tuning.h"
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int append(void *user, const void *bytes, size_t size)
{
    char *text = user;
    const size_t used = strlen(text);
    if (used + size >= 4096)
        return 1;
    memcpy(text + used, bytes, size);
    return 0;
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    clipc_tuning *tuning = NULL;
    clipc_tuning *again = NULL;
    clipc_choice_set *set = NULL;
    char text[4096] = "";
    char other[4096] = "";
    assert_int_equal(clipc_tuning_create(NULL, 0, NULL, &tuning, NULL), CLIPC_OK);
    assert_null(clipc_tuning_made_for(tuning));
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "device %d", i);
        assert_int_equal(clipc_tuning_open_set(tuning, name, "a model", &set, NULL), CLIPC_OK);
        assert_int_equal(clipc_choice_put(set, "one", "1", NULL), CLIPC_OK);
        assert_int_equal(clipc_choice_put(set, "two", "2", NULL), CLIPC_OK);
        assert_int_equal(clipc_choice_put(set, "one", "11", NULL), CLIPC_OK);
    }
    assert_int_equal(clipc_tuning_write(tuning, append, text, NULL), CLIPC_OK);
    assert_int_equal(clipc_tuning_create(text, strlen(text), "it", &again, NULL), CLIPC_OK);
    assert_int_equal(again->count, 3);
    const clipc_choice_set *found = clipc_tuning_find(again, "device 1", "a model");
    assert_non_null(found);
    assert_null(clipc_tuning_find(again, "device 1", "another model"));
    assert_null(clipc_tuning_find(again, "device 3", "a model"));
    assert_string_equal(clipc_choice_get(found, "one"), "11");
    assert_string_equal(clipc_choice_get(found, "two"), "2");
    assert_null(clipc_choice_get(found, "three"));
    assert_int_equal(clipc_tuning_write(again, append, other, NULL), CLIPC_OK);
    assert_string_equal(text, other);
    char *alone = clipc_tuning_text(tuning, true);
    assert_non_null(strstr(alone, "device 2"));
    assert_null(strstr(alone, "device 1"));
    clipc_free(alone);
    clipc_tuning_destroy(&tuning);
    clipc_tuning_destroy(&again);
}

static void numbers_are_in_range_or_not_taken(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t taken;
    } cases[] = {{"5", 5},  {"2", 2},  {"9", 9}, {"1", 7}, {"10", 7},  {"-5", 7},
                 {" 5", 7}, {"5 ", 7}, {"", 7},  {"x", 7}, {"0x5", 7}, {"99999999999999999999999", 7},
                 {"+5", 7}};
    clipc_choice_set set = {0};
    assert_int_equal(clipc_choice_number(NULL, "n", 2, 9, 7), 7);
    assert_int_equal(clipc_choice_number(&set, "n", 2, 9, 7), 7);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(clipc_choice_put(&set, "n", cases[i].text, NULL), CLIPC_OK);
        assert_int_equal(clipc_choice_number(&set, "n", 2, 9, 7), cases[i].taken);
    }
    clipc_free(set.items);
}

static void other_texts_are_refused(void **state)
{
    (void)state;
#define SET(choices)                                                                                                  \
    "{\"clipc_tuning\": 1, \"sets\": [{\"made_for\": \"d\", \"model\": \"m\", \"choices\": " choices "}]}"
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {"", "it"},
        {"{", "it"},
        {"[]", "it"},
        {"{}", "no timing cache"},
        {"{\"clipc_tuning\": \"1\"}", "no timing cache"},
        {"{\"clipc_tuning\": 2, \"sets\": []}", "version 2"},
        {"{\"clipc_tuning\": 1}", "'sets'"},
        {"{\"clipc_tuning\": 1, \"sets\": {}}", "'sets'"},
        {"{\"clipc_tuning\": 1, \"sets\": [5]}", "'made_for'"},
        {"{\"clipc_tuning\": 1, \"sets\": [{\"made_for\": \"\", \"model\": \"m\", \"choices\": {}}]}", "'made_for'"},
        {"{\"clipc_tuning\": 1, \"sets\": [{\"made_for\": \"d\", \"choices\": {}}]}", "'model'"},
        {SET("[]"), "without choices"},
        {SET("{\"a\": 5}"), "no short string"},
        {SET("{\"\": \"5\"}"), "no short string"},
        {SET("{\"a\": \"a value that is longer than any is\"}"), "no short string"},
        {SET("{\"a\": \"1\", \"a\": \"2\"}"), "it"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clipc_tuning *tuning = NULL;
        clipc_error error = {0};
        assert_int_not_equal(clipc_tuning_create(cases[i].text, strlen(cases[i].text), "it", &tuning, &error),
                             CLIPC_OK);
        assert_null(tuning);
        if (!strstr(error.message, cases[i].words))
            fail_msg("case %zu: %s", i, error.message);
    }
    clipc_tuning *twice = NULL;
    static const char same[] = "{\"clipc_tuning\": 1, \"sets\": [{\"made_for\": \"d\", \"model\": \"m\", \"choices\": "
                               "{}}, {\"made_for\": \"d\", \"model\": \"m\", \"choices\": {}}]}";
    assert_int_equal(clipc_tuning_create(same, sizeof same - 1, "it", &twice, NULL), CLIPC_ERROR_FORMAT);
}

/* ---- tiles ---- */

static void tiles_of_the_same_bits(void **state)
{
    (void)state;
    static const clipc_gemm_device devices[] = {{132, 90, true}, {108, 80, false}};
    for (size_t d = 0; d < 2; d++)
        for (int type = CLIPC_CUDA_F16; type <= CLIPC_CUDA_S8; type++)
            for (int leaves = 0; leaves < 2; leaves++) {
                const bool bytes = clipc_cuda_is_bytes((clipc_cuda_type)type);
                const clipc_gemm_shape shape = {.type = (clipc_cuda_type)type,
                                                .rows = 1600,
                                                .columns = 768,
                                                .depth = 768,
                                                .residual = true,
                                                .leaves_statistics = leaves && !bytes};
                const clipc_gemm_plan own = bytes ? clipc_gemm_select_bytes(&devices[d], 1600, 768, 768, true, false)
                                                  : clipc_gemm_select(&devices[d], 1600, 768, 768, true);
                clipc_gemm_plan plan;
                size_t count = 0;
                bool has_own = false;
                for (; clipc_gemm_same_bits(&devices[d], &shape, &own, count, &plan); count++) {
                    assert_int_equal(plan.kind, own.kind);
                    assert_true(plan.blocks > 0);
                    if (shape.leaves_statistics)
                        assert_int_equal(clipc_gemm_part_width(&plan), clipc_gemm_part_width(&own));
                    has_own |= plan.tile_rows == own.tile_rows && plan.tile_columns == own.tile_columns;
                }
                assert_true(has_own && count >= 1 && (shape.leaves_statistics || count > 3));
            }
}

static void a_measured_tile_is_taken(void **state)
{
    (void)state;
    const clipc_gemm_device device = {132, 90, true};
    const clipc_gemm_shape shape = {
        .type = CLIPC_CUDA_F16, .rows = 1600, .columns = 3072, .depth = 768, .activation = true};
    const clipc_gemm_plan own = clipc_gemm_select(&device, 1600, 3072, 768, false);
    clipc_choice_set set = {0};
    clipc_gemm_tiles tiles;
    char name[CLIPC_CHOICE_NAME];
    char value[CLIPC_CHOICE_VALUE];
    clipc_gemm_plan wanted;
    size_t index = 0;
    while (clipc_gemm_same_bits(&device, &shape, &own, index, &wanted) && wanted.tile_columns == own.tile_columns &&
           wanted.tile_rows == own.tile_rows && wanted.cluster == own.cluster)
        index++;
    clipc_gemm_shape_name(&shape, name);
    assert_string_equal(name, "tile.fp16.1600x3072x768.activation");
    clipc_gemm_tile_value(&wanted, value);
    static const struct {
        const char *name; /* NULL: the right one */
        const char *value;
        bool taken;
    } cases[] = {
        {NULL, NULL, true},
        {NULL, "1x1", false},
        {NULL, "16x64", false}, /* of another kind of kernel */
        {NULL, "128x0256", false},
        {NULL, "128x256x3", false},
        {NULL, "128x256x1", false}, /* written without */
        {NULL, "128", false},
        {"tile.fp16.1600x3072x768", NULL, false},
        {"tile.bf16.1600x3072x768.activation", NULL, false},
        {"tile.fp99.1600x3072x768.activation", NULL, false},
        {"tile.fp16.1600x3072x768.activation.", NULL, false},
        {"tile.fp16.01600x3072x768.activation", NULL, false},
        {"image.activation_bytes", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clipc_gemm_plan plan = own;
        set.count = 0;
        assert_int_equal(clipc_choice_put(&set, cases[i].name ? cases[i].name : name,
                                          cases[i].value ? cases[i].value : value, NULL),
                         CLIPC_OK);
        assert_int_equal(clipc_gemm_tiles_read(&set, &tiles, NULL), CLIPC_OK);
        clipc_gemm_tiles_apply(&tiles, &device, &shape, &plan);
        const clipc_gemm_plan *expected = cases[i].taken ? &wanted : &own;
        assert_int_equal(plan.tile_rows, expected->tile_rows);
        assert_int_equal(plan.tile_columns, expected->tile_columns);
        assert_int_equal(plan.cluster, expected->cluster);
        assert_int_equal(plan.blocks, expected->blocks);
        clipc_gemm_tiles_free(&tiles);
    }
    clipc_free(set.items);
}

/* ---- engines ---- */

enum { ITEMS = 11, SIZE = 3 * 128 * 128, DIMENSION = 256 }; /* the demo model */

static void encode(const clipc_model *model, const clipc_tuning *tuning, float *rows)
{
    static float pixels[ITEMS * SIZE];
    static int32_t ids[ITEMS * 9];
    size_t offsets[ITEMS + 1];
    clipc_engine *engine = NULL;
    clipc_error error = {0};
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = "cpu";
    config.threads = 2;
    config.tuning = tuning;
    for (size_t i = 0; i < (size_t)ITEMS * SIZE; i++)
        pixels[i] = (float)((i * 2654435761U >> 7) % 1000) / 400 - 1.25F;
    for (size_t i = 0; i < (size_t)ITEMS * 9; i++)
        ids[i] = (int32_t)(i * 7919 % 49000);
    for (size_t i = 0; i <= ITEMS; i++)
        offsets[i] = 9 * i;
    for (size_t i = 0; i < ITEMS; i++)
        ids[9 * i + 8] = 49407;
    if (clipc_engine_create(model, &config, &engine, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    assert_int_equal(clipc_engine_encode_images(engine, pixels, ITEMS, 0, rows, NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_encode_tokens(engine, ids, offsets, ITEMS, 0, rows + ITEMS * DIMENSION, NULL),
                     CLIPC_OK);
    clipc_engine_destroy(&engine);
}

static void count_measured(void *user, const char *name, const char *value, double speedup)
{
    size_t *count = user;
    assert_true(name[0] && value[0] && speedup > 0);
    ++*count;
}

static void choices_change_no_bit(void **state)
{
    (void)state;
    static const char *const budgets[] = {"1048576", "3000000", "1073741824", "7", "x"};
    static float expected[2 * ITEMS * DIMENSION];
    static float got[2 * ITEMS * DIMENSION];
    clipc_model *model = NULL;
    clipc_tuning *tuning = NULL;
    clipc_error error = {0};
    clipc_engine_config config;
    size_t measured = 0;
    assert_int_equal(clipc_model_open(NULL, NULL, &model, NULL), CLIPC_OK);
    assert_int_equal(clipc_tuning_create(NULL, 0, NULL, &tuning, NULL), CLIPC_OK);
    encode(model, NULL, expected);
    clipc_engine_config_init(&config);
    config.backend = "cpu";
    config.threads = 2;
    config.max_batch = 4;
    if (clipc_model_tune(model, &config, CLIPC_TUNING_FAST, tuning, count_measured, &measured, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    assert_int_equal(measured, 3);
    assert_int_equal(clipc_model_tune(model, &config, CLIPC_TUNING_FULL, tuning, count_measured, &measured, NULL),
                     CLIPC_OK);
    assert_int_equal(measured, 3); /* all is there */
    encode(model, tuning, got);
    assert_memory_equal(got, expected, sizeof got);
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        for (size_t c = 0; c < tuning->current->count; c++) {
            const clipc_choice it = tuning->current->items[c];
            assert_int_equal(clipc_choice_put(tuning->current, it.name, budgets[i], NULL), CLIPC_OK);
        }
        encode(model, tuning, got);
        assert_memory_equal(got, expected, sizeof got);
    }
    config.backend = "ref";
    assert_int_equal(clipc_model_tune(model, &config, CLIPC_TUNING_FAST, tuning, NULL, NULL, &error),
                     CLIPC_ERROR_UNSUPPORTED);
    assert_int_equal(clipc_model_tune(model, &config, (clipc_tuning_effort)7, tuning, NULL, NULL, &error),
                     CLIPC_ERROR_ARGUMENT);
    clipc_tuning_destroy(&tuning);
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back), cmocka_unit_test(numbers_are_in_range_or_not_taken),
        cmocka_unit_test(other_texts_are_refused),    cmocka_unit_test(tiles_of_the_same_bits),
        cmocka_unit_test(a_measured_tile_is_taken),   cmocka_unit_test(choices_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
