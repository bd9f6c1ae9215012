/* An opened model: config, weights by role, tokenizer and preprocessing rule, with the files they are views of. */
#ifndef CLIPC_MODEL_MODEL_H
#define CLIPC_MODEL_MODEL_H

#include "base/mapped_file.h"
#include "image/preprocess.h"
#include "io/safetensors.h"
#include "model/config.h"
#include "model/weights.h"
#include "text/tokenizer.h"

#include <stdatomic.h>

struct clipc_model {
    atomic_size_t references; /* the handle and every engine hold one */
    clipc_config config;
    clipc_weights weights;
    clipc_preprocess_rule preprocess;
    clipc_tokenizer *tokenizer;
    size_t context_length; /* min(config.max_positions, the tokenizer's own limit) */
    char *name;
    char *path;
    char *default_template;
    const char *weights_dtype;
    size_t image_parameters;
    size_t text_parameters;
    /* what the above points into */
    struct clipc_model_file {
        char *path;
        uint64_t bytes;
        clipc_mapped_file file;
        clipc_safetensors *tensors; /* NULL but for weight files */
    } * files;
    size_t file_count;
    void *random_weights; /* of clipc_model_create_random */
};

/* Share and release; the last release frees. */
clipc_model *clipc_model_retain(const clipc_model *model);
void clipc_model_release(clipc_model **model);

#endif
