/* The demo model on its evaluation images, in every precision of the device: the lowest cosine to the CPU backend in
 * fp32, and zero-shot top-1, which may be one point lower. Usage: check_eval models/demo/eval */
#include "clipc/clipc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1000, LABELS = 100, TEXT = 128 };

static const struct {
    clipc_precision precision;
    double lowest;
} precisions[] = {{CLIPC_PRECISION_FP16, 0.9999},
                  {CLIPC_PRECISION_BF16, 0.999},
                  {CLIPC_PRECISION_FP8, 0.99},
                  {CLIPC_PRECISION_INT8, 0.99}};

typedef struct task {
    size_t images, labels, dimension;
    char label[LABELS][TEXT];
    size_t truth[MOST];
    float *pixels;
    int32_t *ids;
    size_t offsets[LABELS + 1];
} task;

static clipc_error error;

static void must(clipc_status status)
{
    if (status == CLIPC_OK)
        return;
    printf("FAILED: %s\n", error.message);
    exit(3);
}

static FILE *open_file(const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file) {
        printf("FAILED: %s cannot be read\n", path);
        exit(3);
    }
    return file;
}

static void read_labels(task *work, const char *folder, const clipc_model *model, const clipc_model_info *info)
{
    FILE *file = open_file(folder, "labels.txt");
    work->ids = calloc(LABELS * info->context_length, sizeof *work->ids);
    char *label = work->label[0];
    while (work->labels < LABELS - 1 && fgets(label, TEXT, file)) {
        char prompt[2 * TEXT];
        size_t count = 0;
        label[strcspn(label, "\r\n")] = 0;
        snprintf(prompt, sizeof prompt, "a picture of %s %s", strchr("aeiou", label[0]) ? "an" : "a", label);
        int32_t *ids = work->ids + work->offsets[work->labels];
        must(clipc_model_tokenize(model, prompt, strlen(prompt), ids, &count, &error));
        work->offsets[work->labels + 1] = work->offsets[work->labels] + count;
        label = work->label[++work->labels];
    }
    fclose(file);
}

static void read_images(task *work, const char *folder, const clipc_model *model, const clipc_model_info *info)
{
    const size_t image = 3 * info->image_height * info->image_width;
    FILE *file = open_file(folder, "labels.tsv");
    work->pixels = calloc(MOST * image, sizeof *work->pixels);
    char line[1024];
    while (work->images < MOST && fgets(line, sizeof line, file)) {
        char path[2048];
        char *tab = strchr(line, '\t');
        line[strcspn(line, "\r\n")] = 0;
        if (!tab)
            continue;
        *tab = 0;
        while (work->truth[work->images] < work->labels &&
               strcmp(tab + 1, work->label[work->truth[work->images]]) != 0)
            work->truth[work->images]++;
        snprintf(path, sizeof path, "%s/%s", folder, line);
        must(clipc_model_preprocess_file(model, path, NULL, work->pixels + work->images * image, &error));
        work->images++;
    }
    fclose(file);
}

/* Unit embeddings of images and labels: [images + labels, dimension]. */
static float *encode(const task *work, const clipc_model *model, const char *backend, clipc_precision precision)
{
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = backend;
    config.precision = precision;
    config.max_batch = MOST;
    clipc_engine *engine = NULL;
    float *rows = calloc((work->images + work->labels) * work->dimension, sizeof *rows);
    must(clipc_engine_create(model, &config, &engine, &error));
    must(clipc_engine_encode_images(engine, work->pixels, work->images, 0, rows, &error));
    must(clipc_engine_encode_tokens(engine, work->ids, work->offsets, work->labels, 0,
                                    rows + work->images * work->dimension, &error));
    clipc_engine_destroy(&engine);
    return rows;
}

static double dot(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static size_t count_correct(const task *work, const float *rows)
{
    size_t correct = 0;
    for (size_t i = 0; i < work->images; i++) {
        size_t best = 0;
        double highest = -2;
        for (size_t l = 0; l < work->labels; l++) {
            const double value =
                dot(rows + i * work->dimension, rows + (work->images + l) * work->dimension, work->dimension);
            best = value > highest ? l : best;
            highest = value > highest ? value : highest;
        }
        correct += best == work->truth[i];
    }
    return correct;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        printf("usage: check_eval models/demo/eval\n");
        return 2;
    }
    static task work;
    clipc_model *model = NULL;
    clipc_model_info info = {.size = sizeof info};
    must(clipc_model_open(NULL, NULL, &model, &error));
    must(clipc_model_get_info(model, &info, &error));
    work.dimension = info.embedding_dimension;
    read_labels(&work, argv[1], model, &info);
    read_images(&work, argv[1], model, &info);
    float *expected = encode(&work, model, "cpu", CLIPC_PRECISION_FP32);
    const size_t reference = count_correct(&work, expected);
    printf("cpu fp32: top-1 %zu/%zu\n", reference, work.images);
    int failures = 0;
    for (size_t p = 0; p < sizeof precisions / sizeof *precisions; p++) {
        float *rows = encode(&work, model, "cuda", precisions[p].precision);
        double lowest[2] = {2, 2};
        double mean[2] = {0, 0};
        for (size_t i = 0; i < work.images + work.labels; i++) {
            const int text = i >= work.images;
            const double value = dot(rows + i * work.dimension, expected + i * work.dimension, work.dimension);
            lowest[text] = value < lowest[text] || isnan(value) ? value : lowest[text];
            mean[text] += value / (double)(text ? work.labels : work.images);
        }
        const size_t correct = count_correct(&work, rows);
        const int good = lowest[0] >= precisions[p].lowest && lowest[1] >= precisions[p].lowest &&
                         (correct + work.images / 100 >= reference);
        printf("%s cuda %s: top-1 %zu/%zu; cosine to fp32, lowest and mean: images %.6f %.6f, texts %.6f %.6f\n",
               good ? "ok   " : "WRONG", clipc_precision_name(precisions[p].precision), correct, work.images,
               lowest[0], mean[0], lowest[1], mean[1]);
        failures += !good;
        free(rows);
    }
    free(expected), free(work.pixels), free(work.ids);
    clipc_model_destroy(&model);
    printf("%s\n", failures ? "FAILED" : "every precision is right");
    return failures ? 1 : 0;
}
