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

static json_t *config_to_json(const clipc_config *config)
{
    json_t *image = tower_to_json(&config->image);
    json_t *text = tower_to_json(&config->text);
    const int failed =
        json_object_set_new(image, "image_size", json_integer((json_int_t)config->image_size)) |
        json_object_set_new(image, "patch_size", json_integer((json_int_t)config->patch_size)) |
        json_object_set_new(text, "vocab_size", json_integer((json_int_t)config->vocabulary_size)) |
        json_object_set_new(text, "max_position_embeddings", json_integer((json_int_t)config->max_positions)) |
        json_object_set_new(text, "eos_token_id", end_token_to_json(config));
    json_t *root = json_pack("{s:s, s:I, s:o, s:o}", "model_type", "clip", "projection_dim",
                             (json_int_t)config->embedding_dimension, "vision_config", image, "text_config", text);
    if (!failed)
        return root;
    json_decref(root);
    return NULL;
}

clipc_status clipc_config_write(const clipc_config *config, char **json, clipc_error *error)
{
    *json = clipc_json_write(config_to_json(config));
    return *json ? CLIPC_OK : clipc_fail_memory(error, sizeof *config, "a config as text");
}
