/* Zero-shot classification with the library: classify IMAGE LABEL LABEL... */
#include <clipc/clipc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LABELS 64
#define PLACE      "{}" /* of the label in the model's template */

/* Tokenizes the template with the label in its place. */
static clipc_status tokenize_label(const clipc_model *model, const clipc_model_info *info, const char *label,
                                   int32_t *ids, size_t *count, clipc_error *error)
{
    const char *template = info->default_template;
    const char *place = strstr(template, PLACE);
    const char *rest = place ? place + strlen(PLACE) : "";
    const int before = (int)(place ? (size_t)(place - template) : strlen(template));
    char prompt[512];
    const int length = snprintf(prompt, sizeof prompt, "%.*s%s%s", before, template, label, rest);
    if (length < 0 || (size_t)length >= sizeof prompt) {
        snprintf(error->message, sizeof error->message, "the label '%.40s…' is too long", label);
        return error->status = CLIPC_ERROR_ARGUMENT;
    }
    return clipc_model_tokenize(model, prompt, (size_t)length, ids, count, error);
}

static clipc_status classify(const clipc_model *model, clipc_engine *engine, const char *path, char **labels,
                             size_t count, clipc_error *error)
{
    clipc_model_info info = {.size = sizeof info};
    clipc_status status = clipc_model_get_info(model, &info, error);
    if (status != CLIPC_OK)
        return status;
    const size_t dimension = info.embedding_dimension;
    float *pixels = malloc(3 * info.image_height * info.image_width * sizeof *pixels);
    float *image = malloc(dimension * sizeof *image);
    float *texts = malloc(count * dimension * sizeof *texts);
    int32_t *ids = malloc(count * info.context_length * sizeof *ids);
    size_t offsets[MAX_LABELS + 1] = {0};
    float scores[MAX_LABELS];
    if (!pixels || !image || !texts || !ids) {
        snprintf(error->message, sizeof error->message, "out of memory");
        status = CLIPC_ERROR_MEMORY;
    }
    for (size_t i = 0; i < count && status == CLIPC_OK; i++) {
        size_t length = 0;
        status = tokenize_label(model, &info, labels[i], ids + offsets[i], &length, error);
        offsets[i + 1] = offsets[i] + length;
    }
    if (status == CLIPC_OK)
        status = clipc_engine_encode_tokens(engine, ids, offsets, count, 0, texts, error);
    if (status == CLIPC_OK)
        status = clipc_model_preprocess_file(model, path, NULL, pixels, error);
    if (status == CLIPC_OK)
        status = clipc_engine_encode_images(engine, pixels, 1, 0, image, error);
    if (status == CLIPC_OK) {
        clipc_similarities(image, 1, texts, count, dimension, scores);
        clipc_scores(scores, count, info.logit_scale, scores);
        for (size_t i = 0; i < count; i++)
            printf("%6.2f %%  %s\n", 100.0 * (double)scores[i], labels[i]);
    }
    free(pixels), free(image), free(texts), free(ids);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > MAX_LABELS + 2) {
        fprintf(stderr, "usage: classify IMAGE LABEL LABEL... (at most %d labels)\n", MAX_LABELS);
        return 2;
    }
    clipc_error error = {0};
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    clipc_status status = clipc_model_open(getenv("CLIPC_MODEL"), NULL, &model, &error);
    if (status == CLIPC_OK)
        status = clipc_engine_create(model, NULL, &engine, &error);
    if (status == CLIPC_OK)
        status = classify(model, engine, argv[1], argv + 2, (size_t)argc - 2, &error);
    if (status != CLIPC_OK)
        fprintf(stderr, "classify: %s\n", error.message);
    clipc_engine_destroy(&engine);
    clipc_model_destroy(&model);
    return status == CLIPC_OK ? 0 : 1;
}
