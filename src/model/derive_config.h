/* The config of a model whose files say no more than names and shapes, and perhaps an open_clip config. */
#ifndef CLIPC_MODEL_DERIVE_CONFIG_H
#define CLIPC_MODEL_DERIVE_CONFIG_H

#include "model/family.h"
#include "model/open_clip_config.h"

/* What the tensors are looked up in. */
typedef struct clipc_weight_files {
    const clipc_weight_file *files;
    size_t count;
    const clipc_family *family;
} clipc_weight_files;

/* Reads every number from the shapes of tensors of the wanted towers, as OpenAI's build_model does: heads are as many
 * as 64 goes into the width. With `config` (may be NULL) its heads, image size, activations and pooling count, and its
 * other numbers must agree with the shapes. Without it `activation` is that of both towers, the pooled token is the
 * largest id's, and the image is as large as the patches that have a position. */
clipc_status clipc_config_derive(const clipc_weight_files *in, const clipc_open_clip_config *config,
                                 clipc_activation activation, bool image, bool text, clipc_config *out,
                                 clipc_error *error);

#endif
