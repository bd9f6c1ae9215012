#include "conflicts.h"

#include "message.h"
#include "tensor_set.h"

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

/* Whether both would end up as one file, be it there or not. Devices take any number of writers. */
static bool is_same_place(const char *a, const char *b)
{
    struct stat left;
    struct stat right;
    if (stat(a, &left) == 0 && strcmp(a, "-") != 0)
        return is_same_file(a, b);
    const char *slash_a = strrchr(a, '/');
    const char *slash_b = strrchr(b, '/');
    if (strcmp(slash_a ? slash_a + 1 : a, slash_b ? slash_b + 1 : b) != 0)
        return false;
    char *folder_a = format_text("%.*s.", slash_a ? (int)(slash_a - a) + 1 : 0, a);
    char *folder_b = format_text("%.*s.", slash_b ? (int)(slash_b - b) + 1 : 0, b);
    const bool same = stat(folder_a, &left) == 0 && stat(folder_b, &right) == 0 && left.st_dev == right.st_dev &&
                      left.st_ino == right.st_ino;
    free(folder_a);
    free(folder_b);
    return same;
}

/* Every file that a command may write; those not asked for are left out. */
typedef struct output_names {
    const char *items[10];
    size_t count;
    char *sidecar;
} output_names;

static output_names outputs_of(const tool_settings *settings)
{
    output_names names = {.sidecar = settings->output ? format_text("%s.json", settings->output) : NULL};
    const char *const all[] = {settings->html,
                               settings->output,
                               names.sidecar,
                               settings->save_inputs,
                               settings->save_outputs,
                               settings->bench.export_times,
                               settings->bench.export_profile,
                               settings->bench.export_layers,
                               settings->bench.export_output,
                               settings->chrome_trace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            names.items[names.count++] = all[i];
    return names;
}

static void check_input(const tool_settings *settings, const char *input)
{
    output_names outputs = outputs_of(settings);
    for (size_t i = 0; i < outputs.count; i++)
        if (is_same_file(outputs.items[i], input))
            quit(STATUS_USAGE, "%s: is an input and would be replaced by the output", outputs.items[i]);
    free(outputs.sidecar);
}

static void check_array_file(void *settings, const char *file)
{
    check_input(settings, file);
}

void conflicts_check_tensors(const tool_settings *settings, const char *path)
{
    tool_settings copy = *settings;
    tensor_set_each_file(path, check_array_file, &copy);
}

void conflicts_check_not_model(const char *output, const clipc_model *model)
{
    const char *file = NULL;
    uint64_t bytes = 0;
    for (size_t i = 0; (file = clipc_model_file(model, i, &bytes)); i++)
        if (is_same_file(output, file))
            quit(STATUS_USAGE, "%s: is a file of the model and would be replaced by the output", output);
}

void conflicts_check_model(const tool_settings *settings, const clipc_model *model)
{
    output_names outputs = outputs_of(settings);
    for (size_t i = 0; i < outputs.count; i++)
        conflicts_check_not_model(outputs.items[i], model);
    free(outputs.sidecar);
}

static void check_outputs_differ(const tool_settings *settings)
{
    output_names outputs = outputs_of(settings);
    for (size_t i = 0; i < outputs.count; i++)
        for (size_t j = 0; j < i; j++)
            if (is_same_place(outputs.items[i], outputs.items[j]))
                quit(STATUS_USAGE, "%s: two outputs would be written to it", outputs.items[i]);
    free(outputs.sidecar);
}

void conflicts_check(const tool_settings *settings, const string_list *images)
{
    size_t readers = count_standard_input(&settings->text_files);
    readers += settings->labels_file && strcmp(settings->labels_file, "-") == 0;
    readers += images ? count_standard_input(images) : 0;
    if (readers > 1)
        quit(STATUS_USAGE, "standard input (-) can be read once only");
    for (size_t i = 0; i < settings->text_files.count; i++)
        check_input(settings, settings->text_files.items[i]);
    if (settings->labels_file)
        check_input(settings, settings->labels_file);
    for (size_t i = 0; images && i < images->count; i++)
        if (images->items[i][0] == '@')
            check_input(settings, images->items[i] + 1);
    if (settings->load_inputs)
        conflicts_check_tensors(settings, settings->load_inputs);
    check_outputs_differ(settings);
}
