/* Zero-shot classification with the library: classify IMAGE LABEL LABEL... */
#include <clipc/clipc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define MAX_LABELS 64

static int classify(const clipc_model *model, clipc_engine *engine, const char *path, char **labels, size_t count)
{
    clipc_error error = {CLIPC_ERROR_MEMORY, "out of memory"};
    clipc_model_info info = {.size = sizeof info};
    clipc_model_get_info(model, &info, NULL);
    const size_t dimension = info.embedding_dimension;
    float *pixels = malloc(3 * info.image_height * info.image_width * sizeof *pixels);
    float *image = malloc(dimension * sizeof *image);
    float *texts = malloc(count * dimension * sizeof *texts);
    int32_t *ids = malloc(count * info.context_length * sizeof *ids);
    size_t offsets[MAX_LABELS + 1] = {0};
    float scores[MAX_LABELS];
    clipc_status status = pixels && image && texts && ids ? CLIPC_OK : CLIPC_ERROR_MEMORY;
    for (size_t i = 0; i < count && status == CLIPC_OK; i++) {
        char prompt[256];
        size_t length = 0;
        snprintf(prompt, sizeof prompt, "a photo of a %s", labels[i]);
        status = clipc_model_tokenize(model, prompt, strlen(prompt), ids + offsets[i], &length, &error);
        offsets[i + 1] = offsets[i] + length;
    }
    if (status == CLIPC_OK)
        status = clipc_engine_encode_tokens(engine, ids, offsets, count, 0, texts, &error);
    if (status == CLIPC_OK)
        status = clipc_model_preprocess_file(model, path, NULL, pixels, &error);
    if (status == CLIPC_OK)
        status = clipc_engine_encode_images(engine, pixels, 1, 0, image, &error);
    if (status == CLIPC_OK) {
        clipc_similarities(image, 1, texts, count, dimension, scores);
        clipc_scores(scores, count, info.logit_scale, scores);
        for (size_t i = 0; i < count; i++)
            printf("%6.2f %%  %s\n", 100.0 * (double)scores[i], labels[i]);
    } else
        fprintf(stderr, "classify: %s\n", error.message);
    free(pixels), free(image), free(texts), free(ids);
    return status == CLIPC_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    clipc_error error = {CLIPC_OK, "usage: classify IMAGE LABEL LABEL..."};
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    int result = 1;
    if (argc < 3 || argc > MAX_LABELS + 2 ||
        clipc_model_open(getenv("CLIPC_MODEL"), NULL, &model, &error) != CLIPC_OK ||
        clipc_engine_create(model, NULL, &engine, &error) != CLIPC_OK)
        fprintf(stderr, "classify: %s\n", error.message);
    else
        result = classify(model, engine, argv[1], argv + 2, (size_t)argc - 2);
    clipc_engine_destroy(&engine);
    clipc_model_destroy(&model);
    return result;
}
