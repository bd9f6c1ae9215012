/* Which tokens are looked for in a text before it is split, and how: what transformers 5 makes of its files.
 *
 * First come the tokens of added_tokens_decoder (tokenizer_config.json) or, without one, the added_tokens of
 * tokenizer.json; then the named tokens that are not among them, from tokenizer_config.json, overruled (only without
 * an added_tokens_decoder) by special_tokens_map.json; then the extra special tokens. Of one text, the last counts. */
#include "text/tokenizer_build.h"

#include <stdlib.h>

static const char *const named_tokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                           "pad_token", "cls_token", "mask_token"};
#define NAMED_COUNT (sizeof named_tokens / sizeof *named_tokens)

static bool read_flag(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_boolean_value(value) : otherwise;
}

/* A token given as a string or as an object with "content". `special`: the file's place says that it is. */
static clipc_status read_token(const json_t *value, bool special, const char *name, const char *key,
                               clipc_special_token *out, clipc_error *error)
{
    const json_t *content = json_is_string(value) ? value : json_object_get(value, "content");
    CLIPC_FAIL_IF(!json_is_string(content), error, CLIPC_ERROR_FORMAT, "%s: %s is no token", name, key);
    CLIPC_FAIL_IF(json_string_length(content) > CLIPC_MAX_ADDED_BYTES, error, CLIPC_ERROR_LIMIT,
                  "%s: %s is a token of %zu bytes", name, key, json_string_length(content));
    *out = (clipc_special_token){.text = json_string_value(content), .plain = json_is_string(value), .id = -1};
    out->special = out->plain || special || read_flag(value, "special", false);
    if (!out->plain) {
        out->normalized = read_flag(value, "normalized", !out->special);
        out->left_strip = read_flag(value, "lstrip", false);
        out->right_strip = read_flag(value, "rstrip", false);
        out->single_word = read_flag(value, "single_word", false);
    }
    CLIPC_FAIL_IF(out->single_word, error, CLIPC_ERROR_UNSUPPORTED, "%s: token \"%s\" has single_word", name,
                  out->text);
    return CLIPC_OK;
}

static clipc_status add_token(clipc_special_tokens *tokens, clipc_special_token token, const char *name,
                              clipc_error *error)
{
    CLIPC_FAIL_IF(tokens->count == CLIPC_MAX_ADDED_TOKENS, error, CLIPC_ERROR_LIMIT, "%s: more than %zu added tokens",
                  name, CLIPC_MAX_ADDED_TOKENS);
    if (token.text[0] != '\0')
        tokens->tokens[tokens->count++] = token;
    return CLIPC_OK;
}

static bool same_token(const clipc_special_token *a, const clipc_special_token *b)
{
    return strcmp(a->text, b->text) == 0 && a->plain == b->plain && a->normalized == b->normalized &&
           a->special == b->special && a->left_strip == b->left_strip && a->right_strip == b->right_strip;
}

/* Adds a named or extra token, unless its text is among the first `given` or the same was added since. */
static clipc_status add_special(clipc_special_tokens *tokens, size_t given, clipc_special_token token,
                                const char *name, clipc_error *error)
{
    for (size_t i = 0; i < tokens->count; i++)
        if (i < given ? strcmp(tokens->tokens[i].text, token.text) == 0 : same_token(&tokens->tokens[i], &token))
            return CLIPC_OK;
    return add_token(tokens, token, name, error);
}

static int compare_ids(const void *a, const void *b)
{
    const clipc_special_token *left = a;
    const clipc_special_token *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

static clipc_status read_decoder(const json_t *decoder, const char *name, clipc_special_tokens *out,
                                 clipc_error *error)
{
    CLIPC_FAIL_IF(!json_is_object(decoder), error, CLIPC_ERROR_FORMAT, "%s: added_tokens_decoder is no object", name);
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)decoder, key, value)
    {
        clipc_special_token token;
        char *end = NULL;
        CLIPC_TRY(read_token(value, false, name, "an entry of added_tokens_decoder", &token, error));
        token.id = strtoll(key, &end, 10);
        CLIPC_FAIL_IF(key[0] < '0' || key[0] > '9' || *end || token.id > INT32_MAX, error, CLIPC_ERROR_FORMAT,
                      "%s: \"%s\" in added_tokens_decoder is no token id", name, key);
        CLIPC_TRY(add_token(out, token, name, error));
    }
    return CLIPC_OK;
}

static clipc_status read_added(const json_t *added, const char *name, clipc_special_tokens *out, clipc_error *error)
{
    CLIPC_FAIL_IF(added && !json_is_array(added), error, CLIPC_ERROR_FORMAT, "%s: added_tokens is no array", name);
    size_t index = 0;
    json_t *value = NULL;
    json_array_foreach(added, index, value)
    {
        clipc_special_token token;
        const json_t *id = json_object_get(value, "id");
        CLIPC_TRY(read_token(value, false, name, "an entry of added_tokens", &token, error));
        token.id = json_integer_value(id);
        CLIPC_FAIL_IF(!json_is_integer(id) || token.id < 0 || token.id > INT32_MAX, error, CLIPC_ERROR_FORMAT,
                      "%s: added token \"%s\" has no valid id", name, token.text);
        CLIPC_TRY(add_token(out, token, name, error));
    }
    return CLIPC_OK;
}

/* A key of the map, which overrules, or of the config. `map` is NULL when it does not count. */
static const json_t *find_named(const json_t *config, const json_t *map, const char *key)
{
    const json_t *value = json_object_get(map, key);
    return value ? value : json_object_get(config, key);
}

static clipc_status add_named(const json_t *config, const char *config_name, const json_t *map, const char *map_name,
                              size_t given, const clipc_named_defaults *defaults, clipc_special_tokens *out,
                              clipc_error *error)
{
    const char *const otherwise[NAMED_COUNT] = {defaults->start, defaults->end, defaults->unknown, NULL,
                                                defaults->pad,   NULL,          defaults->mask};
    const char **const places[NAMED_COUNT] = {&out->start, &out->end, &out->unknown, NULL, &out->pad};
    for (size_t i = 0; i < NAMED_COUNT; i++) {
        const bool in_map = json_object_get(map, named_tokens[i]) != NULL;
        const json_t *value = find_named(config, map, named_tokens[i]);
        const char *name = in_map ? map_name : config_name ? config_name : "tokenizer";
        clipc_special_token token = {.text = otherwise[i], .plain = true, .special = true, .id = -1};
        CLIPC_FAIL_IF(json_is_null(value) && i < 2 && defaults->needs_ends, error, CLIPC_ERROR_FORMAT,
                      "%s: %s is null", name, named_tokens[i]);
        if (json_is_null(value) || (!value && !otherwise[i]))
            continue;
        if (value)
            CLIPC_TRY(read_token(value, in_map, name, named_tokens[i], &token, error));
        token.special = true;
        if (token.plain && defaults->strips && (i == 1 || i == 2 || i == 4))
            token.left_strip = token.right_strip = true;
        if (places[i])
            *places[i] = token.text;
        CLIPC_TRY(add_special(out, given, token, name, error));
    }
    return CLIPC_OK;
}

/* Tokens under keys of a model's own ("image_token"). */
static clipc_status add_other_named(const json_t *object, const char *name, size_t given, clipc_special_tokens *out,
                                    clipc_error *error)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const size_t length = strlen(key);
        bool known = length < 6 || strcmp(key + length - 6, "_token") != 0;
        for (size_t i = 0; i < NAMED_COUNT; i++)
            known = known || strcmp(key, named_tokens[i]) == 0;
        clipc_special_token token;
        if (known || !(json_is_string(value) || json_is_object(value)))
            continue;
        CLIPC_TRY(read_token(value, false, name, key, &token, error));
        CLIPC_TRY(add_special(out, given, token, name, error));
    }
    return CLIPC_OK;
}

static clipc_status add_extra(const json_t *object, const char *name, size_t given, clipc_special_tokens *out,
                              clipc_error *error)
{
    const json_t *list = json_object_get(object, "extra_special_tokens");
    if (!list || json_is_null(list) || (json_is_array(list) && json_array_size(list) == 0))
        list = json_object_get(object, "additional_special_tokens");
    if (!list || json_is_null(list))
        return CLIPC_OK;
    clipc_special_token token;
    size_t index = 0;
    const char *key = NULL;
    json_t *value = NULL;
    CLIPC_FAIL_IF(!json_is_array(list) && !json_is_object(list), error, CLIPC_ERROR_FORMAT,
                  "%s: extra_special_tokens is no list of tokens", name);
    json_array_foreach(list, index, value)
    {
        CLIPC_TRY(read_token(value, false, name, "an extra special token", &token, error));
        CLIPC_TRY(add_special(out, given, token, name, error));
    }
    json_object_foreach((json_t *)(uintptr_t)list, key, value)
    {
        CLIPC_TRY(read_token(value, false, name, "an extra special token", &token, error));
        CLIPC_TRY(add_special(out, given, token, name, error));
    }
    return CLIPC_OK;
}

clipc_status clipc_special_tokens_read(const json_t *config, const char *config_name, const json_t *map,
                                       const char *map_name, const json_t *tokenizer, const char *tokenizer_name,
                                       const clipc_named_defaults *defaults, clipc_special_tokens *out,
                                       clipc_error *error)
{
    out->count = 0;
    out->start = out->end = out->unknown = out->pad = NULL;
    const json_t *decoder = json_object_get(config, "added_tokens_decoder");
    if (!decoder || defaults->keeps_added)
        CLIPC_TRY(read_added(json_object_get(tokenizer, "added_tokens"), tokenizer_name, out, error));
    const size_t first = out->count;
    qsort(out->tokens, first, sizeof *out->tokens, compare_ids);
    if (decoder) {
        map = NULL;
        CLIPC_TRY(read_decoder(decoder, config_name, out, error));
        qsort(out->tokens + first, out->count - first, sizeof *out->tokens, compare_ids);
    }
    const size_t given = out->count;
    CLIPC_TRY(add_named(config, config_name, map, map_name, given, defaults, out, error));
    CLIPC_TRY(add_other_named(config, config_name, given, out, error));
    CLIPC_TRY(add_other_named(map, map_name, given, out, error));
    CLIPC_TRY(add_extra(config, config_name, given, out, error));
    return add_extra(map, map_name, given, out, error);
}
