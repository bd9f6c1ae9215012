/* A micro-batch of any size gives the same bits: the workspace's budget cuts a call, and the result must not show it.
 */
#include "backend/cpu/encoder.h"

/* What cmocka.h needs before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define MODEL CLIPC_SOURCE_DIR "/tests/golden/models/odd_widths"
#define ITEMS ((size_t)23)

struct setting {
    clipc_model *model;
    clipc_kernels kernels;
    clipc_precision precision;
    float *pixels;
    int32_t *ids;
    size_t offsets[ITEMS + 1];
};

static void *take(size_t count, size_t size)
{
    void *block = calloc(count, size);
    assert_non_null(block);
    return block;
}

static void set_up(struct setting *with, clipc_cpu_level level)
{
    clipc_error error = {0};
    if (clipc_model_open(MODEL, NULL, &with->model, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    clipc_kernels_fill(&with->kernels, level);
    const clipc_config *config = &with->model->config;
    const size_t values = ITEMS * 3 * config->image_size * config->image_size;
    with->pixels = take(values, sizeof(float));
    with->ids = take(ITEMS * config->max_positions, sizeof(int32_t));
    uint32_t random = 1;
    for (size_t i = 0; i < values; i++) {
        random = random * 1664525U + 1013904223U;
        with->pixels[i] = (float)(random >> 8) / 8388608.0F - 1.0F;
    }
    for (size_t i = 0; i < ITEMS; i++)
        with->offsets[i + 1] = with->offsets[i] + 1 + i % config->max_positions;
    for (size_t i = 0; i < with->offsets[ITEMS]; i++)
        with->ids[i] = (int32_t)(i * 31 % config->vocabulary_size);
}

static void tear_down(struct setting *with)
{
    clipc_model_destroy(&with->model);
    free(with->pixels);
    free(with->ids);
}

/* Encodes all items with micro-batches of at most `budget` bytes or `most` items. */
static void encode(const struct setting *with, bool text, size_t threads, size_t most, size_t budget,
                   float *embeddings)
{
    clipc_thread_pool *pool = NULL;
    clipc_cpu_tower tower = {0};
    assert_int_equal(clipc_thread_pool_create(threads, &pool, NULL), CLIPC_OK);
    assert_int_equal(
        text ? clipc_cpu_text_tower_create(with->model, &with->kernels, with->precision, NULL, pool, &tower, NULL)
             : clipc_cpu_image_tower_create(with->model, &with->kernels, with->precision, NULL, pool, &tower, NULL),
        CLIPC_OK);
    clipc_arena arena = {0};
    clipc_cpu_workspace workspace;
    clipc_cpu_workspace_plan(&tower, most, threads, budget, &arena, &workspace);
    assert_false(arena.overflow);
    arena = (clipc_arena){.base = clipc_allocate_aligned(1, arena.used)};
    assert_non_null(arena.base);
    clipc_cpu_workspace_plan(&tower, most, threads, budget, &arena, &workspace);
    memset(arena.base, 0xFF, arena.used); /* nothing may be read before it is written */
    if (text)
        clipc_cpu_encode_tokens(&tower, &workspace, pool, with->ids, with->offsets, ITEMS, embeddings);
    else
        clipc_cpu_encode_images(&tower, &workspace, pool, with->pixels, ITEMS, embeddings);
    clipc_free_aligned(arena.base);
    clipc_cpu_tower_destroy(&tower);
    clipc_thread_pool_destroy(&pool);
}

static void check_level(clipc_cpu_level level, clipc_precision precision)
{
    static const struct {
        size_t threads;
        size_t most;
        size_t budget;
    } ways[] = {{1, ITEMS, 0}, {3, ITEMS, 20000}, {2, 5, 50000}, {4, 1, 1 << 20}, {3, 1000, 1 << 20}};
    struct setting with = {.precision = precision};
    set_up(&with, level);
    const size_t count = ITEMS * with.model->config.embedding_dimension;
    float *expected = take(count, sizeof *expected);
    float *actual = take(count, sizeof *actual);
    for (int text = 0; text < 2; text++) {
        encode(&with, text, 1, ITEMS, CLIPC_ACTIVATION_BUDGET, expected);
        for (size_t i = 0; i < count; i++)
            assert_true(expected[i] == expected[i]);
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            memset(actual, 0, count * sizeof *actual);
            encode(&with, text, ways[i].threads, ways[i].most, ways[i].budget, actual);
            assert_memory_equal(actual, expected, count * sizeof *expected);
        }
    }
    free(expected);
    free(actual);
    tear_down(&with);
}

static void cuts_do_not_show(void **state)
{
    (void)state;
    clipc_cpu_level best = CLIPC_CPU_C;
    assert_int_equal(clipc_cpu_level_detect(&best, NULL), CLIPC_OK);
    for (int level = CLIPC_CPU_C; level <= (int)best; level++)
        for (int precision = CLIPC_PRECISION_FP32; precision <= CLIPC_PRECISION_INT8; precision++)
            check_level((clipc_cpu_level)level, (clipc_precision)precision);
}

static void impossible_sizes_are_noticed(void **state)
{
    (void)state;
    clipc_arena arena = {0};
    assert_null(clipc_arena_floats(&arena, SIZE_MAX / 2, 3));
    assert_true(arena.overflow);
    arena = (clipc_arena){.used = SIZE_MAX - 100};
    clipc_arena_floats(&arena, 10, 10);
    assert_true(arena.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_do_not_show),
        cmocka_unit_test(impossible_sizes_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
