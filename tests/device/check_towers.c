/* Whole towers on the device against the CPU backend in fp32, through the public interface: cosine of every row, the
 * same bits from run to run and for every position and neighbour, in every precision that the device has. Usage:
 * check_towers [ARCHITECTURE [COUNT [PRECISION]]] */
#include "device_support.h"

#include "clipc/clipc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

/* The lowest cosine to fp32 that a precision may have. */
static const struct {
    clipc_precision precision;
    double lowest;
} precisions[] = {{CLIPC_PRECISION_FP16, 0.9999},
                  {CLIPC_PRECISION_BF16, 0.999},
                  {CLIPC_PRECISION_FP8, 0.99},
                  {CLIPC_PRECISION_INT8, 0.99}};

static clipc_engine *make_engine(const clipc_model *model, const char *backend, clipc_precision precision,
                                 size_t batch)
{
    clipc_error error;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = backend;
    config.precision = precision;
    config.max_batch = batch;
    clipc_engine *engine = NULL;
    require(clipc_engine_create(model, &config, &engine, &error), &error);
    return engine;
}

/* ResNets have no bytes, and say so. */
static int is_refused(const clipc_model_info *info, const clipc_model *model, clipc_precision precision)
{
    clipc_error error;
    clipc_engine_config config;
    clipc_engine *engine = NULL;
    if (strncmp(info->name, "RN", 2) != 0 || (precision != CLIPC_PRECISION_FP8 && precision != CLIPC_PRECISION_INT8))
        return 0;
    clipc_engine_config_init(&config);
    config.backend = "cuda";
    config.precision = precision;
    const int refused = clipc_engine_create(model, &config, &engine, &error) == CLIPC_ERROR_UNSUPPORTED &&
                        strstr(error.message, "in fp16 and bf16, not in") != NULL;
    printf("%s %s in %s is refused: %s\n", refused ? "ok   " : "WRONG", info->name, clipc_precision_name(precision),
           error.message);
    failures += !refused;
    clipc_engine_destroy(&engine);
    return 1;
}

static double cosine(const float *a, const float *b, size_t count)
{
    double ab = 0;
    double aa = 0;
    double bb = 0;
    for (size_t i = 0; i < count; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

static void report(const char *what, double limit, const float *a, const float *b, size_t rows, size_t dimension)
{
    double lowest = 2;
    for (size_t i = 0; i < rows; i++) {
        const double value = cosine(a + i * dimension, b + i * dimension, dimension);
        lowest = value < lowest || isnan(value) ? value : lowest;
    }
    const int good = lowest >= limit;
    printf("%s %s: lowest cosine of %zu rows to fp32 %.7f\n", good ? "ok   " : "WRONG", what, rows, lowest);
    failures += !good;
}

static void same_bits(const char *what, const float *a, const float *b, size_t count)
{
    const int good = memcmp(a, b, count * sizeof *a) == 0;
    printf("%s %s: the same bits\n", good ? "ok   " : "WRONG", what);
    failures += !good;
}

static void check_images(const clipc_model_info *info, clipc_engine *device, clipc_engine *host, double limit,
                         size_t count)
{
    clipc_error error;
    const size_t dimension = info->embedding_dimension;
    const size_t image = 3 * info->image_height * info->image_width;
    float *pixels = malloc(count * image * sizeof *pixels);
    float *expected = malloc(count * dimension * sizeof *expected);
    float *got = malloc(count * dimension * sizeof *got);
    float *again = malloc(count * dimension * sizeof *again);
    unsigned seed = 1;
    for (size_t i = 0; i < count * image; i++) {
        seed = seed * 1664525U + 1013904223U;
        pixels[i] = (float)(seed >> 8) / 4194304.0F - 2.0F;
    }
    require(clipc_engine_encode_images(host, pixels, count, 0, expected, &error), &error);
    require(clipc_engine_encode_images(device, pixels, count, 0, got, &error), &error);
    report("images", limit, got, expected, count, dimension);
    require(clipc_engine_encode_images(device, pixels, count, 0, again, &error), &error);
    same_bits("images, run again", got, again, count * dimension);
    if (count > 1) { /* the same batch backwards */
        float *backwards = malloc(count * image * sizeof *pixels);
        for (size_t i = 0; i < count; i++)
            memcpy(backwards + i * image, pixels + (count - 1 - i) * image, image * sizeof *pixels);
        require(clipc_engine_encode_images(device, backwards, count, 0, again, &error), &error);
        int same = 1;
        for (size_t i = 0; i < count; i++)
            same &= memcmp(again + i * dimension, got + (count - 1 - i) * dimension, dimension * sizeof *got) == 0;
        printf("%s images, other places and neighbours: the same bits\n", same ? "ok   " : "WRONG");
        failures += !same;
        free(backwards);
    }
    free(pixels), free(expected), free(got), free(again);
}

static void check_texts(const clipc_model_info *info, clipc_engine *device, clipc_engine *host, double limit,
                        size_t count)
{
    clipc_error error;
    const size_t dimension = info->embedding_dimension;
    int32_t *ids = malloc(count * info->context_length * sizeof *ids);
    size_t *offsets = malloc((count + 1) * sizeof *offsets);
    float *expected = malloc(count * dimension * sizeof *expected);
    float *got = malloc(count * dimension * sizeof *got);
    float *again = malloc(count * dimension * sizeof *again);
    unsigned seed = 7;
    offsets[0] = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t length = i == 0 ? 12 : 1 + (i * 13) % info->context_length;
        offsets[i + 1] = offsets[i] + length;
        for (size_t t = 0; t < length; t++) {
            seed = seed * 1664525U + 1013904223U;
            ids[offsets[i] + t] = (int32_t)((seed >> 8) % info->vocabulary_size);
        }
    }
    require(clipc_engine_encode_tokens(host, ids, offsets, count, 0, expected, &error), &error);
    require(clipc_engine_encode_tokens(device, ids, offsets, count, 0, got, &error), &error);
    report("texts", limit, got, expected, count, dimension);
    require(clipc_engine_encode_tokens(device, ids, offsets, count, 0, again, &error), &error);
    same_bits("texts, run again", got, again, count * dimension);
    require(clipc_engine_encode_tokens(device, ids, offsets, 1, 0, again, &error), &error);
    report("one text", limit, again, expected, 1, dimension);
    free(ids), free(offsets), free(expected), free(got), free(again);
}

/* Texts alone, of lengths about the borders of tiles: they take a way of their own. */
static void check_lengths(const clipc_model_info *info, clipc_engine *device, clipc_engine *host, double limit)
{
    static const size_t lengths[] = {1, 2, 12, 15, 16, 17, 50, 64, 65, 77};
    clipc_error error;
    const size_t dimension = info->embedding_dimension;
    int32_t *ids = malloc(info->context_length * sizeof *ids);
    float *expected = malloc(dimension * sizeof *expected);
    float *got = malloc(dimension * sizeof *got);
    float *again = malloc(dimension * sizeof *again);
    unsigned seed = 11;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const size_t offsets[2] = {0, lengths[i]};
        if (lengths[i] > info->context_length)
            continue;
        for (size_t t = 0; t < lengths[i]; t++) {
            seed = seed * 1664525U + 1013904223U;
            ids[t] = (int32_t)((seed >> 8) % (info->vocabulary_size - 1));
        }
        ids[lengths[i] - 1] = (int32_t)info->vocabulary_size - 1; /* ends a text */
        require(clipc_engine_encode_tokens(host, ids, offsets, 1, 0, expected, &error), &error);
        require(clipc_engine_encode_tokens(device, ids, offsets, 1, 0, got, &error), &error);
        char what[64];
        snprintf(what, sizeof what, "a text of %zu tokens", lengths[i]);
        report(what, limit, got, expected, 1, dimension);
        int same = 1;
        for (int turn = 0; turn < 50; turn++) {
            require(clipc_engine_encode_tokens(device, ids, offsets, 1, 0, again, &error), &error);
            same &= memcmp(got, again, dimension * sizeof *got) == 0;
        }
        printf("%s %s, 50 times again: the same bits\n", same ? "ok   " : "WRONG", what);
        failures += !same;
    }
    free(ids), free(expected), free(got), free(again);
}

static void check_model(const char *architecture, size_t count, const char *precision)
{
    clipc_error error;
    clipc_model *model = NULL;
    if (architecture)
        require(clipc_model_create_random(architecture, 1, NULL, &model, &error), &error);
    else
        require(clipc_model_open(NULL, NULL, &model, &error), &error);
    clipc_model_info info = {.size = sizeof info};
    require(clipc_model_get_info(model, &info, &error), &error);
    clipc_engine *host = make_engine(model, "cpu", CLIPC_PRECISION_FP32, count);
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        const char *name = clipc_precision_name(precisions[i].precision);
        if (precision && strcmp(precision, name) != 0)
            continue;
        if (is_refused(&info, model, precisions[i].precision))
            continue;
        clipc_engine *device = make_engine(model, "cuda", precisions[i].precision, count);
        printf("%s, %s, %zu images and texts\n", info.name, name, count);
        check_images(&info, device, host, precisions[i].lowest, count);
        check_images(&info, device, host, precisions[i].lowest, 1);
        check_texts(&info, device, host, precisions[i].lowest, count);
        check_lengths(&info, device, host, precisions[i].lowest);
        clipc_engine_destroy(&device);
    }
    clipc_engine_destroy(&host);
    clipc_model_destroy(&model);
}

int main(int argc, char **argv)
{
    clipc_error error;
    size_t devices = 0;
    if (clipc_device_count("cuda", &devices, &error) != CLIPC_OK) {
        printf("%s: nothing was tested\n", error.message);
        return 77;
    }
    if (argc > 1) {
        check_model(argv[1], argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 3, argc > 3 ? argv[3] : NULL);
    } else {
        check_model(NULL, 40, NULL);
        check_model("ViT-B-32", 3, NULL);
        check_model("ViT-B-16-SigLIP2", 3, NULL);
        check_model("RN50", 3, NULL);
        check_model("RN50x4", 2, "fp16"); /* channels that are no multiple of 64 */
    }
    printf("%s\n", failures ? "FAILED" : "every tower is right");
    return failures ? 1 : 0;
}
