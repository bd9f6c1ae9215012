#include "operand.h"

#include "message.h"

#include <string.h>
#include <unistd.h>

static const char *const backends[] = {"auto", "cuda", "cpu", "ref", "tensorrt", NULL};
static const char *const precisions[] = {"auto", "fp32", "fp16", "bf16", "fp8", "int8", NULL};

/* The word of the list that `text` is; NULL: none. */
static const char *find_word(const char *const *words, const char *text, size_t length)
{
    for (; *words; words++)
        if (strlen(*words) == length && memcmp(*words, text, length) == 0)
            return *words;
    return NULL;
}

tool_settings operand_settings(const tool_settings *settings, const char *operand)
{
    tool_settings result = *settings;
    const char *at = strrchr(operand, '@');
    if (!at || access(operand, F_OK) == 0) {
        result.model = operand;
        return result;
    }
    const char *colon = strchr(at, ':');
    const size_t length = colon ? (size_t)(colon - at - 1) : strlen(at + 1);
    const char *backend = find_word(backends, at + 1, length);
    const char *precision = colon ? find_word(precisions, colon + 1, strlen(colon + 1)) : NULL;
    if ((length && !backend) || (colon && !precision) || (!length && !colon))
        quit(STATUS_USAGE,
             "'%s': no such file, and '%s' is no backend and precision (PATH@backend:precision, such as "
             "model@cpu:int8)",
             operand, at);
    if (at > operand) {
        static string_list paths; /* to the end, as the settings point into them */
        char *path = duplicate(operand);
        path[at - operand] = '\0';
        string_list_add(&paths, path);
        result.model = path;
    }
    result.backend = backend ? backend : result.backend;
    result.precision = precision ? precision : result.precision;
    return result;
}

tool_settings operand_or_model(const tool_settings *settings, const char *command)
{
    if (settings->operands.count == 0)
        return *settings;
    if (settings->operands.count > 1)
        quit(STATUS_USAGE, "%s: '%s' is one operand too many", command, settings->operands.items[1]);
    if (settings->model || settings->architecture)
        quit(STATUS_USAGE, "%s: both '%s' and --%s name the model", command, settings->operands.items[0],
             settings->model ? "model" : "arch");
    return operand_settings(settings, settings->operands.items[0]);
}
