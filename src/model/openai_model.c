/* A model with the names of OpenAI's CLIP or of open_clip: an archive of OpenAI's, or a state dict with or without
 * open_clip's config. */
#include "base/memory.h"
#include "model/derive_config.h"
#include "model/directory.h"

#include <stdio.h>
#include <string.h>

#define OPEN_CLIP_CONFIG "open_clip_config.json"
/* Entries of CLIP's vocabulary, which comes with the library. */
#define CLIP_VOCABULARY ((size_t)49408)

/* What is known of the model while its parts are read. */
typedef struct source {
    clipc_weight_files weights;
    bool is_openai;  /* an archive of OpenAI's, whose every number is known */
    bool has_config; /* `config` was read from a file */
    clipc_open_clip_config config;
    clipc_activation activation;
} source;

/* ---- which tower is there ---- */

static bool has_prefix(const clipc_weight_files *in, const char *prefix)
{
    for (size_t i = 0; i < in->count; i++)
        for (size_t j = 0; j < in->files[i].tensors->count; j++)
            if (strncmp(in->files[i].tensors->by_name[j]->name, prefix, strlen(prefix)) == 0)
                return true;
    return false;
}

static void explain_absent_image(const source *from, char text[CLIPC_ABSENT_TEXT])
{
    const clipc_weight_files *in = &from->weights;
    if (has_prefix(in, "visual.trunk."))
        snprintf(text, CLIPC_ABSENT_TEXT, "an image tower of timm: not supported yet");
    else if (has_prefix(in, "visual."))
        snprintf(text, CLIPC_ABSENT_TEXT, "an image tower that is no vision transformer: not supported yet");
}

static void explain_absent_text(const source *from, char text[CLIPC_ABSENT_TEXT])
{
    if (has_prefix(&from->weights, "text."))
        snprintf(text, CLIPC_ABSENT_TEXT, "a text tower of Hugging Face: not supported yet");
}

/* ---- config ---- */

/* OpenAI's archives are TorchScript modules; their state dicts keep three numbers that no other model has. */
static bool is_openai_archive(const clipc_model *model, const clipc_weight_files *in)
{
    for (size_t i = 0; i < model->file_count; i++)
        if (model->files[i].torch_file && clipc_torch_file_is_script(model->files[i].torch_file))
            return true;
    return clipc_weight_files_find(in->files, in->count, "input_resolution") &&
           clipc_weight_files_find(in->files, in->count, "context_length") &&
           clipc_weight_files_find(in->files, in->count, "vocab_size");
}

static clipc_status read_config(clipc_model *model, source *from, clipc_error *error)
{
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(clipc_directory_add(model, OPEN_CLIP_CONFIG, CLIPC_MAX_JSON_SIZE, &entry, error));
    from->has_config = true;
    return clipc_open_clip_config_parse(entry->file.bytes, entry->file.size, entry->path, &from->config, error);
}

static clipc_status parse_activation(const char *name, clipc_activation *out, clipc_error *error)
{
    for (clipc_activation known = CLIPC_ACTIVATION_QUICK_GELU; known <= CLIPC_ACTIVATION_GELU_TANH; known++) {
        if (strcmp(clipc_activation_name(known), name) == 0) {
            *out = known;
            return CLIPC_OK;
        }
    }
    return clipc_fail(error, CLIPC_ERROR_ARGUMENT,
                      "clipc_model_config: activation '%s' is none of quick_gelu, gelu and gelu_tanh", name);
}

/* Nothing in a state dict tells whether it computes QuickGELU, and a wrong guess gives wrong embeddings without a
 * word. */
static clipc_status settle_activation(const clipc_model *model, const clipc_model_config *given, source *from,
                                      clipc_error *error)
{
    const char *wanted = given ? given->activation : NULL;
    if (wanted)
        CLIPC_TRY(parse_activation(wanted, &from->activation, error));
    if (from->has_config || from->is_openai) {
        from->activation = /* clipc_model_open refuses another that is wanted */
            from->has_config && !from->is_openai ? from->config.text.activation : CLIPC_ACTIVATION_QUICK_GELU;
        return CLIPC_OK;
    }
    CLIPC_FAIL_IF(!wanted, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: no " OPEN_CLIP_CONFIG " beside it tells whether the model computes quick_gelu or gelu; say it "
                  "with --activation",
                  model->path);
    return CLIPC_OK;
}

/* Towers that are there, but that clipc cannot run by what the config says of them. */
static void leave_out(clipc_model *model, const source *from, bool *image, bool *text)
{
    const char *image_reason = from->has_config ? from->config.image.unknown : NULL;
    const char *text_reason = !from->has_config           ? NULL
                              : from->config.text.unknown ? from->config.text.unknown
                                                          : from->config.unknown_tokenizer;
    if (*image && image_reason)
        *image = false;
    if (!*image && image_reason)
        snprintf(model->absent[true], CLIPC_ABSENT_TEXT, "%s: not supported yet", image_reason);
    else if (!*image)
        explain_absent_image(from, model->absent[true]);
    if (*text && text_reason)
        *text = false;
    if (!*text && text_reason)
        snprintf(model->absent[false], CLIPC_ABSENT_TEXT, "%s: not supported yet", text_reason);
    else if (!*text)
        explain_absent_text(from, model->absent[false]);
}

static clipc_status settle_config(clipc_model *model, const clipc_model_config *given, source *from, bool *image,
                                  bool *text, clipc_error *error)
{
    from->is_openai = is_openai_archive(model, &from->weights);
    if (!from->is_openai && clipc_directory_has(model, OPEN_CLIP_CONFIG))
        CLIPC_TRY(read_config(model, from, error));
    CLIPC_TRY(settle_activation(model, given, from, error));
    model->format = from->is_openai ? "OpenAI archive" : from->has_config ? "open_clip weights" : "state dict";
    leave_out(model, from, image, text);
    CLIPC_FAIL_IF(!*image && !*text, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: has %s and %s, neither of which clipc can run", model->path, model->absent[true],
                  model->absent[false]);
    return clipc_config_derive(&from->weights, from->has_config ? &from->config : NULL, from->activation, *image,
                               *text, &model->config, error);
}

/* ---- tokenizer and preprocessing ---- */

/* CLIP's own vocabulary needs no files; any other must have them beside the weights. */
static clipc_status settle_tokenizer(clipc_model *model, const source *from, clipc_error *error)
{
    bool found = false;
    const bool own = from->has_config && from->config.own_tokenizer;
    if (!own && model->config.vocabulary_size == CLIP_VOCABULARY)
        return clipc_demo_tokenizer(model->config.vocabulary_size, &model->tokenizer, error);
    CLIPC_TRY(clipc_directory_read_tokenizer(model, from->config.cleaning, &found, error));
    CLIPC_FAIL_IF(!found, error, CLIPC_ERROR_NOT_FOUND,
                  "%s: %s, and neither tokenizer.json nor vocab.json and merges.txt lie beside it", model->path,
                  own ? "its config names a tokenizer other than CLIP's" : "its vocabulary is not CLIP's of 49408");
    return CLIPC_OK;
}

/* OpenAI's _transform, which is torchvision's resize and crop, then RGB. */
static void settle_rule(clipc_model *model, const source *from)
{
    model->preprocess = from->config.rule;
    if (from->has_config)
        return;
    model->preprocess = clipc_preprocess_rule_openai(model->config.image_size);
    model->preprocess.order = CLIPC_ORDER_TORCHVISION;
}

static clipc_status fill(clipc_model *model, const clipc_model_config *given, source *from, clipc_error *error)
{
    bool image = false;
    bool text = false;
    const clipc_family *detected = clipc_family_detect(from->weights.files, from->weights.count, &image, &text);
    CLIPC_FAIL_IF(detected != model->family, error, CLIPC_ERROR_INTERNAL, "%s: two families", model->path);
    CLIPC_TRY(settle_config(model, given, from, &image, &text, error));
    CLIPC_TRY(clipc_model_bind(model, error));
    if (text)
        CLIPC_TRY(settle_tokenizer(model, from, error));
    settle_rule(model, from);
    for (int i = 0; i < 2; i++)
        if (model->absent[i][0])
            clipc_model_log(given, CLIPC_LOG_WARNING, "%s: only the %s tower is read: %s", model->path,
                            i ? "text" : "image", model->absent[i]);
    return clipc_directory_finish(model, model->path, error);
}

clipc_status clipc_model_fill_openai(clipc_model *model, const clipc_family *family, const clipc_model_config *config,
                                     clipc_error *error)
{
    source from = {.weights = {.family = family}};
    clipc_weight_file *files = NULL;
    model->family = family;
    CLIPC_TRY(clipc_model_weight_files(model, &files, &from.weights.count, error));
    from.weights.files = files;
    const clipc_status status = fill(model, config, &from, error);
    clipc_free(files);
    return status;
}
