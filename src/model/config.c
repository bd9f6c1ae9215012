#include "model/config.h"

#include "base/json.h"

#include <string.h>

/* What absent numbers of a tower are. */
typedef struct tower_defaults {
    size_t width;
    size_t mlp_width;
    size_t heads;
    clipc_activation activation;
    float epsilon;
} tower_defaults;

/* transformers 5.23: CLIPVisionConfig, CLIPTextConfig; SiglipVisionConfig and SiglipTextConfig are alike. */
static const tower_defaults clip_image = {768, 3072, 12, CLIPC_ACTIVATION_QUICK_GELU, 1e-5F};
static const tower_defaults clip_text = {512, 2048, 8, CLIPC_ACTIVATION_QUICK_GELU, 1e-5F};
static const tower_defaults siglip_tower = {768, 3072, 12, CLIPC_ACTIVATION_GELU_TANH, 1e-6F};

/* One object of the file: what its numbers are called in messages, and where they come from. */
typedef struct section {
    const char *file;
    const char *name;
    const json_t *object; /* NULL: every number takes its default */
} section;

const char *clipc_activation_name(clipc_activation activation)
{
    switch (activation) {
    case CLIPC_ACTIVATION_QUICK_GELU: return "quick_gelu";
    case CLIPC_ACTIVATION_GELU: return "gelu";
    case CLIPC_ACTIVATION_GELU_TANH: break;
    }
    return "gelu_tanh";
}

static bool has_query(const clipc_config *config)
{
    return config->image_pooling == CLIPC_IMAGE_POOL_QUERY;
}

bool clipc_config_has_part(const clipc_config *config, clipc_part part)
{
    switch (part) {
    case CLIPC_PART_CLASS_TOKEN: return config->class_token;
    case CLIPC_PART_PATCH_BIAS: return config->patch_bias;
    case CLIPC_PART_NORM_PRE: return config->norm_pre;
    case CLIPC_PART_POOLING: return config->image_pooling == CLIPC_IMAGE_POOL_ATTENTION;
    case CLIPC_PART_IMAGE_PROJECTION: return config->image_projection;
    case CLIPC_PART_IMAGE_PROJECTION_BIAS: return config->image_projection && config->image_projection_bias;
    case CLIPC_PART_TEXT_PROJECTION_BIAS: return config->text_projection_bias;
    case CLIPC_PART_TEXT_CLASS_TOKEN: return config->text_class_token;
    case CLIPC_PART_QUERY: return has_query(config);
    case CLIPC_PART_QUERY_APART: return has_query(config) && config->image.width != config->embedding_dimension;
    case CLIPC_PART_QUERY_FUSED: return has_query(config) && config->image.width == config->embedding_dimension;
    case CLIPC_PART_NO_QUERY: return !has_query(config);
    case CLIPC_PART_ALWAYS: break;
    }
    return true;
}

/* A whole number from `least` to `limit`. */
static clipc_status read_size(const section *at, const char *key, size_t absent, size_t least, size_t limit,
                              size_t *out, clipc_error *error)
{
    *out = absent;
    const json_t *value = json_object_get(at->object, key);
    if (!value)
        return CLIPC_OK;
    CLIPC_FAIL_IF(!json_is_integer(value), error, CLIPC_ERROR_FORMAT, "%s: %s%s is %s, must be a whole number",
                  at->file, at->name, key, clipc_json_kind(value));
    const json_int_t number = json_integer_value(value);
    CLIPC_FAIL_IF(number < (json_int_t)least || number > (json_int_t)limit, error, CLIPC_ERROR_FORMAT,
                  "%s: %s%s is %lld, must be %zu to %zu", at->file, at->name, key, (long long)number, least, limit);
    *out = (size_t)number;
    return CLIPC_OK;
}

static clipc_status read_activation(const section *at, clipc_activation absent, clipc_activation *out,
                                    clipc_error *error)
{
    static const struct {
        const char *name;
        clipc_activation activation;
    } known[] = {
        {"quick_gelu", CLIPC_ACTIVATION_QUICK_GELU},
        {"gelu", CLIPC_ACTIVATION_GELU},
        {"gelu_new", CLIPC_ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", CLIPC_ACTIVATION_GELU_TANH},
    };
    *out = absent;
    const json_t *value = json_object_get(at->object, "hidden_act");
    if (!value)
        return CLIPC_OK;
    CLIPC_FAIL_IF(!json_is_string(value), error, CLIPC_ERROR_FORMAT, "%s: %shidden_act is %s, must be a string",
                  at->file, at->name, clipc_json_kind(value));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, json_string_value(value)) == 0) {
            *out = known[i].activation;
            return CLIPC_OK;
        }
    }
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED,
                      "%s: %shidden_act is '%s', clipc knows quick_gelu, gelu, gelu_new and gelu_pytorch_tanh",
                      at->file, at->name, json_string_value(value));
}

static clipc_status read_epsilon(const section *at, float absent, float *out, clipc_error *error)
{
    *out = absent;
    const json_t *value = json_object_get(at->object, "layer_norm_eps");
    if (!value)
        return CLIPC_OK;
    CLIPC_FAIL_IF(!json_is_number(value), error, CLIPC_ERROR_FORMAT, "%s: %slayer_norm_eps is %s, must be a number",
                  at->file, at->name, clipc_json_kind(value));
    const double number = json_number_value(value);
    CLIPC_FAIL_IF(!(number >= 1e-30 && number <= 1.0), error, CLIPC_ERROR_FORMAT,
                  "%s: %slayer_norm_eps is %g, must be above 0 and at most 1", at->file, at->name, number);
    *out = (float)number;
    return CLIPC_OK;
}

static clipc_status read_tower(const section *at, const tower_defaults *absent, clipc_tower_config *out,
                               clipc_error *error)
{
    CLIPC_TRY(read_size(at, "hidden_size", absent->width, 1, CLIPC_MAX_WIDTH, &out->width, error));
    CLIPC_TRY(read_size(at, "intermediate_size", absent->mlp_width, 1, CLIPC_MAX_WIDTH, &out->mlp_width, error));
    CLIPC_TRY(read_size(at, "num_hidden_layers", 12, 1, CLIPC_MAX_LAYERS, &out->layers, error));
    CLIPC_TRY(read_size(at, "num_attention_heads", absent->heads, 1, CLIPC_MAX_WIDTH, &out->heads, error));
    CLIPC_FAIL_IF(out->width % out->heads != 0, error, CLIPC_ERROR_FORMAT,
                  "%s: %shidden_size %zu is not a multiple of num_attention_heads %zu", at->file, at->name, out->width,
                  out->heads);
    CLIPC_TRY(read_activation(at, absent->activation, &out->activation, error));
    return read_epsilon(at, absent->epsilon, &out->layer_norm_epsilon, error);
}

clipc_status clipc_config_set_image(clipc_config *config, const char *name, clipc_error *error)
{
    CLIPC_FAIL_IF(config->patch_size > config->image_size, error, CLIPC_ERROR_FORMAT,
                  "%s: vision_config.patch_size %zu is larger than image_size %zu", name, config->patch_size,
                  config->image_size);
    const size_t side = config->image_size / config->patch_size;
    CLIPC_FAIL_IF(side * side >= CLIPC_MAX_TOKENS, error, CLIPC_ERROR_FORMAT,
                  "%s: image_size %zu with patch_size %zu makes %zu patches, more than %zu", name, config->image_size,
                  config->patch_size, side * side, CLIPC_MAX_TOKENS - 1);
    config->image_tokens = side * side + (config->class_token ? 1 : 0);
    return CLIPC_OK;
}

clipc_status clipc_config_set_resnet(clipc_config *config, const char *name, clipc_error *error)
{
    const clipc_resnet_config *resnet = &config->resnet;
    CLIPC_FAIL_IF(resnet->width < 2 || resnet->width > CLIPC_MAX_WIDTH / 32, error, CLIPC_ERROR_FORMAT,
                  "%s: a ResNet of width %zu, must be 2 to %zu", name, resnet->width, CLIPC_MAX_WIDTH / 32);
    config->image.layers = 0;
    for (size_t stage = 0; stage < 4; stage++) {
        CLIPC_FAIL_IF(resnet->depths[stage] < 1 || resnet->depths[stage] > CLIPC_MAX_LAYERS, error, CLIPC_ERROR_FORMAT,
                      "%s: stage %zu of the ResNet has %zu blocks, must have 1 to %zu", name, stage + 1,
                      resnet->depths[stage], CLIPC_MAX_LAYERS);
        config->image.layers += resnet->depths[stage];
    }
    config->image.width = 32 * resnet->width;
    CLIPC_FAIL_IF(config->image.heads == 0 || config->image.width % config->image.heads != 0, error,
                  CLIPC_ERROR_FORMAT, "%s: attention pooling of width %zu cannot have %zu heads", name,
                  config->image.width, config->image.heads);
    CLIPC_FAIL_IF(config->image_size == 0 || config->image_size % CLIPC_RESNET_STRIDE != 0, error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: image_size %zu of a ResNet is no multiple of %zu", name,
                  config->image_size, CLIPC_RESNET_STRIDE);
    config->patch_size = CLIPC_RESNET_STRIDE;
    config->image.mlp_width = 0;
    config->image.activation = CLIPC_ACTIVATION_QUICK_GELU;
    config->image.layer_norm_epsilon = 1e-5F;
    return clipc_config_set_image(config, name, error);
}

/* What clipc_config_write makes of a ResNet; transformers has no such model. */
static clipc_status read_resnet(const section *at, const json_t *depths, clipc_config *out, clipc_error *error)
{
    CLIPC_FAIL_IF(json_array_size(depths) != 4, error, CLIPC_ERROR_FORMAT, "%s: %sdepths are not four", at->file,
                  at->name);
    for (size_t stage = 0; stage < 4; stage++) {
        const json_t *depth = json_array_get(depths, stage);
        CLIPC_FAIL_IF(!json_is_integer(depth) || json_integer_value(depth) < 1, error, CLIPC_ERROR_FORMAT,
                      "%s: %sdepths has what is no whole number above 0", at->file, at->name);
        out->resnet.depths[stage] = (size_t)json_integer_value(depth);
    }
    CLIPC_TRY(read_size(at, "embedding_size", 64, 1, CLIPC_MAX_WIDTH, &out->resnet.width, error));
    CLIPC_TRY(read_size(at, "num_attention_heads", 32, 1, CLIPC_MAX_WIDTH, &out->image.heads, error));
    CLIPC_TRY(read_size(at, "image_size", 224, 1, CLIPC_MAX_WIDTH, &out->image_size, error));
    return clipc_config_set_resnet(out, at->file, error);
}

static clipc_status read_image(const section *at, const tower_defaults *absent, size_t absent_patch_size,
                               clipc_config *out, clipc_error *error)
{
    const json_t *depths = json_object_get(at->object, "depths");
    if (json_is_array(depths) && !clipc_config_is_siglip(out))
        return read_resnet(at, depths, out, error);
    CLIPC_TRY(read_tower(at, absent, &out->image, error));
    CLIPC_TRY(read_size(at, "image_size", 224, 1, CLIPC_MAX_WIDTH, &out->image_size, error));
    CLIPC_TRY(read_size(at, "patch_size", absent_patch_size, 1, CLIPC_MAX_WIDTH, &out->patch_size, error));
    size_t channels = 0;
    CLIPC_TRY(read_size(at, "num_channels", 3, 1, CLIPC_MAX_WIDTH, &channels, error));
    CLIPC_FAIL_IF(channels != 3, error, CLIPC_ERROR_UNSUPPORTED, "%s: %snum_channels is %zu, clipc reads images of 3",
                  at->file, at->name, channels);
    CLIPC_TRY(clipc_config_read_parts(at->object, true, at->file, at->name, out, error));
    return clipc_config_set_image(out, at->file, error);
}

/* transformers compares eos_token_id with 2, which old configs have in place of the real end token. A null means that
 * no row is the end token's. */
static clipc_status read_pooling(const section *at, clipc_config *out, clipc_error *error)
{
    const json_t *value = json_object_get(at->object, "eos_token_id");
    out->pooling = CLIPC_POOL_FIRST_EOT;
    out->eot_token = json_is_null(value) ? -1 : 49407;
    if (!value || json_is_null(value))
        return CLIPC_OK;
    CLIPC_FAIL_IF(!json_is_integer(value), error, CLIPC_ERROR_FORMAT,
                  "%s: %seos_token_id is %s, must be a whole number", at->file, at->name, clipc_json_kind(value));
    const json_int_t number = json_integer_value(value);
    CLIPC_FAIL_IF(number < 0 || number > INT32_MAX, error, CLIPC_ERROR_FORMAT,
                  "%s: %seos_token_id is %lld, must be 0 to %d", at->file, at->name, (long long)number, INT32_MAX);
    out->eot_token = (int32_t)number;
    if (number == 2)
        out->pooling = CLIPC_POOL_LARGEST_ID;
    return CLIPC_OK;
}

/* The numbers of CLIPVisionConfig and CLIPTextConfig. */
static clipc_status read_clip_image(const section *at, clipc_config *out, clipc_error *error)
{
    return read_image(at, &clip_image, 32, out, error);
}

static clipc_status read_clip_text(const section *at, clipc_config *out, clipc_error *error)
{
    CLIPC_TRY(read_tower(at, &clip_text, &out->text, error));
    CLIPC_TRY(read_size(at, "vocab_size", 49408, 2, CLIPC_MAX_VOCABULARY, &out->vocabulary_size, error));
    CLIPC_TRY(read_size(at, "max_position_embeddings", 77, 2, CLIPC_MAX_TOKENS, &out->max_positions, error));
    CLIPC_TRY(read_pooling(at, out, error));
    return clipc_config_read_parts(at->object, false, at->file, at->name, out, error);
}

/* MetaCLIP 2 has CLIP's numbers, and pools the first end token whatever its id. */
static clipc_status read_metaclip2_text(const section *at, clipc_config *out, clipc_error *error)
{
    CLIPC_TRY(read_clip_text(at, out, error));
    if (!json_object_get(at->object, "clipc"))
        out->pooling = CLIPC_POOL_FIRST_EOT;
    return CLIPC_OK;
}

/* Old files repeat a tower's section as <name>_dict; where it is not null it replaces the section, defaults and all
 * (transformers' CLIPConfig). */
static clipc_status find_section(const json_t *root, const char *file, const char *key, const char *old_key,
                                 const char *label, const char *old_label, section *out, clipc_error *error)
{
    const json_t *old = json_object_get(root, old_key);
    const bool use_old = old && !json_is_null(old);
    const json_t *object = use_old ? old : json_object_get(root, key);
    *out = (section){.file = file, .name = use_old ? old_label : label, .object = object};
    CLIPC_FAIL_IF(object && !json_is_null(object) && !json_is_object(object), error, CLIPC_ERROR_FORMAT,
                  "%s: %s is %s, must be an object", file, use_old ? old_key : key, clipc_json_kind(object));
    return CLIPC_OK;
}

/* Reads one tower's section. */
typedef clipc_status (*read_function)(const section *at, clipc_config *out, clipc_error *error);

static clipc_status read_both(const json_t *root, const char *name, read_function image_function,
                              read_function text_function, clipc_config *out, clipc_error *error)
{
    section image;
    section text;
    CLIPC_TRY(find_section(root, name, "vision_config", "vision_config_dict", "vision_config.", "vision_config_dict.",
                           &image, error));
    CLIPC_TRY(find_section(root, name, "text_config", "text_config_dict", "text_config.", "text_config_dict.", &text,
                           error));
    out->image_defaults = !json_is_object(image.object);
    out->text_defaults = !json_is_object(text.object);
    CLIPC_TRY(image_function(&image, out, error));
    return text_function(&text, out, error);
}

/* ---- SigLIP ---- */

/* The pooled row is the embedding. Without the head that pools, transformers makes no embedding at all. */
static clipc_status read_siglip_image(const section *at, clipc_config *out, clipc_error *error)
{
    CLIPC_TRY(read_image(at, &siglip_tower, 16, out, error));
    const json_t *head = json_object_get(at->object, "vision_use_head");
    CLIPC_FAIL_IF(head && !json_is_boolean(head), error, CLIPC_ERROR_FORMAT,
                  "%s: %svision_use_head is %s, must be true or false", at->file, at->name, clipc_json_kind(head));
    CLIPC_FAIL_IF(json_is_false(head), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: %svision_use_head is false: the model has no embedding of images", at->file, at->name);
    out->embedding_dimension = out->image.width;
    return CLIPC_OK;
}

static clipc_status read_siglip_text(const section *at, clipc_config *out, clipc_error *error)
{
    size_t dimension = 0;
    CLIPC_TRY(read_tower(at, &siglip_tower, &out->text, error));
    CLIPC_TRY(read_size(at, "vocab_size", 32000, 2, CLIPC_MAX_VOCABULARY, &out->vocabulary_size, error));
    CLIPC_TRY(read_size(at, "max_position_embeddings", 64, 2, CLIPC_MAX_TOKENS, &out->max_positions, error));
    if (!json_is_null(json_object_get(at->object, "projection_size")))
        CLIPC_TRY(read_size(at, "projection_size", out->text.width, 1, CLIPC_MAX_WIDTH, &dimension, error));
    if (dimension == 0)
        dimension = out->text.width;
    CLIPC_FAIL_IF(out->embedding_dimension && out->embedding_dimension != dimension, error, CLIPC_ERROR_FORMAT,
                  "%s: %sprojection_size is %zu, but the image tower's hidden_size, which it must equal, is %zu",
                  at->file, at->name, dimension, out->embedding_dimension);
    out->embedding_dimension = dimension;
    return clipc_config_read_parts(at->object, false, at->file, at->name, out, error);
}

/* ---- the kinds of model ---- */

/* A tower alone has its numbers at the top of the file. */
typedef struct model_kind {
    const char *type;
    bool siglip;
    read_function image;
    read_function text;
} model_kind;

static const model_kind kinds[] = {
    {"clip", false, read_clip_image, read_clip_text},
    {"clip_vision_model", false, read_clip_image, NULL},
    {"clip_text_model", false, NULL, read_clip_text},
    {"metaclip_2", false, read_clip_image, read_metaclip2_text},
    {"metaclip_2_vision_model", false, read_clip_image, NULL},
    {"metaclip_2_text_model", false, NULL, read_metaclip2_text},
    {"siglip", true, read_siglip_image, read_siglip_text},
    {"siglip_vision_model", true, read_siglip_image, NULL},
    {"siglip_text_model", true, NULL, read_siglip_text},
};

static clipc_status find_kind(const json_t *root, const char *name, const model_kind **out, clipc_error *error)
{
    const json_t *type = json_object_get(root, "model_type");
    CLIPC_FAIL_IF(!json_is_string(type), error, CLIPC_ERROR_FORMAT, "%s: no model_type: not the config of a model",
                  name);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(json_string_value(type), kinds[i].type) == 0) {
            *out = &kinds[i];
            return CLIPC_OK;
        }
    }
    CLIPC_FAIL_IF(strncmp(json_string_value(type), "siglip2", 7) == 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: model_type is '%s': images of any shape (NaFlex), which clipc cannot run; SigLIP 2 of a fixed "
                  "resolution is 'siglip'",
                  name, json_string_value(type));
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED,
                      "%s: model_type is '%s', clipc knows 'clip', 'metaclip_2' and 'siglip', and the "
                      "'_vision_model' and '_text_model' of each",
                      name, json_string_value(type));
}

static clipc_status read_config(const json_t *root, const char *name, clipc_config *out, clipc_error *error)
{
    const model_kind *kind = NULL;
    const section top = {.file = name, .name = "", .object = root};
    CLIPC_TRY(find_kind(root, name, &kind, error));
    *out = kind->siglip ? clipc_config_siglip() : clipc_config_clip();
    if (kind->image && kind->text)
        CLIPC_TRY(read_both(root, name, kind->image, kind->text, out, error));
    else
        CLIPC_TRY((kind->image ? kind->image : kind->text)(&top, out, error));
    if (!kind->siglip)
        CLIPC_TRY(read_size(&top, "projection_dim", 512, 1, CLIPC_MAX_WIDTH, &out->embedding_dimension, error));
    return clipc_config_check_parts(out, name, error);
}

clipc_status clipc_config_parse(const void *json, size_t size, const char *name, clipc_config *out, clipc_error *error)
{
    *out = (clipc_config){0};
    json_t *root = NULL;
    CLIPC_TRY(clipc_json_parse(json, size, name, 0, &root, error));
    const clipc_status status = read_config(root, name, out, error);
    json_decref(root);
    return status;
}
