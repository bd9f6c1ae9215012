#include "model/model.h"

#include "base/checked.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

clipc_status clipc_model_allocate(const char *name, const char *path, clipc_model **out, clipc_error *error)
{
    *out = NULL;
    clipc_model *model = clipc_allocate(1, sizeof *model);
    if (!model)
        return clipc_fail_memory(error, sizeof *model, "a model");
    atomic_init(&model->references, 1);
    model->family = &clipc_family_transformers;
    model->name = clipc_duplicate_text(name);
    model->path = clipc_duplicate_text(path);
    if (!model->name || !model->path) {
        clipc_model_release(&model);
        return clipc_fail_memory(error, strlen(name) + strlen(path) + 2, "the model's name");
    }
    *out = model;
    return CLIPC_OK;
}

clipc_model *clipc_model_retain(const clipc_model *model)
{
    clipc_model *shared = (clipc_model *)model; /* the count is the one part that changes */
    atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    return shared;
}

void clipc_model_release(clipc_model **out)
{
    if (!out || !*out)
        return;
    clipc_model *model = *out;
    *out = NULL;
    if (atomic_fetch_sub_explicit(&model->references, 1, memory_order_acq_rel) != 1)
        return;
    clipc_weights_free(&model->weights);
    clipc_tokenizer_destroy(&model->tokenizer);
    clipc_random_weights_destroy(&model->random_weights);
    clipc_free(model->linears[0]);
    clipc_free(model->linears[1]);
    clipc_tuning_destroy(&model->tuning);
    clipc_engine_file_close(&model->engine_file);
    for (size_t i = 0; i < 2; i++) {
        if (model->graphs[i])
            clipc_onnx_import_free(model->graphs[i]);
        clipc_free(model->graphs[i]);
    }
    for (size_t i = 0; i < model->file_count; i++) {
        clipc_safetensors_close(&model->files[i].safetensors);
        clipc_torch_file_close(&model->files[i].torch_file);
        clipc_mapped_file_close(&model->files[i].file);
        clipc_free(model->files[i].path);
    }
    clipc_free(model->files);
    clipc_free(model->name);
    clipc_free(model->path);
    clipc_free(model->directory);
    clipc_free(model->default_template);
    clipc_free(model);
}

clipc_status clipc_model_add_file(clipc_model *model, const char *path, clipc_mapped_file *file,
                                  clipc_model_file_entry **out, clipc_error *error)
{
    *out = NULL;
    char *copy = clipc_duplicate_text(path);
    clipc_model_file_entry *files =
        copy ? clipc_reallocate(model->files, model->file_count + 1, sizeof *model->files) : NULL;
    if (!files) {
        clipc_free(copy);
        clipc_mapped_file_close(file);
        return clipc_fail_memory(error, (model->file_count + 1) * sizeof *files, "the list of files");
    }
    model->files = files;
    *out = &files[model->file_count++];
    **out = (clipc_model_file_entry){.path = copy, .file = *file};
    return CLIPC_OK;
}

clipc_status clipc_model_read_table(clipc_model_file_entry *entry, clipc_error *error)
{
    const void *bytes = entry->file.bytes;
    const size_t size = entry->file.size;
    if (clipc_torch_file_matches(bytes, size)) {
        CLIPC_TRY(clipc_torch_file_open(bytes, size, entry->path, &entry->torch_file, error));
        entry->tensors = clipc_torch_file_table(entry->torch_file);
    } else {
        const char *dot = strrchr(entry->path, '.');
        CLIPC_FAIL_IF(dot && (strcmp(dot, ".pt") == 0 || strcmp(dot, ".bin") == 0), error, CLIPC_ERROR_FORMAT,
                      "%s: begins as no file of torch.save does", entry->path);
        CLIPC_TRY(clipc_safetensors_open(bytes, size, entry->path, &entry->safetensors, error));
        entry->tensors = clipc_safetensors_table(entry->safetensors);
    }
    return CLIPC_OK;
}

/* ---- weights ---- */

typedef struct census {
    size_t parameters[2]; /* text, image */
    clipc_dtype dtype;
    bool mixed;
    bool any;
} census;

static clipc_status count_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    (void)error;
    census *counts = context;
    counts->parameters[slot->image] += slot->statistic ? 0 : slot->count;
    counts->mixed |= counts->any && slot->tensor->dtype != counts->dtype;
    counts->dtype = slot->tensor->dtype;
    counts->any = true;
    return CLIPC_OK;
}

static clipc_status take_census(clipc_model *model, clipc_error *error)
{
    census counts = {0};
    CLIPC_TRY(
        clipc_family_each(model->family, &model->config, &model->weights, true, true, count_slot, &counts, error));
    model->text_parameters = counts.parameters[0];
    model->image_parameters = counts.parameters[1];
    if (!model->weights_dtype)
        model->weights_dtype = counts.mixed ? "mixed" : clipc_dtype_name(counts.dtype);
    return CLIPC_OK;
}

clipc_status clipc_model_weight_files(const clipc_model *model, clipc_weight_file **files, size_t *count,
                                      clipc_error *error)
{
    clipc_weight_file *list = clipc_allocate(model->file_count, sizeof *list);
    if (!list)
        return clipc_fail_memory(error, model->file_count * sizeof *list, "the list of weight files");
    *files = list;
    *count = 0;
    for (size_t i = 0; i < model->file_count; i++)
        if (model->files[i].tensors)
            list[(*count)++] = (clipc_weight_file){.name = model->files[i].path, .tensors = model->files[i].tensors};
    return CLIPC_OK;
}

clipc_status clipc_model_bind(clipc_model *model, clipc_error *error)
{
    clipc_weight_file *files = NULL;
    size_t count = 0;
    CLIPC_TRY(clipc_model_weight_files(model, &files, &count, error));
    const clipc_status status = clipc_family_bind(model->family, &model->config, files, count, &model->weights, error);
    clipc_free(files);
    return status;
}

static clipc_status set_template(clipc_model *model, const char *text, const char *name, clipc_error *error)
{
    CLIPC_FAIL_IF(text && !strstr(text, "{}"), error, CLIPC_ERROR_FORMAT, "%s: the template '%s' has no {}", name,
                  text);
    if (!text)
        text = model->config.scoring == CLIPC_SCORING_SIGMOID ? CLIPC_SIGMOID_TEMPLATE : CLIPC_DEFAULT_TEMPLATE;
    model->default_template = clipc_duplicate_text(text);
    if (!model->default_template)
        return clipc_fail_memory(error, strlen(text) + 1, "a template");
    return CLIPC_OK;
}

static clipc_status finish_image(clipc_model *model, const char *rule_name, clipc_error *error)
{
    const size_t side = model->config.image_size;
    CLIPC_TRY(clipc_preprocess_rule_check(&model->preprocess, side, side, rule_name, error));
    for (size_t i = 0; i < CLIPC_MAX_STEPS; i++)
        if (!clipc_preprocess_rule_step(&model->preprocess, i, model->steps[i]))
            break;
    return CLIPC_OK;
}

static clipc_status finish_text(clipc_model *model, clipc_error *error)
{
    const size_t positions = model->config.max_positions - (model->config.text_class_token ? 1 : 0);
    model->context_length = clipc_min(positions, clipc_tokenizer_max_length(model->tokenizer));
    CLIPC_FAIL_IF(
        clipc_config_places_tokens(&model->config) && model->context_length != positions, error,
        CLIPC_ERROR_UNSUPPORTED,
        "%s: the tokenizer's model_max_length is %zu, but the text tower reads all %zu tokens of a full text",
        model->path[0] ? model->path : model->name, model->context_length, positions);
    CLIPC_FAIL_IF(model->context_length < 2, error, CLIPC_ERROR_FORMAT,
                  "%s: the tokenizer's model_max_length leaves no room for a start and an end token",
                  model->path[0] ? model->path : model->name);
    return CLIPC_OK;
}

clipc_status clipc_model_finish(clipc_model *model, const char *rule_name, const char *template_text,
                                const char *template_name, clipc_error *error)
{
    if (clipc_config_has_tower(&model->config, true))
        CLIPC_TRY(finish_image(model, rule_name, error));
    CLIPC_TRY(set_template(model, template_text, template_name, error));
    if (clipc_config_has_tower(&model->config, false))
        CLIPC_TRY(finish_text(model, error));
    for (size_t image = 0; image < 2; image++)
        if (!clipc_config_has_tower(&model->config, image) && !model->absent[image][0])
            snprintf(model->absent[image], CLIPC_ABSENT_TEXT, "the model is %s tower alone",
                     image ? "a text" : "an image");
    return take_census(model, error);
}

clipc_status clipc_model_check_tower(const clipc_model *model, bool image, clipc_error *error)
{
    CLIPC_FAIL_IF(!clipc_config_has_tower(&model->config, image), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: no %s tower: %s", model->path[0] ? model->path : model->name, image ? "image" : "text",
                  model->absent[image]);
    return CLIPC_OK;
}

void clipc_model_forget(const clipc_model *model, const void *bytes, size_t size)
{
    const uintptr_t at = (uintptr_t)bytes;
    for (size_t i = 0; i < model->file_count; i++) {
        const clipc_mapped_file *file = &model->files[i].file;
        const uintptr_t begin = (uintptr_t)file->bytes;
        if (at >= begin && at - begin < file->size && size <= file->size - (at - begin))
            clipc_mapped_file_forget(file, bytes, size);
    }
}

void clipc_model_forget_tensor(const clipc_model *model, const clipc_tensor *tensor)
{
    if (!tensor->data || tensor->count == 0)
        return;
    const size_t count =
        tensor->pitch ? (tensor->shape[1] - 1) * tensor->pitch + tensor->shape[0] : tensor->count; /* of the file's */
    clipc_model_forget(model, tensor->data, count * clipc_dtype_size(tensor->dtype));
}

void clipc_model_log(const clipc_model_config *config, clipc_log_level level, const char *format, ...)
{
    if (!config || !config->log)
        return;
    char text[sizeof((clipc_error *)0)->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    clipc_error line;
    clipc_fail(&line, CLIPC_OK, "%s", text); /* makes it safe to print */
    config->log(config->log_user, level, line.message);
}
