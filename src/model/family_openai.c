/* The names of OpenAI's CLIP (its model.py), which open_clip keeps; and those of open_clip's CustomTextCLIP. Query,
 * key and value are one tensor, projections are [width, D]. */
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
    {"visual.class_embedding", AT(image.class_embedding), CLIPC_INITIAL_WIDTH, {WIDTH}, CLIPC_FORM_PLAIN},
    {"visual.conv1.weight",
     AT(image.patch_embedding),
     CLIPC_INITIAL_WIDTH,
     {WIDTH, CHANNELS, PATCH, PATCH},
     CLIPC_FORM_PLAIN},
    {"visual.positional_embedding",
     AT(image.position_embedding),
     CLIPC_INITIAL_WIDTH,
     {TOKENS, WIDTH},
     CLIPC_FORM_PLAIN},
    {"visual.ln_pre.weight", AT(image.norm_pre_weight), CLIPC_INITIAL_ONE, {WIDTH}, CLIPC_FORM_PLAIN},
    {"visual.ln_pre.bias", AT(image.norm_pre_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"visual.ln_post.weight", AT(image.norm_post_weight), CLIPC_INITIAL_ONE, {WIDTH}, CLIPC_FORM_PLAIN},
    {"visual.ln_post.bias", AT(image.norm_post_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"visual.proj", AT(image.projection), CLIPC_INITIAL_WIDTH, {EMBEDDING, WIDTH}, CLIPC_FORM_TRANSPOSED},
};

/* `module`: what comes before the names. */
#define TEXT_ROLES(module)                                                                                            \
    {                                                                                                                 \
        {module "token_embedding.weight",                                                                             \
         AT(text.token_embedding),                                                                                    \
         CLIPC_INITIAL_TOKEN,                                                                                         \
         {VOCABULARY, WIDTH},                                                                                         \
         CLIPC_FORM_PLAIN},                                                                                           \
            {module "positional_embedding",                                                                           \
             AT(text.position_embedding),                                                                             \
             CLIPC_INITIAL_POSITION,                                                                                  \
             {TOKENS, WIDTH},                                                                                         \
             CLIPC_FORM_PLAIN},                                                                                       \
            {module "ln_final.weight", AT(text.norm_final_weight), CLIPC_INITIAL_ONE, {WIDTH}, CLIPC_FORM_PLAIN},     \
            {module "ln_final.bias", AT(text.norm_final_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},        \
            {module "text_projection",                                                                                \
             AT(text.projection),                                                                                     \
             CLIPC_INITIAL_WIDTH,                                                                                     \
             {EMBEDDING, WIDTH},                                                                                      \
             CLIPC_FORM_TRANSPOSED},                                                                                  \
    }

static const clipc_role text_roles[] = TEXT_ROLES("");
static const clipc_role custom_text_roles[] = TEXT_ROLES("text.");

#define IN_WEIGHT "attn.in_proj_weight"
#define IN_BIAS   "attn.in_proj_bias"

static const clipc_role layer_roles[] = {
    {"ln_1.weight", LAYER_AT(norm1_weight), CLIPC_INITIAL_ONE, {WIDTH}, CLIPC_FORM_PLAIN},
    {"ln_1.bias", LAYER_AT(norm1_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {IN_WEIGHT, LAYER_AT(query_weight), CLIPC_INITIAL_WIDTH, {WIDTH, WIDTH}, CLIPC_FORM_FIRST_THIRD},
    {IN_BIAS, LAYER_AT(query_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_FIRST_THIRD},
    {IN_WEIGHT, LAYER_AT(key_weight), CLIPC_INITIAL_WIDTH, {WIDTH, WIDTH}, CLIPC_FORM_SECOND_THIRD},
    {IN_BIAS, LAYER_AT(key_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_SECOND_THIRD},
    {IN_WEIGHT, LAYER_AT(value_weight), CLIPC_INITIAL_WIDTH, {WIDTH, WIDTH}, CLIPC_FORM_LAST_THIRD},
    {IN_BIAS, LAYER_AT(value_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_LAST_THIRD},
    {"attn.out_proj.weight", LAYER_AT(attention_out_weight), CLIPC_INITIAL_RESIDUAL, {WIDTH, WIDTH}, CLIPC_FORM_PLAIN},
    {"attn.out_proj.bias", LAYER_AT(attention_out_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"ln_2.weight", LAYER_AT(norm2_weight), CLIPC_INITIAL_ONE, {WIDTH}, CLIPC_FORM_PLAIN},
    {"ln_2.bias", LAYER_AT(norm2_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
    {"mlp.c_fc.weight", LAYER_AT(fc1_weight), CLIPC_INITIAL_MLP, {MLP, WIDTH}, CLIPC_FORM_PLAIN},
    {"mlp.c_fc.bias", LAYER_AT(fc1_bias), CLIPC_INITIAL_ZERO, {MLP}, CLIPC_FORM_PLAIN},
    {"mlp.c_proj.weight", LAYER_AT(fc2_weight), CLIPC_INITIAL_RESIDUAL, {WIDTH, MLP}, CLIPC_FORM_PLAIN},
    {"mlp.c_proj.bias", LAYER_AT(fc2_bias), CLIPC_INITIAL_ZERO, {WIDTH}, CLIPC_FORM_PLAIN},
};

#define TOWER(prefix, tower_roles)                                                                                    \
    {                                                                                                                 \
        .layer_prefix = prefix, .roles = tower_roles, .role_count = LENGTH(tower_roles), .layer_roles = layer_roles,  \
        .layer_role_count = LENGTH(layer_roles)                                                                       \
    }

/* Numbers that OpenAI's archives repeat, masks that every text tower has, and a bias that softmax takes away again. */
static const char *const others[] = {"input_resolution", "context_length", "vocab_size", "attn_mask",
                                     "text.attn_mask",   "logit_bias",     NULL};

const clipc_family clipc_family_openai = {
    .name = "clip",
    .source = "openai",
    .image = TOWER("visual.transformer.resblocks.#.", image_roles),
    .text = TOWER("transformer.resblocks.#.", text_roles),
    .logit_scale = "logit_scale",
    .others = others,
};

const clipc_family clipc_family_open_clip = {
    .name = "clip",
    .source = "open_clip",
    .image = TOWER("visual.transformer.resblocks.#.", image_roles),
    .text = TOWER("text.transformer.resblocks.#.", custom_text_roles),
    .logit_scale = "logit_scale",
    .others = others,
};
