/* What open_clip_config.json says of a model: the numbers that no tensor's shape tells, and how images are prepared.
 */
#ifndef CLIPC_MODEL_OPEN_CLIP_CONFIG_H
#define CLIPC_MODEL_OPEN_CLIP_CONFIG_H

#include "image/preprocess.h"
#include "model/config.h"
#include "text/tokenizer.h"

/* Numbers are 0 where the file leaves them to the tensors. */
typedef struct clipc_open_clip_tower {
    size_t width;
    size_t layers;
    size_t heads;
    clipc_activation activation;
    float layer_norm_epsilon;
    const char *unknown; /* why clipc has no such tower, in words; NULL when it has */
} clipc_open_clip_tower;

typedef struct clipc_open_clip_config {
    size_t embedding_dimension;
    clipc_open_clip_tower image;
    bool timm; /* the image tower is a vision transformer of timm's */
    bool class_token;
    bool patch_bias;
    bool norm_pre;
    clipc_image_pooling image_pooling;
    size_t pooling_heads; /* of CLIPC_IMAGE_POOL_QUERY */
    bool image_projection;
    bool image_projection_bias;
    clipc_resnet_config resnet; /* whose width is not in image.width; zeroed when the tower is none */
    size_t image_size;
    size_t patch_size;
    clipc_open_clip_tower text;
    size_t context_length;
    size_t vocabulary_size;
    bool causal;
    bool text_class_token;
    clipc_text_pooling pooling;
    int32_t eot_token;
    int32_t pad_token;
    bool text_projection_bias;
    bool own_tokenizer;            /* not CLIP's: its files are beside the weights */
    const char *unknown_tokenizer; /* what texts need that clipc does not have, in words; NULL: nothing */
    clipc_text_cleaning cleaning;
    clipc_preprocess_rule rule;
} clipc_open_clip_config;

/* Reads open_clip_config.json ({"model_cfg": …, "preprocess_cfg": …}) or the model_cfg alone, as open_clip's own
 * model_configs have it. What the file leaves out takes the defaults of open_clip 3.3 (CLIPVisionCfg, CLIPTextCfg,
 * PreprocessCfg). */
clipc_status clipc_open_clip_config_parse(const void *json, size_t size, const char *name, clipc_open_clip_config *out,
                                          clipc_error *error);

#endif
