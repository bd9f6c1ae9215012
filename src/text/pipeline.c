/* Is what the JSON files describe the CLIP tokenizer? Whatever differs is refused in words. */
#include "text/json_values.h"
#include "text/tokenizer_build.h"

#include <math.h>

#define PATTERN "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"

static bool normalizer_is_known(const json_t *normalizer)
{
    const json_t *steps = json_object_get(normalizer, "normalizers");
    const json_t *replace = json_array_get(steps, 1);
    return clipc_json_is_type(normalizer, "Sequence") && json_array_size(steps) == 3 &&
           clipc_json_is_type(json_array_get(steps, 0), "NFC") && clipc_json_is_type(replace, "Replace") &&
           clipc_json_is_text(json_object_get(json_object_get(replace, "pattern"), "Regex"), "\\s+") &&
           clipc_json_is_text(json_object_get(replace, "content"), " ") &&
           clipc_json_is_type(json_array_get(steps, 2), "Lowercase");
}

/* Two patterns are in use: transformers 4 saved the one without the special tokens. transformers 5 puts its own in the
 * place of either, and so does clipc. */
static bool splitting_is_known(const json_t *splitting)
{
    const json_t *steps = json_object_get(splitting, "pretokenizers");
    const json_t *split = json_array_get(steps, 0);
    const json_t *bytes = json_array_get(steps, 1);
    const json_t *pattern = json_object_get(json_object_get(split, "pattern"), "Regex");
    return clipc_json_is_type(splitting, "Sequence") && json_array_size(steps) == 2 &&
           clipc_json_is_type(split, "Split") &&
           (clipc_json_is_text(pattern, PATTERN) ||
            clipc_json_is_text(pattern, "<\\|startoftext\\|>|<\\|endoftext\\|>|" PATTERN)) &&
           clipc_json_is_text(json_object_get(split, "behavior"), "Removed") &&
           clipc_json_is_flag(split, "invert", true, false) && clipc_json_is_type(bytes, "ByteLevel") &&
           clipc_json_is_flag(bytes, "add_prefix_space", false, true) &&
           clipc_json_is_flag(bytes, "use_regex", true, true);
}

static clipc_status check_model(const json_t *model, const char *name, clipc_error *error)
{
    CLIPC_FAIL_IF(!json_is_object(model), error, CLIPC_ERROR_FORMAT, "%s: no model", name);
    CLIPC_FAIL_IF(!clipc_json_is_type(model, "BPE") && json_object_get(model, "type"), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the model is not BPE", name);
    const json_t *prefix = json_object_get(model, "continuing_subword_prefix");
    const json_t *dropout = json_object_get(model, "dropout");
    CLIPC_FAIL_IF(!clipc_json_is_text(json_object_get(model, "end_of_word_suffix"), CLIPC_WORD_END), error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: model.end_of_word_suffix is not \"" CLIPC_WORD_END "\"", name);
    CLIPC_FAIL_IF(!clipc_json_is_nothing(prefix) && !clipc_json_is_text(prefix, ""), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: model.continuing_subword_prefix is not empty", name);
    CLIPC_FAIL_IF(!clipc_json_is_nothing(dropout) && !(json_is_number(dropout) && json_number_value(dropout) <= 0),
                  error, CLIPC_ERROR_UNSUPPORTED, "%s: model.dropout is set", name);
    static const char *const switches[] = {"fuse_unk", "byte_fallback", "ignore_merges"};
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        CLIPC_FAIL_IF(!clipc_json_is_flag(model, switches[i], false, false), error, CLIPC_ERROR_UNSUPPORTED,
                      "%s: model.%s is not false", name, switches[i]);
    return CLIPC_OK;
}

clipc_status clipc_pipeline_check(const json_t *tokenizer, const char *name, clipc_error *error)
{
    CLIPC_TRY(check_model(json_object_get(tokenizer, "model"), name, error));
    CLIPC_FAIL_IF(!normalizer_is_known(json_object_get(tokenizer, "normalizer")), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the normalizer is not CLIP's (NFC, white space to one space, lower case)", name);
    CLIPC_FAIL_IF(!splitting_is_known(json_object_get(tokenizer, "pre_tokenizer")), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the pre_tokenizer is not CLIP's (its regular expression, then byte level)", name);
    CLIPC_FAIL_IF(!clipc_json_is_type(json_object_get(tokenizer, "post_processor"), "RobertaProcessing"), error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: the post_processor is not CLIP's (RobertaProcessing)", name);
    return CLIPC_OK;
}

static bool is_pair(const json_t *pair, const char *text, uint32_t id)
{
    const json_t *number = json_array_get(pair, 1);
    return json_array_size(pair) == 2 && clipc_json_is_text(json_array_get(pair, 0), text) &&
           json_is_integer(number) && json_integer_value(number) == (json_int_t)id;
}

clipc_status clipc_pipeline_check_ends(const json_t *tokenizer, const char *name, const char *start, uint32_t start_id,
                                       const char *end, uint32_t end_id, clipc_error *error)
{
    const json_t *post = json_object_get(tokenizer, "post_processor");
    CLIPC_FAIL_IF(!is_pair(json_object_get(post, "cls"), start, start_id), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the post_processor's first token is not \"%s\" with id %u", name, start, start_id);
    CLIPC_FAIL_IF(!is_pair(json_object_get(post, "sep"), end, end_id), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the post_processor's last token is not \"%s\" with id %u", name, end, end_id);
    return CLIPC_OK;
}

clipc_status clipc_tokenizer_config_max_length(const json_t *config, const char *name, uint64_t *max_length,
                                               clipc_error *error)
{
    const json_t *value = json_object_get(config, "model_max_length");
    *max_length = UINT64_MAX;
    if (clipc_json_is_nothing(value))
        return CLIPC_OK;
    const double number = json_number_value(value);
    CLIPC_FAIL_IF(!json_is_number(value) || number < 2 || (number < 0x1p53 && floor(number) != number), error,
                  CLIPC_ERROR_FORMAT, "%s: model_max_length is not a whole number of at least 2", name);
    if (number < 0x1p53)
        *max_length = (uint64_t)number;
    return CLIPC_OK;
}

clipc_status clipc_tokenizer_config_check(const json_t *config, const char *name, uint64_t *max_length,
                                          clipc_error *error)
{
    static const char *const classes[] = {"CLIPTokenizer", "CLIPTokenizerFast", "PreTrainedTokenizerFast",
                                          "TokenizersBackend"};
    const json_t *class = json_object_get(config, "tokenizer_class");
    bool known = clipc_json_is_nothing(class);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        known = known || clipc_json_is_text(class, classes[i]);
    CLIPC_FAIL_IF(!known, error, CLIPC_ERROR_UNSUPPORTED, "%s: tokenizer_class is \"%s\", not CLIPTokenizer", name,
                  json_is_string(class) ? json_string_value(class) : "?");
    static const struct {
        const char *key;
        bool value;
    } switches[] = {{"do_lower_case", true},
                    {"add_prefix_space", false},
                    {"split_special_tokens", false},
                    {"add_bos_token", true},
                    {"add_eos_token", true}};
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        CLIPC_FAIL_IF(!clipc_json_is_nothing(json_object_get(config, switches[i].key)) &&
                          !clipc_json_is_flag(config, switches[i].key, switches[i].value, switches[i].value),
                      error, CLIPC_ERROR_UNSUPPORTED, "%s: %s is not %s", name, switches[i].key,
                      switches[i].value ? "true" : "false");
    const json_t *side = json_object_get(config, "truncation_side");
    CLIPC_FAIL_IF(!clipc_json_is_nothing(side) && !clipc_json_is_text(side, "right"), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: truncation_side is not \"right\"", name);
    return clipc_tokenizer_config_max_length(config, name, max_length, error);
}
