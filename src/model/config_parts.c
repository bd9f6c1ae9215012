/* What a model has that neither transformers' CLIPModel nor its SiglipModel has, as an object "clipc" among the
 * numbers of a tower in config.json: so an engine file holds it. */
#include "base/json.h"
#include "model/config.h"

#include <string.h>

static const char *const image_poolings[] = {"class", "attention", "average", "normed_average", "query"};
static const char *const text_poolings[] = {"first_end_token", "largest_id", "last", "first"};

/* One object, and what messages call it. */
typedef struct reader {
    const json_t *object;
    const char *file;
    const char *section;
} reader;

static clipc_status read_flag(const reader *from, const char *key, bool *out, clipc_error *error)
{
    const json_t *value = json_object_get(from->object, key);
    CLIPC_FAIL_IF(value && !json_is_boolean(value), error, CLIPC_ERROR_FORMAT,
                  "%s: %sclipc.%s is %s, must be true or false", from->file, from->section, key,
                  clipc_json_kind(value));
    if (value)
        *out = json_is_true(value);
    return CLIPC_OK;
}

static clipc_status read_number(const reader *from, const char *key, json_int_t limit, json_int_t *out,
                                clipc_error *error)
{
    const json_t *value = json_object_get(from->object, key);
    CLIPC_FAIL_IF(value &&
                      (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > limit),
                  error, CLIPC_ERROR_FORMAT, "%s: %sclipc.%s is no whole number from 0 to %lld", from->file,
                  from->section, key, (long long)limit);
    if (value)
        *out = json_integer_value(value);
    return CLIPC_OK;
}

/* The place of the word in `words`. */
static clipc_status read_word(const reader *from, const char *key, const char *const *words, size_t count, size_t *out,
                              clipc_error *error)
{
    const json_t *value = json_object_get(from->object, key);
    if (!value)
        return CLIPC_OK;
    for (size_t i = 0; i < count && json_is_string(value); i++) {
        if (strcmp(words[i], json_string_value(value)) == 0) {
            *out = i;
            return CLIPC_OK;
        }
    }
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "%s: %sclipc.%s is none that clipc knows", from->file,
                      from->section, key);
}

static clipc_status read_image(const reader *from, clipc_config *config, clipc_error *error)
{
    size_t pooling = config->image_pooling;
    json_int_t heads = (json_int_t)config->pooling_heads;
    CLIPC_TRY(read_flag(from, "class_token", &config->class_token, error));
    CLIPC_TRY(read_flag(from, "patch_bias", &config->patch_bias, error));
    CLIPC_TRY(read_flag(from, "norm_pre", &config->norm_pre, error));
    CLIPC_TRY(read_flag(from, "projection", &config->image_projection, error));
    CLIPC_TRY(read_flag(from, "projection_bias", &config->image_projection_bias, error));
    CLIPC_TRY(
        read_word(from, "pooling", image_poolings, sizeof image_poolings / sizeof image_poolings[0], &pooling, error));
    CLIPC_TRY(read_number(from, "pooling_heads", (json_int_t)CLIPC_MAX_WIDTH, &heads, error));
    config->image_pooling = (clipc_image_pooling)pooling;
    config->pooling_heads = (size_t)heads;
    return CLIPC_OK;
}

static clipc_status read_text(const reader *from, clipc_config *config, clipc_error *error)
{
    size_t pooling = config->pooling;
    json_int_t pad = config->pad_token;
    json_int_t end = config->eot_token;
    CLIPC_TRY(read_flag(from, "causal", &config->causal, error));
    CLIPC_TRY(read_flag(from, "class_token", &config->text_class_token, error));
    CLIPC_TRY(read_flag(from, "projection_bias", &config->text_projection_bias, error));
    CLIPC_TRY(
        read_word(from, "pooling", text_poolings, sizeof text_poolings / sizeof text_poolings[0], &pooling, error));
    CLIPC_TRY(read_number(from, "pad_token", INT32_MAX, &pad, error));
    CLIPC_TRY(read_number(from, "end_token", INT32_MAX, &end, error));
    config->pooling = (clipc_text_pooling)pooling;
    config->pad_token = (int32_t)pad;
    config->eot_token = (int32_t)end;
    return CLIPC_OK;
}

clipc_status clipc_config_read_parts(const json_t *object, bool image, const char *file, const char *section,
                                     clipc_config *config, clipc_error *error)
{
    const json_t *parts = json_object_get(object, "clipc");
    const reader from = {parts, file, section};
    CLIPC_FAIL_IF(parts && !json_is_object(parts), error, CLIPC_ERROR_FORMAT, "%s: %sclipc is %s, must be an object",
                  file, section, clipc_json_kind(parts));
    if (!parts)
        return CLIPC_OK;
    return image ? read_image(&from, config, error) : read_text(&from, config, error);
}

/* ---- writing ---- */

static bool set_flag(json_t *object, const char *key, bool value, bool known)
{
    return value == known || json_object_set_new(object, key, json_boolean(value)) == 0;
}

static bool image_to_json(const clipc_config *config, const clipc_config *known, json_t *object)
{
    return set_flag(object, "class_token", config->class_token, known->class_token) &&
           set_flag(object, "patch_bias", config->patch_bias, known->patch_bias) &&
           set_flag(object, "norm_pre", config->norm_pre, known->norm_pre) &&
           set_flag(object, "projection", config->image_projection, known->image_projection) &&
           set_flag(object, "projection_bias", config->image_projection_bias, known->image_projection_bias) &&
           (config->image_pooling == known->image_pooling ||
            json_object_set_new(object, "pooling", json_string(image_poolings[config->image_pooling])) == 0) &&
           (config->pooling_heads == 0 ||
            json_object_set_new(object, "pooling_heads", json_integer((json_int_t)config->pooling_heads)) == 0);
}

/* A CLIPModel's pooling is told by eos_token_id (config_write.c), but for these. */
static bool text_to_json(const clipc_config *config, const clipc_config *known, json_t *object)
{
    const bool told = known->pooling == CLIPC_POOL_LAST
                          ? config->pooling == CLIPC_POOL_LAST
                          : config->pooling == CLIPC_POOL_FIRST_EOT || config->pooling == CLIPC_POOL_LARGEST_ID;
    const bool legacy = config->pooling == CLIPC_POOL_FIRST_EOT && config->eot_token == 2;
    return set_flag(object, "causal", config->causal, known->causal) &&
           set_flag(object, "class_token", config->text_class_token, false) &&
           set_flag(object, "projection_bias", config->text_projection_bias, known->text_projection_bias) &&
           ((told && !legacy) ||
            json_object_set_new(object, "pooling", json_string(text_poolings[config->pooling])) == 0) &&
           (!legacy || json_object_set_new(object, "end_token", json_integer(config->eot_token)) == 0) &&
           (config->pad_token == 0 || json_object_set_new(object, "pad_token", json_integer(config->pad_token)) == 0);
}

json_t *clipc_config_parts_to_json(const clipc_config *config, bool image)
{
    const clipc_config known = clipc_config_is_siglip(config) ? clipc_config_siglip() : clipc_config_clip();
    json_t *object = json_object();
    if (object && (image ? image_to_json : text_to_json)(config, &known, object))
        return object;
    json_decref(object);
    return NULL;
}

/* ---- all of it ---- */

clipc_status clipc_config_check_parts(const clipc_config *config, const char *name, clipc_error *error)
{
    if (clipc_config_has_tower(config, true) && config->image_pooling == CLIPC_IMAGE_POOL_QUERY) {
        CLIPC_FAIL_IF(config->pooling_heads == 0 || config->embedding_dimension % config->pooling_heads != 0, error,
                      CLIPC_ERROR_FORMAT, "%s: attentional pooling of width %zu cannot have %zu heads", name,
                      config->embedding_dimension, config->pooling_heads);
        CLIPC_FAIL_IF(
            config->embedding_dimension > config->image.width, error, CLIPC_ERROR_UNSUPPORTED,
            "%s: attentional pooling of width %zu is wider than the image tower's %zu, which clipc cannot run", name,
            config->embedding_dimension, config->image.width);
    }
    if (clipc_config_has_tower(config, true) && !clipc_config_is_resnet(config))
        CLIPC_FAIL_IF(config->image_projection == (config->image_pooling == CLIPC_IMAGE_POOL_ATTENTION), error,
                      CLIPC_ERROR_UNSUPPORTED, "%s: pooling '%s' with%s a projection, which clipc cannot run", name,
                      image_poolings[config->image_pooling], config->image_projection ? "" : "out");
    if (clipc_config_has_tower(config, false) && clipc_config_places_tokens(config)) {
        CLIPC_FAIL_IF(config->max_positions > (size_t)INT32_MAX / (config->vocabulary_size + 1) - 1, error,
                      CLIPC_ERROR_UNSUPPORTED,
                      "%s: %zu positions of a vocabulary of %zu are more than clipc can place", name,
                      config->max_positions, config->vocabulary_size);
        CLIPC_FAIL_IF(config->text_class_token && !config->causal, error, CLIPC_ERROR_UNSUPPORTED,
                      "%s: a text tower with a class token but without a causal mask, which clipc cannot run", name);
        CLIPC_FAIL_IF((size_t)config->pad_token >= config->vocabulary_size, error, CLIPC_ERROR_FORMAT,
                      "%s: the pad token %d is outside the vocabulary of %zu", name, (int)config->pad_token,
                      config->vocabulary_size);
    }
    return CLIPC_OK;
}

void clipc_config_take_image(clipc_config *config, const clipc_config *from)
{
    config->image = from->image;
    config->resnet = from->resnet;
    config->image_size = from->image_size;
    config->patch_size = from->patch_size;
    config->image_tokens = from->image_tokens;
    config->class_token = from->class_token;
    config->patch_bias = from->patch_bias;
    config->norm_pre = from->norm_pre;
    config->image_pooling = from->image_pooling;
    config->pooling_heads = from->pooling_heads;
    config->image_projection = from->image_projection;
    config->image_projection_bias = from->image_projection_bias;
}

void clipc_config_take_text(clipc_config *config, const clipc_config *from)
{
    config->text = from->text;
    config->vocabulary_size = from->vocabulary_size;
    config->max_positions = from->max_positions;
    config->causal = from->causal;
    config->text_class_token = from->text_class_token;
    config->pooling = from->pooling;
    config->eot_token = from->eot_token;
    config->pad_token = from->pad_token;
    config->text_projection_bias = from->text_projection_bias;
}
