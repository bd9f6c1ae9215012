/* What the towers hand out on their way: the same steps on every backend, nearly the same numbers, and no influence.
 */
#include "clipc/clipc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The demo model. */
enum { BATCH = 5, IMAGE = 3 * 128 * 128, DIMENSION = 256, IMAGE_TAPS = 1 + 2 * 6 + 2, TEXT_TAPS = 1 + 2 * 4 + 2 };
enum { MOST_TAPS = IMAGE_TAPS, MOST_VALUES = BATCH * 77 * 256 };

typedef struct collection {
    size_t count;
    size_t calls;
    char names[MOST_TAPS][40];
    size_t rows[MOST_TAPS];
    size_t width[MOST_TAPS];
    float values[MOST_TAPS][MOST_VALUES];
} collection;

static void collect(void *user, const clipc_tap *tap)
{
    collection *into = user;
    size_t i = 0;
    into->calls++;
    assert_int_equal(tap->size, sizeof *tap);
    assert_true(tap->stride >= tap->width);
    while (i < into->count && strcmp(into->names[i], tap->name) != 0)
        i++;
    assert_true(i < MOST_TAPS && strlen(tap->name) < sizeof into->names[0]);
    if (i == into->count) {
        memcpy(into->names[i], tap->name, strlen(tap->name) + 1);
        into->count++;
    }
    into->width[i] = tap->width;
    for (size_t row = 0; row < tap->rows; row++) {
        assert_true((into->rows[i] + 1) * tap->width <= MOST_VALUES);
        memcpy(into->values[i] + into->rows[i] * tap->width, tap->values + row * tap->stride,
               tap->width * sizeof(float));
        into->rows[i]++;
    }
}

static clipc_engine *open_engine(const char *backend, clipc_precision precision)
{
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = backend;
    config.precision = precision;
    config.threads = 2;
    config.max_batch = 2; /* several passes a call */
    assert_int_equal(clipc_model_open(NULL, NULL, &model, NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_create(model, &config, &engine, NULL), CLIPC_OK);
    clipc_model_destroy(&model);
    return engine;
}

static void encode(clipc_engine *engine, bool image, float *embeddings)
{
    static float pixels[BATCH * IMAGE];
    static const int32_t ids[] = {49406, 320,  2368, 49407, 49406, 49407, 49406, 1929, 49407, 49406,
                                  320,   1125, 539,  320,   1929,  49407, 49406, 736,  49407};
    static const size_t offsets[] = {0, 4, 6, 9, 16, 19};
    for (size_t i = 0; i < (size_t)BATCH * IMAGE; i++)
        pixels[i] = (float)((i * 2654435761u >> 7) % 1000) / 400 - 1.25F;
    if (image)
        assert_int_equal(
            clipc_engine_encode_images(engine, pixels, BATCH, CLIPC_ENCODE_UNNORMALIZED, embeddings, NULL), CLIPC_OK);
    else
        assert_int_equal(
            clipc_engine_encode_tokens(engine, ids, offsets, BATCH, CLIPC_ENCODE_UNNORMALIZED, embeddings, NULL),
            CLIPC_OK);
}

static void collect_all(const char *backend, clipc_precision precision, bool image, collection *into)
{
    float plain[BATCH * DIMENSION];
    float tapped[BATCH * DIMENSION];
    clipc_engine *engine = open_engine(backend, precision);
    memset(into, 0, sizeof *into);
    encode(engine, image, plain);
    assert_int_equal(clipc_engine_set_tap(engine, collect, into, NULL), CLIPC_OK);
    encode(engine, image, tapped);
    assert_memory_equal(plain, tapped, sizeof plain);
    const size_t calls = into->calls;
    assert_int_equal(clipc_engine_set_tap(engine, NULL, NULL, NULL), CLIPC_OK);
    encode(engine, image, tapped);
    assert_int_equal(into->calls, calls);
    assert_memory_equal(into->values[into->count - 1], plain, sizeof plain);
    clipc_engine_destroy(&engine);
}

static double cosine(const float *a, const float *b, size_t count)
{
    double ab = 0;
    double aa = 0;
    double bb = 0;
    for (size_t i = 0; i < count; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static void check_against_ref(bool image, clipc_precision precision, double least)
{
    static collection expected;
    static collection got;
    collect_all("ref", CLIPC_PRECISION_FP32, image, &expected);
    collect_all("cpu", precision, image, &got);
    const size_t layers = image ? 6 : 4;
    const size_t tokens = image ? (size_t)BATCH * 65 : 19;
    assert_int_equal(expected.count, image ? IMAGE_TAPS : TEXT_TAPS);
    assert_int_equal(got.count, expected.count);
    assert_string_equal(expected.names[0], image ? "image.embedding" : "text.embedding");
    assert_string_equal(expected.names[2], image ? "image.layers.0.mlp" : "text.layers.0.mlp");
    assert_string_equal(expected.names[expected.count - 1], image ? "image.projection" : "text.projection");
    for (size_t i = 0; i < expected.count; i++) {
        const bool pooled = i > 2 * (layers - 1);
        assert_string_equal(got.names[i], expected.names[i]);
        assert_int_equal(expected.rows[i], pooled ? BATCH : tokens);
        assert_int_equal(got.rows[i], expected.rows[i]);
        assert_int_equal(got.width[i], expected.width[i]);
        const double similarity = cosine(got.values[i], expected.values[i], got.rows[i] * got.width[i]);
        if (similarity < least)
            fail_msg("%s: cosine %.9f", got.names[i], similarity);
    }
}

static void cpu_gives_what_ref_gives(void **state)
{
    (void)state;
    for (int image = 0; image < 2; image++) {
        check_against_ref(image, CLIPC_PRECISION_FP32, 1 - 1e-9);
        check_against_ref(image, CLIPC_PRECISION_BF16, 0.9995);
        check_against_ref(image, CLIPC_PRECISION_INT8, 0.99);
    }
}

static void wrong_arguments(void **state)
{
    (void)state;
    assert_int_equal(clipc_engine_set_tap(NULL, collect, NULL, NULL), CLIPC_ERROR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cpu_gives_what_ref_gives), cmocka_unit_test(wrong_arguments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
