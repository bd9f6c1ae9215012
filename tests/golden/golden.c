/* Compares the towers with transformers, on every backend and every instruction set this machine has:
 *
 *     golden DIRECTORY...     directories that hold a model and its expected.safetensors
 *     golden --demo           the embedded demo model
 *
 * Prints the largest difference of a component of the unit embeddings and the smallest cosine as a table, and fails
 * when one is beyond the limit of its precision.
 */
#include "backend/backend.h"
#include "base/cpu_features.h"
#include "golden/expected.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-5

/* The reduced precisions, held to a cosine of each embedding with transformers' fp32. */
static const struct {
    clipc_precision precision;
    double cosine;
} limits[] = {{CLIPC_PRECISION_FP32, 0.999999}, {CLIPC_PRECISION_BF16, 0.9995}, {CLIPC_PRECISION_INT8, 0.995}};

static double cosine_limit(clipc_precision precision)
{
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (limits[i].precision == precision)
            return limits[i].cosine;
    return 1.0;
}

/* Smallest cosine of unit rows; -1 when a number is not finite. */
static double smallest_cosine(const float *a, const float *b, size_t rows, size_t dimension)
{
    double smallest = 1.0;
    for (size_t row = 0; row < rows; row++) {
        double product = 0.0;
        for (size_t i = 0; i < dimension; i++)
            product += (double)a[row * dimension + i] * (double)b[row * dimension + i];
        if (!(product >= smallest))
            smallest = isnan(product) ? -1.0 : product;
    }
    return smallest;
}

/* Largest |a − b|; infinite when a number is not finite. */
static double largest_difference(const float *a, const float *b, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= largest))
            largest = isnan(difference) ? INFINITY : difference;
    }
    return largest;
}

/* logits = logit_scale × cosine + logit_bias: their bound follows from that of the embeddings' components, each row
 * having unit length: |Δcosine| ≤ |Δa| + |Δb|, |Δ| ≤ √dimension × tolerance. */
static bool check_logits(const expected *want, const float *image, const float *text, const clipc_model_info *info)
{
    if (!want->logits_per_image)
        return true;
    const size_t count = want->images * want->texts;
    const float logit_scale = info->logit_scale;
    float *logits = malloc(count * sizeof *logits);
    if (!logits)
        return false;
    clipc_similarities(image, want->images, text, want->texts, want->dimension, logits);
    for (size_t i = 0; i < count; i++)
        logits[i] = logits[i] * logit_scale + info->logit_bias;
    const double difference = largest_difference(logits, want->logits_per_image, count);
    free(logits);
    const double bound = (double)logit_scale * 2 * sqrt((double)want->dimension) * TOLERANCE;
    if (!(difference <= bound))
        fprintf(stderr, "logits_per_image differ by %.2e, more than %.2e\n", difference, bound);
    return difference <= bound;
}

static clipc_status compare_engine(const clipc_model *model, const clipc_engine_config *config, const char *name,
                                   const expected *want, bool *good, clipc_error *error)
{
    clipc_engine *engine = NULL;
    float *image = calloc(want->images, want->dimension * sizeof *image);
    float *text = calloc(want->texts, want->dimension * sizeof *text);
    clipc_status status = image && text ? CLIPC_OK : clipc_fail(error, CLIPC_ERROR_MEMORY, "out of memory");
    if (status != CLIPC_OK)
        goto fail;
    status = clipc_engine_create(model, config, &engine, error);
    if (status == CLIPC_ERROR_UNSUPPORTED && config->precision == CLIPC_PRECISION_INT8 &&
        clipc_config_is_resnet(&model->config)) { /* refused, as documented */
        status = CLIPC_OK;
        goto fail;
    }
    CLIPC_CHECK(status);

    clipc_model_info model_info = {.size = sizeof model_info};
    CLIPC_CHECK(clipc_model_get_info(model, &model_info, error));
    clipc_engine_info info = {.size = sizeof info};
    CLIPC_CHECK(clipc_engine_get_info(engine, &info, error));
    if (config->cpu_level && strcmp(info.isa, config->cpu_level) != 0)
        goto fail; /* nothing differs from the level below */
    CLIPC_CHECK(clipc_engine_encode_images(engine, want->pixels, want->images, 0, image, error));
    CLIPC_CHECK(clipc_engine_encode_tokens(engine, want->ids, want->offsets, want->texts, 0, text, error));

    const double image_difference = largest_difference(image, want->image_embeds, want->images * want->dimension);
    const double text_difference = largest_difference(text, want->text_embeds, want->texts * want->dimension);
    const double image_cosine = smallest_cosine(image, want->image_embeds, want->images, want->dimension);
    const double text_cosine = smallest_cosine(text, want->text_embeds, want->texts, want->dimension);
    printf("| %-14s | %-7s | %-12s | %-9s | %.1e | %.1e | %.6f | %.6f |\n", name, info.backend, info.isa,
           clipc_precision_name(info.precision), image_difference, text_difference, image_cosine, text_cosine);
    if (info.precision == CLIPC_PRECISION_FP32)
        *good = *good && image_difference <= TOLERANCE && text_difference <= TOLERANCE &&
                check_logits(want, image, text, &model_info);
    const double limit = cosine_limit(info.precision);
    if (image_cosine < limit || text_cosine < limit) {
        fprintf(stderr, "%s at %s on %s: a cosine is below %.6f\n", name, clipc_precision_name(info.precision),
                info.isa, limit);
        *good = false;
    }
fail:
    clipc_engine_destroy(&engine);
    free(image);
    free(text);
    return status;
}

/* `path` NULL: the demo model. */
static clipc_status compare_model(const char *path, const char *expected_path, const char *name, bool *good,
                                  clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    clipc_model *model = NULL;
    expected want = {0};
    clipc_cpu_level best = CLIPC_CPU_C;
    clipc_engine_config config;
    clipc_engine_config_init(&config);

    CLIPC_CHECK(expected_open(expected_path, &want, error));
    CLIPC_CHECK(clipc_model_open(path, NULL, &model, error));
    config.backend = "ref";
    config.precision = CLIPC_PRECISION_FP32;
    CLIPC_CHECK(compare_engine(model, &config, name, &want, good, error));
    config.backend = "cpu";
    CLIPC_CHECK(clipc_cpu_level_detect(&best, error));
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        config.precision = limits[i].precision;
        for (clipc_cpu_level level = CLIPC_CPU_C; level <= best; level++) {
            config.cpu_level = clipc_cpu_level_name(level);
            CLIPC_CHECK(compare_engine(model, &config, name, &want, good, error));
        }
    }
fail:
    clipc_model_destroy(&model);
    expected_close(&want);
    return status;
}

int main(int argc, char **argv)
{
    bool good = true;
    printf("| model          | backend | level        | precision | images  | texts   | cosine   | cosine   |\n");
    printf("| -------------- | ------- | ------------ | --------- | ------- | ------- | -------- | -------- |\n");
    for (int i = 1; i < argc; i++) {
        clipc_error error = {0};
        clipc_status status;
        if (strcmp(argv[i], "--demo") == 0) {
            status = compare_model(NULL, CLIPC_SOURCE_DIR "/models/demo/reference.safetensors", "demo", &good, &error);
        } else {
            const char *slash = strrchr(argv[i], '/');
            char path[4096];
            snprintf(path, sizeof path, "%s/expected.safetensors", argv[i]);
            status = compare_model(argv[i], path, slash ? slash + 1 : argv[i], &good, &error);
        }
        if (status != CLIPC_OK) {
            fprintf(stderr, "%s: %s\n", argv[i], error.message);
            return 1;
        }
    }
    if (!good)
        fprintf(stderr, "a difference is over %.0e, or a cosine below its limit\n", TOLERANCE);
    return argc < 2 || !good;
}
