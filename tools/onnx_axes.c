#include "onnx_axes.h"

#include "message.h"

#include <stdlib.h>
#include <string.h>

#define OPTION "--dynamic-axes"

/* Why an axis other than the batch is fixed. */
static const char *reason(bool text, bool output, unsigned long axis)
{
    if (output)
        return axis == 1 ? "is the embedding's dimension, which the weights fix" : "does not exist";
    if (text)
        return axis == 1 ? "is the context length, which the position embedding and the causal mask fix"
                         : "does not exist";
    if (axis == 1)
        return "is the three colours";
    return axis <= 3 ? "is the image's size, which the position embedding fixes" : "does not exist";
}

/* One "input:0=NAME". `name` is the graph's own name of that end, which may be used, too. */
static bool take(const char *item, size_t length, const char *end, const char *name, bool text, char **out)
{
    const char *colon = memchr(item, ':', length);
    if (!colon)
        return false;
    const size_t key = (size_t)(colon - item);
    if (!(key == strlen(end) && strncmp(item, end, key) == 0) &&
        !(key == strlen(name) && strncmp(item, name, key) == 0))
        return false;
    char *rest = NULL;
    const unsigned long axis = strtoul(colon + 1, &rest, 10);
    if (rest == colon + 1 || *rest != '=' || rest + 1 >= item + length)
        return false;
    if (axis != 0)
        quit(STATUS_USAGE, OPTION ": axis %lu of the %s %s", axis, end,
             reason(text, strcmp(end, "output") == 0, axis));
    free(*out);
    *out = format_text("%.*s", (int)(item + length - (rest + 1)), rest + 1);
    return true;
}

onnx_axes onnx_axes_parse(const onnx_settings *settings, bool text)
{
    onnx_axes axes = {0};
    const char *list = settings->dynamic_axes;
    if (settings->batch && list && strcmp(list, "none") != 0)
        quit(STATUS_USAGE, "--batch fixes what " OPTION " %s would vary", list);
    if ((list && strcmp(list, "none") == 0) || settings->batch)
        return axes;
    if (!list || strcmp(list, "batch") == 0)
        return (onnx_axes){duplicate("batch"), duplicate("batch")};
    while (*list) {
        const size_t length = strcspn(list, ",");
        if (!take(list, length, "input", settings->input_name, text, &axes.input) &&
            !take(list, length, "output", settings->output_name, text, &axes.output))
            quit(STATUS_USAGE, OPTION ": '%.*s' is not batch, none, input:0=NAME or output:0=NAME", (int)length, list);
        list += length + (list[length] == ',');
    }
    if (!axes.input || !axes.output)
        quit(STATUS_USAGE, OPTION ": the batch is axis 0 of input and output: both vary, or neither");
    return axes;
}

void onnx_axes_free(onnx_axes *axes)
{
    free(axes->input);
    free(axes->output);
    *axes = (onnx_axes){0};
}
