/* JSON for results. */
#ifndef CLIPC_TOOLS_JSON_LINE_H
#define CLIPC_TOOLS_JSON_LINE_H

#include <jansson.h>
#include <stddef.h>

/* A string of any bytes: those that are not UTF-8 become the text \xNN, as in messages. */
json_t *json_name(const char *name);
json_t *json_bytes(const char *bytes, size_t length);
/* A float in the fewest digits that give it back; null when it is not finite. */
json_t *json_float(float value);
/* Takes over `value`: sets it under `key`, or appends it. Quits when there is no memory. */
void json_put(json_t *object, const char *key, json_t *value);
void json_append(json_t *array, json_t *value);

/* One line, without a line break, that the caller frees. Takes over `value`. */
char *json_to_text(json_t *value);
/* Prints one line on standard output and flushes it. Takes over `value`. */
void json_print(json_t *value);

#endif
