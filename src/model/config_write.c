/* A config as transformers spells it. */
#include "base/json.h"
#include "base/memory.h"
#include "model/config.h"

static const char *spell_activation(clipc_activation activation)
{
    return activation == CLIPC_ACTIVATION_GELU_TANH ? "gelu_new" : clipc_activation_name(activation);
}

/* NULL when there is no memory, as every function of jansson that makes a value. */
static json_t *tower_to_json(const clipc_tower_config *tower)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:s, s:f}", "hidden_size", (json_int_t)tower->width, "intermediate_size",
                     (json_int_t)tower->mlp_width, "num_hidden_layers", (json_int_t)tower->layers,
                     "num_attention_heads", (json_int_t)tower->heads, "hidden_act",
                     spell_activation(tower->activation), "layer_norm_eps", (double)tower->layer_norm_epsilon);
}

/* The legacy rule is told by the end token 2, and none at all by null. */
static json_t *end_token_to_json(const clipc_config *config)
{
    if (config->pooling == CLIPC_POOL_LARGEST_ID)
        return json_integer(2);
    return config->eot_token < 0 ? json_null() : json_integer(config->eot_token);
}

/* Adds the pairs of `more`, which is taken over, to `object`; NULL when there is no memory. */
static json_t *join(json_t *object, json_t *more)
{
    const int failed = json_object_update(object, more);
    json_decref(more);
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *resnet_to_json(const clipc_config *config)
{
    const size_t *depths = config->resnet.depths;
    return json_pack("{s:[I, I, I, I], s:I, s:I, s:I}", "depths", (json_int_t)depths[0], (json_int_t)depths[1],
                     (json_int_t)depths[2], (json_int_t)depths[3], "embedding_size", (json_int_t)config->resnet.width,
                     "num_attention_heads", (json_int_t)config->image.heads, "image_size",
                     (json_int_t)config->image_size);
}

/* Adds the object "clipc" where the tower needs it. */
static json_t *add_parts(const clipc_config *config, bool image, json_t *object)
{
    json_t *parts = clipc_config_parts_to_json(config, image);
    if (!parts) {
        json_decref(object);
        return NULL;
    }
    if (json_object_size(parts) == 0) {
        json_decref(parts);
        return object;
    }
    return join(object, json_pack("{s:o}", "clipc", parts));
}

static json_t *image_to_json(const clipc_config *config)
{
    if (clipc_config_is_resnet(config))
        return resnet_to_json(config);
    return add_parts(
        config, true,
        join(tower_to_json(&config->image), json_pack("{s:I, s:I}", "image_size", (json_int_t)config->image_size,
                                                      "patch_size", (json_int_t)config->patch_size)));
}

static json_t *text_to_json(const clipc_config *config)
{
    return add_parts(
        config, false,
        join(tower_to_json(&config->text),
             json_pack("{s:I, s:I, s:o}", "vocab_size", (json_int_t)config->vocabulary_size, "max_position_embeddings",
                       (json_int_t)config->max_positions, "eos_token_id", end_token_to_json(config))));
}

/* A SiglipModel's text tower has the projection's size among its numbers. */
static json_t *siglip_text_to_json(const clipc_config *config)
{
    return add_parts(config, false,
                     join(tower_to_json(&config->text),
                          json_pack("{s:I, s:I, s:I}", "vocab_size", (json_int_t)config->vocabulary_size,
                                    "max_position_embeddings", (json_int_t)config->max_positions, "projection_size",
                                    (json_int_t)config->embedding_dimension)));
}

static json_t *siglip_to_json(const clipc_config *config)
{
    if (!clipc_config_has_tower(config, true))
        return join(siglip_text_to_json(config),
                    json_pack("{s:s, s:[s]}", "model_type", "siglip_text_model", "architectures", "SiglipTextModel"));
    if (!clipc_config_has_tower(config, false))
        return join(image_to_json(config), json_pack("{s:s, s:[s]}", "model_type", "siglip_vision_model",
                                                     "architectures", "SiglipVisionModel"));
    return json_pack("{s:s, s:[s], s:o, s:o}", "model_type", "siglip", "architectures", "SiglipModel", "vision_config",
                     image_to_json(config), "text_config", siglip_text_to_json(config));
}

/* One tower alone has its numbers at the top. The architecture is what transformers makes of the file. */
static json_t *config_to_json(const clipc_config *config)
{
    const json_int_t dimension = (json_int_t)config->embedding_dimension;
    if (!clipc_config_has_tower(config, true))
        return join(text_to_json(config),
                    json_pack("{s:s, s:[s], s:I}", "model_type", "clip_text_model", "architectures",
                              "CLIPTextModelWithProjection", "projection_dim", dimension));
    if (!clipc_config_has_tower(config, false))
        return join(image_to_json(config),
                    json_pack("{s:s, s:[s], s:I}", "model_type", "clip_vision_model", "architectures",
                              "CLIPVisionModelWithProjection", "projection_dim", dimension));
    return json_pack("{s:s, s:[s], s:I, s:o, s:o}", "model_type", "clip", "architectures", "CLIPModel",
                     "projection_dim", dimension, "vision_config", image_to_json(config), "text_config",
                     text_to_json(config));
}

clipc_status clipc_config_write(const clipc_config *config, char **json, clipc_error *error)
{
    *json = clipc_json_write(clipc_config_is_siglip(config) ? siglip_to_json(config) : config_to_json(config));
    return *json ? CLIPC_OK : clipc_fail_memory(error, sizeof *config, "a config as text");
}
