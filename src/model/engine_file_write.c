/* The sections of an engine file that are not packed layers. The small ones are the files of a model directory under
 * their own names. */
#include "base/json.h"
#include "base/memory.h"
#include "model/linear.h"
#include "model/model.h"

#include <stdio.h>
#include <string.h>

typedef struct tensor_job {
    clipc_engine_writer *writer;
    const clipc_model *model;
} tensor_job;

static clipc_section section_of(const clipc_slot *slot)
{
    clipc_section section = {.kind = CLIPC_SECTION_TENSOR, .dtype = slot->tensor->dtype, .rank = slot->rank};
    snprintf(section.name, sizeof section.name, "%.*s", CLIPC_SECTION_NAME - 1, slot->name);
    memcpy(section.shape, slot->shape, slot->rank * sizeof slot->shape[0]);
    return section;
}

/* Everything but the token embeddings becomes fp32: it is small, and backends take it so. */
static clipc_status write_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    const tensor_job *job = context;
    const clipc_model *model = job->model;
    if (clipc_slot_is_linear(&model->config, &model->weights, slot))
        return CLIPC_OK;
    clipc_section section = section_of(slot);
    if (slot->tensor == &model->weights.text.token_embedding) {
        section.bytes = slot->tensor->data;
        section.size = slot->count * clipc_dtype_size(slot->tensor->dtype);
        return clipc_engine_writer_add(job->writer, &section, error);
    }
    float *values = clipc_allocate(slot->count, sizeof *values);
    if (!values)
        return clipc_fail_memory(error, slot->count * sizeof *values, slot->name);
    clipc_tensor_read(slot->tensor, 0, slot->count, values);
    section.dtype = CLIPC_DTYPE_F32;
    section.bytes = values;
    section.size = slot->count * sizeof *values;
    const clipc_status status = clipc_engine_writer_add(job->writer, &section, error);
    clipc_free(values);
    return status;
}

/* Takes over `json`. */
static clipc_status write_json(clipc_engine_writer *writer, const char *name, char *json, clipc_error *error)
{
    const clipc_status status = clipc_engine_writer_add_bytes(writer, name, json, strlen(json), error);
    clipc_free(json);
    return status;
}

void clipc_engine_block_name(bool image, const char *part, char name[CLIPC_SECTION_NAME])
{
    memset(name, 0, CLIPC_SECTION_NAME);
    snprintf(name, CLIPC_SECTION_NAME, "%s.block%s%s", image ? "image" : "text", part[0] ? "." : "", part);
}

static clipc_status write_origin(clipc_engine_writer *writer, const clipc_model *model,
                                 const clipc_engine_origin *origin, clipc_error *error)
{
    json_t *root =
        json_pack("{s:s, s:s, s:f, s:s, s:s*, s:s, s:s, s:s, s:s}", "family", model->family->name, "template",
                  model->default_template, "logit_scale", (double)model->weights.logit_scale, "preprocessing_order",
                  clipc_preprocess_order_name(model->preprocess.order), "text_cleaning",
                  clipc_text_cleaning_name(model->cleaning), "precision", clipc_precision_name(origin->precision),
                  "backend", origin->backend, "isa", origin->isa, "written_by", clipc_version());
    if (root && origin->block_layout && json_object_set_new(root, "layout", json_integer(origin->block_layout)) != 0) {
        json_decref(root);
        root = NULL;
    }
    if (root && model->config.scoring == CLIPC_SCORING_SIGMOID &&
        json_object_set_new(root, "logit_bias", json_real((double)model->weights.logit_bias)) != 0) {
        json_decref(root);
        root = NULL;
    }
    char *text = clipc_json_write(root);
    return text ? write_json(writer, "clipc.json", text, error) : clipc_fail_memory(error, 512, "clipc.json");
}

static clipc_status write_source(void *context, const char *name, const void *bytes, size_t size, clipc_error *error)
{
    char section[CLIPC_SECTION_NAME];
    snprintf(section, sizeof section, CLIPC_SECTION_SOURCE "%s", name);
    return clipc_engine_writer_add_bytes(context, section, bytes, size, error);
}

/* The packed form, and the files of one that cannot be written anew: one of pieces. */
static clipc_status write_tokenizer(clipc_engine_writer *writer, const clipc_model *model, clipc_error *error)
{
    const void *tokenizer = NULL;
    size_t size = 0;
    bool found = false;
    clipc_tokenizer_packed(model->tokenizer, &tokenizer, &size);
    CLIPC_TRY(clipc_engine_writer_add_bytes(writer, "tokenizer", tokenizer, size, error));
    return clipc_tokenizer_is_of_pieces(model->tokenizer)
               ? clipc_model_each_tokenizer_source(model, write_source, writer, &found, error)
               : CLIPC_OK;
}

static clipc_status write_card(clipc_engine_writer *writer, const clipc_model *model, clipc_error *error)
{
    bool found = false;
    clipc_mapped_file card;
    CLIPC_TRY(clipc_model_open_card(model, &card, &found, error));
    const clipc_status status =
        found ? clipc_engine_writer_add_bytes(writer, "README.md", card.bytes, card.size, error) : CLIPC_OK;
    clipc_mapped_file_close(&card);
    return status;
}

clipc_status clipc_engine_file_write_rest(clipc_engine_writer *writer, const clipc_model *model,
                                          const clipc_engine_origin *origin, clipc_error *error)
{
    tensor_job job = {writer, model};
    char *json = NULL;
    if (!origin->block_layout)
        CLIPC_TRY(clipc_family_each(&clipc_family_transformers, &model->config, &model->weights, true, true,
                                    write_slot, &job, error));
    if (clipc_config_has_tower(&model->config, false))
        CLIPC_TRY(write_tokenizer(writer, model, error));
    CLIPC_TRY(clipc_config_write(&model->config, &json, error));
    CLIPC_TRY(write_json(writer, "config.json", json, error));
    if (clipc_config_has_tower(&model->config, true)) {
        CLIPC_TRY(clipc_preprocess_rule_write(&model->preprocess, &json, error));
        CLIPC_TRY(write_json(writer, "preprocessor_config.json", json, error));
    }
    CLIPC_TRY(write_origin(writer, model, origin, error));
    if (origin->tuning && origin->tuning->current && origin->tuning->current->count) {
        json = clipc_tuning_text(origin->tuning, true);
        if (!json)
            return clipc_fail_memory(error, 1024, CLIPC_TUNING_FILE);
        CLIPC_TRY(write_json(writer, CLIPC_TUNING_FILE, json, error));
    }
    return write_card(writer, model, error);
}
