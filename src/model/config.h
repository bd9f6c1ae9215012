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

/* The image tower of a ResNet CLIP, OpenAI's ModifiedResNet (its model.py): a stem of three convolutions, four stages
 * of bottlenecks, attention pooling. model/resnet.h lists its convolutions. */
typedef struct clipc_resnet_config {
    size_t depths[4]; /* bottlenecks of each stage; 0: the image tower is a transformer */
    size_t width;     /* channels after the stem */
} clipc_resnet_config;

/* Pixels that one row or column of the last stage stands for. */
#define CLIPC_RESNET_STRIDE ((size_t)32)

/* Which row of the text tower is the embedding: transformers takes the largest id's first place when the config has
 * the legacy eos_token_id 2, else the first end token, else (no end token) row 0. SigLIP takes the last row, padding
 * or not; a tower with a class token of texts that token's row. */
typedef enum clipc_text_pooling {
    CLIPC_POOL_FIRST_EOT,
    CLIPC_POOL_LARGEST_ID,
    CLIPC_POOL_LAST,
    CLIPC_POOL_FIRST
} clipc_text_pooling;

/* How an image's rows become one, before the projection. */
typedef enum clipc_image_pooling {
    CLIPC_IMAGE_POOL_CLASS,     /* the class token's row, through the final LayerNorm */
    CLIPC_IMAGE_POOL_ATTENTION, /* all rows through the final LayerNorm; one learned query, the probe, attends to them
                                   and an MLP follows: the MAP head of Zhai et al. 2022, as SigLIP has it */
    CLIPC_IMAGE_POOL_AVERAGE,   /* the mean of the patches' rows, through the final LayerNorm: CLIPA, Li et al. 2023 */
    CLIPC_IMAGE_POOL_NORMED_AVERAGE, /* all rows through the final LayerNorm, then the mean of the patches' */
    CLIPC_IMAGE_POOL_QUERY /* all rows through the final LayerNorm; one learned query as wide as the embedding, through
                              a LayerNorm of its own, attends to them with pooling_heads heads, and what comes of it
                              goes through a third LayerNorm: Yu et al. 2022, in the way of open_clip's CoCa */
} clipc_image_pooling;

/* A model may have one tower alone: the other one's width and layers are 0 then, and its other numbers mean nothing.
 */
typedef struct clipc_config {
    clipc_tower_config image;
    /* Of a ResNet, where `image` has the numbers of attention pooling: width 32 × resnet.width, its heads, no MLP; its
     * layers are the bottlenecks of all stages. patch_size is CLIPC_RESNET_STRIDE, and the mean of the last stage's
     * pixels takes the place of the class token. */
    clipc_resnet_config resnet;
    size_t image_size; /* pixels, square; not always a multiple of patch_size: the rest is not looked at */
    size_t patch_size;
    size_t image_tokens; /* (image_size / patch_size)², and 1 for a class token */
    bool class_token;    /* row 0 of the image tower is one; else all rows are patches */
    bool patch_bias;     /* the patch embedding has one */
    bool norm_pre;       /* LayerNorm before the first layer of the image tower */
    clipc_image_pooling image_pooling;
    size_t pooling_heads;       /* of CLIPC_IMAGE_POOL_QUERY */
    bool image_projection;      /* else the pooled row is the embedding, and D the image tower's width */
    bool image_projection_bias; /* of a transformer; a ResNet's always has one */
    clipc_tower_config text;
    size_t vocabulary_size;
    size_t max_positions;  /* rows of the text tower's position embedding */
    bool causal;           /* row i of a text sees rows 0 … i; else all rows, padding too */
    bool text_class_token; /* a learned row, at the last position, follows a text and is what is pooled; rows see by
                              the mask of open_clip's CoCa: api/text_rows.h */
    clipc_text_pooling pooling;
    int32_t eot_token;         /* for CLIPC_POOL_FIRST_EOT */
    int32_t pad_token;         /* what stands behind a text up to its full length, where that counts */
    bool text_projection_bias; /* the text tower's projection has one */
    size_t embedding_dimension;
    clipc_scoring scoring;
    bool image_defaults; /* the file says nothing of the tower: all numbers are transformers' defaults */
    bool text_defaults;
} clipc_config;

static inline bool clipc_config_has_tower(const clipc_config *config, bool image)
{
    return (image ? config->image.layers : config->text.layers) != 0;
}

static inline bool clipc_config_is_resnet(const clipc_config *config)
{
    return config->resnet.depths[0] != 0;
}

/* A config without any number, with the parts that OpenAI's CLIP has. */
static inline clipc_config clipc_config_clip(void)
{
    return (clipc_config){.class_token = true, .norm_pre = true, .image_projection = true, .causal = true};
}

/* The same with the parts of SigLIP: Zhai et al. 2023. */
static inline clipc_config clipc_config_siglip(void)
{
    return (clipc_config){.patch_bias = true,
                          .image_pooling = CLIPC_IMAGE_POOL_ATTENTION,
                          .pooling = CLIPC_POOL_LAST,
                          .text_projection_bias = true,
                          .scoring = CLIPC_SCORING_SIGMOID};
}

/* A part that not every model has, with weights of its own. */
typedef enum clipc_part {
    CLIPC_PART_ALWAYS, /* of every model */
    CLIPC_PART_CLASS_TOKEN,
    CLIPC_PART_PATCH_BIAS,
    CLIPC_PART_NORM_PRE,
    CLIPC_PART_POOLING, /* of image rows, by attention */
    CLIPC_PART_IMAGE_PROJECTION,
    CLIPC_PART_IMAGE_PROJECTION_BIAS,
    CLIPC_PART_TEXT_PROJECTION_BIAS,
    CLIPC_PART_TEXT_CLASS_TOKEN,
    CLIPC_PART_QUERY,       /* of image rows, by CLIPC_IMAGE_POOL_QUERY */
    CLIPC_PART_QUERY_APART, /* the same where the tower is not as wide as the embedding, */
    CLIPC_PART_QUERY_FUSED, /* and where it is: torch's MultiheadAttention then joins three matrices */
    CLIPC_PART_NO_QUERY     /* pooled in any other way */
} clipc_part;

/* Whether the model of this config has the part. */
bool clipc_config_has_part(const clipc_config *config, clipc_part part);

/* Whether the rows of a text do not simply follow one another, so that each says its position: model/token_place.h.
 * Where all rows see one another, their order is free, and the pooled one is put last. */
static inline bool clipc_config_places_tokens(const clipc_config *config)
{
    return config->text_class_token || (!config->causal && config->pooling != CLIPC_POOL_LAST);
}

/* Rows of one text at most: the class token, where there is one, may stand twice. */
static inline size_t clipc_config_text_rows(const clipc_config *config)
{
    return config->max_positions + (config->text_class_token ? 1 : 0);
}

/* The width of what image pooling makes. */
static inline size_t clipc_config_pooled_width(const clipc_config *config)
{
    return config->image_pooling == CLIPC_IMAGE_POOL_QUERY ? config->embedding_dimension : config->image.width;
}

/* Whether all rows of an image are pooled, not one of them. */
static inline bool clipc_config_pools_rows(const clipc_config *config)
{
    return config->image_pooling != CLIPC_IMAGE_POOL_CLASS;
}

/* Whether transformers has such a model as SigLIP, not as CLIP. */
static inline bool clipc_config_is_siglip(const clipc_config *config)
{
    return clipc_config_has_tower(config, true) ? config->image_pooling == CLIPC_IMAGE_POOL_ATTENTION
                                                : !config->causal;
}

/* All that is the image tower's of another config, or the text tower's; the dimension of embeddings is both's. */
void clipc_config_take_image(clipc_config *config, const clipc_config *from);
void clipc_config_take_text(clipc_config *config, const clipc_config *from);

/* Limits that no CLIP comes near and that keep every product of two dimensions within 64 bits. */
#define CLIPC_MAX_WIDTH      ((size_t)65536)
#define CLIPC_MAX_LAYERS     ((size_t)1024)
#define CLIPC_MAX_TOKENS     ((size_t)65536)
#define CLIPC_MAX_VOCABULARY ((size_t)16777216)

/* Reads transformers' config.json of a CLIPModel or SiglipModel, or of one tower with its projection, and checks every
 * number. Absent numbers take transformers' defaults.
 */
clipc_status clipc_config_parse(const void *json, size_t size, const char *name, clipc_config *out,
                                clipc_error *error);

/* Writes the same as config.json has it, to be freed with clipc_free. Parsing it gives `config` again, bit for bit. */
clipc_status clipc_config_write(const clipc_config *config, char **json, clipc_error *error);

/* The parts in which the model differs from the CLIPModel or SiglipModel whose config.json it has, as an object
 * "clipc" of a tower's section (config_parts.c). Absent ones stay as they are. `section`: what messages call it. */
struct json_t;
clipc_status clipc_config_read_parts(const struct json_t *object, bool image, const char *file, const char *section,
                                     clipc_config *config, clipc_error *error);
/* NULL when there is no memory; an empty object when there is no difference. */
struct json_t *clipc_config_parts_to_json(const clipc_config *config, bool image);
/* Checks what several numbers must be together, once all are read. */
clipc_status clipc_config_check_parts(const clipc_config *config, const char *name, clipc_error *error);

/* Checks the numbers of a ResNet, image_size and image.heads included, and sets the rest of `image`. */
clipc_status clipc_config_set_resnet(clipc_config *config, const char *name, clipc_error *error);

/* Checks image_size and patch_size against each other and sets image_tokens. */
clipc_status clipc_config_set_image(clipc_config *config, const char *name, clipc_error *error);

#endif
