/* Opening models: the embedded one, random ones, and directories made here, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/model_directory.h"

static void opens_the_demo_model(void **state)
{
    (void)state;
    clipc_model *model = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_model_open(NULL, NULL, &model, &error), CLIPC_OK);
    clipc_model_info info = {.size = sizeof info};
    assert_int_equal(clipc_model_get_info(model, &info, &error), CLIPC_OK);
    assert_string_equal(info.name, "demo");
    assert_string_equal(info.path, "");
    assert_string_equal(info.family, "clip");
    assert_string_equal(info.weights_dtype, "fp16");
    assert_string_equal(info.image.activation, "quick_gelu");
    assert_int_equal(info.image.width, 256);
    assert_int_equal(info.image.layers, 6);
    assert_int_equal(info.text.mlp_width, 512);
    assert_int_equal(info.image_height, 128);
    assert_int_equal(info.image_tokens, 65);
    assert_int_equal(info.embedding_dimension, 256);
    assert_int_equal(info.context_length, 77);
    assert_int_equal(info.image.parameters + info.text.parameters + 1, 12178817); /* models/demo/CARD.md */
    assert_float_equal(info.logit_scale, 58.1F, 0.05F);
    assert_int_equal(info.file_count, 4);
    uint64_t bytes = 0;
    assert_string_equal(clipc_model_file(model, 1, &bytes), "demo/model.safetensors");
    assert_int_equal(bytes, 24377914);
    assert_null(clipc_model_file(model, 4, &bytes));
    assert_non_null(clipc_model_preprocessing_step(model, 0));
    assert_null(clipc_model_preprocessing_step(model, CLIPC_MAX_STEPS));
    clipc_model_destroy(&model);
    assert_null(model);
    clipc_model_destroy(&model);
}

/* Opening trusts the embedded weights; here they are looked at. */
static void demo_weights_are_finite(void **state)
{
    (void)state;
    clipc_model *model = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_model_open(NULL, NULL, &model, &error), CLIPC_OK);
    assert_true(model->known_finite);
    model->known_finite = false;
    assert_int_equal(clipc_model_check_finite(model, true, true, 2, &error), CLIPC_OK);
    clipc_model_destroy(&model);
}

/* Parameters of both towers without logit_scale: OpenAI's 151.28 M, open_clip's 986.11 M and 2539.57 M less one;
 * those of the ResNets are what openai-clip's CLIP has, counted. */
static void makes_random_models(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t parameters;
        size_t tokens;
    } expected[] = {
        {"ViT-B-32", 151277312, 50},
        {"ViT-B-16", 149620736, 197},
        {"ViT-L-14", 427616512, 257},
        {"ViT-L-14-336", 427944192, 577},
        {"ViT-H-14", 986109440, 257},
        {"ViT-bigG-14", 2539567104, 257},
        /* transformers' SiglipModel of the same numbers, but for scale and bias of the scores */
        {"ViT-B-32-SigLIP2-256", 376856064, 64},
        {"ViT-B-16-SigLIP2", 375187968, 196},
        {"ViT-L-16-SigLIP2-256", 881526784, 256},
        {"ViT-SO400M-14-SigLIP2", 1135463600, 256},
        {"RN50", 102007136, 50},
        {"RN101", 119688032, 50},
        {"RN50x4", 178300600, 82},
        {"RN50x16", 290979216, 145},
        {"RN50x64", 623258304, 197},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        clipc_model *model = NULL;
        clipc_error error = {0};
        assert_string_equal(clipc_architecture_name(i), expected[i].name);
        assert_int_equal(clipc_model_create_random(expected[i].name, 1, NULL, &model, &error), CLIPC_OK);
        clipc_model_info info = {.size = sizeof info};
        assert_int_equal(clipc_model_get_info(model, &info, &error), CLIPC_OK);
        assert_int_equal(info.image.parameters + info.text.parameters, expected[i].parameters);
        assert_int_equal(info.image_tokens, expected[i].tokens);
        assert_string_equal(info.weights_dtype, "random");
        assert_string_equal(info.name, expected[i].name);
        clipc_model_destroy(&model);
    }
    assert_null(clipc_architecture_name(sizeof expected / sizeof expected[0]));
}

static float variance_of(const clipc_tensor *tensor)
{
    static float values[100000];
    const size_t count = tensor->count < 100000 ? tensor->count : 100000;
    clipc_tensor_read(tensor, tensor->count - count, count, values);
    double sum = 0;
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
    }
    const double mean = sum / (double)count;
    return (float)(squares / (double)count - mean * mean);
}

static void random_weights_are_seeded_and_scaled(void **state)
{
    (void)state;
    clipc_model *models[3] = {NULL};
    clipc_error error = {0};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(clipc_model_create_random("ViT-B-32", i == 2 ? 8 : 7, NULL, &models[i], &error), CLIPC_OK);
    const clipc_tensor *same[2] = {&models[0]->weights.text.token_embedding, &models[1]->weights.text.token_embedding};
    assert_memory_equal(same[0]->data, same[1]->data, same[0]->count * 2);
    assert_true(memcmp(same[0]->data, models[2]->weights.text.token_embedding.data, 4096) != 0);
    const clipc_layer_weights *layers = models[0]->weights.image.layers;
    assert_true(memcmp(layers[0].query_weight.data, layers[1].query_weight.data, 4096) != 0);
    assert_true(memcmp(layers[0].query_weight.data, layers[0].key_weight.data, 4096) != 0);
    assert_float_equal(variance_of(&layers[0].query_weight) * 768.0F, 1.0F, 0.05F);
    assert_float_equal(variance_of(&layers[11].fc2_weight) * 768.0F * 24.0F, 1.0F, 0.05F);
    assert_float_equal(variance_of(&layers[11].fc1_weight) * 768.0F * 2.0F, 1.0F, 0.05F);
    assert_float_equal(variance_of(same[0]) * 2500.0F, 1.0F, 0.05F);
    models[0]->known_finite = false;
    assert_int_equal(clipc_model_check_finite(models[0], true, true, 2, &error), CLIPC_OK);
    for (size_t i = 0; i < 3; i++)
        clipc_model_destroy(&models[i]);
}

static void refuses_bad_arguments(void **state)
{
    (void)state;
    clipc_model *model = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_model_create_random("ViT-Z-9", 1, NULL, &model, &error), CLIPC_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "'ViT-Z-9'"));
    assert_int_equal(clipc_model_create_random(NULL, 1, NULL, &model, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_model_open(NULL, NULL, NULL, &error), CLIPC_ERROR_ARGUMENT);
    const clipc_model_config config = {.size = 1};
    assert_int_equal(clipc_model_open(NULL, &config, &model, &error), CLIPC_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "clipc_model_config.size is 1"));
    assert_int_equal(clipc_model_open("", NULL, &model, &error), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_model_open("/nonexistent/model", NULL, &model, &error), CLIPC_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nonexistent/model: "));
    assert_int_equal(clipc_model_open("/dev/null", NULL, &model, &error), CLIPC_ERROR_UNSUPPORTED);
    assert_null(model);
    clipc_model_info info = {0};
    assert_int_equal(clipc_model_get_info(NULL, &info, &error), CLIPC_ERROR_ARGUMENT);
}

/* ---- directories ---- */

#define CONFIG_OF(layers, embedding)                                                                                  \
    "{\"model_type\":\"clip\",\"projection_dim\":" embedding ",\"vision_config\":{\"hidden_size\":6,"                 \
    "\"intermediate_size\":9,\"num_hidden_layers\":" layers ",\"num_attention_heads\":2,\"image_size\":11,"           \
    "\"patch_size\":3},\"text_config\":{\"hidden_size\":4,\"intermediate_size\":5,\"num_hidden_layers\":1,"           \
    "\"num_attention_heads\":1,\"max_position_embeddings\":7}}"
static const char config_json[] = CONFIG_OF("2", "3");

static const weight_faults none = {0};

static void expect(const char *path, clipc_status status, const char *cause)
{
    clipc_model *model = NULL;
    clipc_error error = {0};
    const clipc_status actual = clipc_model_open(path, NULL, &model, &error);
    if (actual != status || (cause && !strstr(error.message, cause)))
        print_message("%d %s\n", actual, error.message);
    assert_int_equal(actual, status);
    assert_true((status == CLIPC_OK) == (model != NULL));
    if (cause) {
        assert_non_null(strstr(error.message, cause));
        assert_ptr_equal(strstr(error.message, path), error.message);
    }
    clipc_model_destroy(&model);
}

static void opens_a_directory(void **state)
{
    (void)state;
    char path[] = "/tmp/clipc_model_XXXXXX";
    make_directory(path, config_json);
    write_weights(path, "model.safetensors", config_json, &(weight_faults){.another_dtype = "text_projection.weight"});
    clipc_model *model = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_model_open(path, NULL, &model, &error), CLIPC_OK);
    clipc_model_info info = {.size = sizeof info};
    assert_int_equal(clipc_model_get_info(model, &info, &error), CLIPC_OK);
    assert_string_equal(info.name, path + strlen("/tmp/"));
    assert_string_equal(info.path, path);
    assert_string_equal(info.weights_dtype, "mixed");
    assert_string_equal(info.default_template, "a photo of a {}");
    assert_int_equal(info.image_tokens, 10);
    assert_int_equal(info.context_length, 7);
    assert_true(info.logit_scale == 1.0F);
    assert_int_equal(info.file_count, 5);
    const clipc_tensor *projection = &model->weights.text.projection;
    assert_int_equal(projection->dtype, CLIPC_DTYPE_F32);
    assert_int_equal(projection->shape[0], 3);
    assert_int_equal(projection->shape[1], 4);
    clipc_model_destroy(&model);
    remove_directory(path);
}

static void names_the_model_after_its_directory(void **state)
{
    (void)state;
    char path[] = "/tmp/clipc_model_XXXXXX";
    make_directory(path, config_json);
    write_weights(path, "model.safetensors", config_json, &none);
    static const char *const endings[] = {"", "/", "//", "/."};
    for (size_t i = 0; i < 4; i++) {
        char spelled[64];
        snprintf(spelled, sizeof spelled, "%s%s", path, endings[i]);
        clipc_model *model = NULL;
        assert_int_equal(clipc_model_open(spelled, NULL, &model, NULL), CLIPC_OK);
        assert_string_equal(model->name, path + strlen("/tmp/"));
        clipc_model_destroy(&model);
    }
    remove_directory(path);
}

static void takes_the_template_of_clipc_json(void **state)
{
    (void)state;
    char path[] = "/tmp/clipc_model_XXXXXX";
    make_directory(path, config_json);
    write_weights(path, "model.safetensors", config_json, &none);
    write_text(path, "clipc.json", "{\"template\":\"a sketch of a {}\"}");
    clipc_model *model = NULL;
    assert_int_equal(clipc_model_open(path, NULL, &model, NULL), CLIPC_OK);
    assert_string_equal(model->default_template, "a sketch of a {}");
    clipc_model_destroy(&model);
    write_text(path, "clipc.json", "{\"template\":\"a sketch\"}");
    expect(path, CLIPC_ERROR_FORMAT, "/clipc.json: the template 'a sketch' has no {}");
    write_text(path, "clipc.json", "{\"template\":7}");
    expect(path, CLIPC_ERROR_FORMAT, "/clipc.json: template is a whole number, must be a string");
    write_text(path, "clipc.json", "{\"template\":");
    expect(path, CLIPC_ERROR_TRUNCATED, "/clipc.json: ");
    remove_directory(path);
}

static void refuses_bad_weights(void **state)
{
    (void)state;
    static const struct {
        weight_faults faults;
        clipc_status status;
        const char *cause;
    } cases[] = {
        {{.missing = "visual_projection.weight"},
         CLIPC_ERROR_FORMAT,
         "/model.safetensors: tensor 'visual_projection.weight' is missing"},
        {{.missing = "vision_model.encoder.layers.1.mlp.fc2.bias"},
         CLIPC_ERROR_FORMAT,
         "tensor 'vision_model.encoder.layers.1.mlp.fc2.bias' is missing"},
        {{.missing = "logit_scale"}, CLIPC_ERROR_FORMAT, "tensor 'logit_scale' is missing"},
        {{.wider = "visual_projection.weight"},
         CLIPC_ERROR_FORMAT,
         "/model.safetensors: tensor 'visual_projection.weight' has shape [4,6], config says [3,6]"},
        {{.wider = "vision_model.embeddings.patch_embedding.weight"},
         CLIPC_ERROR_FORMAT,
         "has shape [7,3,3,3], config says [6,3,3,3]"},
        {{.wider = "text_model.embeddings.position_embedding.weight"},
         CLIPC_ERROR_FORMAT,
         "has shape [8,4], config says [7,4]"},
        {{.integer = "text_model.encoder.layers.0.self_attn.q_proj.weight"},
         CLIPC_ERROR_UNSUPPORTED,
         "'text_model.encoder.layers.0.self_attn.q_proj.weight' has dtype other"},
    };
    char path[] = "/tmp/clipc_model_XXXXXX";
    make_directory(path, config_json);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_weights(path, "model.safetensors", config_json, &cases[i].faults);
        expect(path, cases[i].status, cases[i].cause);
    }
    remove_directory(path);
}

static void checks_the_config_against_the_table(void **state)
{
    (void)state;
    char path[] = "/tmp/clipc_model_XXXXXX";
    make_directory(path, config_json);
    write_weights(path, "model.safetensors", config_json, &none);
    write_text(path, "config.json", CONFIG_OF("1024", "3"));
    expect(path, CLIPC_ERROR_FORMAT, "tensor 'vision_model.encoder.layers.1023.layer_norm1.weight' is missing");
    write_text(path, "config.json", CONFIG_OF("1", "3"));
    expect(path, CLIPC_ERROR_FORMAT, "config says the tower has 1 layers");
    write_text(path, "config.json", CONFIG_OF("2", "4"));
    expect(path, CLIPC_ERROR_FORMAT, "'visual_projection.weight' has shape [3,6], config says [4,6]");
    write_text(path, "config.json", "{\"model_type\":\"clip\"}");
    expect(path, CLIPC_ERROR_FORMAT, "is missing");
    write_text(path, "config.json", "");
    expect(path, CLIPC_ERROR_TRUNCATED, "/config.json: is empty");
    remove_file(path, "config.json");
    expect(path, CLIPC_ERROR_NOT_FOUND, "/config.json: ");
    remove_directory(path);
}

static void refuses_missing_files(void **state)
{
    (void)state;
    char path[] = "/tmp/clipc_model_XXXXXX";
    make_directory(path, config_json);
    expect(path, CLIPC_ERROR_NOT_FOUND, "holds no weights that clipc reads");
    write_text(path, "pytorch_model.bin", "");
    expect(path, CLIPC_ERROR_FORMAT, "/pytorch_model.bin: begins as no file of torch.save does");
    write_text(path, "model.safetensors", "");
    expect(path, CLIPC_ERROR_TRUNCATED, "/model.safetensors: 0 bytes");
    write_weights(path, "model.safetensors", config_json, &none);
    remove_file(path, "merges.txt");
    expect(path, CLIPC_ERROR_NOT_FOUND, "holds neither tokenizer.json nor vocab.json and merges.txt");
    remove_directory(path);
}

static void link_file(const char *directory, const char *source, const char *name)
{
    char from[1024];
    char to[1024];
    snprintf(from, sizeof from, "%s/%s", CLIPC_SOURCE_DIR, source);
    snprintf(to, sizeof to, "%s/%s", directory, name);
    assert_int_equal(symlink(from, to), 0);
}

static void expect_step(const char *path, size_t index, const char *words)
{
    clipc_model *model = NULL;
    clipc_error error = {0};
    if (clipc_model_open(path, NULL, &model, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    assert_non_null(strstr(clipc_model_preprocessing_step(model, index), words));
    clipc_model_destroy(&model);
}

/* tests/unit/processor/processor_config.json is what transformers 5.23 writes for the demo model:
 * CLIPProcessor(CLIPImageProcessor.from_pretrained(d), CLIPTokenizerFast.from_pretrained(d)).save_pretrained(out) */
static void reads_the_processor_of_transformers_5(void **state)
{
    (void)state;
    char path[] = "/tmp/clipc_model_XXXXXX";
    make_directory(path, "{}");
    remove_file(path, "config.json");
    link_file(path, "models/demo/model/config.json", "config.json");
    link_file(path, "models/demo/model/model.safetensors", "model.safetensors");
    link_file(path, "tests/unit/processor/processor_config.json", "processor_config.json");
    expect_step(path, 1, "shortest edge to 128, bicubic");
    static const char bilinear[] = "{\"size\": 128, \"crop_size\": 128, \"resample\": 2}";
    write_text(path, "preprocessor_config.json", bilinear);
    expect_step(path, 1, "bicubic"); /* processor_config.json goes first */
    remove_file(path, "processor_config.json");
    expect_step(path, 1, "bilinear");
    write_text(path, "processor_config.json", "{\"processor_class\": \"CLIPProcessor\"}");
    expect_step(path, 1, "bilinear"); /* as transformers 4 wrote it */
    write_text(path, "processor_config.json", "{\"image_processor\": null}");
    expect_step(path, 1, "bilinear");
    write_text(path, "processor_config.json", "{\"image_processor\": 3}");
    expect(path, CLIPC_ERROR_FORMAT, "/processor_config.json: 'image_processor' is a whole number");
    write_text(path, "processor_config.json", "{\"image_processor\": {\"size\": 0}}");
    expect(path, CLIPC_ERROR_FORMAT, "/processor_config.json: 'size' is 0");
    write_text(path, "processor_config.json", "{\"image_processor\": {\"size\": 64}}");
    expect(path, CLIPC_ERROR_FORMAT, "/processor_config.json: gives images of");
    remove_directory(path);
}

static void opens_a_weight_file(void **state)
{
    (void)state;
    char directory[] = "/tmp/clipc_model_XXXXXX";
    char path[256];
    make_directory(directory, config_json);
    write_weights(directory, "model.safetensors", config_json, &none);
    write_weights(directory, "other.safetensors", config_json,
                  &(weight_faults){.another_dtype = "text_projection.weight"});
    static const char *const files[] = {"model.safetensors", "other.safetensors"};
    static const char *const dtypes[] = {"fp16", "mixed"};
    for (size_t i = 0; i < 2; i++) {
        clipc_model *model = NULL;
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        assert_int_equal(clipc_model_open(path, NULL, &model, NULL), CLIPC_OK);
        assert_string_equal(model->weights_dtype, dtypes[i]);
        assert_string_equal(model->path, directory);
        assert_string_equal(model->name, directory + strlen("/tmp/"));
        clipc_model_destroy(&model);
    }
    snprintf(path, sizeof path, "%s/vocab.json", directory);
    expect(path, CLIPC_ERROR_UNSUPPORTED, "is a file that clipc cannot open");
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    remove_file(directory, "config.json");
    expect(path, CLIPC_ERROR_UNSUPPORTED, "a model needs config.json beside them");
    remove_directory(directory);
}

static void finds_weights_that_are_not_finite(void **state)
{
    (void)state;
    char path[] = "/tmp/clipc_model_XXXXXX";
    make_directory(path, config_json);
    write_weights(path, "model.safetensors", config_json,
                  &(weight_faults){.nan = "text_model.encoder.layers.0.mlp.fc1.weight"});
    clipc_model *model = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_model_open(path, NULL, &model, &error), CLIPC_OK);
    assert_int_equal(clipc_model_check_finite(model, true, false, 2, &error), CLIPC_OK);
    assert_int_equal(clipc_model_check_finite(model, false, true, 2, &error), CLIPC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "/model.safetensors: tensor 'text_model.encoder.layers.0.mlp.fc1.weight' "
                                          "holds NaN or infinity at element 19"));
    assert_ptr_equal(strstr(error.message, path), error.message);
    clipc_model_destroy(&model);
    write_weights(path, "model.safetensors", config_json, &(weight_faults){.nan = "logit_scale"});
    expect(path, CLIPC_ERROR_FORMAT, "'logit_scale' is nan");
    remove_directory(path);
}

/* ---- shards ---- */

#define SHARD_1 "model-00001-of-00002.safetensors"
#define SHARD_2 "model-00002-of-00002.safetensors"

static void opens_shards(void **state)
{
    (void)state;
    char path[] = "/tmp/clipc_model_XXXXXX";
    make_directory(path, config_json);
    write_weights(path, SHARD_1, config_json, &(weight_faults){.part = 0, .parts = 2});
    write_weights(path, SHARD_2, config_json, &(weight_faults){.part = 1, .parts = 2});
    write_text(path, "model.safetensors.index.json",
               "{\"metadata\":{\"total_size\":1},\"weight_map\":{"
               "\"vision_model.embeddings.class_embedding\":\"" SHARD_1 "\","
               "\"vision_model.embeddings.patch_embedding.weight\":\"" SHARD_2 "\","
               "\"visual_projection.weight\":\"" SHARD_2 "\"}}");
    clipc_model *model = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_model_open(path, NULL, &model, &error), CLIPC_OK);
    assert_int_equal(model->file_count, 7);
    assert_string_equal(model->weights_dtype, "fp16");
    clipc_model_destroy(&model);
    write_weights(path, SHARD_2, config_json,
                  &(weight_faults){.part = 1, .parts = 2, .everywhere = "vision_model.embeddings.class_embedding"});
    expect(path, CLIPC_ERROR_FORMAT, "tensor 'vision_model.embeddings.class_embedding' is in ");
    write_weights(path, SHARD_2, config_json,
                  &(weight_faults){.part = 1, .parts = 2, .missing = "text_model.final_layer_norm.bias"});
    expect(path, CLIPC_ERROR_FORMAT,
           "tensor 'text_model.final_layer_norm.bias' is missing (from the other shards too)");
    remove_directory(path);
}

static void refuses_bad_indexes(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        clipc_status status;
        const char *cause;
    } cases[] = {
        {"{", CLIPC_ERROR_TRUNCATED, ".index.json: "},
        {"{}", CLIPC_ERROR_FORMAT, "no weight_map"},
        {"{\"weight_map\":{}}", CLIPC_ERROR_FORMAT, "no weight_map"},
        {"{\"weight_map\":[]}", CLIPC_ERROR_FORMAT, "no weight_map"},
        {"{\"weight_map\":{\"a\":7}}", CLIPC_ERROR_FORMAT, "the shard of tensor 'a' is not a plain file name"},
        {"{\"weight_map\":{\"a\":\"../secret.safetensors\"}}", CLIPC_ERROR_FORMAT, "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", CLIPC_ERROR_FORMAT, "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"..\"}}", CLIPC_ERROR_FORMAT, "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"\"}}", CLIPC_ERROR_FORMAT, "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"none.safetensors\"}}", CLIPC_ERROR_NOT_FOUND, "/none.safetensors: "},
        {"{\"weight_map\":{\"a\":\"" SHARD_1 "\"}}", CLIPC_ERROR_FORMAT, SHARD_1 ": has no tensor 'a'"},
        {"{\"weight_map\":{\"logit_scale\":\"config.json\"}}", CLIPC_ERROR_FORMAT, "/config.json: "},
    };
    char path[] = "/tmp/clipc_model_XXXXXX";
    make_directory(path, config_json);
    write_weights(path, SHARD_1, config_json, &none);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text(path, "model.safetensors.index.json", cases[i].index);
        expect(path, cases[i].status, cases[i].cause);
    }
    remove_directory(path);
}

/* An engine keeps what it needs when the handle is gone. */
static void lives_as_long_as_it_is_shared(void **state)
{
    (void)state;
    clipc_model *model = NULL;
    assert_int_equal(clipc_model_open(NULL, NULL, &model, NULL), CLIPC_OK);
    clipc_model *shared = clipc_model_retain(model);
    clipc_model_destroy(&model);
    assert_null(model);
    assert_string_equal(shared->name, "demo");
    clipc_model_release(&shared);
    assert_null(shared);
}

static void keep_line(void *user, clipc_log_level level, const char *message)
{
    assert_int_equal(level, CLIPC_LOG_INFO);
    snprintf(user, 512, "%s", message);
}

static void logs_the_template(void **state)
{
    (void)state;
    char line[512] = "";
    clipc_model_config config;
    clipc_model_config_init(&config);
    config.log = keep_line;
    config.log_user = line;
    clipc_model *model = NULL;
    assert_int_equal(clipc_model_open(NULL, &config, &model, NULL), CLIPC_OK);
    assert_non_null(strstr(line, "fp16"));
    assert_non_null(strstr(line, model->default_template));
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_the_demo_model),
        cmocka_unit_test(demo_weights_are_finite),
        cmocka_unit_test(makes_random_models),
        cmocka_unit_test(random_weights_are_seeded_and_scaled),
        cmocka_unit_test(refuses_bad_arguments),
        cmocka_unit_test(opens_a_directory),
        cmocka_unit_test(names_the_model_after_its_directory),
        cmocka_unit_test(takes_the_template_of_clipc_json),
        cmocka_unit_test(refuses_bad_weights),
        cmocka_unit_test(checks_the_config_against_the_table),
        cmocka_unit_test(refuses_missing_files),
        cmocka_unit_test(reads_the_processor_of_transformers_5),
        cmocka_unit_test(opens_a_weight_file),
        cmocka_unit_test(finds_weights_that_are_not_finite),
        cmocka_unit_test(opens_shards),
        cmocka_unit_test(refuses_bad_indexes),
        cmocka_unit_test(lives_as_long_as_it_is_shared),
        cmocka_unit_test(logs_the_template),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
