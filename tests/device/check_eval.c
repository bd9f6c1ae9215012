/* The demo model on real images: what its evaluation pictures become in every precision of the device beside fp32 on
 * the processor: the lowest cosine, and top-1 at most one point below. Usage: check_eval FOLDER, made by write_eval:
 * pixels, prompts and labels. */
#include "device_support.h"

#include "clipc/clipc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABELS 64
#define IMAGES 1000

static int failures;
static clipc_model_info info = {.size = sizeof info};
static uint8_t *bytes;
static size_t image_count;
static char prompts[LABELS][128];
static size_t label_count;
static size_t label_of[IMAGES];

static FILE *open_file(const char *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        printf("FAILED: %s cannot be opened\n", path);
        exit(3);
    }
    return file;
}

static void read_lines(const char *folder)
{
    char line[128];
    FILE *file = open_file(folder, "prompts.txt");
    while (label_count < LABELS && fgets(prompts[label_count], sizeof prompts[0], file)) {
        prompts[label_count][strcspn(prompts[label_count], "\n")] = '\0';
        label_count++;
    }
    fclose(file);
    file = open_file(folder, "labels.txt");
    while (image_count < IMAGES && fgets(line, sizeof line, file))
        label_of[image_count++] = (size_t)strtoul(line, NULL, 10);
    fclose(file);
}

/* A .npy file of uint8 [N, H, W, 3], whose header is 128 bytes as write_eval makes it. */
static void read_pixels(const char *folder)
{
    const size_t size = image_count * info.image_height * info.image_width * 3;
    FILE *file = open_file(folder, "pixels.npy");
    bytes = malloc(size);
    if (!bytes || fseek(file, 128, SEEK_SET) != 0 || fread(bytes, 1, size, file) != size) {
        printf("FAILED: %s/pixels.npy does not hold %zu images\n", folder, image_count);
        exit(3);
    }
    fclose(file);
}

struct embeddings {
    float *images;
    float *texts;
};

/* False when the backend has no such precision. */
static int embed(const clipc_model *model, const char *backend, clipc_precision precision, struct embeddings *out)
{
    clipc_error error;
    clipc_engine *engine = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = backend;
    config.precision = precision;
    config.max_batch = 256;
    const clipc_status status = clipc_engine_create(model, &config, &engine, &error);
    if (status == CLIPC_ERROR_UNSUPPORTED)
        return 0;
    require(status, &error);
    const size_t dimension = info.embedding_dimension;
    out->images = malloc(image_count * dimension * sizeof *out->images);
    out->texts = malloc(label_count * dimension * sizeof *out->texts);
    int32_t *ids = malloc(label_count * info.context_length * sizeof *ids);
    size_t offsets[LABELS + 1] = {0};
    for (size_t i = 0; i < label_count; i++) {
        size_t count = 0;
        require(clipc_model_tokenize(model, prompts[i], strlen(prompts[i]), ids + offsets[i], &count, &error), &error);
        offsets[i + 1] = offsets[i] + count;
    }
    require(clipc_engine_encode_bytes(engine, bytes, image_count, 0, out->images, &error), &error);
    require(clipc_engine_encode_tokens(engine, ids, offsets, label_count, 0, out->texts, &error), &error);
    clipc_engine_destroy(&engine);
    free(ids);
    return 1;
}

static double lowest_cosine(const float *a, const float *b, size_t rows)
{
    double lowest = 1;
    for (size_t i = 0; i < rows; i++) {
        double sum = 0;
        for (size_t d = 0; d < info.embedding_dimension; d++)
            sum += (double)a[i * info.embedding_dimension + d] * b[i * info.embedding_dimension + d];
        lowest = sum < lowest || isnan(sum) ? sum : lowest;
    }
    return lowest;
}

static size_t count_correct(const struct embeddings *with)
{
    float similarities[LABELS];
    size_t correct = 0;
    for (size_t i = 0; i < image_count; i++) {
        size_t best = 0;
        clipc_similarities(with->images + i * info.embedding_dimension, 1, with->texts, label_count,
                           info.embedding_dimension, similarities);
        for (size_t label = 1; label < label_count; label++)
            if (similarities[label] > similarities[best])
                best = label;
        correct += best == label_of[i];
    }
    return correct;
}

int main(int argc, char **argv)
{
    static const struct {
        clipc_precision precision;
        double cosine;
    } wanted[] = {{CLIPC_PRECISION_FP16, 0.9999},
                  {CLIPC_PRECISION_BF16, 0.999},
                  {CLIPC_PRECISION_FP8, 0.99},
                  {CLIPC_PRECISION_INT8, 0.99}};
    clipc_error error;
    size_t devices = 0;
    if (argc != 2) {
        printf("usage: check_eval FOLDER\n");
        return 2;
    }
    if (clipc_device_count("cuda", &devices, &error) != CLIPC_OK) {
        printf("%s: nothing was tested\n", error.message);
        return 77;
    }
    clipc_model *model = NULL;
    require(clipc_model_open(NULL, NULL, &model, &error), &error);
    require(clipc_model_get_info(model, &info, &error), &error);
    read_lines(argv[1]);
    read_pixels(argv[1]);
    struct embeddings truth;
    struct embeddings got;
    if (!embed(model, "cpu", CLIPC_PRECISION_FP32, &truth))
        return 3;
    const size_t best = count_correct(&truth);
    printf("fp32 on the processor: top-1 %zu of %zu\n", best, image_count);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (!embed(model, "cuda", wanted[i].precision, &got))
            continue;
        const double images = lowest_cosine(got.images, truth.images, image_count);
        const double texts = lowest_cosine(got.texts, truth.texts, label_count);
        const size_t correct = count_correct(&got);
        const int good = images >= wanted[i].cosine && texts >= wanted[i].cosine &&
                         (double)correct >= (double)best - 0.01 * (double)image_count;
        printf("%s %s: lowest cosine of images %.6f, of texts %.6f; top-1 %zu of %zu\n", good ? "ok   " : "WRONG",
               clipc_precision_name(wanted[i].precision), images, texts, correct, image_count);
        failures += !good;
        free(got.images), free(got.texts);
    }
    free(truth.images), free(truth.texts), free(bytes);
    clipc_model_destroy(&model);
    printf("%s\n", failures ? "FAILED" : "the evaluation agrees");
    return failures ? 1 : 0;
}
