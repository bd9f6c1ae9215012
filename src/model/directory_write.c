#include "model/directory_write.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/memory.h"
#include "io/narrow.h"
#include "io/safetensors_write.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Elements of a tensor that are converted and written in one go. */
#define PIECE ((size_t)1 << 18)
/* How far from the rounded logarithm the stored one is looked for, in steps of a float. */
#define LOGARITHM_STEPS 64

typedef struct job {
    const clipc_model *model;
    const clipc_directory_sink *sink;
    clipc_dtype dtype;
    clipc_tensor *table; /* name, dtype, shape and count of what will be written, in order */
    char (*names)[CLIPC_TENSOR_NAME];
    size_t count;
    float *room; /* [PIECE] */
} job;

/* ---- through the sink ---- */

static clipc_status begin_file(const clipc_directory_sink *sink, const char *name, clipc_error *error)
{
    CLIPC_FAIL_IF(sink->begin(sink->user, name) != 0, error, CLIPC_ERROR_IO, "%s could not be begun", name);
    return CLIPC_OK;
}

static clipc_status write_bytes(const clipc_directory_sink *sink, const void *bytes, size_t size, clipc_error *error)
{
    CLIPC_FAIL_IF(size && sink->write(sink->user, bytes, size) != 0, error, CLIPC_ERROR_IO,
                  "a file of the directory could not be written");
    return CLIPC_OK;
}

static clipc_status write_file(const clipc_directory_sink *sink, const char *name, const void *bytes, size_t size,
                               clipc_error *error)
{
    CLIPC_TRY(begin_file(sink, name, error));
    return write_bytes(sink, bytes, size, error);
}

/* Takes over `text`. */
static clipc_status write_text(const clipc_directory_sink *sink, const char *name, char *text, clipc_error *error)
{
    const clipc_status status = write_file(sink, name, text, strlen(text), error);
    clipc_free(text);
    return status;
}

/* ---- weights ---- */

static clipc_status count_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    (void)slot;
    (void)error;
    ((job *)context)->count++;
    return CLIPC_OK;
}

/* Roles that share a tensor follow one another: the first stands for it. */
static clipc_status list_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    (void)error;
    job *it = context;
    const size_t parts = slot->form == CLIPC_FORM_FIRST_THIRD ? 3 : 1;
    if (slot->form == CLIPC_FORM_SECOND_THIRD || slot->form == CLIPC_FORM_LAST_THIRD)
        return CLIPC_OK;
    clipc_tensor *tensor = &it->table[it->count];
    memcpy(it->names[it->count], slot->name, sizeof it->names[0]);
    *tensor = (clipc_tensor){
        .name = it->names[it->count], .dtype = it->dtype, .rank = slot->rank, .count = parts * slot->count};
    memcpy(tensor->shape, slot->shape, sizeof slot->shape);
    tensor->shape[0] *= parts;
    it->count++;
    return CLIPC_OK;
}

static clipc_status narrow_and_write(const job *it, const clipc_slot *slot, size_t first, float *values, size_t count,
                                     clipc_error *error)
{
    const size_t overflow = clipc_narrow(values, count, it->dtype, values);
    CLIPC_FAIL_IF(overflow != SIZE_MAX, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: tensor '%s': element %zu is too large for %s", it->model->name, slot->name, first + overflow,
                  clipc_dtype_name(it->dtype));
    return write_bytes(it->sink, values, count * clipc_dtype_size(it->dtype), error);
}

/* The whole tensor at once, as an engine file's layers are no larger than some megabytes. */
static clipc_status write_packed(const job *it, const clipc_slot *slot, clipc_error *error)
{
    float *values = clipc_allocate(slot->count, sizeof *values);
    if (!values)
        return clipc_fail_memory(error, slot->count * sizeof *values, slot->name);
    clipc_status status = it->sink->unpack(it->model, slot, values, error);
    if (status == CLIPC_OK)
        status = narrow_and_write(it, slot, 0, values, slot->count, error);
    clipc_free(values);
    return status;
}

static clipc_status write_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    const job *it = context;
    const clipc_tensor *tensor = slot->tensor;
    if (!tensor->data)
        return write_packed(it, slot, error);
    const size_t size = clipc_dtype_size(tensor->dtype);
    for (size_t first = 0; first < tensor->count; first += PIECE) {
        const size_t count = clipc_min(PIECE, tensor->count - first);
        const uint8_t *bytes = (const uint8_t *)tensor->data + first * size;
        if (tensor->dtype == it->dtype && !tensor->pitch) {
            CLIPC_TRY(write_bytes(it->sink, bytes, count * size, error));
        } else {
            clipc_tensor_read(tensor, first, count, it->room);
            CLIPC_TRY(narrow_and_write(it, slot, first, it->room, count, error));
        }
        if (!tensor->pitch)
            clipc_model_forget(it->model, bytes, count * size);
    }
    if (tensor->pitch) /* each piece is of all pages */
        clipc_model_forget_tensor(it->model, tensor);
    return CLIPC_OK;
}

/* What a reader of that dtype makes of the logarithm. */
static float scale_of(float logarithm, clipc_dtype dtype)
{
    uint8_t stored[sizeof(float)];
    clipc_tensor tensor = {.data = stored, .dtype = dtype, .count = 1};
    clipc_narrow(&logarithm, 1, dtype, stored);
    clipc_tensor_read(&tensor, 0, 1, &logarithm);
    return expf(logarithm);
}

/* The logarithm that gives the very scale which was read, where there is one near. */
static float find_logarithm(float scale, clipc_dtype dtype)
{
    const float middle = logf(scale);
    float below = middle;
    float above = middle;
    for (int step = 0; step < LOGARITHM_STEPS; step++) {
        if (scale_of(below, dtype) == scale)
            return below;
        if (scale_of(above, dtype) == scale)
            return above;
        below = nextafterf(below, -INFINITY);
        above = nextafterf(above, INFINITY);
    }
    return middle;
}

static bool has_scale(const clipc_model *model)
{
    return clipc_config_has_tower(&model->config, true) && clipc_config_has_tower(&model->config, false);
}

static bool has_bias(const clipc_model *model)
{
    return has_scale(model) && model->config.scoring == CLIPC_SCORING_SIGMOID;
}

/* The shape of a scalar, or that of the one value which a SiglipModel has. */
static void list_score(job *it, const char *name)
{
    const bool siglip = clipc_config_is_siglip(&it->model->config);
    it->table[it->count++] = (clipc_tensor){
        .name = name, .dtype = it->dtype, .rank = siglip ? 1 : 0, .shape = {siglip ? 1 : 0}, .count = 1};
}

static clipc_status write_score(const job *it, float value, clipc_error *error)
{
    clipc_narrow(&value, 1, it->dtype, &value);
    return write_bytes(it->sink, &value, clipc_dtype_size(it->dtype), error);
}

static clipc_status write_weights(job *it, clipc_error *error)
{
    const clipc_model *model = it->model;
    const clipc_family *family = clipc_family_of_transformers(&model->config);
    CLIPC_TRY(begin_file(it->sink, "model.safetensors", error));
    it->count = 0;
    if (has_scale(model))
        list_score(it, family->logit_scale);
    if (has_bias(model))
        list_score(it, family->logit_bias);
    CLIPC_TRY(clipc_family_each(family, &model->config, &model->weights, true, true, list_slot, it, error));
    CLIPC_TRY(clipc_safetensors_write_table(it->table, it->count, it->sink->write, it->sink->user, error));
    if (has_scale(model))
        CLIPC_TRY(write_score(it, find_logarithm(model->weights.logit_scale, it->dtype), error));
    if (has_bias(model))
        CLIPC_TRY(write_score(it, model->weights.logit_bias, error));
    return clipc_family_each(family, &model->config, &model->weights, true, true, write_slot, it, error);
}

static clipc_status prepare(job *it, clipc_error *error)
{
    const clipc_model *model = it->model;
    it->count = 2; /* scale and bias of the scores */
    CLIPC_TRY(clipc_family_each(&clipc_family_transformers, &model->config, &model->weights, true, true, count_slot,
                                it, error));
    it->table = clipc_allocate(it->count, sizeof *it->table);
    it->names = clipc_allocate(it->count, sizeof *it->names);
    it->room = clipc_allocate(PIECE, sizeof *it->room);
    if (!it->table || !it->names || !it->room)
        return clipc_fail_memory(error, PIECE * sizeof *it->room, "the weights to be written");
    return CLIPC_OK;
}

static clipc_status list_and_write_weights(const clipc_model *model, clipc_dtype dtype,
                                           const clipc_directory_sink *sink, clipc_error *error)
{
    job it = {.model = model, .sink = sink, .dtype = dtype};
    clipc_status status = prepare(&it, error);
    if (status == CLIPC_OK)
        status = write_weights(&it, error);
    clipc_free(it.table);
    clipc_free(it.names);
    clipc_free(it.room);
    return status;
}

/* ---- tokenizer ---- */

static clipc_status copy_source(void *context, const char *name, const void *bytes, size_t size, clipc_error *error)
{
    return write_file(context, name, bytes, size, error);
}

static clipc_status write_tokenizer(const clipc_model *model, const clipc_directory_sink *sink, clipc_error *error)
{
    bool found = false;
    clipc_tokenizer_texts texts;
    clipc_status status = CLIPC_OK;
    clipc_directory_sink to = *sink;
    CLIPC_TRY(clipc_model_each_tokenizer_source(model, copy_source, &to, &found, error));
    if (found)
        return CLIPC_OK;
    status = clipc_tokenizer_write(model->tokenizer, model->context_length, &texts, error);
    if (status != CLIPC_OK)
        return clipc_fail_within(error, status, "%s", model->path[0] ? model->path : model->name);
    CLIPC_CHECK(write_file(sink, "vocab.json", texts.vocab, strlen(texts.vocab), error));
    CLIPC_CHECK(write_file(sink, "merges.txt", texts.merges, strlen(texts.merges), error));
    CLIPC_CHECK(write_file(sink, "tokenizer_config.json", texts.config, strlen(texts.config), error));
fail:
    clipc_tokenizer_texts_free(&texts);
    return status;
}

/* ---- the rest ---- */

static clipc_status write_own_file(const clipc_model *model, const clipc_directory_sink *sink, clipc_error *error)
{
    const char *cleaning = clipc_text_cleaning_name(model->cleaning);
    char *text =
        clipc_json_write(json_pack("{s:s, s:s, s:s*}", "template", model->default_template, "preprocessing_order",
                                   clipc_preprocess_order_name(model->preprocess.order), "text_cleaning", cleaning));
    return text ? write_text(sink, "clipc.json", text, error) : clipc_fail_memory(error, 128, "clipc.json");
}

static clipc_status write_card(const clipc_model *model, const clipc_directory_sink *sink, clipc_error *error)
{
    bool found = false;
    clipc_mapped_file card;
    CLIPC_TRY(clipc_model_open_card(model, &card, &found, error));
    const clipc_status status = found ? write_file(sink, "README.md", card.bytes, card.size, error) : CLIPC_OK;
    clipc_mapped_file_close(&card);
    return status;
}

clipc_status clipc_directory_write(const clipc_model *model, clipc_dtype dtype, const clipc_directory_sink *sink,
                                   clipc_error *error)
{
    char *json = NULL;
    CLIPC_TRY(clipc_config_write(&model->config, &json, error));
    CLIPC_TRY(write_text(sink, "config.json", json, error));
    CLIPC_TRY(list_and_write_weights(model, dtype, sink, error));
    if (clipc_config_has_tower(&model->config, true)) {
        CLIPC_TRY(clipc_preprocess_rule_write(&model->preprocess, &json, error));
        CLIPC_TRY(write_text(sink, "preprocessor_config.json", json, error));
    }
    if (clipc_config_has_tower(&model->config, false))
        CLIPC_TRY(write_tokenizer(model, sink, error));
    CLIPC_TRY(write_own_file(model, sink, error));
    return write_card(model, sink, error);
}

/* ---- the dtype ---- */

struct dtypes {
    clipc_dtype first;
    bool any;
    bool mixed;
};

static clipc_status look_at_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    (void)error;
    struct dtypes *seen = context;
    const clipc_dtype dtype = slot->tensor->data ? slot->tensor->dtype : CLIPC_DTYPE_F32;
    seen->mixed = seen->mixed || (seen->any && dtype != seen->first);
    seen->first = dtype;
    seen->any = true;
    return CLIPC_OK;
}

clipc_dtype clipc_directory_dtype(const clipc_model *model)
{
    struct dtypes seen = {0};
    clipc_family_each(model->family, &model->config, &model->weights, true, true, look_at_slot, &seen, NULL);
    return seen.mixed || (seen.first != CLIPC_DTYPE_F16 && seen.first != CLIPC_DTYPE_BF16) ? CLIPC_DTYPE_F32
                                                                                           : seen.first;
}
