/* A row's bits depend on its own input alone: not on the other rows, on how many there are, on how the call is cut
 * into batches, on the number of threads, or on what else runs on the engine. On every backend, precision and
 * instruction set. */
#include "backend/backend.h"
#include "base/cpu_features.h"
#include "golden/expected.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODELS  CLIPC_SOURCE_DIR "/tests/golden/models/"
#define CALLERS 4
#define ROUNDS  5

typedef struct subject {
    clipc_model *model;
    clipc_precision precision;
    expected inputs;
    size_t image;  /* floats of one image */
    float *images; /* rows made one by one on one thread: what all others must equal */
    float *texts;
} subject;

static void must(clipc_status status, const clipc_error *error)
{
    if (status != CLIPC_OK)
        fail_msg("%s", error->message);
}

static void *take(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);
    assert_non_null(block);
    return block;
}

static clipc_engine *make_engine(const subject *with, const char *backend, const char *level, size_t threads,
                                 size_t max_batch)
{
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = backend;
    config.cpu_level = level;
    config.precision = with->precision;
    config.threads = threads;
    config.max_batch = max_batch;
    clipc_engine *engine = NULL;
    clipc_error error = {0};
    must(clipc_engine_create(with->model, &config, &engine, &error), &error);
    return engine;
}

static void encode_one_by_one(subject *with, const char *backend, const char *level)
{
    clipc_error error = {0};
    const expected *in = &with->inputs;
    clipc_engine *engine = make_engine(with, backend, level, 1, 1);
    for (size_t i = 0; i < in->images; i++)
        must(clipc_engine_encode_images(engine, in->pixels + i * with->image, 1, 0, with->images + i * in->dimension,
                                        &error),
             &error);
    for (size_t i = 0; i < in->texts; i++) {
        const size_t offsets[2] = {0, in->offsets[i + 1] - in->offsets[i]};
        must(clipc_engine_encode_tokens(engine, in->ids + in->offsets[i], offsets, 1, 0,
                                        with->texts + i * in->dimension, &error),
             &error);
    }
    clipc_engine_destroy(&engine);
}

/* Encodes all items at once, in another order: row i is item (i + shift) mod count. False when a bit differs.
 */
static bool encode_shuffled(clipc_engine *engine, const subject *with, size_t shift)
{
    const expected *in = &with->inputs;
    const size_t row = in->dimension * sizeof(float);
    clipc_error error = {0};
    bool same = true;

    float *pixels = take(in->images * with->image, sizeof *pixels);
    float *rows = take((in->images > in->texts ? in->images : in->texts) * in->dimension, sizeof *rows);
    for (size_t i = 0; i < in->images; i++)
        memcpy(pixels + i * with->image, in->pixels + (i + shift) % in->images * with->image,
               with->image * sizeof *pixels);
    same = same && clipc_engine_encode_images(engine, pixels, in->images, 0, rows, &error) == CLIPC_OK;
    for (size_t i = 0; i < in->images; i++)
        same = same &&
               memcmp(rows + i * in->dimension, with->images + (i + shift) % in->images * in->dimension, row) == 0;

    int32_t *ids = take(in->offsets[in->texts], sizeof *ids);
    size_t *offsets = take(in->texts + 1, sizeof *offsets);
    for (size_t i = 0; i < in->texts; i++) {
        const size_t from = (i + shift) % in->texts;
        const size_t length = in->offsets[from + 1] - in->offsets[from];
        memcpy(ids + offsets[i], in->ids + in->offsets[from], length * sizeof *ids);
        offsets[i + 1] = offsets[i] + length;
    }
    same = same && clipc_engine_encode_tokens(engine, ids, offsets, in->texts, 0, rows, &error) == CLIPC_OK;
    for (size_t i = 0; i < in->texts; i++)
        same =
            same && memcmp(rows + i * in->dimension, with->texts + (i + shift) % in->texts * in->dimension, row) == 0;
    free(pixels);
    free(rows);
    free(ids);
    free(offsets);
    return same;
}

typedef struct caller {
    clipc_engine *engine;
    const subject *with;
    size_t number;
    bool same;
} caller;

static void *call_repeatedly(void *argument)
{
    caller *call = argument;
    call->same = true;
    for (size_t round = 0; round < ROUNDS; round++)
        call->same = encode_shuffled(call->engine, call->with, call->number + round) && call->same;
    return NULL;
}

/* Several threads use two engines at once. */
static void check_callers(const subject *with, const char *backend, const char *level)
{
    clipc_engine *engines[2] = {make_engine(with, backend, level, 2, 3), make_engine(with, backend, level, 2, 3)};
    pthread_t threads[CALLERS];
    caller calls[CALLERS];
    for (size_t i = 0; i < CALLERS; i++) {
        calls[i] = (caller){.engine = engines[i % 2], .with = with, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, call_repeatedly, &calls[i]), 0);
    }
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(calls[i].same);
    }
    clipc_engine_destroy(&engines[0]);
    clipc_engine_destroy(&engines[1]);
}

static void check_level(subject *with, const char *backend, const char *level)
{
    static const size_t batches[] = {2, 5, 32};
    encode_one_by_one(with, backend, level);
    for (size_t threads = 1; threads <= 3; threads++)
        for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
            clipc_engine *engine = make_engine(with, backend, level, threads, batches[i]);
            const bool same = encode_shuffled(engine, with, i + threads);
            clipc_engine_destroy(&engine);
            if (!same)
                fail_msg("%s %s: %zu threads and batches of %zu give other bits", backend, level ? level : "", threads,
                         batches[i]);
        }
    check_callers(with, backend, level);
}

static size_t checked; /* models */

static void check_model(const char *path, const char *expected_path, bool with_ref)
{
    checked++;
    clipc_error error = {0};
    subject with = {.precision = CLIPC_PRECISION_FP32};
    must(clipc_model_open(path, NULL, &with.model, &error), &error);
    must(expected_open(expected_path, &with.inputs, &error), &error);
    clipc_model_info info = {.size = sizeof info};
    must(clipc_model_get_info(with.model, &info, &error), &error);
    with.image = 3 * info.image_height * info.image_width;
    with.images = take(with.inputs.images * with.inputs.dimension, sizeof *with.images);
    with.texts = take(with.inputs.texts * with.inputs.dimension, sizeof *with.texts);

    if (with_ref)
        check_level(&with, "ref", NULL);
    clipc_cpu_level best = CLIPC_CPU_C;
    must(clipc_cpu_level_detect(&best, &error), &error);
    const bool resnet = clipc_config_is_resnet(&with.model->config); /* of which there is no int8 */
    for (; with.precision <= (resnet ? CLIPC_PRECISION_BF16 : CLIPC_PRECISION_INT8); with.precision++)
        for (clipc_cpu_level level = CLIPC_CPU_C; level <= best; level++)
            check_level(&with, "cpu", clipc_cpu_level_name(level));

    free(with.images);
    free(with.texts);
    expected_close(&with.inputs);
    clipc_model_destroy(&with.model);
}

static void test_odd_widths(void **state)
{
    (void)state;
    check_model(MODELS "odd_widths", MODELS "odd_widths/expected.safetensors", true);
}

static void test_one_patch(void **state)
{
    (void)state;
    check_model(MODELS "one_patch", MODELS "one_patch/expected.safetensors", true);
}

static void test_half_precision_weights(void **state)
{
    (void)state;
    check_model(MODELS "fp16", MODELS "fp16/expected.safetensors", true);
}

/* Attention pooling, and texts that see all of themselves. */
static void test_siglip(void **state)
{
    (void)state;
    check_model(MODELS "siglip", MODELS "siglip/expected.safetensors", true);
}

static void test_openai_resnet(void **state)
{
    (void)state;
    check_model(MODELS "openai_resnet", MODELS "openai_resnet/expected.safetensors", true);
}

static void test_open_clip_resnet(void **state)
{
    (void)state;
    check_model(MODELS "open_clip_resnet", MODELS "open_clip_resnet/expected.safetensors", false);
}

/* With an argument: only the test of that name. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_odd_widths),
        cmocka_unit_test(test_one_patch),
        cmocka_unit_test(test_half_precision_weights),
        cmocka_unit_test(test_siglip),
        cmocka_unit_test(test_openai_resnet),
        cmocka_unit_test(test_open_clip_resnet),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || checked == 0;
}
