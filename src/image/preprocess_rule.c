/* Preprocessing rules: reading them, checking them, saying them in words.
 *
 * The meaning of every key, and of its absence, is that of transformers 5.23: BaseImageProcessor._set_attributes and
 * _standardize_kwargs, get_size_dict, PilBackend, and the defaults of the processor class (classes[] below). A flag
 * that is null is false; another key that is null has no value, which is an error when a step needs it. */
#include "image/preprocess.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_SIZE 65536 /* pixels; no image tower comes near */

#define OPENAI_MEAN                                                                                                   \
    {                                                                                                                 \
        0.48145466, 0.4578275, 0.40821073                                                                             \
    }
#define OPENAI_DEVIATION                                                                                              \
    {                                                                                                                 \
        0.26862954, 0.26130258, 0.27577711                                                                            \
    }
#define HALVES                                                                                                        \
    {                                                                                                                 \
        0.5, 0.5, 0.5                                                                                                 \
    }

/* What a class of transformers assumes. They all do the same steps in the same order: convert to RGB, resize, centre
 * crop, rescale, normalise. */
typedef struct processor_class {
    const char *name;
    clipc_resize_mode resize; /* to 224 */
    clipc_filter filter;
    bool square_size; /* default_to_square: a number as size means height and width */
    bool crop;        /* to 224 */
    double mean[3];
    double standard_deviation[3];
} processor_class;

static const processor_class classes[] = {
    {"CLIPImageProcessor", CLIPC_RESIZE_SHORTEST_EDGE, CLIPC_FILTER_BICUBIC, false, true, OPENAI_MEAN,
     OPENAI_DEVIATION},
    {"ChineseCLIPImageProcessor", CLIPC_RESIZE_SHORTEST_EDGE, CLIPC_FILTER_BICUBIC, false, true, OPENAI_MEAN,
     OPENAI_DEVIATION},
    {"BitImageProcessor", CLIPC_RESIZE_SHORTEST_EDGE, CLIPC_FILTER_BICUBIC, false, true, OPENAI_MEAN,
     OPENAI_DEVIATION},
    {"SiglipImageProcessor", CLIPC_RESIZE_EXACT, CLIPC_FILTER_BICUBIC, false, false, HALVES, HALVES},
    {"ViTImageProcessor", CLIPC_RESIZE_EXACT, CLIPC_FILTER_BILINEAR, true, false, HALVES, HALVES},
};
#define SIGLIP_CLASS 3 /* its place */
#define CLASS_COUNT  (sizeof classes / sizeof classes[0])

static clipc_preprocess_rule rule_of_class(const processor_class *class, size_t image_size)
{
    clipc_preprocess_rule rule = {
        .order = CLIPC_ORDER_TRANSFORMERS,
        .resize = class->resize,
        .filter = class->filter,
        .resize_height = image_size,
        .resize_width = image_size,
        .crop = class->crop,
        .crop_height = class->crop ? image_size : 0,
        .crop_width = class->crop ? image_size : 0,
        .rescale = true,
        .rescale_factor = 1.0 / 255.0,
        .normalize = true,
    };
    memcpy(rule.mean, class->mean, sizeof rule.mean);
    memcpy(rule.standard_deviation, class->standard_deviation, sizeof rule.standard_deviation);
    return rule;
}

clipc_preprocess_rule clipc_preprocess_rule_openai(size_t image_size)
{
    return rule_of_class(&classes[0], image_size);
}

clipc_preprocess_rule clipc_preprocess_rule_siglip(size_t image_size)
{
    return rule_of_class(&classes[SIGLIP_CLASS], image_size);
}

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

/* The value of a key; NULL when it is absent or null. */
static const json_t *value_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static clipc_status read_bool(const json_t *root, const char *key, const char *name, bool *out, clipc_error *error)
{
    const json_t *value = json_object_get(root, key);
    if (!value)
        return CLIPC_OK;
    CLIPC_FAIL_IF(!json_is_boolean(value) && !json_is_null(value), error, CLIPC_ERROR_FORMAT,
                  "%s: '%s' is neither true nor false", name, key);
    *out = json_is_true(value);
    return CLIPC_OK;
}

static clipc_status read_pixels(const json_t *value, const char *key, const char *name, size_t *out,
                                clipc_error *error)
{
    CLIPC_FAIL_IF(!json_is_integer(value), error, CLIPC_ERROR_FORMAT, "%s: '%s' is not a whole number of pixels", name,
                  key);
    const json_int_t number = json_integer_value(value);
    CLIPC_FAIL_IF(number < 1 || number > MAX_SIZE, error, CLIPC_ERROR_FORMAT, "%s: '%s' is %lld, not 1 to %d pixels",
                  name, key, (long long)number, MAX_SIZE);
    *out = (size_t)number;
    return CLIPC_OK;
}

/* {"height": h, "width": w} or [h, w]. */
static clipc_status read_height_width(const json_t *value, const char *key, const char *name, size_t *height,
                                      size_t *width, clipc_error *error)
{
    const bool pair = json_is_array(value);
    CLIPC_FAIL_IF(pair && json_array_size(value) != 2, error, CLIPC_ERROR_FORMAT,
                  "%s: '%s' has %zu numbers, not height and width", name, key, json_array_size(value));
    CLIPC_TRY(read_pixels(pair ? json_array_get(value, 0) : value_of(value, "height"), key, name, height, error));
    return read_pixels(pair ? json_array_get(value, 1) : value_of(value, "width"), key, name, width, error);
}

/* True when the object has exactly these keys (the second may be NULL). transformers accepts no others beside them. */
static bool has_only(const json_t *object, const char *first, const char *second)
{
    return json_object_size(object) == (second ? 2u : 1u) && json_object_get(object, first) &&
           (!second || json_object_get(object, second));
}

/* A number means the shortest edge, unless default_to_square (of the class or the file) makes it a square. The other
 * forms that transformers knows (longest_edge, max_height, min_pixels …) have no fixed output size. */
static clipc_status read_size(const json_t *root, bool square_size, const char *name, clipc_preprocess_rule *rule,
                              clipc_error *error)
{
    const json_t *size = value_of(root, "size");
    if (!size)
        return CLIPC_OK;
    if (json_is_array(size) || (json_is_object(size) && has_only(size, "height", "width"))) {
        rule->resize = CLIPC_RESIZE_EXACT;
        return read_height_width(size, "size", name, &rule->resize_height, &rule->resize_width, error);
    }
    if (json_is_object(size) && !has_only(size, "shortest_edge", NULL)) {
        const char *other = json_object_iter_key(json_object_iter((json_t *)size));
        CLIPC_FAIL_IF(json_object_get(size, "longest_edge") || json_object_get(size, "max_height") ||
                          json_object_get(size, "max_pixels"),
                      error, CLIPC_ERROR_UNSUPPORTED, "%s: 'size' has a form that gives no fixed output size", name);
        return clipc_fail(error, CLIPC_ERROR_FORMAT,
                          "%s: 'size' has neither 'shortest_edge' alone nor 'height' and 'width' (first key: %s)",
                          name, other ? other : "none");
    }
    const bool square = !json_is_object(size) && square_size;
    rule->resize = square ? CLIPC_RESIZE_EXACT : CLIPC_RESIZE_SHORTEST_EDGE;
    CLIPC_TRY(read_pixels(json_is_object(size) ? value_of(size, "shortest_edge") : size, "size", name,
                          &rule->resize_height, error));
    rule->resize_width = rule->resize_height;
    return CLIPC_OK;
}

/* A number means a square here, whatever default_to_square says. */
static clipc_status read_crop_size(const json_t *root, const char *name, clipc_preprocess_rule *rule,
                                   clipc_error *error)
{
    const json_t *size = value_of(root, "crop_size");
    if (!size) {
        CLIPC_FAIL_IF(rule->crop && !rule->crop_height, error, CLIPC_ERROR_FORMAT,
                      "%s: 'do_center_crop' without 'crop_size'", name);
        return CLIPC_OK;
    }
    if (json_is_array(size) || json_is_object(size)) {
        CLIPC_FAIL_IF(json_is_object(size) && !has_only(size, "height", "width"), error, CLIPC_ERROR_FORMAT,
                      "%s: 'crop_size' is not 'height' and 'width'", name);
        return read_height_width(size, "crop_size", name, &rule->crop_height, &rule->crop_width, error);
    }
    CLIPC_TRY(read_pixels(size, "crop_size", name, &rule->crop_height, error));
    rule->crop_width = rule->crop_height;
    return CLIPC_OK;
}

/* Pillow's numbers. 6 and 7 are Pillow 13's magic kernels. */
static clipc_status read_filter(const json_t *root, const char *name, clipc_filter *filter, clipc_error *error)
{
    const json_t *value = value_of(root, "resample");
    if (!value)
        return CLIPC_OK;
    CLIPC_FAIL_IF(!json_is_integer(value), error, CLIPC_ERROR_FORMAT, "%s: 'resample' is not a number", name);
    const json_int_t number = json_integer_value(value);
    CLIPC_FAIL_IF(number < CLIPC_FILTER_NEAREST || number > CLIPC_FILTER_HAMMING, error,
                  number == 6 || number == 7 ? CLIPC_ERROR_UNSUPPORTED : CLIPC_ERROR_FORMAT,
                  "%s: 'resample' is %lld; clipc knows 0 (nearest) to 5 (hamming)", name, (long long)number);
    *filter = (clipc_filter)number;
    return CLIPC_OK;
}

/* A finite number that stays finite in fp32, which the reference computes in. */
static clipc_status read_number(const json_t *value, const char *key, const char *name, double *out,
                                clipc_error *error)
{
    CLIPC_FAIL_IF(!json_is_number(value), error, CLIPC_ERROR_FORMAT, "%s: '%s' is not a number", name, key);
    const double number = json_number_value(value);
    CLIPC_FAIL_IF(!isfinite((float)number), error, CLIPC_ERROR_FORMAT, "%s: '%s' is out of range", name, key);
    *out = number;
    return CLIPC_OK;
}

/* Three numbers, or one for all channels. */
static clipc_status read_channels(const json_t *root, const char *key, const char *name, double out[3],
                                  clipc_error *error)
{
    const json_t *value = value_of(root, key);
    if (!value)
        return CLIPC_OK;
    const bool list = json_is_array(value);
    CLIPC_FAIL_IF(list && json_array_size(value) != 3, error, CLIPC_ERROR_FORMAT, "%s: '%s' has %zu numbers, not 3",
                  name, key, json_array_size(value));
    for (size_t c = 0; c < 3; c++)
        CLIPC_TRY(read_number(list ? json_array_get(value, c) : value, key, name, &out[c], error));
    return CLIPC_OK;
}

/* Fails when a step that is on needs a key that is null. */
static clipc_status check_needed(const json_t *root, const char *name, bool needed, const char *key,
                                 clipc_error *error)
{
    CLIPC_FAIL_IF(needed && json_is_null(json_object_get(root, key)), error, CLIPC_ERROR_FORMAT,
                  "%s: '%s' is null, but a step needs it", name, key);
    return CLIPC_OK;
}

static clipc_status check_all_needed(const json_t *root, const char *name, const clipc_preprocess_rule *rule,
                                     bool size_used, clipc_error *error)
{
    const bool resize = rule->resize != CLIPC_RESIZE_NONE;
    CLIPC_TRY(check_needed(root, name, resize && size_used, "size", error));
    CLIPC_TRY(check_needed(root, name, resize, "resample", error));
    CLIPC_TRY(check_needed(root, name, rule->crop, "crop_size", error));
    CLIPC_TRY(check_needed(root, name, rule->rescale, "rescale_factor", error));
    CLIPC_TRY(check_needed(root, name, rule->normalize, "image_mean", error));
    return check_needed(root, name, rule->normalize, "image_std", error);
}

static clipc_status read_values(const json_t *root, const char *name, clipc_preprocess_rule *rule, clipc_error *error)
{
    const json_t *factor = value_of(root, "rescale_factor");
    CLIPC_TRY(read_bool(root, "do_rescale", name, &rule->rescale, error));
    if (factor)
        CLIPC_TRY(read_number(factor, "rescale_factor", name, &rule->rescale_factor, error));
    CLIPC_FAIL_IF(!((float)rule->rescale_factor > 0.0f), error, CLIPC_ERROR_FORMAT,
                  "%s: 'rescale_factor' is not positive", name);
    CLIPC_TRY(read_bool(root, "do_normalize", name, &rule->normalize, error));
    CLIPC_TRY(read_channels(root, "image_mean", name, rule->mean, error));
    CLIPC_TRY(read_channels(root, "image_std", name, rule->standard_deviation, error));
    for (size_t c = 0; c < 3; c++)
        CLIPC_FAIL_IF(!((float)rule->standard_deviation[c] > 0.0f), error, CLIPC_ERROR_FORMAT,
                      "%s: 'image_std' is not positive", name);
    return CLIPC_OK;
}

/* image_processor_type, else feature_extractor_type with the new word in it, as AutoImageProcessor reads them. The
 * suffixes Fast (transformers 4) and Pil (5) name other implementations of the same class. */
static clipc_status read_class(const json_t *root, const char *name, const processor_class **out, clipc_error *error)
{
    static const char old_word[] = "FeatureExtractor";
    const json_t *type = value_of(root, "image_processor_type");
    const bool old = !type;
    if (old)
        type = value_of(root, "feature_extractor_type");
    *out = &classes[0];
    if (!type)
        return CLIPC_OK;
    const char *key = old ? "feature_extractor_type" : "image_processor_type";
    CLIPC_FAIL_IF(!json_is_string(type), error, CLIPC_ERROR_FORMAT, "%s: '%s' is not a string", name, key);
    const char *text = json_string_value(type);
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        const size_t stem = strlen(classes[i].name) - strlen("ImageProcessor");
        const size_t length = strlen(classes[i].name);
        const bool new_name = strncmp(text, classes[i].name, length) == 0;
        const bool old_name = old && strncmp(text, classes[i].name, stem) == 0 && strcmp(text + stem, old_word) == 0;
        const char *suffix = new_name ? text + length : "";
        if (old_name || (new_name && (!*suffix || strcmp(suffix, "Fast") == 0 || strcmp(suffix, "Pil") == 0))) {
            *out = &classes[i];
            return CLIPC_OK;
        }
    }
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "%s: '%s' is %s, which clipc does not know", name, key, text);
}

static clipc_status read_rule(const json_t *root, const char *name, clipc_preprocess_rule *rule, clipc_error *error)
{
    const processor_class *class = NULL;
    CLIPC_TRY(read_class(root, name, &class, error));
    *rule = rule_of_class(class, 224);

    bool square_size = class->square_size;
    bool old_square = false; /* KOSMOS-2 in place of size, on the CLIP class */
    bool pad = false;
    bool resize = true;
    CLIPC_TRY(read_bool(root, "do_pad", name, &pad, error));
    CLIPC_FAIL_IF(pad, error, CLIPC_ERROR_UNSUPPORTED, "%s: 'do_pad' is not supported", name);
    CLIPC_TRY(read_bool(root, "default_to_square", name, &square_size, error));
    CLIPC_TRY(read_bool(root, "use_square_size", name, &old_square, error));
    if (old_square && class == &classes[0])
        rule->resize = CLIPC_RESIZE_EXACT;
    else
        CLIPC_TRY(read_size(root, square_size, name, rule, error));
    CLIPC_TRY(read_filter(root, name, &rule->filter, error));
    CLIPC_TRY(read_bool(root, "do_resize", name, &resize, error));
    if (!resize)
        rule->resize = CLIPC_RESIZE_NONE;
    CLIPC_TRY(read_bool(root, "do_center_crop", name, &rule->crop, error));
    CLIPC_TRY(read_crop_size(root, name, rule, error));
    CLIPC_TRY(read_values(root, name, rule, error));
    return check_all_needed(root, name, rule, !old_square, error);
}

clipc_status clipc_preprocess_rule_parse(const void *json, size_t size, const char *name, clipc_preprocess_rule *out,
                                         clipc_error *error)
{
    json_t *root = NULL;
    CLIPC_TRY(clipc_json_parse(json, size, name, JSON_ALLOW_NUL, &root, error));
    clipc_preprocess_rule rule = {0};
    const clipc_status status = read_rule(root, name, &rule, error);
    json_decref(root);
    if (status == CLIPC_OK)
        *out = rule;
    return status;
}

clipc_status clipc_preprocess_rule_parse_nested(const void *json, size_t size, const char *name, bool *found,
                                                clipc_preprocess_rule *out, clipc_error *error)
{
    json_t *root = NULL;
    *found = false;
    CLIPC_TRY(clipc_json_parse(json, size, name, JSON_ALLOW_NUL, &root, error));
    const json_t *nested = value_of(root, "image_processor");
    *found = nested != NULL;
    clipc_preprocess_rule rule = {0};
    clipc_status status = CLIPC_OK;
    if (nested && !json_is_object(nested))
        status = clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: 'image_processor' is %s, must be an object", name,
                            clipc_json_kind(nested));
    else if (nested)
        status = read_rule(nested, name, &rule, error);
    json_decref(root);
    if (*found && status == CLIPC_OK)
        *out = rule;
    return status;
}

/* ---- checking and saying ------------------------------------------------------------------------------------------
 */

clipc_status clipc_preprocess_rule_check(const clipc_preprocess_rule *rule, size_t image_height, size_t image_width,
                                         const char *name, clipc_error *error)
{
    CLIPC_FAIL_IF(!rule->crop && rule->resize != CLIPC_RESIZE_EXACT, error, CLIPC_ERROR_FORMAT,
                  "%s: gives images of varying size, the model wants %zu x %zu", name, image_height, image_width);
    const size_t height = rule->crop ? rule->crop_height : rule->resize_height;
    const size_t width = rule->crop ? rule->crop_width : rule->resize_width;
    CLIPC_FAIL_IF(height != image_height || width != image_width, error, CLIPC_ERROR_FORMAT,
                  "%s: gives images of %zu x %zu, the model wants %zu x %zu", name, height, width, image_height,
                  image_width);
    return CLIPC_OK;
}

static const char *filter_name(clipc_filter filter)
{
    switch (filter) {
    case CLIPC_FILTER_NEAREST: return "nearest";
    case CLIPC_FILTER_LANCZOS: return "lanczos";
    case CLIPC_FILTER_BILINEAR: return "bilinear";
    case CLIPC_FILTER_BICUBIC: return "bicubic";
    case CLIPC_FILTER_BOX: return "box";
    case CLIPC_FILTER_HAMMING: return "hamming";
    }
    return "?";
}

static void say_resize(const clipc_preprocess_rule *rule, char *buffer, size_t size)
{
    if (rule->resize == CLIPC_RESIZE_EXACT)
        snprintf(buffer, size, "resize to %zu x %zu, %s", rule->resize_height, rule->resize_width,
                 filter_name(rule->filter));
    else
        snprintf(buffer, size, "resize shortest edge to %zu, %s", rule->resize_height, filter_name(rule->filter));
}

const char *clipc_preprocess_rule_step(const clipc_preprocess_rule *rule, size_t index, char buffer[160])
{
    const size_t size = 160;
    const bool rgb_first = rule->order == CLIPC_ORDER_TRANSFORMERS;
    const double *mean = rule->mean;
    const double *deviation = rule->standard_deviation;
    size_t step = 0;
    if (rgb_first && step++ == index)
        snprintf(buffer, size, "convert to RGB");
    else if (rule->resize != CLIPC_RESIZE_NONE && step++ == index)
        say_resize(rule, buffer, size);
    else if (rule->crop && step++ == index)
        snprintf(buffer, size, "center crop to %zu x %zu", rule->crop_height, rule->crop_width);
    else if (!rgb_first && step++ == index)
        snprintf(buffer, size, "convert to RGB");
    else if (rule->rescale && step++ == index)
        snprintf(buffer, size, "multiply by %.10g", rule->rescale_factor);
    else if (rule->normalize && step++ == index)
        snprintf(buffer, size, "subtract mean %.8g %.8g %.8g, divide by standard deviation %.8g %.8g %.8g", mean[0],
                 mean[1], mean[2], deviation[0], deviation[1], deviation[2]);
    else
        return NULL;
    return buffer;
}
