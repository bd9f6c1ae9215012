/* The files that a tokenizer was read from, which go where the model goes: a tokenizer of pieces cannot be written
 * anew from its packed form. */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

/* The first ones are enough for a tokenizer. */
static const char *const names[] = {"tokenizer.json", "spiece.model",          "tokenizer.model",        "vocab.json",
                                    "merges.txt",     "tokenizer_config.json", "special_tokens_map.json"};
#define NAMES  (sizeof names / sizeof names[0])
#define ENOUGH 4

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static clipc_status find_section(const clipc_model *model, const char *name, const void **bytes, size_t *size,
                                 clipc_error *error)
{
    char section_name[CLIPC_SECTION_NAME];
    snprintf(section_name, sizeof section_name, CLIPC_SECTION_SOURCE "%s", name);
    const clipc_section *section = clipc_engine_file_find(model->engine_file, section_name, 0);
    if (!section)
        return CLIPC_OK;
    CLIPC_FAIL_IF(section->kind != CLIPC_SECTION_BYTES, error, CLIPC_ERROR_FORMAT,
                  "%s: section '%s' is of the wrong kind", model->path, section_name);
    *bytes = section->bytes;
    *size = section->size;
    return clipc_engine_file_verify_section(model->engine_file,
                                            (size_t)(section - clipc_engine_file_at(model->engine_file, 0)), error);
}

clipc_status clipc_model_each_tokenizer_source(const clipc_model *model, clipc_source_function function, void *context,
                                               bool *found, clipc_error *error)
{
    *found = false;
    for (size_t i = 0; i < NAMES; i++) {
        const void *bytes = NULL;
        size_t size = 0;
        if (model->engine_file)
            CLIPC_TRY(find_section(model, names[i], &bytes, &size, error));
        for (size_t j = 0; j < model->file_count && !bytes && !model->engine_file; j++) {
            if (strcmp(base_name(model->files[j].path), names[i]) != 0)
                continue;
            bytes = model->files[j].file.bytes;
            size = model->files[j].file.size;
        }
        if (!bytes)
            continue;
        *found = *found || i < ENOUGH;
        CLIPC_TRY(function(context, names[i], bytes, size, error));
    }
    return CLIPC_OK;
}
