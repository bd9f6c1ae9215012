#include "conflicts.h"

#include "message.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static size_t count_standard_input(const string_list *names)
{
    size_t count = 0;
    for (size_t i = 0; i < names->count; i++)
        count += strcmp(names->items[i], "-") == 0;
    return count;
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat left;
    struct stat right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && S_ISREG(left.st_mode) && left.st_dev == right.st_dev &&
           left.st_ino == right.st_ino;
}

static void check_output(const char *output, const tool_settings *settings, const string_list *images)
{
    for (size_t i = 0; i < settings->text_files.count; i++)
        if (is_same_file(output, settings->text_files.items[i]))
            quit(STATUS_USAGE, "%s: is an input and would be replaced by the output", output);
    if (settings->labels_file && is_same_file(output, settings->labels_file))
        quit(STATUS_USAGE, "%s: is an input and would be replaced by the output", output);
    for (size_t i = 0; images && i < images->count; i++)
        if (images->items[i][0] == '@' && is_same_file(output, images->items[i] + 1))
            quit(STATUS_USAGE, "%s: is an input and would be replaced by the output", output);
}

static void check_not_model(const char *output, const clipc_model *model)
{
    const char *file = NULL;
    uint64_t bytes = 0;
    for (size_t i = 0; (file = clipc_model_file(model, i, &bytes)); i++)
        if (is_same_file(output, file))
            quit(STATUS_USAGE, "%s: is a file of the model and would be replaced by the output", output);
}

void conflicts_check_model(const tool_settings *settings, const clipc_model *model)
{
    if (settings->html)
        check_not_model(settings->html, model);
    if (settings->output) {
        check_not_model(settings->output, model);
        char *sidecar = format_text("%s.json", settings->output);
        check_not_model(sidecar, model);
        free(sidecar);
    }
}

void conflicts_check(const tool_settings *settings, const string_list *images)
{
    size_t readers = count_standard_input(&settings->text_files);
    readers += settings->labels_file && strcmp(settings->labels_file, "-") == 0;
    readers += images ? count_standard_input(images) : 0;
    if (readers > 1)
        quit(STATUS_USAGE, "standard input (-) can be read once only");
    if (settings->html)
        check_output(settings->html, settings, images);
    if (settings->output) {
        check_output(settings->output, settings, images);
        char *sidecar = format_text("%s.json", settings->output);
        check_output(sidecar, settings, images);
        free(sidecar);
    }
}
