#include "json_line.h"

#include "escape.h"
#include "message.h"
#include "output.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What %.*g needs so that reading gives the same float back. */
#define FLOAT_DIGITS 9
/* Numbers that are no floats (milliseconds) are not worth more digits either. */
#define JSON_FORMAT (JSON_COMPACT | JSON_REAL_PRECISION(FLOAT_DIGITS))

json_t *json_bytes(const char *bytes, size_t length)
{
    size_t used = 0;
    char *text = escape_to_utf8(bytes, length, &used);
    json_t *value = json_stringn(text, used);
    free(text);
    return value;
}

json_t *json_name(const char *name)
{
    return json_bytes(name, strlen(name));
}

json_t *json_float(float value)
{
    if (!isfinite(value))
        return json_null();
    char digits[32] = "";
    for (int precision = 6; precision <= FLOAT_DIGITS; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, (double)value);
        if (strtof(digits, NULL) == value)
            break;
    }
    return json_real(strtod(digits, NULL));
}

void json_put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        quit(STATUS_SYSTEM, "out of memory (JSON)");
}

void json_append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        quit(STATUS_SYSTEM, "out of memory (JSON)");
}

char *json_to_text(json_t *value)
{
    char *text = json_dumps(value, JSON_FORMAT);
    json_decref(value);
    if (!text)
        quit(STATUS_SYSTEM, "out of memory (JSON)");
    return text;
}

void json_print(json_t *value)
{
    char *text = json_to_text(value);
    print_text(text);
    print_text("\n");
    print_flush();
    free(text);
}
