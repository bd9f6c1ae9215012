/* A model of ONNX graphs: one for each tower, or one with both. */
#include "base/memory.h"
#include "model/directory.h"
#include "onnx/import.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Entries of CLIP's vocabulary, which comes with the library. */
#define CLIP_VOCABULARY ((size_t)49408)
/* What OpenAI's models were trained to, and clip their scale at. */
#define OPENAI_LOGIT_SCALE 100.0F

/* ---- files ---- */

/* A file that lies beside a graph; once, however many weights refer to it. */
static clipc_status find_external(void *user, const char *location, const uint8_t **bytes, size_t *size,
                                  clipc_error *error)
{
    clipc_model *model = user;
    clipc_model_file_entry *entry = NULL;
    const size_t directory = strlen(model->directory);
    for (size_t i = 0; i < model->file_count && !entry; i++) {
        const char *path = model->files[i].path;
        const size_t length = strlen(path);
        if (length == directory + 1 + strlen(location) && strncmp(path, model->directory, directory) == 0 &&
            strcmp(path + length - strlen(location), location) == 0)
            entry = &model->files[i];
    }
    if (!entry)
        CLIPC_TRY(clipc_directory_add(model, location, 0, &entry, error));
    *bytes = entry->file.bytes;
    *size = entry->file.size;
    return CLIPC_OK;
}

static clipc_status set_directory(clipc_model *model, const char *path, const char **file, clipc_error *error)
{
    const char *slash = strrchr(path, '/');
    const size_t length = slash ? (size_t)(slash - path) : 0;
    char *directory = clipc_duplicate_text(slash ? (length ? path : "/") : ".");
    if (!directory)
        return clipc_fail_memory(error, strlen(path) + 1, "a directory's name");
    if (length)
        directory[length] = '\0';
    clipc_free(model->directory);
    model->directory = directory;
    *file = slash ? slash + 1 : path;
    return CLIPC_OK;
}

static clipc_status read_graph(clipc_model *model, const char *path, size_t index, clipc_error *error)
{
    const char *file = NULL;
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(set_directory(model, path, &file, error));
    CLIPC_TRY(clipc_directory_add(model, file, 0, &entry, error));
    model->graphs[index] = clipc_allocate(1, sizeof *model->graphs[index]);
    if (!model->graphs[index])
        return clipc_fail_memory(error, sizeof *model->graphs[index], "a graph");
    const clipc_onnx_external external = {find_external, model};
    return clipc_onnx_import_read(entry->file.bytes, entry->file.size, entry->path, &external, model->graphs[index],
                                  error);
}

/* ---- towers ---- */

/* Moves a tower from the graph to the model. */
static clipc_status take_tower(clipc_model *model, clipc_onnx_import *graph, bool image, const char *path,
                               clipc_error *error)
{
    clipc_config *config = &model->config;
    CLIPC_FAIL_IF(clipc_config_has_tower(config, image), error, CLIPC_ERROR_ARGUMENT,
                  "%s: is %s tower again; one graph of each is wanted", path, image ? "an image" : "a text");
    CLIPC_FAIL_IF(config->embedding_dimension && config->embedding_dimension != graph->config.embedding_dimension,
                  error, CLIPC_ERROR_FORMAT, "%s: its embeddings have %zu dimensions, the other tower's %zu", path,
                  graph->config.embedding_dimension, config->embedding_dimension);
    config->embedding_dimension = graph->config.embedding_dimension;
    if (image) {
        clipc_config_take_image(config, &graph->config);
        model->weights.image = graph->weights.image;
        graph->weights.image.layers = NULL;
        graph->weights.image.convolutions = NULL;
    } else {
        clipc_config_take_text(config, &graph->config);
        model->weights.text = graph->weights.text;
        graph->weights.text.layers = NULL;
    }
    return CLIPC_OK;
}

/* ---- what the metadata say ---- */

static clipc_status read_rule(clipc_model *model, const clipc_onnx_import *graph, const char *path, clipc_error *error)
{
    if (!graph->preprocessing) {
        model->preprocess = clipc_config_is_siglip(&model->config)
                                ? clipc_preprocess_rule_siglip(model->config.image_size)
                                : clipc_preprocess_rule_openai(model->config.image_size);
        model->preprocess.order = CLIPC_ORDER_TORCHVISION;
        return CLIPC_OK;
    }
    CLIPC_TRY(clipc_preprocess_rule_parse(graph->preprocessing, strlen(graph->preprocessing), path, &model->preprocess,
                                          error));
    const char *order = graph->preprocessing_order;
    const bool torchvision = order && strcmp(order, "torchvision") == 0;
    CLIPC_FAIL_IF(order && !torchvision && strcmp(order, "transformers") != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: unknown clipc.preprocessing_order '%s'", path, order);
    model->preprocess.order = torchvision ? CLIPC_ORDER_TORCHVISION : CLIPC_ORDER_TRANSFORMERS;
    return CLIPC_OK;
}

static clipc_status read_number(const char *key, const char *text, const char *path, float *out, clipc_error *error)
{
    char *end = NULL;
    *out = strtof(text, &end);
    CLIPC_FAIL_IF(end == text || *end || !isfinite(*out), error, CLIPC_ERROR_FORMAT,
                  "%s: %s is '%s', which is no usable number", path, key, text);
    return CLIPC_OK;
}

/* Scores are sigmoids where there is a bias. */
static clipc_status read_scores(clipc_model *model, const clipc_onnx_import *graph, const char *path,
                                clipc_error *error)
{
    CLIPC_TRY(read_number("logit_scale", graph->logit_scale, path, &model->weights.logit_scale, error));
    CLIPC_FAIL_IF(model->weights.logit_scale <= 0, error, CLIPC_ERROR_FORMAT,
                  "%s: logit_scale is '%s', which is no usable number", path, graph->logit_scale);
    if (!graph->logit_bias)
        return CLIPC_OK;
    model->config.scoring = CLIPC_SCORING_SIGMOID;
    return read_number("logit_bias", graph->logit_bias, path, &model->weights.logit_bias, error);
}

static clipc_status read_metadata(clipc_model *model, const char *const paths[2], const clipc_model_config *given,
                                  const char **template_text, clipc_error *error)
{
    const clipc_onnx_import *scale = NULL;
    const char *scale_path = paths[0];
    for (size_t i = 0; i < 2 && model->graphs[i]; i++) {
        const clipc_onnx_import *graph = model->graphs[i];
        *template_text = *template_text ? *template_text : graph->template_text;
        scale_path = scale ? scale_path : paths[i];
        scale = scale || !graph->logit_scale ? scale : graph;
        if (graph->image)
            CLIPC_TRY(read_rule(model, graph, paths[i], error));
    }
    model->weights.logit_scale = OPENAI_LOGIT_SCALE;
    if (scale)
        return read_scores(model, scale, scale_path, error);
    clipc_model_log(given, CLIPC_LOG_INFO, "%s: no metadata: pixels and logit scale (100) are OpenAI's", model->path);
    return CLIPC_OK;
}

static clipc_status read_tokenizer(clipc_model *model, clipc_error *error)
{
    bool found = false;
    if (!clipc_config_has_tower(&model->config, false))
        return CLIPC_OK;
    CLIPC_TRY(clipc_directory_read_tokenizer(model, CLIPC_CLEAN_NOTHING, &found, error));
    if (!found && model->config.vocabulary_size == CLIP_VOCABULARY)
        return clipc_demo_tokenizer(model->config.vocabulary_size, &model->tokenizer, error);
    CLIPC_FAIL_IF(!found, error, CLIPC_ERROR_NOT_FOUND,
                  "%s: its vocabulary of %zu is not CLIP's of 49408, and neither tokenizer.json nor vocab.json and "
                  "merges.txt lie beside it",
                  model->path, model->config.vocabulary_size);
    return CLIPC_OK;
}

/* ---- models ---- */

clipc_status clipc_model_fill_onnx(clipc_model *model, const char *const paths[2], const clipc_model_config *config,
                                   clipc_error *error)
{
    const char *template_text = NULL;
    bool integers = false;
    model->family = &clipc_family_transformers;
    model->config = clipc_config_clip();
    for (size_t i = 0; i < 2 && paths[i]; i++) {
        CLIPC_TRY(read_graph(model, paths[i], i, error));
        clipc_onnx_import *graph = model->graphs[i];
        if (graph->image)
            CLIPC_TRY(take_tower(model, graph, true, paths[i], error));
        if (graph->text)
            CLIPC_TRY(take_tower(model, graph, false, paths[i], error));
        integers = integers || graph->integers;
    }
    CLIPC_TRY(clipc_config_check_parts(&model->config, paths[0], error));
    model->family = clipc_family_of_transformers(&model->config);
    model->format = integers ? "ONNX graphs, dynamically quantised" : "ONNX graphs";
    CLIPC_TRY(read_metadata(model, paths, config, &template_text, error));
    CLIPC_TRY(read_tokenizer(model, error));
    return clipc_model_finish(model, paths[0], template_text, paths[0], error);
}

/* Each graph must hold the tower that it was named for: both at once may be swapped. */
static clipc_status check_towers(const clipc_model *model, const char *visual, const char *textual, clipc_error *error)
{
    CLIPC_FAIL_IF(visual && !model->graphs[0]->image, error, CLIPC_ERROR_ARGUMENT,
                  "%s: is given as the image tower, but holds no image tower", visual);
    CLIPC_FAIL_IF(textual && !model->graphs[visual ? 1 : 0]->text, error, CLIPC_ERROR_ARGUMENT,
                  "%s: is given as the text tower, but holds no text tower", textual);
    return CLIPC_OK;
}

clipc_status clipc_model_open_graphs(const char *visual, const char *textual, const clipc_model_config *config,
                                     clipc_model **out, clipc_error *error)
{
    const char *const paths[2] = {visual ? visual : textual, visual ? textual : NULL};
    const char *slash = strrchr(paths[0], '/');
    clipc_status status = CLIPC_OK;
    CLIPC_CHECK(clipc_model_allocate(slash ? slash + 1 : paths[0], paths[0], out, error));
    CLIPC_CHECK(clipc_model_fill_onnx(*out, paths, config, error));
    CLIPC_CHECK(check_towers(*out, visual, textual, error));
    return CLIPC_OK;
fail:
    clipc_model_release(out);
    return status;
}
