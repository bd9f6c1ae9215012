/* The names of transformers' CLIPModel; "pre_layrnorm" is its own spelling. */
#include "model/family.h"

#include <stddef.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

#define WIDTH      CLIPC_EXTENT_WIDTH
#define MLP        CLIPC_EXTENT_MLP
#define CHANNELS   CLIPC_EXTENT_CHANNELS
#define PATCH      CLIPC_EXTENT_PATCH
#define TOKENS     CLIPC_EXTENT_TOKENS
#define VOCABULARY CLIPC_EXTENT_VOCABULARY
#define EMBEDDING  CLIPC_EXTENT_EMBEDDING

#define AT(member)       offsetof(clipc_weights, member)
#define LAYER_AT(member) offsetof(clipc_layer_weights, member)

static const clipc_role image_roles[] = {
    {"vision_model.embeddings.class_embedding",
     AT(image.class_embedding),
     CLIPC_INITIAL_WIDTH,
     {WIDTH},
     CLIPC_FORM_PLAIN},
    {"vision_model.embeddings.patch_embedding.weight",
     AT(image.patch_embedding),
     CLIPC_INITIAL_WIDTH,
     {WIDTH, CHANNELS, PATCH, PATCH},
     CLIPC_FORM_PLAIN},
    {"vision_model.embeddings.position_embedding.weight",
     AT(image.position_embedding),
     CLIPC_INITIAL_WIDTH,
     {TOKENS, WIDTH},
     CLIPC_FORM_PLAIN},
    {"vision_model.pre_layrnorm.weight", AT(image.norm_pre_weight), CLIPC_INITIAL_ONE, {WIDTH}, CLIPC_FORM_PLAIN},
    {"vision_model.pre_layrnorm.bias", AT(image.norm_pre_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"vision_model.post_layernorm.weight", AT(image.norm_post_weight), CLIPC_INITIAL_ONE, {WIDTH}, CLIPC_FORM_PLAIN},
    {"vision_model.post_layernorm.bias", AT(image.norm_post_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"visual_projection.weight", AT(image.projection), CLIPC_INITIAL_WIDTH, {EMBEDDING, WIDTH}, CLIPC_FORM_PLAIN},
};

static const clipc_role text_roles[] = {
    {"text_model.embeddings.token_embedding.weight",
     AT(text.token_embedding),
     CLIPC_INITIAL_TOKEN,
     {VOCABULARY, WIDTH},
     CLIPC_FORM_PLAIN},
    {"text_model.embeddings.position_embedding.weight",
     AT(text.position_embedding),
     CLIPC_INITIAL_POSITION,
     {TOKENS, WIDTH},
     CLIPC_FORM_PLAIN},
    {"text_model.final_layer_norm.weight", AT(text.norm_final_weight), CLIPC_INITIAL_ONE, {WIDTH}, CLIPC_FORM_PLAIN},
    {"text_model.final_layer_norm.bias", AT(text.norm_final_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"text_projection.weight", AT(text.projection), CLIPC_INITIAL_WIDTH, {EMBEDDING, WIDTH}, CLIPC_FORM_PLAIN},
};

static const clipc_role layer_roles[] = {
    {"layer_norm1.weight", LAYER_AT(norm1_weight), CLIPC_INITIAL_ONE, {WIDTH}, CLIPC_FORM_PLAIN},
    {"layer_norm1.bias", LAYER_AT(norm1_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"self_attn.q_proj.weight", LAYER_AT(query_weight), CLIPC_INITIAL_WIDTH, {WIDTH, WIDTH}, CLIPC_FORM_PLAIN},
    {"self_attn.q_proj.bias", LAYER_AT(query_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"self_attn.k_proj.weight", LAYER_AT(key_weight), CLIPC_INITIAL_WIDTH, {WIDTH, WIDTH}, CLIPC_FORM_PLAIN},
    {"self_attn.k_proj.bias", LAYER_AT(key_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"self_attn.v_proj.weight", LAYER_AT(value_weight), CLIPC_INITIAL_WIDTH, {WIDTH, WIDTH}, CLIPC_FORM_PLAIN},
    {"self_attn.v_proj.bias", LAYER_AT(value_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"self_attn.out_proj.weight",
     LAYER_AT(attention_out_weight),
     CLIPC_INITIAL_RESIDUAL,
     {WIDTH, WIDTH},
     CLIPC_FORM_PLAIN},
    {"self_attn.out_proj.bias", LAYER_AT(attention_out_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"layer_norm2.weight", LAYER_AT(norm2_weight), CLIPC_INITIAL_ONE, {WIDTH}, CLIPC_FORM_PLAIN},
    {"layer_norm2.bias", LAYER_AT(norm2_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"mlp.fc1.weight", LAYER_AT(fc1_weight), CLIPC_INITIAL_MLP, {MLP, WIDTH}, CLIPC_FORM_PLAIN},
    {"mlp.fc1.bias", LAYER_AT(fc1_bias), CLIPC_INITIAL_ZERO, {MLP}, CLIPC_FORM_PLAIN},
    {"mlp.fc2.weight", LAYER_AT(fc2_weight), CLIPC_INITIAL_RESIDUAL, {WIDTH, MLP}, CLIPC_FORM_PLAIN},
    {"mlp.fc2.bias", LAYER_AT(fc2_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
};

const clipc_family clipc_family_transformers = {
    .name = "clip",
    .source = "transformers",
    .image = {.layer_prefix = "vision_model.encoder.layers.#.",
              .roles = image_roles,
              .role_count = LENGTH(image_roles),
              .layer_roles = layer_roles,
              .layer_role_count = LENGTH(layer_roles)},
    .text = {.layer_prefix = "text_model.encoder.layers.#.",
             .roles = text_roles,
             .role_count = LENGTH(text_roles),
             .layer_roles = layer_roles,
             .layer_role_count = LENGTH(layer_roles)},
    .logit_scale = "logit_scale",
};
