#include "base/json.h"

#include "base/memory.h"

#include <stdbool.h>

/* What a file may make the parser hold: as much as any file may make the library allocate. */
#define ALLOWANCE    ((size_t)64 << 20)
#define ALLOWED_FOLD ((size_t)4)
/* Files of at most so many bytes cannot reach the allowance: no byte costs more than 128. */
#define SMALL_FILE (ALLOWANCE / 128)

/* At least what jansson 2.14 allocates for the text, bytes of strings aside: a value is a json_string_t and three
 * places of an array that grows, at most; an array, an object and a pair come with tables of their own. Marks within
 * strings are not counted. */
static size_t estimate_memory(const char *text, size_t size)
{
    size_t bytes = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        if (in_string) {
            if (text[i] == '\\')
                i++; /* whatever it is, it does not end the string */
            else
                in_string = text[i] != '"';
            continue;
        }
        switch (text[i]) {
        case '"': in_string = true; break;
        case ',': bytes += 56; break;
        case ':': bytes += 112; break;
        case '[': bytes += 160; break;
        case '{': bytes += 256; break;
        default: break;
        }
    }
    return bytes;
}

clipc_status clipc_json_parse(const void *bytes, size_t size, const char *name, size_t flags, json_t **out,
                              clipc_error *error)
{
    *out = NULL;
    CLIPC_FAIL_IF(size == 0, error, CLIPC_ERROR_TRUNCATED, "%s: is empty, JSON was expected", name);
    CLIPC_FAIL_IF(size > SMALL_FILE && estimate_memory(bytes, size) > (ALLOWED_FOLD - 1) * size + ALLOWANCE, error,
                  CLIPC_ERROR_LIMIT, "%s: holds too many values for its size", name);
    json_error_t details;
    json_t *value = json_loadb(bytes, size, JSON_REJECT_DUPLICATES | flags, &details);
    if (!value) {
        if (!details.text[0]) /* jansson gives no reason when an allocation failed */
            return clipc_fail_memory(error, size, name);
        switch (json_error_code(&details)) {
        case json_error_out_of_memory: return clipc_fail_memory(error, size, name);
        case json_error_premature_end_of_input:
            return clipc_fail(error, CLIPC_ERROR_TRUNCATED, "%s: the JSON ends too early, at line %d", name,
                              details.line);
        default:
            return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: not valid JSON: %s (line %d)", name, details.text,
                              details.line);
        }
    }
    if (!json_is_object(value)) {
        json_decref(value);
        return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: the JSON is not an object", name);
    }
    *out = value;
    return CLIPC_OK;
}

char *clipc_json_write(json_t *root)
{
    const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(17); /* digits that carry a double there and back */
    const size_t length = root ? json_dumpb(root, NULL, 0, flags) : 0;
    char *text = length ? clipc_allocate(length + 1, 1) : NULL;
    if (text && json_dumpb(root, text, length, flags) != length) {
        clipc_free(text);
        text = NULL;
    }
    json_decref(root);
    return text;
}

const char *clipc_json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "a whole number";
    case JSON_REAL: return "a fraction";
    case JSON_TRUE:
    case JSON_FALSE: return "a truth value";
    case JSON_NULL: break;
    }
    return "null";
}
