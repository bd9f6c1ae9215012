/* The numbers that define a CLIP: what config.json says once it has been checked. */
#ifndef CLIPC_MODEL_CONFIG_H
#define CLIPC_MODEL_CONFIG_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum clipc_activation {
    CLIPC_ACTIVATION_QUICK_GELU, /* x × sigmoid(1.702 x), Hendrycks & Gimpel 2016 as OpenAI CLIP uses it */
    CLIPC_ACTIVATION_GELU,       /* x × Φ(x), by erf */
    CLIPC_ACTIVATION_GELU_TANH   /* its tanh approximation */
} clipc_activation;

const char *clipc_activation_name(clipc_activation activation);

/* One transformer encoder. width is a multiple of heads. */
typedef struct clipc_tower_config {
    size_t width;
    size_t layers;
    size_t heads;
    size_t mlp_width;
    clipc_activation activation;
    float layer_norm_epsilon;
} clipc_tower_config;

/* Which row of the text tower is the embedding: transformers takes the largest id's first place when the config has
 * the legacy eos_token_id 2, else the first end token, else (no end token) row 0. */
typedef enum clipc_text_pooling { CLIPC_POOL_FIRST_EOT, CLIPC_POOL_LARGEST_ID } clipc_text_pooling;

/* A model may have one tower alone: the other one's width and layers are 0 then, and its other numbers mean nothing.
 */
typedef struct clipc_config {
    clipc_tower_config image;
    size_t image_size; /* pixels, square; not always a multiple of patch_size: the rest is not looked at */
    size_t patch_size;
    size_t image_tokens; /* (image_size / patch_size)² + 1 */
    clipc_tower_config text;
    size_t vocabulary_size;
    size_t max_positions; /* rows of the text tower's position embedding */
    clipc_text_pooling pooling;
    int32_t eot_token; /* for CLIPC_POOL_FIRST_EOT */
    size_t embedding_dimension;
    bool image_defaults; /* the file says nothing of the tower: all numbers are transformers' defaults */
    bool text_defaults;
} clipc_config;

static inline bool clipc_config_has_tower(const clipc_config *config, bool image)
{
    return (image ? config->image.layers : config->text.layers) != 0;
}

/* Limits that no CLIP comes near and that keep every product of two dimensions within 64 bits. */
#define CLIPC_MAX_WIDTH      ((size_t)65536)
#define CLIPC_MAX_LAYERS     ((size_t)1024)
#define CLIPC_MAX_TOKENS     ((size_t)65536)
#define CLIPC_MAX_VOCABULARY ((size_t)16777216)

/* Reads transformers' config.json of a CLIPModel, or of one tower with its projection, and checks every number. Absent
 * numbers take transformers' defaults.
 */
clipc_status clipc_config_parse(const void *json, size_t size, const char *name, clipc_config *out,
                                clipc_error *error);

/* Writes the same as config.json has it, to be freed with clipc_free. Parsing it gives `config` again, bit for bit. */
clipc_status clipc_config_write(const clipc_config *config, char **json, clipc_error *error);

/* Checks image_size and patch_size against each other and sets image_tokens. */
clipc_status clipc_config_set_image(clipc_config *config, const char *name, clipc_error *error);

#endif
