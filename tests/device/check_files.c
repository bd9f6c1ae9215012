/* Engine files and taps on a device: what an engine made of a file computes has the bits of one made of the model, in
 * every precision; what is handed out on the way is near what the CPU backend hands out in fp32, and changes no bit of
 * the embeddings; and neither do measured tiles. Usage: check_files [FOLDER] (for the files, else /tmp) */
#include "device_support.h"

#include "clipc/tuning.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ITEMS = 7, TEXT = 12, NAMES = 64 };

static int failures;
static clipc_model_info info = {.size = sizeof info};
static float *pixels; /* [ITEMS, 3, size, size] */
static int32_t ids[ITEMS * TEXT];
static size_t offsets[ITEMS + 1];

/* The least cosine of rows on the way, taken over all steps. */
static const struct {
    clipc_precision precision;
    const char *keep;
    double lowest;
} cases[] = {
    {CLIPC_PRECISION_FP16, NULL, 0.999},
    {CLIPC_PRECISION_BF16, NULL, 0.99},
    {CLIPC_PRECISION_FP8, NULL, 0.97},
    {CLIPC_PRECISION_INT8, NULL, 0.97},
    {CLIPC_PRECISION_FP8, "image.0.fc2,image.1.attention_out,text.*.query_key_value,text.1.fc1", 0.97},
    {CLIPC_PRECISION_INT8, "image.0.fc2,image.1.attention_out,text.*.query_key_value,text.1.fc1", 0.97},
    {CLIPC_PRECISION_FP8, "*", 0.999},
    {CLIPC_PRECISION_INT8, "*", 0.999},
};

static void check(int good, const char *what)
{
    printf("%s %s\n", good ? "ok   " : "WRONG", what);
    fflush(stdout);
    failures += !good;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void make_inputs(void)
{
    const size_t image = 3 * info.image_height * info.image_width;
    pixels = malloc(ITEMS * image * sizeof *pixels);
    for (size_t i = 0; i < ITEMS * image; i++)
        pixels[i] = (float)((i * 2654435761U >> 7) % 1000) / 400 - 1.25F;
    for (size_t i = 0; i < ITEMS; i++) {
        const size_t length = 3 + i % (TEXT - 3);
        offsets[i + 1] = offsets[i] + length;
        for (size_t t = offsets[i]; t < offsets[i + 1]; t++)
            ids[t] = (int32_t)(t * 7919 % 49000);
        ids[offsets[i]] = 49406;
        ids[offsets[i + 1] - 1] = 49407;
    }
}

static clipc_engine *make(const clipc_model *model, const char *backend, clipc_precision precision, const char *keep)
{
    clipc_engine *engine = NULL;
    clipc_error error;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = backend;
    config.precision = precision;
    config.keep_precise = keep;
    require(clipc_engine_create(model, &config, &engine, &error), &error);
    return engine;
}

/* Images, then texts, `batch` at a time. */
static void encode(clipc_engine *engine, size_t batch, float *rows)
{
    const size_t image = 3 * info.image_height * info.image_width;
    const size_t dimension = info.embedding_dimension;
    clipc_error error;
    for (size_t i = 0; i < ITEMS; i += batch) {
        const size_t count = ITEMS - i < batch ? ITEMS - i : batch;
        size_t own[ITEMS + 1];
        for (size_t j = 0; j <= count; j++)
            own[j] = offsets[i + j] - offsets[i];
        require(clipc_engine_encode_images(engine, pixels + i * image, count, 0, rows + i * dimension, &error),
                &error);
        require(clipc_engine_encode_tokens(engine, ids + offsets[i], own, count, 0, rows + (ITEMS + i) * dimension,
                                           &error),
                &error);
    }
}

/* ---- files ---- */

static int append(void *user, const void *bytes, size_t size)
{
    return fwrite(bytes, 1, size, user) != size;
}

static void write_file(const clipc_model *model, clipc_precision precision, const char *keep, const char *path)
{
    clipc_error error;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = "cuda";
    config.precision = precision;
    config.keep_precise = keep;
    FILE *file = fopen(path, "wb");
    if (!file)
        exit(3);
    require(clipc_model_convert(model, &config, append, file, &error), &error);
    fclose(file);
}

static void check_file(const clipc_model *model, size_t at, const char *path)
{
    const size_t values = 2 * ITEMS * info.embedding_dimension;
    float *expected = malloc(values * sizeof *expected);
    float *got = malloc(values * sizeof *got);
    clipc_model *read = NULL;
    clipc_error error;
    char text[160];
    write_file(model, cases[at].precision, cases[at].keep, path);
    require(clipc_model_open(path, NULL, &read, &error), &error);
    clipc_engine *direct = make(model, "cuda", cases[at].precision, cases[at].keep);
    clipc_engine *loaded = make(read, "auto", CLIPC_PRECISION_AUTO, NULL);
    for (size_t batch = 1; batch <= ITEMS; batch += 3) {
        encode(direct, batch, expected);
        encode(loaded, batch, got);
        snprintf(text, sizeof text, "%s%s%s: an engine file's bits, batches of %zu",
                 clipc_precision_name(cases[at].precision), cases[at].keep ? " keeping " : "",
                 cases[at].keep ? cases[at].keep : "", batch);
        check(memcmp(expected, got, values * sizeof *got) == 0, text);
    }
    clipc_engine_destroy(&direct);
    clipc_engine_destroy(&loaded);
    clipc_model_destroy(&read);
    unlink(path);
    free(expected), free(got);
}

/* ---- taps ---- */

typedef struct taps {
    size_t count;
    struct {
        char name[64];
        size_t rows;
        size_t width;
        float *values;
    } items[NAMES];
} taps;

static void take(void *user, const clipc_tap *tap)
{
    taps *all = user;
    size_t i = 0;
    while (i < all->count && strcmp(all->items[i].name, tap->name) != 0)
        i++;
    if (i == all->count) {
        if (all->count++ == NAMES)
            exit(3);
        snprintf(all->items[i].name, sizeof all->items[i].name, "%s", tap->name);
        all->items[i].width = tap->width;
    }
    const size_t before = all->items[i].rows * tap->width;
    all->items[i].rows += tap->rows;
    all->items[i].values = realloc(all->items[i].values, all->items[i].rows * tap->width * sizeof(float));
    for (size_t row = 0; row < tap->rows; row++)
        memcpy(all->items[i].values + before + row * tap->width, tap->values + row * tap->stride,
               tap->width * sizeof(float));
}

static void drop(taps *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->items[i].values);
    *all = (taps){0};
}

static double least_cosine(const float *a, const float *b, size_t rows, size_t width)
{
    double least = 2;
    for (size_t row = 0; row < rows; row++) {
        double ab = 0;
        double aa = 0;
        double bb = 0;
        for (size_t i = row * width; i < (row + 1) * width; i++) {
            ab += (double)a[i] * b[i];
            aa += (double)a[i] * a[i];
            bb += (double)b[i] * b[i];
        }
        const double cosine = ab / sqrt(aa * bb);
        least = cosine < least || isnan(cosine) ? cosine : least;
    }
    return least;
}

static void compare_taps(const taps *expected, const taps *got, double lowest, const char *what)
{
    char text[1024];
    double least = 2;
    const char *where = "";
    int alike = expected->count == got->count;
    for (size_t i = 0; alike && i < got->count; i++) {
        alike = strcmp(expected->items[i].name, got->items[i].name) == 0 &&
                expected->items[i].rows == got->items[i].rows && expected->items[i].width == got->items[i].width;
        if (!alike)
            break;
        const double cosine =
            least_cosine(expected->items[i].values, got->items[i].values, got->items[i].rows, got->items[i].width);
        where = cosine < least || isnan(cosine) ? got->items[i].name : where;
        least = cosine < least || isnan(cosine) ? cosine : least;
    }
    snprintf(text, sizeof text, "%s: %zu steps as on the CPU, least cosine %.6f (%s)", what, got->count, least, where);
    check(alike && got->count > 20 && least >= lowest, text);
}

static void check_taps(const clipc_model *model, size_t at, const taps *expected)
{
    const size_t values = 2 * ITEMS * info.embedding_dimension;
    float *plain = malloc(values * sizeof *plain);
    float *tapped = malloc(values * sizeof *tapped);
    clipc_error error;
    char text[160];
    clipc_engine *engine = make(model, "cuda", cases[at].precision, cases[at].keep);
    for (size_t batch = 1; batch <= ITEMS; batch += ITEMS - 1) {
        taps all = {0};
        snprintf(text, sizeof text, "%s%s%s, batches of %zu", clipc_precision_name(cases[at].precision),
                 cases[at].keep ? " keeping " : "", cases[at].keep ? cases[at].keep : "", batch);
        encode(engine, batch, plain);
        require(clipc_engine_set_tap(engine, take, &all, &error), &error);
        encode(engine, batch, tapped);
        require(clipc_engine_set_tap(engine, NULL, NULL, &error), &error);
        compare_taps(expected, &all, cases[at].lowest, text);
        const size_t steps = all.count;
        int same = memcmp(plain, tapped, values * sizeof *plain) == 0;
        encode(engine, batch, tapped);
        same = same && memcmp(plain, tapped, values * sizeof *plain) == 0 && all.count == steps;
        check(same, "  and the embeddings keep their bits");
        drop(&all);
    }
    clipc_engine_destroy(&engine);
    free(plain), free(tapped);
}

/* ---- tuning ---- */

static void on_measured(void *user, const char *name, const char *value, double speedup)
{
    size_t *measured = user;
    ++*measured;
    if (speedup > 1)
        printf("      %s: %s is %.2f times as fast\n", name, value, speedup);
}

/* Measured tiles change no bit, in engines and in engine files. Texts are of whole contexts, as they are tuned. */
static void check_tuning(const char *architecture, clipc_precision precision, size_t batch)
{
    clipc_model *model = NULL;
    clipc_tuning *tuning = NULL;
    clipc_error error;
    clipc_engine_config config;
    clipc_model_info own = {.size = sizeof own};
    size_t measured = 0;
    char text[160];
    require(clipc_model_create_random(architecture, 1, NULL, &model, &error), &error);
    require(clipc_model_get_info(model, &own, &error), &error);
    require(clipc_tuning_create(NULL, 0, NULL, &tuning, &error), &error);
    clipc_engine_config_init(&config);
    config.backend = "cuda";
    config.precision = precision;
    config.max_batch = batch;
    const double begin = seconds();
    require(clipc_model_tune(model, &config, CLIPC_TUNING_FAST, tuning, on_measured, &measured, &error), &error);
    printf("%s, %s, batches of %zu: %zu tiles were chosen in %.1f s\n", architecture, clipc_precision_name(precision),
           batch, measured, seconds() - begin);
    const size_t image = 3 * own.image_height * own.image_width;
    const size_t values = 2 * batch * own.embedding_dimension;
    float *inputs = malloc(batch * image * sizeof *inputs);
    int32_t *tokens = malloc(batch * own.context_length * sizeof *tokens);
    size_t *ends = malloc((batch + 1) * sizeof *ends);
    float *rows[2] = {malloc(values * sizeof(float)), malloc(values * sizeof(float))};
    for (size_t i = 0; i < batch * image; i++)
        inputs[i] = (float)((i * 2654435761U >> 7) % 1000) / 400 - 1.25F;
    for (size_t i = 0; i < batch * own.context_length; i++)
        tokens[i] = (int32_t)(i * 7919 % 49000);
    for (size_t i = 0; i <= batch; i++)
        ends[i] = i * own.context_length;
    for (int tuned = 0; tuned < 2; tuned++) {
        clipc_engine *engine = NULL;
        double least = 1e9;
        config.tuning = tuned ? tuning : NULL;
        require(clipc_engine_create(model, &config, &engine, &error), &error);
        for (int round = 0; round < 20; round++) {
            const double start = seconds();
            require(clipc_engine_encode_images(engine, inputs, batch, 0, rows[tuned], &error), &error);
            require(clipc_engine_encode_tokens(engine, tokens, ends, batch, 0, rows[tuned] + values / 2, &error),
                    &error);
            least = seconds() - start < least ? seconds() - start : least;
        }
        printf("      %s: %.3f ms for %zu images and texts\n", tuned ? "tuned" : "untuned", 1e3 * least, batch);
        clipc_engine_destroy(&engine);
    }
    snprintf(text, sizeof text, "%s, %s: tuned engines keep their bits", architecture,
             clipc_precision_name(precision));
    check(measured > 4 && memcmp(rows[0], rows[1], values * sizeof(float)) == 0, text);
    const size_t before = measured;
    require(clipc_model_tune(model, &config, CLIPC_TUNING_FAST, tuning, on_measured, &measured, &error), &error);
    check(measured == before, "      and nothing is measured twice");
    free(inputs), free(tokens), free(ends), free(rows[0]), free(rows[1]);
    clipc_tuning_destroy(&tuning);
    clipc_model_destroy(&model);
}

/* ---- how long it takes ---- */

static void time_loading(const char *architecture, const char *path)
{
    clipc_model *model = NULL;
    clipc_model *read = NULL;
    clipc_error error;
    require(clipc_model_create_random(architecture, 1, NULL, &model, &error), &error);
    write_file(model, CLIPC_PRECISION_FP16, NULL, path);
    double begin = seconds();
    clipc_engine *engine = make(model, "cuda", CLIPC_PRECISION_FP16, NULL);
    const double direct = seconds() - begin;
    clipc_engine_destroy(&engine);
    begin = seconds();
    require(clipc_model_open(path, NULL, &read, &error), &error);
    engine = make(read, "cuda", CLIPC_PRECISION_FP16, NULL);
    printf("%s, fp16: an engine of the model %.0f ms, of its engine file %.0f ms, opening it included\n", architecture,
           1e3 * direct, 1e3 * (seconds() - begin));
    clipc_engine_destroy(&engine);
    clipc_model_destroy(&read);
    clipc_model_destroy(&model);
    unlink(path);
}

int main(int argc, char **argv)
{
    char path[4096];
    clipc_error error;
    clipc_model *model = NULL;
    clipc_device_info device = {.size = sizeof device};
    if (clipc_device_get_info("cuda", 0, &device, &error) != CLIPC_OK) {
        printf("no device: %s\n", error.message);
        return 77;
    }
    snprintf(path, sizeof path, "%s/check_files.%ld.clipc", argc > 1 ? argv[1] : "/tmp", (long)getpid());
    require(clipc_model_open(NULL, NULL, &model, &error), &error);
    require(clipc_model_get_info(model, &info, &error), &error);
    make_inputs();
    taps expected = {0};
    float *rows = malloc(2 * ITEMS * info.embedding_dimension * sizeof *rows);
    clipc_engine *host = make(model, "cpu", CLIPC_PRECISION_FP32, NULL);
    require(clipc_engine_set_tap(host, take, &expected, &error), &error);
    encode(host, ITEMS, rows);
    clipc_engine_destroy(&host);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_file(model, i, path);
        check_taps(model, i, &expected);
    }
    drop(&expected);
    clipc_model_destroy(&model);
    for (size_t i = 0; i < 4; i++)
        check_tuning("ViT-B-32", cases[i].precision, 32);
    check_tuning("ViT-B-32", CLIPC_PRECISION_FP16, 256);
    time_loading("ViT-B-32", path);
    free(rows), free(pixels);
    printf("%s: %d failures\n", device.name, failures);
    return failures != 0;
}
