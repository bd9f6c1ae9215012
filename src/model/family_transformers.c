/* The names of transformers' CLIPModel ("pre_layrnorm" is its own spelling) and of its SiglipModel, which calls most
 * parts the same. */
#include "model/family_roles.h"

#include <string.h>

#define EMBEDDINGS "vision_model.embeddings."
#define HEAD       "vision_model.head."

static const clipc_role image_roles[] = {
    PART_ROLE(CLASS_TOKEN, EMBEDDINGS "class_embedding", image.class_embedding, WIDTH, PLAIN, WIDTH),
    ROLE(EMBEDDINGS "patch_embedding.weight", image.patch_embedding, WIDTH, PLAIN, WIDTH, CHANNELS, PATCH, PATCH),
    PART_ROLE(PATCH_BIAS, EMBEDDINGS "patch_embedding.bias", image.patch_bias, ZERO, PLAIN, WIDTH),
    ROLE(EMBEDDINGS "position_embedding.weight", image.position_embedding, WIDTH, PLAIN, TOKENS, WIDTH),
    PART_ROLE(NORM_PRE, "vision_model.pre_layrnorm.weight", image.norm_pre_weight, ONE, PLAIN, WIDTH),
    PART_ROLE(NORM_PRE, "vision_model.pre_layrnorm.bias", image.norm_pre_bias, ZERO, PLAIN, WIDTH),
    ROLE("vision_model.post_layernorm.weight", image.norm_post_weight, ONE, PLAIN, WIDTH),
    ROLE("vision_model.post_layernorm.bias", image.norm_post_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(QUERY, HEAD "query", image.probe, WIDTH, PLAIN, EMBEDDING),
    PART_ROLE(QUERY, HEAD "query_norm.weight", image.pooling.norm1_weight, ONE, PLAIN, EMBEDDING),
    PART_ROLE(QUERY, HEAD "query_norm.bias", image.pooling.norm1_bias, ZERO, PLAIN, EMBEDDING),
    PART_ROLE(QUERY, HEAD "attention.q_proj.weight", image.pooling.query_weight, WIDTH, PLAIN, EMBEDDING, EMBEDDING),
    PART_ROLE(QUERY, HEAD "attention.q_proj.bias", image.pooling.query_bias, ZERO, PLAIN, EMBEDDING),
    PART_ROLE(QUERY, HEAD "attention.k_proj.weight", image.pooling.key_weight, WIDTH, PLAIN, EMBEDDING, WIDTH),
    PART_ROLE(QUERY, HEAD "attention.k_proj.bias", image.pooling.key_bias, ZERO, PLAIN, EMBEDDING),
    PART_ROLE(QUERY, HEAD "attention.v_proj.weight", image.pooling.value_weight, WIDTH, PLAIN, EMBEDDING, WIDTH),
    PART_ROLE(QUERY, HEAD "attention.v_proj.bias", image.pooling.value_bias, ZERO, PLAIN, EMBEDDING),
    PART_ROLE(QUERY, HEAD "attention.o_proj.weight", image.pooling.attention_out_weight, WIDTH, PLAIN, EMBEDDING,
              EMBEDDING),
    PART_ROLE(QUERY, HEAD "attention.o_proj.bias", image.pooling.attention_out_bias, ZERO, PLAIN, EMBEDDING),
    PART_ROLE(QUERY, HEAD "norm.weight", image.pooling.norm2_weight, ONE, PLAIN, EMBEDDING),
    PART_ROLE(QUERY, HEAD "norm.bias", image.pooling.norm2_bias, ZERO, PLAIN, EMBEDDING),
    PART_ROLE(POOLING, HEAD "probe", image.probe, WIDTH, PLAIN, ONE_ROW, ONE_ROW, WIDTH),
    /* Roles that share a tensor follow one another: so they are written. */
    PART_ROLE(POOLING, HEAD "attention.in_proj_weight", image.pooling.query_weight, WIDTH, FIRST_THIRD, WIDTH, WIDTH),
    PART_ROLE(POOLING, HEAD "attention.in_proj_weight", image.pooling.key_weight, WIDTH, SECOND_THIRD, WIDTH, WIDTH),
    PART_ROLE(POOLING, HEAD "attention.in_proj_weight", image.pooling.value_weight, WIDTH, LAST_THIRD, WIDTH, WIDTH),
    PART_ROLE(POOLING, HEAD "attention.in_proj_bias", image.pooling.query_bias, ZERO, FIRST_THIRD, WIDTH),
    PART_ROLE(POOLING, HEAD "attention.in_proj_bias", image.pooling.key_bias, ZERO, SECOND_THIRD, WIDTH),
    PART_ROLE(POOLING, HEAD "attention.in_proj_bias", image.pooling.value_bias, ZERO, LAST_THIRD, WIDTH),
    PART_ROLE(POOLING, HEAD "attention.out_proj.weight", image.pooling.attention_out_weight, WIDTH, PLAIN, WIDTH,
              WIDTH),
    PART_ROLE(POOLING, HEAD "attention.out_proj.bias", image.pooling.attention_out_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(POOLING, HEAD "layernorm.weight", image.pooling.norm2_weight, ONE, PLAIN, WIDTH),
    PART_ROLE(POOLING, HEAD "layernorm.bias", image.pooling.norm2_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(POOLING, HEAD "mlp.fc1.weight", image.pooling.fc1_weight, MLP, PLAIN, MLP, WIDTH),
    PART_ROLE(POOLING, HEAD "mlp.fc1.bias", image.pooling.fc1_bias, ZERO, PLAIN, MLP),
    PART_ROLE(POOLING, HEAD "mlp.fc2.weight", image.pooling.fc2_weight, RESIDUAL, PLAIN, WIDTH, MLP),
    PART_ROLE(POOLING, HEAD "mlp.fc2.bias", image.pooling.fc2_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(IMAGE_PROJECTION, "visual_projection.weight", image.projection, WIDTH, PLAIN, EMBEDDING, POOLED),
    PART_ROLE(IMAGE_PROJECTION_BIAS, "visual_projection.bias", image.projection_bias, ZERO, PLAIN, EMBEDDING),
};

/* `head`: what the projection is called. */
#define TEXT_ROLES(head)                                                                                              \
    {                                                                                                                 \
        ROLE("text_model.embeddings.token_embedding.weight", text.token_embedding, TOKEN, PLAIN, VOCABULARY, WIDTH),  \
            ROLE("text_model.embeddings.position_embedding.weight", text.position_embedding, POSITION, PLAIN, TOKENS, \
                 WIDTH),                                                                                              \
            PART_ROLE(TEXT_CLASS_TOKEN, "text_model.embeddings.class_embedding", text.class_embedding, POSITION,      \
                      PLAIN, WIDTH),                                                                                  \
            ROLE("text_model.final_layer_norm.weight", text.norm_final_weight, ONE, PLAIN, WIDTH),                    \
            ROLE("text_model.final_layer_norm.bias", text.norm_final_bias, ZERO, PLAIN, WIDTH),                       \
            ROLE(head ".weight", text.projection, WIDTH, PLAIN, EMBEDDING, WIDTH),                                    \
            PART_ROLE(TEXT_PROJECTION_BIAS, head ".bias", text.projection_bias, ZERO, PLAIN, EMBEDDING),              \
    }

static const clipc_role text_roles[] = TEXT_ROLES("text_projection");
static const clipc_role siglip_text_roles[] = TEXT_ROLES("text_model.head");

static const clipc_role layer_roles[] = {
    LAYER_ROLE("layer_norm1.weight", norm1_weight, ONE, PLAIN, WIDTH),
    LAYER_ROLE("layer_norm1.bias", norm1_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("self_attn.q_proj.weight", query_weight, WIDTH, PLAIN, WIDTH, WIDTH),
    LAYER_ROLE("self_attn.q_proj.bias", query_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("self_attn.k_proj.weight", key_weight, WIDTH, PLAIN, WIDTH, WIDTH),
    LAYER_ROLE("self_attn.k_proj.bias", key_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("self_attn.v_proj.weight", value_weight, WIDTH, PLAIN, WIDTH, WIDTH),
    LAYER_ROLE("self_attn.v_proj.bias", value_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("self_attn.out_proj.weight", attention_out_weight, RESIDUAL, PLAIN, WIDTH, WIDTH),
    LAYER_ROLE("self_attn.out_proj.bias", attention_out_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("layer_norm2.weight", norm2_weight, ONE, PLAIN, WIDTH),
    LAYER_ROLE("layer_norm2.bias", norm2_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("mlp.fc1.weight", fc1_weight, MLP, PLAIN, MLP, WIDTH),
    LAYER_ROLE("mlp.fc1.bias", fc1_bias, ZERO, PLAIN, MLP),
    LAYER_ROLE("mlp.fc2.weight", fc2_weight, RESIDUAL, PLAIN, WIDTH, MLP),
    LAYER_ROLE("mlp.fc2.bias", fc2_bias, ZERO, PLAIN, WIDTH),
};

#define IMAGE_LAYERS "vision_model.encoder.layers.#."
#define TEXT_LAYERS  "text_model.encoder.layers.#."

const clipc_family clipc_family_transformers = {
    .name = "clip",
    .source = "transformers",
    .image = TOWER(IMAGE_LAYERS, EMBEDDINGS "class_embedding", image_roles, layer_roles),
    .text = TOWER(TEXT_LAYERS, "text_model.embeddings.token_embedding.weight", text_roles, layer_roles),
    .logit_scale = "logit_scale",
};

const clipc_family clipc_family_siglip = {
    .name = "siglip",
    .source = "transformers",
    .image = TOWER(IMAGE_LAYERS, HEAD "probe", image_roles, layer_roles),
    .text = TOWER(TEXT_LAYERS, "text_model.head.weight", siglip_text_roles, layer_roles),
    .logit_scale = "logit_scale",
    .logit_bias = "logit_bias",
};

const clipc_family clipc_family_siglip_alone = {
    .name = "siglip",
    .source = "transformers",
    .image = {.layer_prefix = IMAGE_LAYERS,
              .sign = "head.probe",
              .skip = sizeof "vision_model." - 1,
              .roles = image_roles,
              .role_count = LENGTH(image_roles),
              .layer_roles = layer_roles,
              .layer_role_count = LENGTH(layer_roles)},
    .text = {.layer_prefix = TEXT_LAYERS,
             .sign = "embeddings.token_embedding.weight",
             .skip = sizeof "text_model." - 1,
             .roles = siglip_text_roles,
             .role_count = LENGTH(siglip_text_roles),
             .layer_roles = layer_roles,
             .layer_role_count = LENGTH(layer_roles)},
    .logit_scale = "logit_scale",
    .logit_bias = "logit_bias",
};

const clipc_family *clipc_family_of_transformers(const clipc_config *config)
{
    return clipc_config_is_siglip(config) ? &clipc_family_siglip : &clipc_family_transformers;
}

bool clipc_family_is_transformers(const clipc_family *family)
{
    return strcmp(family->source, clipc_family_transformers.source) == 0;
}
