/* open_clip_config.json: every key that changes what is computed is followed or refused. */
#include "model/open_clip_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MODEL(image, text) "{\"embed_dim\":64,\"vision_cfg\":{" image "},\"text_cfg\":{" text "}}"
#define IMAGE(text)        MODEL(text, "")
#define TEXT(text)         MODEL("", text)

static clipc_status parse(const char *json, clipc_open_clip_config *config, clipc_error *error)
{
    return clipc_open_clip_config_parse(json, strlen(json), "config", config, error);
}

static clipc_open_clip_config read(const char *json)
{
    clipc_open_clip_config config;
    clipc_error error = {0};
    if (parse(json, &config, &error) != CLIPC_OK)
        fail_msg("%s: %s", json, error.message);
    return config;
}

static void reads_image_poolings(void **state)
{
    (void)state;
    clipc_open_clip_config config = read(IMAGE("\"output_tokens\":true"));
    assert_true(config.class_token && config.norm_pre && config.image_projection);
    assert_false(config.patch_bias || config.image_projection_bias);
    assert_int_equal(config.image_pooling, CLIPC_IMAGE_POOL_CLASS);
    /* ViT-L-14-CLIPA */
    config = read(IMAGE("\"no_ln_pre\":true,\"pool_type\":\"avg\",\"final_ln_after_pool\":true"));
    assert_int_equal(config.image_pooling, CLIPC_IMAGE_POOL_AVERAGE);
    assert_false(config.norm_pre);
    assert_int_equal(read(IMAGE("\"pool_type\":\"avg\"")).image_pooling, CLIPC_IMAGE_POOL_NORMED_AVERAGE);
    /* coca_ViT-B-32 */
    config = read(IMAGE("\"attentional_pool\":true,\"attn_pooler_heads\":12"));
    assert_int_equal(config.image_pooling, CLIPC_IMAGE_POOL_QUERY);
    assert_int_equal(config.pooling_heads, 12);
}

static void reads_texts(void **state)
{
    (void)state;
    clipc_open_clip_config config = read(TEXT("\"embed_cls\":true,\"pad_id\":5,\"context_length\":76"));
    assert_true(config.text_class_token && config.causal);
    assert_int_equal(config.pad_token, 5);
    assert_int_equal(config.pooling, CLIPC_POOL_LAST);
    assert_int_equal(read(TEXT("\"pool_type\":\"first\"")).pooling, CLIPC_POOL_FIRST);
    config = read(TEXT("\"hf_tokenizer_name\":\"bert-base-uncased\",\"tokenizer_kwargs\":{\"strip_sep_token\":true}"));
    assert_non_null(config.unknown_tokenizer);
    assert_non_null(read(TEXT("\"hf_model_name\":\"roberta-base\"")).text.unknown);
}

#define TIMM(name, pool, projection)                                                                                  \
    IMAGE("\"timm_model_name\":\"" name "\",\"timm_pool\":\"" pool "\",\"timm_proj\":" projection)

static void reads_timm_towers(void **state)
{
    (void)state;
    clipc_open_clip_config config = read(TIMM("eva_giant_patch14_224", "token", "null"));
    assert_null(config.image.unknown);
    assert_true(config.timm && config.class_token && config.patch_bias && config.image_projection_bias);
    assert_false(config.norm_pre);
    assert_true(config.image.layer_norm_epsilon == 1e-6F);
    config = read(TIMM("vit_large_patch14_clip_224", "token", "null"));
    assert_null(config.image.unknown);
    assert_true(config.norm_pre && !config.patch_bias);
    assert_int_equal(read(TIMM("vit_base_patch32_clip_quickgelu_224", "token", "null")).image.activation,
                     CLIPC_ACTIVATION_QUICK_GELU);
    static const char *const unknown[] = {
        TIMM("eva_giant_patch14_224", "token", "\"linear\""),
        TIMM("eva_giant_patch14_224", "avg", "null"),
        TIMM("eva02_base_patch16_clip_224", "token", "null"),
        TIMM("eva02_enormous_patch14_clip_224", "token", "null"),
        TIMM("vit_base_patch16_siglip_gap_224", "map", "\"none\""),
        TIMM("convnext_base", "", "\"linear\""),
    };
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_non_null(read(unknown[i]).image.unknown);
}

static void refuses_what_it_does_not_know(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *cause;
    } cases[] = {
        {IMAGE("\"ls_init_value\":1e-4"), "vision_cfg.ls_init_value is set"},
        {IMAGE("\"qk_norm\":true"), "vision_cfg.qk_norm is set"},
        {IMAGE("\"scaled_cosine_attn\":true"), "vision_cfg.scaled_cosine_attn is set"},
        {IMAGE("\"scale_heads\":true"), "vision_cfg.scale_heads is set"},
        {IMAGE("\"block_type\":\"custom\""), "vision_cfg.block_type is set"},
        {IMAGE("\"something_new\":3"), "vision_cfg.something_new is set"},
        {IMAGE("\"pool_type\":\"none\""), "pool_type is 'none'"},
        {IMAGE("\"attentional_pool\":\"parallel\""), "attentional_pool is 'parallel'"},
        {IMAGE("\"attentional_pool\":true,\"pool_type\":\"avg\""), "'avg' beside attentional_pool"},
        {IMAGE("\"norm_kwargs\":{\"elementwise_affine\":0}"), "norm_kwargs.elementwise_affine is set"},
        {IMAGE("\"act_kwargs\":{\"inplace\":true}"), "act_kwargs.inplace is set"},
        {IMAGE("\"timm_model_name\":\"x\",\"timm_proj_bias\":true"), "timm_proj_bias is set"},
        {TEXT("\"use_pad_mask\":true"), "text_cfg.use_pad_mask is set"},
        {TEXT("\"correct_cls_mask\":true"), "text_cfg.correct_cls_mask is set"},
        {TEXT("\"ls_init_value\":1"), "text_cfg.ls_init_value is set"},
        {TEXT("\"pool_type\":\"none\""), "pool_type is 'none'"},
        {TEXT("\"proj_type\":\"none\""), "proj_type is 'none'"},
        {TEXT("\"pad_id\":-1"), "pad_id is no token"},
        {TEXT("\"tokenizer_mode\":\"clips\""), "text_cfg.tokenizer_mode is set"},
        {TEXT("\"tokenizer_kwargs\":{\"reduction_mask\":\"random\"}"), "tokenizer_kwargs.reduction_mask is set"},
        {TEXT("\"tokenizer_kwargs\":{\"clean\":\"canonicalize\"}"), "clean is 'canonicalize'"},
        {"{\"vision_cfg\":{},\"text_cfg\":{},\"vision_layers\":3}", "model_cfg.vision_layers is set"},
        {"{\"quick_gelu\":true,\"vision_cfg\":{\"act_kwargs\":{\"approximate\":\"tanh\"}},\"text_cfg\":{}}",
         "set beside quick_gelu"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clipc_open_clip_config config;
        clipc_error error = {0};
        if (parse(cases[i].json, &config, &error) == CLIPC_OK || !strstr(error.message, cases[i].cause))
            fail_msg("%s: %s", cases[i].json, error.message);
    }
}

/* What says no, and what counts in training alone. */
static void leaves_idle_keys_alone(void **state)
{
    (void)state;
    read(IMAGE("\"ls_init_value\":null,\"qk_norm\":false,\"patch_dropout\":0.5,\"mlp_ratio\":3.0"));
    read("{\"custom_text\":true,\"init_logit_bias\":-10,\"multimodal_cfg\":{},\"vision_cfg\":{},\"text_cfg\":{}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_image_poolings),   cmocka_unit_test(reads_texts),
        cmocka_unit_test(reads_timm_towers),      cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(leaves_idle_keys_alone),
    };
    return cmocka_run_group_tests_name("open_clip_config", tests, NULL, NULL);
}
