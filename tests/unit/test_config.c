/* config.json: the numbers it gives, the defaults it leaves, and the ones that are refused. */
#include "base/memory.h"
#include "model/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static clipc_status parse(const char *json, clipc_config *config, clipc_error *error)
{
    return clipc_config_parse(json, strlen(json), "config.json", config, error);
}

/* transformers 5.23: CLIPConfig(). */
static void takes_defaults(void **state)
{
    (void)state;
    clipc_config config;
    clipc_error error = {0};
    assert_int_equal(parse("{\"model_type\":\"clip\"}", &config, &error), CLIPC_OK);
    assert_int_equal(config.image.width, 768);
    assert_int_equal(config.image.mlp_width, 3072);
    assert_int_equal(config.image.layers, 12);
    assert_int_equal(config.image.heads, 12);
    assert_int_equal(config.image_size, 224);
    assert_int_equal(config.patch_size, 32);
    assert_int_equal(config.image_tokens, 50);
    assert_int_equal(config.text.width, 512);
    assert_int_equal(config.text.mlp_width, 2048);
    assert_int_equal(config.text.layers, 12);
    assert_int_equal(config.text.heads, 8);
    assert_int_equal(config.vocabulary_size, 49408);
    assert_int_equal(config.max_positions, 77);
    assert_int_equal(config.embedding_dimension, 512);
    assert_int_equal(config.image.activation, CLIPC_ACTIVATION_QUICK_GELU);
    assert_int_equal(config.text.activation, CLIPC_ACTIVATION_QUICK_GELU);
    assert_true(config.image.layer_norm_epsilon == 1e-5F);
    assert_int_equal(config.pooling, CLIPC_POOL_FIRST_EOT);
    assert_int_equal(config.eot_token, 49407);
    assert_true(config.image_defaults && config.text_defaults);
    assert_int_equal(parse("{\"model_type\":\"clip\",\"vision_config\":{},\"text_config\":null}", &config, &error),
                     CLIPC_OK);
    assert_true(!config.image_defaults && config.text_defaults);
}

static void reads_odd_shapes(void **state)
{
    (void)state;
    clipc_config config;
    clipc_error error = {0};
    assert_int_equal(
        parse("{\"model_type\":\"clip\",\"projection_dim\":24,\"vision_config\":{\"hidden_size\":40,"
              "\"intermediate_size\":37,\"num_hidden_layers\":3,\"num_attention_heads\":5,\"image_size\":31,"
              "\"patch_size\":7,\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-6,\"projection_dim\":7},"
              "\"text_config\":{\"hidden_size\":24,\"intermediate_size\":48,\"num_hidden_layers\":1,"
              "\"num_attention_heads\":3,\"vocab_size\":99,\"max_position_embeddings\":13,"
              "\"hidden_act\":\"gelu_pytorch_tanh\",\"layer_norm_eps\":1,\"eos_token_id\":49407}}",
              &config, &error),
        CLIPC_OK);
    assert_int_equal(config.image_tokens, 17); /* (31 / 7)² + 1 */
    assert_int_equal(config.image.activation, CLIPC_ACTIVATION_GELU);
    assert_true(config.image.layer_norm_epsilon == 1e-6F);
    assert_int_equal(config.text.activation, CLIPC_ACTIVATION_GELU_TANH);
    assert_true(config.text.layer_norm_epsilon == 1.0F);
    assert_int_equal(config.embedding_dimension, 24);
    assert_int_equal(config.vocabulary_size, 99);
}

static void settles_the_pooling(void **state)
{
    (void)state;
    clipc_config config;
    clipc_error error = {0};
    assert_int_equal(parse("{\"model_type\":\"clip\",\"text_config\":{\"eos_token_id\":2}}", &config, &error),
                     CLIPC_OK);
    assert_int_equal(config.pooling, CLIPC_POOL_LARGEST_ID);
    assert_int_equal(parse("{\"model_type\":\"clip\",\"text_config\":{\"eos_token_id\":98}}", &config, &error),
                     CLIPC_OK);
    assert_int_equal(config.pooling, CLIPC_POOL_FIRST_EOT);
    assert_int_equal(config.eot_token, 98);
    assert_int_equal(parse("{\"model_type\":\"clip\",\"text_config\":{\"eos_token_id\":null}}", &config, &error),
                     CLIPC_OK);
    assert_int_equal(config.pooling, CLIPC_POOL_FIRST_EOT);
    assert_int_equal(config.eot_token, -1);
}

/* As in CLIPConfig: where the old section is not null it replaces the new one, defaults and all. */
static void old_sections_replace_new_ones(void **state)
{
    (void)state;
    clipc_config config;
    clipc_error error = {0};
    assert_int_equal(parse("{\"model_type\":\"clip\",\"text_config\":{\"num_hidden_layers\":5,\"eos_token_id\":2},"
                           "\"text_config_dict\":{\"hidden_size\":768,\"num_attention_heads\":12},"
                           "\"vision_config\":{\"num_hidden_layers\":7},\"vision_config_dict\":null}",
                           &config, &error),
                     CLIPC_OK);
    assert_int_equal(config.text.layers, 12);
    assert_int_equal(config.text.width, 768);
    assert_int_equal(config.eot_token, 49407);
    assert_int_equal(config.image.layers, 7);
}

#define IMAGE(text)  "{\"model_type\":\"clip\",\"vision_config\":{" text "}}"
#define TEXT(text)   "{\"model_type\":\"clip\",\"text_config\":{" text "}}"
#define TOP(text)    "{\"model_type\":\"clip\"," text "}"
#define SIGLIP(text) "{\"model_type\":\"siglip\"," text "}"

/* Defaults of SiglipTextConfig and SiglipVisionConfig, and what makes the model another one than CLIP. */
static void reads_siglip(void **state)
{
    (void)state;
    clipc_config config;
    clipc_error error = {0};
    assert_int_equal(parse(SIGLIP("\"text_config\":{}"), &config, &error), CLIPC_OK);
    assert_int_equal(config.image_tokens, 196);
    assert_false(config.class_token);
    assert_true(config.patch_bias);
    assert_false(config.norm_pre);
    assert_int_equal(config.image_pooling, CLIPC_IMAGE_POOL_ATTENTION);
    assert_false(config.image_projection);
    assert_int_equal(config.vocabulary_size, 32000);
    assert_int_equal(config.max_positions, 64);
    assert_false(config.causal);
    assert_int_equal(config.pooling, CLIPC_POOL_LAST);
    assert_true(config.text_projection_bias);
    assert_int_equal(config.embedding_dimension, 768);
    assert_int_equal(config.scoring, CLIPC_SCORING_SIGMOID);
    assert_int_equal(config.image.activation, CLIPC_ACTIVATION_GELU_TANH);
    assert_true(config.text.layer_norm_epsilon == 1e-6F);

    assert_int_equal(
        parse("{\"model_type\":\"siglip_text_model\",\"hidden_size\":24,\"projection_size\":40}", &config, &error),
        CLIPC_OK);
    assert_int_equal(config.embedding_dimension, 40);
    assert_int_equal(config.image.layers, 0);
}

/* What is written is read again as the same config. */
static void writes_what_it_reads(void **state)
{
    (void)state;
    static const char *const cases[] = {
        SIGLIP(
            "\"vision_config\":{\"hidden_size\":48,\"hidden_act\":\"gelu\"},\"text_config\":{\"projection_size\":48}"),
        "{\"model_type\":\"siglip_text_model\",\"projection_size\":40}",
        "{\"model_type\":\"siglip_vision_model\",\"patch_size\":14}",
        "{\"model_type\":\"clip_text_model\",\"eos_token_id\":2}",
        TOP("\"vision_config\":{\"clipc\":{\"pooling\":\"query\",\"pooling_heads\":8}},"
            "\"text_config\":{\"clipc\":{\"class_token\":true,\"pooling\":\"last\",\"pad_token\":3}}"),
        TOP("\"vision_config\":{\"clipc\":{\"pooling\":\"average\",\"norm_pre\":false,\"projection_bias\":true}},"
            "\"text_config\":{\"clipc\":{\"causal\":false,\"pooling\":\"first\"}}"),
        TOP("\"vision_config\":{\"clipc\":{\"pooling\":\"normed_average\",\"patch_bias\":true}},"
            "\"text_config\":{\"clipc\":{\"pooling\":\"first_end_token\",\"end_token\":2}}"),
        SIGLIP("\"text_config\":{\"clipc\":{\"projection_bias\":false,\"pooling\":\"largest_id\"}}"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clipc_config first;
        clipc_config second;
        clipc_error error = {0};
        char *json = NULL;
        assert_int_equal(parse(cases[i], &first, &error), CLIPC_OK);
        assert_int_equal(clipc_config_write(&first, &json, &error), CLIPC_OK);
        assert_int_equal(parse(json, &second, &error), CLIPC_OK);
        first.image_defaults = second.image_defaults;
        first.text_defaults = second.text_defaults;
        assert_memory_equal(&first, &second, sizeof first);
        clipc_free(json);
    }
}

static void refuses_bad_configs(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        clipc_status status;
        const char *cause;
    } cases[] = {
        {"", CLIPC_ERROR_TRUNCATED, "is empty"},
        {"{\"model_type\":\"clip\",\"text_co", CLIPC_ERROR_TRUNCATED, "ends too early"},
        {"{\"model_type\":\"clip\",}", CLIPC_ERROR_FORMAT, "not valid JSON"},
        {"[1]", CLIPC_ERROR_FORMAT, "not an object"},
        {"{\"model_type\":\"clip\",\"model_type\":\"clip\"}", CLIPC_ERROR_FORMAT, "duplicate"},
        {"{}", CLIPC_ERROR_FORMAT, "no model_type"},
        {"{\"model_type\":7}", CLIPC_ERROR_FORMAT, "no model_type"},
        {"{\"model_type\":\"blip\"}", CLIPC_ERROR_UNSUPPORTED, "model_type is 'blip'"},
        {"{\"model_type\":\"siglip2\"}", CLIPC_ERROR_UNSUPPORTED, "NaFlex"},
        {SIGLIP("\"vision_config\":{\"vision_use_head\":false}"), CLIPC_ERROR_UNSUPPORTED, "vision_use_head is false"},
        {SIGLIP("\"vision_config\":{\"vision_use_head\":1}"), CLIPC_ERROR_FORMAT, "vision_use_head is a whole number"},
        {SIGLIP("\"text_config\":{\"projection_size\":512}"), CLIPC_ERROR_FORMAT, "projection_size is 512"},
        {SIGLIP("\"text_config\":{\"hidden_size\":1152,\"num_attention_heads\":16}"), CLIPC_ERROR_FORMAT,
         "projection_size is 1152"},
        {TOP("\"vision_config\":[]"), CLIPC_ERROR_FORMAT, "vision_config is an array"},
        {TOP("\"text_config_dict\":\"x\""), CLIPC_ERROR_FORMAT, "text_config_dict is a string"},
        {TOP("\"projection_dim\":0"), CLIPC_ERROR_FORMAT, "projection_dim is 0"},
        {TOP("\"projection_dim\":1e3"), CLIPC_ERROR_FORMAT, "projection_dim is a fraction"},
        {TOP("\"projection_dim\":null"), CLIPC_ERROR_FORMAT, "projection_dim is null"},
        {IMAGE("\"hidden_size\":0"), CLIPC_ERROR_FORMAT, "vision_config.hidden_size is 0, must be 1 to 65536"},
        {IMAGE("\"hidden_size\":-768"), CLIPC_ERROR_FORMAT, "vision_config.hidden_size is -768"},
        {IMAGE("\"hidden_size\":65537"), CLIPC_ERROR_FORMAT, "vision_config.hidden_size is 65537"},
        {IMAGE("\"hidden_size\":9223372036854775807"), CLIPC_ERROR_FORMAT, "is 9223372036854775807"},
        {IMAGE("\"hidden_size\":9223372036854775808"), CLIPC_ERROR_FORMAT, "too big integer"},
        {IMAGE("\"hidden_size\":768.5"), CLIPC_ERROR_FORMAT, "vision_config.hidden_size is a fraction"},
        {IMAGE("\"hidden_size\":\"768\""), CLIPC_ERROR_FORMAT, "vision_config.hidden_size is a string"},
        {IMAGE("\"hidden_size\":null"), CLIPC_ERROR_FORMAT, "vision_config.hidden_size is null"},
        {IMAGE("\"hidden_size\":true"), CLIPC_ERROR_FORMAT, "vision_config.hidden_size is a truth value"},
        {IMAGE("\"hidden_size\":770"), CLIPC_ERROR_FORMAT,
         "hidden_size 770 is not a multiple of num_attention_heads 12"},
        {IMAGE("\"num_attention_heads\":0"), CLIPC_ERROR_FORMAT, "num_attention_heads is 0"},
        {IMAGE("\"num_hidden_layers\":0"), CLIPC_ERROR_FORMAT, "num_hidden_layers is 0"},
        {IMAGE("\"num_hidden_layers\":1000000000"), CLIPC_ERROR_FORMAT, "num_hidden_layers is 1000000000"},
        {IMAGE("\"intermediate_size\":-1"), CLIPC_ERROR_FORMAT, "intermediate_size is -1"},
        {IMAGE("\"image_size\":0"), CLIPC_ERROR_FORMAT, "image_size is 0"},
        {IMAGE("\"image_size\":[224,224]"), CLIPC_ERROR_FORMAT, "image_size is an array"},
        {IMAGE("\"patch_size\":0"), CLIPC_ERROR_FORMAT, "patch_size is 0"},
        {IMAGE("\"patch_size\":225"), CLIPC_ERROR_FORMAT, "patch_size 225 is larger than image_size 224"},
        {IMAGE("\"image_size\":65536,\"patch_size\":1"), CLIPC_ERROR_FORMAT, "4294967296 patches"},
        {IMAGE("\"num_channels\":4"), CLIPC_ERROR_UNSUPPORTED, "num_channels is 4"},
        {IMAGE("\"hidden_act\":\"swish\""), CLIPC_ERROR_UNSUPPORTED, "hidden_act is 'swish'"},
        {IMAGE("\"hidden_act\":3"), CLIPC_ERROR_FORMAT, "hidden_act is a whole number"},
        {IMAGE("\"layer_norm_eps\":0"), CLIPC_ERROR_FORMAT, "layer_norm_eps is 0"},
        {IMAGE("\"layer_norm_eps\":-1e-5"), CLIPC_ERROR_FORMAT, "layer_norm_eps is -1e-05"},
        {IMAGE("\"layer_norm_eps\":1e300"), CLIPC_ERROR_FORMAT, "layer_norm_eps is 1e+300"},
        {IMAGE("\"layer_norm_eps\":1e-300"), CLIPC_ERROR_FORMAT, "layer_norm_eps is 1e-300"},
        {IMAGE("\"layer_norm_eps\":1e999"), CLIPC_ERROR_FORMAT, "not valid JSON"},
        {IMAGE("\"layer_norm_eps\":NaN"), CLIPC_ERROR_FORMAT, "not valid JSON"},
        {IMAGE("\"layer_norm_eps\":\"1e-5\""), CLIPC_ERROR_FORMAT, "layer_norm_eps is a string"},
        {TEXT("\"vocab_size\":0"), CLIPC_ERROR_FORMAT, "text_config.vocab_size is 0"},
        {TEXT("\"vocab_size\":-49408"), CLIPC_ERROR_FORMAT, "text_config.vocab_size is -49408"},
        {TEXT("\"vocab_size\":99999999999"), CLIPC_ERROR_FORMAT, "text_config.vocab_size is 99999999999"},
        {TEXT("\"max_position_embeddings\":1"), CLIPC_ERROR_FORMAT,
         "max_position_embeddings is 1, must be 2 to 65536"},
        {TEXT("\"max_position_embeddings\":2147483648"), CLIPC_ERROR_FORMAT, "max_position_embeddings is 2147483648"},
        {TEXT("\"eos_token_id\":-2"), CLIPC_ERROR_FORMAT, "text_config.eos_token_id is -2"},
        {TEXT("\"eos_token_id\":[49407]"), CLIPC_ERROR_FORMAT, "text_config.eos_token_id is an array"},
        {TEXT("\"eos_token_id\":4294967298"), CLIPC_ERROR_FORMAT, "text_config.eos_token_id is 4294967298"},
        {TOP("\"text_config_dict\":{\"hidden_size\":0}"), CLIPC_ERROR_FORMAT, "text_config_dict.hidden_size is 0"},
        {IMAGE("\"clipc\":[]"), CLIPC_ERROR_FORMAT, "vision_config.clipc is an array"},
        {IMAGE("\"clipc\":{\"class_token\":1}"), CLIPC_ERROR_FORMAT, "clipc.class_token is a whole number"},
        {IMAGE("\"clipc\":{\"pooling\":\"max\"}"), CLIPC_ERROR_UNSUPPORTED, "clipc.pooling is none that"},
        {IMAGE("\"clipc\":{\"pooling\":3}"), CLIPC_ERROR_UNSUPPORTED, "clipc.pooling is none that"},
        {IMAGE("\"clipc\":{\"pooling\":\"query\"}"), CLIPC_ERROR_FORMAT, "cannot have 0 heads"},
        {IMAGE("\"clipc\":{\"pooling\":\"query\",\"pooling_heads\":7}"), CLIPC_ERROR_FORMAT, "cannot have 7 heads"},
        {IMAGE("\"clipc\":{\"pooling_heads\":-1}"), CLIPC_ERROR_FORMAT, "clipc.pooling_heads is no whole number"},
        {IMAGE("\"hidden_size\":384,\"clipc\":{\"pooling\":\"query\",\"pooling_heads\":8}"), CLIPC_ERROR_UNSUPPORTED,
         "is wider than the image tower's 384"},
        {IMAGE("\"clipc\":{\"projection\":false}"), CLIPC_ERROR_UNSUPPORTED, "pooling 'class' without a projection"},
        {TEXT("\"clipc\":{\"class_token\":true,\"causal\":false}"), CLIPC_ERROR_UNSUPPORTED, "without a causal mask"},
        {TEXT("\"clipc\":{\"class_token\":true,\"pad_token\":49408}"), CLIPC_ERROR_FORMAT,
         "the pad token 49408 is outside the vocabulary"},
        {TEXT("\"vocab_size\":16777216,\"max_position_embeddings\":65536,\"clipc\":{\"class_token\":true}"),
         CLIPC_ERROR_UNSUPPORTED, "more than clipc can place"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clipc_config config;
        clipc_error error = {0};
        const clipc_status status = parse(cases[i].json, &config, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].cause))
            print_message("%s\n -> %d %s\n", cases[i].json, status, error.message);
        assert_int_equal(status, cases[i].status);
        assert_ptr_equal(strstr(error.message, "config.json: "), error.message);
        assert_non_null(strstr(error.message, cases[i].cause));
    }
}

/* What a parser would hold of it is bounded by the file's size; strings that hold marks of JSON are no values. */
static void refuses_too_many_values(void **state)
{
    (void)state;
    static const struct {
        const char *begin;
        const char *item;
        const char *end;
        clipc_status status;
    } cases[] = {
        {"{\"x\":[", "{},", "0]}", CLIPC_ERROR_LIMIT},
        {"{\"x\":[", "[],", "0]}", CLIPC_ERROR_LIMIT},
        {"{\"x\":[", "\"\",", "0]}", CLIPC_ERROR_LIMIT},
        {"{\"x\":[", "0,", "0]}", CLIPC_ERROR_LIMIT},
        {"{\"model_type\":\"clip\",\"x\":\"", "{},\\\"", "\"}", CLIPC_OK},
    };
    const size_t size = (size_t)6 << 20;
    char *text = test_malloc(size + 64);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clipc_config config;
        clipc_error error = {0};
        const size_t step = strlen(cases[i].item);
        size_t used = strlen(cases[i].begin);
        memcpy(text, cases[i].begin, used);
        for (; used < size; used += step)
            memcpy(text + used, cases[i].item, step);
        memcpy(text + used, cases[i].end, strlen(cases[i].end) + 1);
        assert_int_equal(parse(text, &config, &error), cases[i].status);
        if (cases[i].status != CLIPC_OK)
            assert_non_null(strstr(error.message, "holds too many values for its size"));
    }
    test_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_defaults),      cmocka_unit_test(reads_odd_shapes),
        cmocka_unit_test(settles_the_pooling), cmocka_unit_test(old_sections_replace_new_ones),
        cmocka_unit_test(reads_siglip),        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(refuses_bad_configs), cmocka_unit_test(refuses_too_many_values),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
