/* The embedded default model. Its weights, config and preprocessing rule are the files of models/demo/model as they
 * are; its tokenizer is packed at build time (models/CMakeLists.txt), because parsing 1.5 MB of vocabulary and merges
 * would cost more than the rest of the start. */
#include "model/demo.h"

#include "model/model.h"

static clipc_status add_embedded(clipc_model *model, const char *name, const uint8_t *begin, const uint8_t *end,
                                 clipc_model_file_entry **out, clipc_error *error)
{
    clipc_mapped_file file = {.bytes = begin, .size = (size_t)((uintptr_t)end - (uintptr_t)begin)};
    return clipc_model_add_file(model, name, &file, out, error);
}

clipc_status clipc_demo_tokenizer(size_t vocabulary_size, clipc_tokenizer **out, clipc_error *error)
{
    const size_t size = (size_t)((uintptr_t)clipc_demo_tokenizer_end - (uintptr_t)clipc_demo_tokenizer_begin);
    return clipc_tokenizer_open_packed(clipc_demo_tokenizer_begin, size, "demo/tokenizer", vocabulary_size, out,
                                       error);
}

static clipc_status fill(clipc_model *model, clipc_error *error)
{
    clipc_model_file_entry *file = NULL;
    CLIPC_TRY(add_embedded(model, "demo/config.json", clipc_demo_config_begin, clipc_demo_config_end, &file, error));
    CLIPC_TRY(clipc_config_parse(file->file.bytes, file->file.size, file->path, &model->config, error));
    CLIPC_TRY(
        add_embedded(model, "demo/model.safetensors", clipc_demo_weights_begin, clipc_demo_weights_end, &file, error));
    CLIPC_TRY(clipc_model_read_table(file, error));
    CLIPC_TRY(clipc_model_bind(model, error));
    CLIPC_TRY(
        add_embedded(model, "demo/tokenizer", clipc_demo_tokenizer_begin, clipc_demo_tokenizer_end, &file, error));
    CLIPC_TRY(clipc_demo_tokenizer(model->config.vocabulary_size, &model->tokenizer, error));
    CLIPC_TRY(add_embedded(model, "demo/preprocessor_config.json", clipc_demo_preprocessor_begin,
                           clipc_demo_preprocessor_end, &file, error));
    CLIPC_TRY(clipc_preprocess_rule_parse(file->file.bytes, file->file.size, file->path, &model->preprocess, error));
    model->format = "embedded";
    model->known_finite = true; /* tests/unit/test_model.c looks at every weight */
    return clipc_model_finish(model, file->path, NULL, NULL, error);
}

clipc_status clipc_model_open_demo(clipc_model **out, clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    CLIPC_CHECK(clipc_model_allocate("demo", "", out, error));
    CLIPC_CHECK(fill(*out, error));
    return CLIPC_OK;
fail:
    clipc_model_release(out);
    return status;
}
