/* A model as transformers' save_pretrained lays it out. */
#include "model/directory.h"

#define CONFIG       "config.json"
#define PREPROCESSOR "preprocessor_config.json"
#define PROCESSOR    "processor_config.json"

static clipc_status read_config(clipc_model *model, clipc_error *error)
{
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(clipc_directory_add(model, CONFIG, CLIPC_MAX_JSON_SIZE, &entry, error));
    return clipc_config_parse(entry->file.bytes, entry->file.size, entry->path, &model->config, error);
}

/* transformers 5 saves a processor's parts in one file, processor_config.json; its "image_processor" goes before
 * preprocessor_config.json (get_image_processor_dict of image_processing_base.py, 5.23). *found: it has one. */
static clipc_status read_nested_rule(clipc_model *model, const char **name, bool *found, clipc_error *error)
{
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(clipc_directory_add(model, PROCESSOR, CLIPC_MAX_JSON_SIZE, &entry, error));
    *name = entry->path;
    return clipc_preprocess_rule_parse_nested(entry->file.bytes, entry->file.size, entry->path, found,
                                              &model->preprocess, error);
}

/* Without a file that says it the rule is OpenAI's, or SigLIP's, at the size of the config. */
static clipc_status read_rule(clipc_model *model, const char **name, clipc_error *error)
{
    bool found = false;
    if (clipc_directory_has(model, PROCESSOR))
        CLIPC_TRY(read_nested_rule(model, name, &found, error));
    if (found)
        return CLIPC_OK;
    if (!clipc_directory_has(model, PREPROCESSOR)) {
        *name = model->path;
        model->preprocess = clipc_config_is_siglip(&model->config)
                                ? clipc_preprocess_rule_siglip(model->config.image_size)
                                : clipc_preprocess_rule_openai(model->config.image_size);
        return CLIPC_OK;
    }
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(clipc_directory_add(model, PREPROCESSOR, CLIPC_MAX_JSON_SIZE, &entry, error));
    *name = entry->path;
    return clipc_preprocess_rule_parse(entry->file.bytes, entry->file.size, entry->path, &model->preprocess, error);
}

clipc_status clipc_model_fill_transformers(clipc_model *model, const clipc_family *detected, clipc_error *error)
{
    const char *rule_name = NULL;
    bool found = false;
    model->format = "directory";
    CLIPC_TRY(read_config(model, error));
    model->family = clipc_family_of_transformers(&model->config);
    const bool both = clipc_config_has_tower(&model->config, true) && clipc_config_has_tower(&model->config, false);
    if (!both && model->family == &clipc_family_siglip && detected == &clipc_family_siglip_alone)
        model->family = detected;
    CLIPC_TRY(clipc_model_bind(model, error));
    if (clipc_config_has_tower(&model->config, true))
        CLIPC_TRY(read_rule(model, &rule_name, error));
    if (clipc_config_has_tower(&model->config, false)) {
        CLIPC_TRY(clipc_directory_read_tokenizer(model, CLIPC_CLEAN_NOTHING, &found, error));
        CLIPC_FAIL_IF(!found, error, CLIPC_ERROR_NOT_FOUND,
                      "%s: holds neither tokenizer.json nor vocab.json and merges.txt", model->path);
    }
    return clipc_directory_finish(model, rule_name, error);
}
