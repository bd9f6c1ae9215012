/* JSON text to jansson values, with the sentences of clipc's errors. */
#ifndef CLIPC_BASE_JSON_H
#define CLIPC_BASE_JSON_H

#include "base/error.h"

#include <jansson.h>

/* Parses `size` bytes that must be one JSON object without duplicate keys (nested at most as deep as jansson allows,
 * 2048) and hands the caller a reference, to be dropped with json_decref. `name` is what messages call the text, and
 * `flags` are further ones for jansson. Text that ends too early is CLIPC_ERROR_TRUNCATED. */
clipc_status clipc_json_parse(const void *bytes, size_t size, const char *name, size_t flags, json_t **out,
                              clipc_error *error);

/* `root` as indented text whose numbers read back bit for bit, to be freed with clipc_free. Takes the reference over.
 * NULL when there is no memory, or when `root` is NULL. */
char *clipc_json_write(json_t *root);

/* "a string", "a whole number", … for messages; static storage. */
const char *clipc_json_kind(const json_t *value);

#endif
