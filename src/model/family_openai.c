/* The names of OpenAI's CLIP (its model.py), which open_clip keeps; and those of open_clip's CustomTextCLIP. Query,
 * key and value are one tensor, projections are [width, D]. */
#include "model/family_roles.h"

#define QUERY_POOL      "visual.attn_pool."
#define QUERY_ATTENTION QUERY_POOL "attn."

static const clipc_role image_roles[] = {
    PART_ROLE(CLASS_TOKEN, "visual.class_embedding", image.class_embedding, WIDTH, PLAIN, WIDTH),
    ROLE("visual.conv1.weight", image.patch_embedding, WIDTH, PLAIN, WIDTH, CHANNELS, PATCH, PATCH),
    ROLE("visual.positional_embedding", image.position_embedding, WIDTH, PLAIN, TOKENS, WIDTH),
    PART_ROLE(NORM_PRE, "visual.ln_pre.weight", image.norm_pre_weight, ONE, PLAIN, WIDTH),
    PART_ROLE(NORM_PRE, "visual.ln_pre.bias", image.norm_pre_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(NO_QUERY, "visual.ln_post.weight", image.norm_post_weight, ONE, PLAIN, WIDTH),
    PART_ROLE(NO_QUERY, "visual.ln_post.bias", image.norm_post_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(QUERY, QUERY_POOL "ln_k.weight", image.norm_post_weight, ONE, PLAIN, WIDTH),
    PART_ROLE(QUERY, QUERY_POOL "ln_k.bias", image.norm_post_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(QUERY, QUERY_POOL "query", image.probe, WIDTH, FIRST_ROW, EMBEDDING),
    PART_ROLE(QUERY, QUERY_POOL "ln_q.weight", image.pooling.norm1_weight, ONE, PLAIN, EMBEDDING),
    PART_ROLE(QUERY, QUERY_POOL "ln_q.bias", image.pooling.norm1_bias, ZERO, PLAIN, EMBEDDING),
    PART_ROLE(QUERY_APART, QUERY_ATTENTION "q_proj_weight", image.pooling.query_weight, WIDTH, PLAIN, EMBEDDING,
              EMBEDDING),
    PART_ROLE(QUERY_APART, QUERY_ATTENTION "k_proj_weight", image.pooling.key_weight, WIDTH, PLAIN, EMBEDDING, WIDTH),
    PART_ROLE(QUERY_APART, QUERY_ATTENTION "v_proj_weight", image.pooling.value_weight, WIDTH, PLAIN, EMBEDDING,
              WIDTH),
    PART_ROLE(QUERY_FUSED, QUERY_ATTENTION "in_proj_weight", image.pooling.query_weight, WIDTH, FIRST_THIRD, EMBEDDING,
              EMBEDDING),
    PART_ROLE(QUERY_FUSED, QUERY_ATTENTION "in_proj_weight", image.pooling.key_weight, WIDTH, SECOND_THIRD, EMBEDDING,
              EMBEDDING),
    PART_ROLE(QUERY_FUSED, QUERY_ATTENTION "in_proj_weight", image.pooling.value_weight, WIDTH, LAST_THIRD, EMBEDDING,
              EMBEDDING),
    PART_ROLE(QUERY, QUERY_ATTENTION "in_proj_bias", image.pooling.query_bias, ZERO, FIRST_THIRD, EMBEDDING),
    PART_ROLE(QUERY, QUERY_ATTENTION "in_proj_bias", image.pooling.key_bias, ZERO, SECOND_THIRD, EMBEDDING),
    PART_ROLE(QUERY, QUERY_ATTENTION "in_proj_bias", image.pooling.value_bias, ZERO, LAST_THIRD, EMBEDDING),
    PART_ROLE(QUERY, QUERY_ATTENTION "out_proj.weight", image.pooling.attention_out_weight, WIDTH, PLAIN, EMBEDDING,
              EMBEDDING),
    PART_ROLE(QUERY, QUERY_ATTENTION "out_proj.bias", image.pooling.attention_out_bias, ZERO, PLAIN, EMBEDDING),
    PART_ROLE(QUERY, "visual.ln_post.weight", image.pooling.norm2_weight, ONE, PLAIN, EMBEDDING),
    PART_ROLE(QUERY, "visual.ln_post.bias", image.pooling.norm2_bias, ZERO, PLAIN, EMBEDDING),
    PART_ROLE(IMAGE_PROJECTION, "visual.proj", image.projection, WIDTH, TRANSPOSED, EMBEDDING, POOLED),
};

/* `module`: what comes before the names. */
#define TEXT_ROLES(module)                                                                                            \
    {                                                                                                                 \
        ROLE(module "token_embedding.weight", text.token_embedding, TOKEN, PLAIN, VOCABULARY, WIDTH),                 \
            ROLE(module "positional_embedding", text.position_embedding, POSITION, PLAIN, TOKENS, WIDTH),             \
            PART_ROLE(TEXT_CLASS_TOKEN, module "cls_emb", text.class_embedding, POSITION, PLAIN, WIDTH),              \
            ROLE(module "ln_final.weight", text.norm_final_weight, ONE, PLAIN, WIDTH),                                \
            ROLE(module "ln_final.bias", text.norm_final_bias, ZERO, PLAIN, WIDTH),                                   \
            ROLE(module "text_projection", text.projection, WIDTH, TRANSPOSED, EMBEDDING, WIDTH),                     \
    }

static const clipc_role text_roles[] = TEXT_ROLES("");
static const clipc_role custom_text_roles[] = TEXT_ROLES("text.");

/* The same with a projection that is a layer of its own. */
static const clipc_role biased_text_roles[] = {
    ROLE("text.token_embedding.weight", text.token_embedding, TOKEN, PLAIN, VOCABULARY, WIDTH),
    ROLE("text.positional_embedding", text.position_embedding, POSITION, PLAIN, TOKENS, WIDTH),
    ROLE("text.ln_final.weight", text.norm_final_weight, ONE, PLAIN, WIDTH),
    ROLE("text.ln_final.bias", text.norm_final_bias, ZERO, PLAIN, WIDTH),
    ROLE("text.text_projection.weight", text.projection, WIDTH, PLAIN, EMBEDDING, WIDTH),
    PART_ROLE(TEXT_PROJECTION_BIAS, "text.text_projection.bias", text.projection_bias, ZERO, PLAIN, EMBEDDING),
};

#define IN_WEIGHT "attn.in_proj_weight"
#define IN_BIAS   "attn.in_proj_bias"

static const clipc_role layer_roles[] = {
    LAYER_ROLE("ln_1.weight", norm1_weight, ONE, PLAIN, WIDTH),
    LAYER_ROLE("ln_1.bias", norm1_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE(IN_WEIGHT, query_weight, WIDTH, FIRST_THIRD, WIDTH, WIDTH),
    LAYER_ROLE(IN_BIAS, query_bias, ZERO, FIRST_THIRD, WIDTH),
    LAYER_ROLE(IN_WEIGHT, key_weight, WIDTH, SECOND_THIRD, WIDTH, WIDTH),
    LAYER_ROLE(IN_BIAS, key_bias, ZERO, SECOND_THIRD, WIDTH),
    LAYER_ROLE(IN_WEIGHT, value_weight, WIDTH, LAST_THIRD, WIDTH, WIDTH),
    LAYER_ROLE(IN_BIAS, value_bias, ZERO, LAST_THIRD, WIDTH),
    LAYER_ROLE("attn.out_proj.weight", attention_out_weight, RESIDUAL, PLAIN, WIDTH, WIDTH),
    LAYER_ROLE("attn.out_proj.bias", attention_out_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("ln_2.weight", norm2_weight, ONE, PLAIN, WIDTH),
    LAYER_ROLE("ln_2.bias", norm2_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("mlp.c_fc.weight", fc1_weight, MLP, PLAIN, MLP, WIDTH),
    LAYER_ROLE("mlp.c_fc.bias", fc1_bias, ZERO, PLAIN, MLP),
    LAYER_ROLE("mlp.c_proj.weight", fc2_weight, RESIDUAL, PLAIN, WIDTH, MLP),
    LAYER_ROLE("mlp.c_proj.bias", fc2_bias, ZERO, PLAIN, WIDTH),
};

/* ---- timm's vision transformers ---- */

#define TRUNK "visual.trunk."
#define POOL  TRUNK "attn_pool."

static const clipc_role timm_image_roles[] = {
    ROLE(TRUNK "patch_embed.proj.weight", image.patch_embedding, WIDTH, PLAIN, WIDTH, CHANNELS, PATCH, PATCH),
    PART_ROLE(PATCH_BIAS, TRUNK "patch_embed.proj.bias", image.patch_bias, ZERO, PLAIN, WIDTH),
    ROLE(TRUNK "pos_embed", image.position_embedding, WIDTH, PLAIN, TOKENS, WIDTH),
    ROLE(TRUNK "norm.weight", image.norm_post_weight, ONE, PLAIN, WIDTH),
    ROLE(TRUNK "norm.bias", image.norm_post_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(POOLING, POOL "latent", image.probe, WIDTH, PLAIN, ONE_ROW, ONE_ROW, WIDTH),
    PART_ROLE(POOLING, POOL "q.weight", image.pooling.query_weight, WIDTH, PLAIN, WIDTH, WIDTH),
    PART_ROLE(POOLING, POOL "q.bias", image.pooling.query_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(POOLING, POOL "kv.weight", image.pooling.key_weight, WIDTH, FIRST_HALF, WIDTH, WIDTH),
    PART_ROLE(POOLING, POOL "kv.bias", image.pooling.key_bias, ZERO, FIRST_HALF, WIDTH),
    PART_ROLE(POOLING, POOL "kv.weight", image.pooling.value_weight, WIDTH, LAST_HALF, WIDTH, WIDTH),
    PART_ROLE(POOLING, POOL "kv.bias", image.pooling.value_bias, ZERO, LAST_HALF, WIDTH),
    PART_ROLE(POOLING, POOL "proj.weight", image.pooling.attention_out_weight, WIDTH, PLAIN, WIDTH, WIDTH),
    PART_ROLE(POOLING, POOL "proj.bias", image.pooling.attention_out_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(POOLING, POOL "norm.weight", image.pooling.norm2_weight, ONE, PLAIN, WIDTH),
    PART_ROLE(POOLING, POOL "norm.bias", image.pooling.norm2_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(POOLING, POOL "mlp.fc1.weight", image.pooling.fc1_weight, MLP, PLAIN, MLP, WIDTH),
    PART_ROLE(POOLING, POOL "mlp.fc1.bias", image.pooling.fc1_bias, ZERO, PLAIN, MLP),
    PART_ROLE(POOLING, POOL "mlp.fc2.weight", image.pooling.fc2_weight, RESIDUAL, PLAIN, WIDTH, MLP),
    PART_ROLE(POOLING, POOL "mlp.fc2.bias", image.pooling.fc2_bias, ZERO, PLAIN, WIDTH),
};

static const clipc_role timm_layer_roles[] = {
    LAYER_ROLE("norm1.weight", norm1_weight, ONE, PLAIN, WIDTH),
    LAYER_ROLE("norm1.bias", norm1_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("attn.qkv.weight", query_weight, WIDTH, FIRST_THIRD, WIDTH, WIDTH),
    LAYER_ROLE("attn.qkv.bias", query_bias, ZERO, FIRST_THIRD, WIDTH),
    LAYER_ROLE("attn.qkv.weight", key_weight, WIDTH, SECOND_THIRD, WIDTH, WIDTH),
    LAYER_ROLE("attn.qkv.bias", key_bias, ZERO, SECOND_THIRD, WIDTH),
    LAYER_ROLE("attn.qkv.weight", value_weight, WIDTH, LAST_THIRD, WIDTH, WIDTH),
    LAYER_ROLE("attn.qkv.bias", value_bias, ZERO, LAST_THIRD, WIDTH),
    LAYER_ROLE("attn.proj.weight", attention_out_weight, RESIDUAL, PLAIN, WIDTH, WIDTH),
    LAYER_ROLE("attn.proj.bias", attention_out_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("norm2.weight", norm2_weight, ONE, PLAIN, WIDTH),
    LAYER_ROLE("norm2.bias", norm2_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("mlp.fc1.weight", fc1_weight, MLP, PLAIN, MLP, WIDTH),
    LAYER_ROLE("mlp.fc1.bias", fc1_bias, ZERO, PLAIN, MLP),
    LAYER_ROLE("mlp.fc2.weight", fc2_weight, RESIDUAL, PLAIN, WIDTH, MLP),
    LAYER_ROLE("mlp.fc2.bias", fc2_bias, ZERO, PLAIN, WIDTH),
};

/* With a class token. */
static const clipc_role timm_class_image_roles[] = {
    PART_ROLE(CLASS_TOKEN, TRUNK "cls_token", image.class_embedding, WIDTH, PLAIN, WIDTH),
    ROLE(TRUNK "patch_embed.proj.weight", image.patch_embedding, WIDTH, PLAIN, WIDTH, CHANNELS, PATCH, PATCH),
    PART_ROLE(PATCH_BIAS, TRUNK "patch_embed.proj.bias", image.patch_bias, ZERO, PLAIN, WIDTH),
    ROLE(TRUNK "pos_embed", image.position_embedding, WIDTH, PLAIN, TOKENS, WIDTH),
    PART_ROLE(NORM_PRE, TRUNK "norm_pre.weight", image.norm_pre_weight, ONE, PLAIN, WIDTH),
    PART_ROLE(NORM_PRE, TRUNK "norm_pre.bias", image.norm_pre_bias, ZERO, PLAIN, WIDTH),
    ROLE(TRUNK "norm.weight", image.norm_post_weight, ONE, PLAIN, WIDTH),
    ROLE(TRUNK "norm.bias", image.norm_post_bias, ZERO, PLAIN, WIDTH),
    PART_ROLE(IMAGE_PROJECTION, TRUNK "head.weight", image.projection, WIDTH, PLAIN, EMBEDDING, POOLED),
    PART_ROLE(IMAGE_PROJECTION_BIAS, TRUNK "head.bias", image.projection_bias, ZERO, PLAIN, EMBEDDING),
};

/* Keys without a bias. */
static const clipc_role eva_layer_roles[] = {
    LAYER_ROLE("norm1.weight", norm1_weight, ONE, PLAIN, WIDTH),
    LAYER_ROLE("norm1.bias", norm1_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("attn.qkv.weight", query_weight, WIDTH, FIRST_THIRD, WIDTH, WIDTH),
    LAYER_ROLE("attn.q_bias", query_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("attn.qkv.weight", key_weight, WIDTH, SECOND_THIRD, WIDTH, WIDTH),
    LAYER_ROLE("attn.k_bias", key_bias, ZERO, ZEROS, WIDTH),
    LAYER_ROLE("attn.qkv.weight", value_weight, WIDTH, LAST_THIRD, WIDTH, WIDTH),
    LAYER_ROLE("attn.v_bias", value_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("attn.proj.weight", attention_out_weight, RESIDUAL, PLAIN, WIDTH, WIDTH),
    LAYER_ROLE("attn.proj.bias", attention_out_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("norm2.weight", norm2_weight, ONE, PLAIN, WIDTH),
    LAYER_ROLE("norm2.bias", norm2_bias, ZERO, PLAIN, WIDTH),
    LAYER_ROLE("mlp.fc1.weight", fc1_weight, MLP, PLAIN, MLP, WIDTH),
    LAYER_ROLE("mlp.fc1.bias", fc1_bias, ZERO, PLAIN, MLP),
    LAYER_ROLE("mlp.fc2.weight", fc2_weight, RESIDUAL, PLAIN, WIDTH, MLP),
    LAYER_ROLE("mlp.fc2.bias", fc2_bias, ZERO, PLAIN, WIDTH),
};

/* ---- families ---- */

#define IMAGE_TOWER TOWER("visual.transformer.resblocks.#.", "visual.class_embedding", image_roles, layer_roles)

/* Numbers that OpenAI's archives repeat, masks that every text tower has, and what CoCa writes captions with. */
static const char *const others[] = {"input_resolution", "context_length", "vocab_size", "attn_mask",
                                     "text.attn_mask",   "text_decoder.",  NULL};

const clipc_family clipc_family_openai = {
    .name = "clip",
    .source = "openai",
    .image = IMAGE_TOWER,
    .text = TOWER("transformer.resblocks.#.", "token_embedding.weight", text_roles, layer_roles),
    .resnet = true,
    .logit_scale = "logit_scale",
    .logit_bias = "logit_bias",
    .others = others,
};

const clipc_family clipc_family_open_clip = {
    .name = "clip",
    .source = "open_clip",
    .image = IMAGE_TOWER,
    .text = TOWER("text.transformer.resblocks.#.", "text.token_embedding.weight", custom_text_roles, layer_roles),
    .resnet = true,
    .logit_scale = "logit_scale",
    .logit_bias = "logit_bias",
    .others = others,
};

const clipc_family clipc_family_open_clip_siglip = {
    .name = "siglip",
    .source = "open_clip",
    .image = TOWER("visual.trunk.blocks.#.", POOL "latent", timm_image_roles, timm_layer_roles),
    .text = TOWER("text.transformer.resblocks.#.", "text.text_projection.weight", biased_text_roles, layer_roles),
    .logit_scale = "logit_scale",
    .logit_bias = "logit_bias",
    .others = others,
};

const clipc_family clipc_family_open_clip_eva = {
    .name = "clip",
    .source = "open_clip",
    .image = TOWER("visual.trunk.blocks.#.", TRUNK "blocks.0.attn.q_bias", timm_class_image_roles, eva_layer_roles),
    .text = TOWER("text.transformer.resblocks.#.", "text.token_embedding.weight", custom_text_roles, layer_roles),
    .logit_scale = "logit_scale",
    .logit_bias = "logit_bias",
    .others = others,
};

const clipc_family clipc_family_open_clip_timm = {
    .name = "clip",
    .source = "open_clip",
    .image = TOWER("visual.trunk.blocks.#.", TRUNK "norm_pre.weight", timm_class_image_roles, timm_layer_roles),
    .text = TOWER("text.transformer.resblocks.#.", "text.token_embedding.weight", custom_text_roles, layer_roles),
    .logit_scale = "logit_scale",
    .logit_bias = "logit_bias",
    .others = others,
};

bool clipc_family_is_timm(const clipc_family *family)
{
    return family == &clipc_family_open_clip_siglip || family == &clipc_family_open_clip_eva ||
           family == &clipc_family_open_clip_timm;
}
