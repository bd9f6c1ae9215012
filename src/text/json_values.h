/* Small questions about the JSON of a tokenizer's files. */
#ifndef CLIPC_TEXT_JSON_VALUES_H
#define CLIPC_TEXT_JSON_VALUES_H

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

static inline bool clipc_json_is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

static inline bool clipc_json_is_type(const json_t *object, const char *type)
{
    return clipc_json_is_text(json_object_get(object, "type"), type);
}

/* Absent counts as `otherwise`. */
static inline bool clipc_json_is_flag(const json_t *object, const char *key, bool wanted, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return wanted == otherwise;
    return json_is_boolean(value) && json_boolean_value(value) == wanted;
}

static inline bool clipc_json_is_nothing(const json_t *value)
{
    return !value || json_is_null(value);
}

#endif
