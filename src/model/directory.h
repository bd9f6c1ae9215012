/* The files of a model that lie in one directory, and the two ways to make a model of them. */
#ifndef CLIPC_MODEL_DIRECTORY_H
#define CLIPC_MODEL_DIRECTORY_H

#include "model/model.h"

/* What a JSON file may weigh, far above the largest there is (the tokenizer.json of a large vocabulary, 20 MB). */
#define CLIPC_MAX_JSON_SIZE ((size_t)1 << 28)

/* Whether the model's directory has the file. */
bool clipc_directory_has(const clipc_model *model, const char *file_name);
/* Adds a file of the directory to the model's, of which it may be one already. */
clipc_status clipc_directory_add(clipc_model *model, const char *file_name, size_t limit, clipc_model_file_entry **out,
                                 clipc_error *error);
/* Builds the tokenizer from the directory's files; *found is false when it has none. CLIPC_CLEAN_NOTHING: the cleaning
 * that clipc.json names, if there is one. */
clipc_status clipc_directory_read_tokenizer(clipc_model *model, clipc_text_cleaning cleaning, bool *found,
                                            clipc_error *error);
/* Last step: the template of clipc.json, and clipc_model_finish. */
clipc_status clipc_directory_finish(clipc_model *model, const char *rule_name, clipc_error *error);

/* The rest of a model whose weight files were added: config, weights, preprocessing rule and tokenizer. */
/* With transformers' config.json and its other files; `detected` by the names of tensors, or NULL. */
clipc_status clipc_model_fill_transformers(clipc_model *model, const clipc_family *detected, clipc_error *error);
/* With the names of OpenAI or open_clip (`family`), and an open_clip config or none. */
clipc_status clipc_model_fill_openai(clipc_model *model, const clipc_family *family, const clipc_model_config *config,
                                     clipc_error *error);
/* Of ONNX graphs: one or two paths, the second may be NULL. */
clipc_status clipc_model_fill_onnx(clipc_model *model, const char *const paths[2], const clipc_model_config *config,
                                   clipc_error *error);

#endif
