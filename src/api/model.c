#include "model/model.h"
#include "model/resnet.h"

#include <string.h>
#include <sys/stat.h>

#define TEXT(number)         #number
#define VERSION_TEXT(number) TEXT(number)

const char *clipc_version(void)
{
    return VERSION_TEXT(CLIPC_VERSION_MAJOR) "." VERSION_TEXT(CLIPC_VERSION_MINOR) "." VERSION_TEXT(
        CLIPC_VERSION_PATCH);
}

void clipc_model_config_init(clipc_model_config *config)
{
    *config = (clipc_model_config){.size = sizeof *config};
}

static clipc_status check_arguments(const char *function, const clipc_model_config *config, clipc_model **out,
                                    clipc_error *error)
{
    CLIPC_FAIL_IF(!out, error, CLIPC_ERROR_ARGUMENT, "%s: out is NULL", function);
    *out = NULL;
    CLIPC_FAIL_IF(config && config->size != sizeof *config, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_model_config.size is %zu, must be %zu (clipc_model_config_init sets it)", config->size,
                  sizeof *config);
    return CLIPC_OK;
}

static void log_opened(const clipc_model *model, const clipc_model_config *config)
{
    clipc_model_log(config, CLIPC_LOG_INFO, "model %s: %s weights, %zu files, default template \"%s\"", model->name,
                    model->weights_dtype, model->file_count, model->default_template);
    if (!model->config.image_defaults && !model->config.text_defaults)
        return;
    clipc_model_log(config, CLIPC_LOG_WARNING,
                    "%s: config.json has no %s%s%s: the tower is taken to be that of ViT-B/32, as transformers does",
                    model->path, model->config.image_defaults ? "vision_config" : "",
                    model->config.image_defaults && model->config.text_defaults ? " and no " : "",
                    model->config.text_defaults ? "text_config" : "");
}

/* Opening a pipe would wait for a writer, and reading it could not go back. NULL and what is not there pass. */
static clipc_status check_kind(const char *path, clipc_error *error)
{
    struct stat info;
    CLIPC_FAIL_IF(path && stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode), error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: a model is a file or a directory, and this is a pipe or a device",
                  path);
    return CLIPC_OK;
}

/* An activation may be asked for where nothing else tells it; one that differs from the model's own would change
 * nothing, which the caller should know. A ResNet's image tower has none to choose. */
static clipc_status check_activation(const clipc_model *model, const char *wanted, clipc_error *error)
{
    for (int image = 0; image <= 1; image++) {
        const clipc_tower_config *tower = image ? &model->config.image : &model->config.text;
        if (clipc_model_check_tower(model, image, NULL) != CLIPC_OK || (image && clipc_resnet_count(&model->config)))
            continue;
        const char *own = clipc_activation_name(tower->activation);
        CLIPC_FAIL_IF(strcmp(own, wanted) != 0, error, CLIPC_ERROR_ARGUMENT,
                      "%s: computes %s by its own files, not %s", model->path[0] ? model->path : model->name, own,
                      wanted);
    }
    return CLIPC_OK;
}

clipc_status clipc_model_open(const char *path, const clipc_model_config *config, clipc_model **out,
                              clipc_error *error)
{
    CLIPC_TRY(check_arguments("clipc_model_open", config, out, error));
    CLIPC_TRY(check_kind(path, error));
    if (config) {
        CLIPC_TRY(check_kind(config->visual, error));
        CLIPC_TRY(check_kind(config->textual, error));
    }
    struct stat info;
    const bool graphs = config && (config->visual || config->textual);
    CLIPC_FAIL_IF(path && graphs, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_model_open: a path and graphs of towers are two models");
    if (graphs)
        CLIPC_TRY(clipc_model_open_graphs(config->visual, config->textual, config, out, error));
    else if (!path || (strcmp(path, "demo") == 0 && stat(path, &info) != 0))
        CLIPC_TRY(clipc_model_open_demo(out, error));
    else if (clipc_model_is_engine_file(path))
        CLIPC_TRY(clipc_model_open_engine_file(path, out, error));
    else
        CLIPC_TRY(clipc_model_open_directory(path, config, out, error));
    if (config && config->activation) {
        const clipc_status status = check_activation(*out, config->activation, error);
        if (status != CLIPC_OK)
            clipc_model_release(out);
        CLIPC_TRY(status);
    }
    log_opened(*out, config);
    return CLIPC_OK;
}

static clipc_status fill_random(clipc_model *model, const clipc_config *shape, uint64_t seed, clipc_error *error)
{
    model->config = *shape;
    model->weights_dtype = "random";
    model->format = "random";
    model->known_finite = true;
    CLIPC_TRY(clipc_random_weights_create(model, seed, error));
    CLIPC_TRY(clipc_demo_tokenizer(shape->vocabulary_size, &model->tokenizer, error));
    model->family = clipc_family_of_transformers(shape);
    model->preprocess = clipc_config_is_siglip(shape) ? clipc_preprocess_rule_siglip(shape->image_size)
                                                      : clipc_preprocess_rule_openai(shape->image_size);
    return clipc_model_finish(model, model->name, NULL, NULL, error);
}

clipc_status clipc_model_create_random(const char *architecture, uint64_t seed, const clipc_model_config *config,
                                       clipc_model **out, clipc_error *error)
{
    CLIPC_TRY(check_arguments("clipc_model_create_random", config, out, error));
    clipc_config shape;
    CLIPC_FAIL_IF(!architecture, error, CLIPC_ERROR_ARGUMENT, "clipc_model_create_random: architecture is NULL");
    CLIPC_FAIL_IF(!clipc_architecture_find(architecture, &shape), error, CLIPC_ERROR_ARGUMENT,
                  "unknown architecture '%s'", architecture);
    CLIPC_TRY(clipc_model_allocate(architecture, "", out, error));
    const clipc_status status = fill_random(*out, &shape, seed, error);
    if (status != CLIPC_OK)
        clipc_model_release(out);
    else
        log_opened(*out, config);
    return status;
}

void clipc_model_destroy(clipc_model **model)
{
    clipc_model_release(model);
}

static clipc_tower_info describe_tower(const clipc_tower_config *tower, size_t parameters)
{
    return (clipc_tower_info){.width = tower->width,
                              .layers = tower->layers,
                              .heads = tower->heads,
                              .mlp_width = tower->mlp_width,
                              .parameters = parameters,
                              .activation = clipc_activation_name(tower->activation)};
}

static clipc_tower_info describe_image(const clipc_config *config, size_t parameters)
{
    clipc_tower_info info = describe_tower(&config->image, parameters);
    if (clipc_config_is_resnet(config))
        info.activation = "relu";
    return info;
}

static const char *absence(const clipc_model *model, bool image)
{
    return clipc_config_has_tower(&model->config, image) ? NULL : model->absent[image];
}

clipc_status clipc_model_get_info(const clipc_model *model, clipc_model_info *info, clipc_error *error)
{
    CLIPC_FAIL_IF(!model || !info, error, CLIPC_ERROR_ARGUMENT, "clipc_model_get_info: %s is NULL",
                  model ? "info" : "model");
    CLIPC_FAIL_IF(info->size != sizeof *info, error, CLIPC_ERROR_ARGUMENT, "clipc_model_info.size is %zu, must be %zu",
                  info->size, sizeof *info);
    const clipc_config *config = &model->config;
    *info = (clipc_model_info){.size = sizeof *info,
                               .name = model->name,
                               .path = model->path,
                               .family = model->family->name,
                               .weights_dtype = model->weights_dtype,
                               .image = describe_image(config, model->image_parameters),
                               .text = describe_tower(&config->text, model->text_parameters),
                               .image_height = config->image_size,
                               .image_width = config->image_size,
                               .patch_size = config->patch_size,
                               .image_tokens = config->image_tokens,
                               .vocabulary_size = config->vocabulary_size,
                               .context_length = model->context_length,
                               .embedding_dimension = config->embedding_dimension,
                               .logit_scale = model->weights.logit_scale,
                               .default_template = model->default_template,
                               .file_count = model->file_count,
                               .format = model->format,
                               .format_version = model->engine_file ? CLIPC_ENGINE_FILE_VERSION : 0,
                               .precision = model->precision,
                               .layout = model->layout,
                               .packed_for = model->packed_for,
                               .packed_isa = model->packed_isa,
                               .written_by = model->written_by,
                               .image_absent = absence(model, true),
                               .text_absent = absence(model, false),
                               .scoring = config->scoring,
                               .logit_bias = model->weights.logit_bias};
    return CLIPC_OK;
}

const char *clipc_model_file(const clipc_model *model, size_t index, uint64_t *bytes)
{
    if (!model || index >= model->file_count)
        return NULL;
    if (bytes)
        *bytes = model->files[index].file.size;
    return model->files[index].path;
}

const char *clipc_model_preprocessing_step(const clipc_model *model, size_t index)
{
    if (!model || index >= CLIPC_MAX_STEPS || model->steps[index][0] == '\0')
        return NULL;
    return model->steps[index];
}

clipc_status clipc_model_tokenize(const clipc_model *model, const char *text, size_t length, int32_t *ids,
                                  size_t *count, clipc_error *error)
{
    CLIPC_FAIL_IF(!model || (!text && length) || !ids || !count, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_model_tokenize: %s is NULL",
                  !model            ? "model"
                  : !text && length ? "text"
                  : !ids            ? "ids"
                                    : "count");
    CLIPC_TRY(clipc_model_check_tower(model, false, error));
    clipc_tokenizer_padding padding;
    clipc_tokenizer_get_padding(model->tokenizer, &padding);
    if (padding.pads) { /* SigLIP's tower reads the padding, too */
        *count = model->context_length;
        return clipc_tokenizer_encode_padded(model->tokenizer, text ? text : "", length, model->context_length, ids,
                                             error);
    }
    return clipc_tokenizer_encode(model->tokenizer, text ? text : "", length, model->context_length, ids, count,
                                  error);
}
