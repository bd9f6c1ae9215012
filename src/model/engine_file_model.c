/* An engine file as a model. Its weights stay where they are: the small ones as tensors, the linear layers packed. */
#include "base/json.h"
#include "base/memory.h"
#include "model/linear.h"
#include "model/model.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A place in the table near which the next section is looked for: they are read in the order of writing. */
struct reader {
    clipc_model *model;
    const clipc_engine_file *file;
    size_t hint;
};

static clipc_status find(struct reader *reader, const char *name, clipc_section_kind kind, const clipc_section **out,
                         clipc_error *error)
{
    *out = clipc_engine_file_find(reader->file, name, reader->hint);
    CLIPC_FAIL_IF(!*out, error, CLIPC_ERROR_FORMAT, "%s: section '%s' is missing", reader->model->path, name);
    CLIPC_FAIL_IF((*out)->kind != kind, error, CLIPC_ERROR_FORMAT, "%s: section '%s' is of the wrong kind",
                  reader->model->path, name);
    reader->hint = (size_t)(*out - clipc_engine_file_at(reader->file, 0)) + 1;
    return CLIPC_OK;
}

static clipc_status check_shape(const struct reader *reader, const clipc_section *section, const size_t *shape,
                                size_t rank, clipc_error *error)
{
    char found[CLIPC_SHAPE_TEXT];
    char expected[CLIPC_SHAPE_TEXT];
    CLIPC_FAIL_IF(section->rank != rank || memcmp(section->shape, shape, rank * sizeof *shape) != 0, error,
                  CLIPC_ERROR_FORMAT, "%s: section '%s' has shape %s, config says %s", reader->model->path,
                  section->name, clipc_shape_text(section->shape, section->rank, found),
                  clipc_shape_text(shape, rank, expected));
    return CLIPC_OK;
}

/* ---- weights ---- */

/* The tensors of linear layers, and all that are in a block, get their shape and no data. */
static clipc_status read_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    struct reader *reader = context;
    const clipc_model *model = reader->model;
    *slot->tensor = (clipc_tensor){.rank = slot->rank, .count = slot->count};
    memcpy(slot->tensor->shape, slot->shape, slot->rank * sizeof slot->shape[0]);
    if (model->block_layout || clipc_slot_is_linear(&model->config, &model->weights, slot))
        return CLIPC_OK;
    const clipc_section *section = NULL;
    CLIPC_TRY(find(reader, slot->name, CLIPC_SECTION_TENSOR, &section, error));
    CLIPC_TRY(check_shape(reader, section, slot->shape, slot->rank, error));
    CLIPC_FAIL_IF(section->dtype != CLIPC_DTYPE_F32 && section->dtype != CLIPC_DTYPE_F16 &&
                      section->dtype != CLIPC_DTYPE_BF16,
                  error, CLIPC_ERROR_FORMAT, "%s: section '%s' has dtype %s, not fp32, fp16 or bf16", model->path,
                  section->name, clipc_dtype_name(section->dtype));
    slot->tensor->name = section->name;
    slot->tensor->data = section->bytes;
    slot->tensor->dtype = section->dtype;
    return CLIPC_OK;
}

static clipc_status read_linears(struct reader *reader, bool image, clipc_error *error)
{
    clipc_model *model = reader->model;
    const size_t count = clipc_linear_count(&model->config, image);
    if (count == 0)
        return CLIPC_OK;
    model->linears[image] = clipc_allocate(count, sizeof *model->linears[image]);
    if (!model->linears[image])
        return clipc_fail_memory(error, count * sizeof *model->linears[image], "the table of packed layers");
    for (size_t i = 0; i < count; i++) {
        const clipc_linear linear = clipc_linear_at(&model->config, &model->weights, image, i);
        const size_t shape[] = {linear.parts, linear.outputs, linear.inner};
        const clipc_section *section = NULL;
        CLIPC_TRY(find(reader, linear.name, CLIPC_SECTION_PACKED, &section, error));
        CLIPC_TRY(check_shape(reader, section, shape, 3, error));
        model->linears[image][i] = section;
    }
    return CLIPC_OK;
}

/* What is in them the backend checks. */
static clipc_status read_block(struct reader *reader, bool image, clipc_error *error)
{
    clipc_model *model = reader->model;
    clipc_tower_block *block = &model->blocks[image];
    const size_t shape[] = {clipc_linear_count(&model->config, image)};
    char name[CLIPC_SECTION_NAME];
    if (shape[0] == 0)
        return CLIPC_OK;
    clipc_engine_block_name(image, "", name);
    CLIPC_TRY(find(reader, name, CLIPC_SECTION_BLOCK, &block->weights, error));
    clipc_engine_block_name(image, "types", name);
    CLIPC_TRY(find(reader, name, CLIPC_SECTION_TENSOR, &block->types, error));
    CLIPC_TRY(check_shape(reader, block->types, shape, 1, error));
    clipc_engine_block_name(image, "scales", name);
    CLIPC_TRY(find(reader, name, CLIPC_SECTION_TENSOR, &block->scales, error));
    CLIPC_TRY(check_shape(reader, block->scales, shape, 1, error));
    CLIPC_FAIL_IF(block->types->dtype != CLIPC_DTYPE_I8 || block->scales->dtype != CLIPC_DTYPE_F32, error,
                  CLIPC_ERROR_FORMAT, "%s: damaged: the table of a tower's linear layers is of the wrong type",
                  model->path);
    return CLIPC_OK;
}

static clipc_status read_weights(struct reader *reader, clipc_error *error)
{
    clipc_model *model = reader->model;
    CLIPC_TRY(clipc_weights_allocate(&model->config, &model->weights, error));
    for (int image = 1; image >= 0; image--)
        CLIPC_TRY(model->block_layout ? read_block(reader, image, error) : read_linears(reader, image, error));
    model->known_finite = true; /* they were looked at before they were packed */
    return clipc_family_each(model->family, &model->config, &model->weights, true, true, read_slot, reader, error);
}

/* ---- clipc.json ---- */

struct origin {
    const char *template_text;
    const char *precision;
    const char *order;
    const char *isa;
};

static clipc_status read_text(const json_t *root, const char *key, const char *name, const char **out,
                              clipc_error *error)
{
    *out = json_string_value(json_object_get(root, key));
    CLIPC_FAIL_IF(!*out, error, CLIPC_ERROR_FORMAT, "%s: clipc.json: %s is missing or no string", name, key);
    return CLIPC_OK;
}

static clipc_status read_precision(clipc_model *model, const char *text, clipc_error *error)
{
    for (clipc_precision p = CLIPC_PRECISION_FP32; p <= CLIPC_PRECISION_FP8; p++)
        if (strcmp(clipc_precision_name(p), text) == 0)
            model->precision = p;
    CLIPC_FAIL_IF(model->precision == CLIPC_PRECISION_AUTO, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: clipc.json: unknown precision '%s'", model->path, text);
    CLIPC_FAIL_IF(model->block_layout && model->precision == CLIPC_PRECISION_FP32, error, CLIPC_ERROR_FORMAT,
                  "%s: clipc.json: backend %s has no precision fp32", model->path, model->packed_for);
    model->weights_dtype = clipc_precision_name(model->precision);
    return CLIPC_OK;
}

/* Whose the weights are, before they are looked for. */
static clipc_status read_backend(clipc_model *model, const json_t *root, clipc_error *error)
{
    const char *backend = NULL;
    CLIPC_TRY(read_text(root, "backend", model->path, &backend, error));
    const bool blocks = strcmp(backend, "cuda") == 0;
    CLIPC_FAIL_IF(!blocks && strcmp(backend, "cpu") != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: clipc.json: its weights are packed for backend '%s', which this clipc does not know",
                  model->path, backend);
    snprintf(model->packed_for, sizeof model->packed_for, "%s", backend);
    if (!blocks)
        return CLIPC_OK;
    const json_int_t layout = json_integer_value(json_object_get(root, "layout"));
    CLIPC_FAIL_IF(layout < 1 || layout > INT32_MAX, error, CLIPC_ERROR_FORMAT,
                  "%s: clipc.json: layout is missing or no number", model->path);
    model->block_layout = (unsigned)layout;
    return CLIPC_OK;
}

static clipc_status read_order(clipc_model *model, const char *text, clipc_error *error)
{
    CLIPC_FAIL_IF(!clipc_preprocess_order_parse(text, &model->preprocess.order), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: clipc.json: unknown preprocessing_order '%s'", model->path, text);
    return CLIPC_OK;
}

/* It is there when scores are sigmoids. */
static clipc_status read_logit_bias(clipc_model *model, const json_t *value, clipc_error *error)
{
    model->config.scoring = value ? CLIPC_SCORING_SIGMOID : CLIPC_SCORING_SOFTMAX;
    model->weights.logit_bias = (float)json_number_value(value);
    CLIPC_FAIL_IF(value && (!json_is_number(value) || !isfinite(model->weights.logit_bias)), error, CLIPC_ERROR_FORMAT,
                  "%s: clipc.json: logit_bias is unusable", model->path);
    return CLIPC_OK;
}

static clipc_status read_origin(clipc_model *model, const json_t *root, clipc_error *error)
{
    struct origin origin;
    const char *family = NULL;
    model->family = clipc_family_of_transformers(&model->config); /* whose weights are in the sections */
    CLIPC_TRY(read_text(root, "family", model->path, &family, error));
    CLIPC_FAIL_IF(strcmp(family, model->family->name) != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: clipc.json: family is '%s', this clipc reads '%s'", model->path, family, model->family->name);
    CLIPC_TRY(read_text(root, "template", model->path, &origin.template_text, error));
    CLIPC_TRY(read_text(root, "precision", model->path, &origin.precision, error));
    CLIPC_TRY(read_text(root, "preprocessing_order", model->path, &origin.order, error));
    CLIPC_TRY(read_text(root, "isa", model->path, &origin.isa, error));
    CLIPC_TRY(read_precision(model, origin.precision, error));
    CLIPC_TRY(read_order(model, origin.order, error));
    model->weights.logit_scale = (float)json_number_value(json_object_get(root, "logit_scale"));
    CLIPC_FAIL_IF(!isfinite(model->weights.logit_scale) || model->weights.logit_scale <= 0, error, CLIPC_ERROR_FORMAT,
                  "%s: clipc.json: logit_scale is missing or unusable", model->path);
    CLIPC_TRY(read_logit_bias(model, json_object_get(root, "logit_bias"), error));
    const char *written_by = json_string_value(json_object_get(root, "written_by"));
    snprintf(model->written_by, sizeof model->written_by, "%s", written_by ? written_by : "");
    const char *cleaning = json_string_value(json_object_get(root, "text_cleaning"));
    CLIPC_FAIL_IF(cleaning && !clipc_text_cleaning_parse(cleaning, &model->cleaning), error, CLIPC_ERROR_FORMAT,
                  "%s: clipc.json: unknown text_cleaning '%s'", model->path, cleaning);
    const bool image = clipc_config_has_tower(&model->config, true);
    snprintf(model->packed_isa, sizeof model->packed_isa, "%s", origin.isa);
    if (model->block_layout)
        snprintf(model->layout, sizeof model->layout, "%s, %s, layout %u", model->packed_for, model->packed_isa,
                 model->block_layout);
    else
        snprintf(model->layout, sizeof model->layout, "%s, %s, panels of %zu outputs", model->packed_for,
                 model->packed_isa, model->linears[image][1]->panel_columns /* of a layer */);
    return clipc_model_finish(model, model->path, origin.template_text, model->path, error);
}

/* ---- opening ---- */

/* Optional: of a file that was tuned. */
static clipc_status read_tuning(struct reader *reader, clipc_error *error)
{
    clipc_model *model = reader->model;
    const clipc_section *section = NULL;
    if (!clipc_engine_file_find(reader->file, CLIPC_TUNING_FILE, 0))
        return CLIPC_OK;
    CLIPC_TRY(find(reader, CLIPC_TUNING_FILE, CLIPC_SECTION_BYTES, &section, error));
    CLIPC_TRY(clipc_tuning_create(section->bytes, section->size, model->path, &model->tuning, error));
    if (model->tuning->count)
        model->tuning->current = &model->tuning->sets[0];
    return CLIPC_OK;
}

static clipc_status read_small_files(struct reader *reader, const json_t *root, clipc_error *error)
{
    clipc_model *model = reader->model;
    const clipc_section *section = NULL;
    if (clipc_config_has_tower(&model->config, false)) {
        CLIPC_TRY(find(reader, "tokenizer", CLIPC_SECTION_BYTES, &section, error));
        CLIPC_TRY(clipc_tokenizer_open_packed(section->bytes, section->size, model->path,
                                              model->config.vocabulary_size, &model->tokenizer, error));
    }
    if (clipc_config_has_tower(&model->config, true)) {
        CLIPC_TRY(find(reader, "preprocessor_config.json", CLIPC_SECTION_BYTES, &section, error));
        CLIPC_TRY(clipc_preprocess_rule_parse(section->bytes, section->size, model->path, &model->preprocess, error));
    }
    CLIPC_TRY(read_tuning(reader, error));
    return read_origin(model, root, error);
}

/* In the order of writing, but for what everything else is checked by: the config, and whose the weights are. */
static clipc_status read_all(clipc_model *model, clipc_error *error)
{
    const clipc_model_file_entry *entry = &model->files[0];
    CLIPC_TRY(clipc_engine_file_open(entry->file.bytes, entry->file.size, entry->path, &model->engine_file, error));
    struct reader reader = {.model = model, .file = model->engine_file};
    model->format = "engine file";
    const clipc_section *section = NULL;
    CLIPC_TRY(find(&reader, "config.json", CLIPC_SECTION_BYTES, &section, error));
    CLIPC_TRY(clipc_config_parse(section->bytes, section->size, model->path, &model->config, error));
    CLIPC_TRY(find(&reader, "clipc.json", CLIPC_SECTION_BYTES, &section, error));
    json_t *root = NULL;
    CLIPC_TRY(clipc_json_parse(section->bytes, section->size, model->path, 0, &root, error));
    reader.hint = 0;
    clipc_status status = read_backend(model, root, error);
    if (status == CLIPC_OK)
        status = read_weights(&reader, error);
    if (status == CLIPC_OK)
        status = read_small_files(&reader, root, error);
    json_decref(root);
    return status;
}

bool clipc_model_is_engine_file(const char *path)
{
    static const char ending[] = ".clipc";
    uint8_t begin[8];
    struct stat info;
    if (stat(path, &info) != 0 || S_ISDIR(info.st_mode))
        return false;
    const size_t length = strlen(path);
    if (length >= sizeof ending && strcmp(path + length - (sizeof ending - 1), ending) == 0)
        return true;
    const int descriptor = S_ISREG(info.st_mode) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    const ssize_t count = descriptor < 0 ? 0 : read(descriptor, begin, sizeof begin);
    if (descriptor >= 0)
        close(descriptor);
    return count == sizeof begin && clipc_engine_file_matches(begin, sizeof begin);
}

clipc_status clipc_model_open_engine_bytes(const char *path, clipc_mapped_file *file, clipc_model **out,
                                           clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    clipc_model_file_entry *entry = NULL;
    const char *slash = strrchr(path, '/');
    CLIPC_CHECK(clipc_model_allocate(slash ? slash + 1 : path, path, out, error));
    clipc_mapped_file taken = *file;
    *file = (clipc_mapped_file){0};
    CLIPC_CHECK(clipc_model_add_file(*out, path, &taken, &entry, error));
    CLIPC_CHECK(read_all(*out, error));
    return CLIPC_OK;
fail:
    clipc_mapped_file_close(file);
    clipc_model_release(out);
    return status;
}

clipc_status clipc_model_open_engine_file(const char *path, clipc_model **out, clipc_error *error)
{
    *out = NULL;
    clipc_mapped_file file;
    CLIPC_TRY(clipc_mapped_file_open(path, 0, &file, error));
    return clipc_model_open_engine_bytes(path, &file, out, error);
}
