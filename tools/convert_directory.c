#include "convert_directory.h"

#include "message.h"
#include "output.h"
#include "session.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Weights, config, preprocessing rule, up to five files of a tokenizer, clipc.json and the card, and to spare. */
#define MAX_FILES 12

typedef struct folder {
    const char *path;
    output_file *files[MAX_FILES];
    size_t count;
} folder;

bool convert_names_directory(const char *path)
{
    struct stat info;
    const size_t length = strlen(path);
    return (length > 0 && path[length - 1] == '/') || (stat(path, &info) == 0 && S_ISDIR(info.st_mode));
}

/* What lies there would be mixed with the new files, and might be taken in their place. */
static void check_empty(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return;
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            quit(STATUS_USAGE, "%s: is not empty (it has '%s'); a model is written to a new or an empty directory",
                 path, entry->d_name);
    closedir(directory);
}

static int begin_file(void *context, const char *name)
{
    folder *out = context;
    if (out->count == MAX_FILES)
        return 1;
    if (out->count == 0)
        output_directory(out->path);
    else
        output_close(out->files[out->count - 1]);
    const size_t length = strlen(out->path);
    char *path = format_text("%s%s%s", out->path, length && out->path[length - 1] == '/' ? "" : "/", name);
    out->files[out->count++] = output_open(path);
    free(path);
    return 0;
}

static int write_file(void *context, const void *bytes, size_t size)
{
    folder *out = context;
    output_write(out->files[out->count - 1], bytes, size);
    return 0;
}

/* What came of it, from the files themselves. */
static void report(const char *path)
{
    tool_settings made = {.model = path};
    clipc_model_info info;
    uint64_t bytes = 0;
    double megabytes = 0;
    clipc_model *model = session_open_model(&made, &info);
    for (size_t i = 0; clipc_model_file(model, i, &bytes); i++)
        megabytes += (double)bytes / (1 << 20);
    message_note("%s: a directory of transformers, %s weights, %.1f MiB", path, info.weights_dtype, megabytes);
    clipc_model_destroy(&model);
}

void convert_to_directory(const tool_settings *source, const char *path)
{
    if (strcmp(source->backend, "auto") != 0)
        quit(STATUS_USAGE, "convert: --backend is of engine files; a directory of transformers is for no backend");
    if (source->keep_precise)
        quit(STATUS_USAGE, "convert: --keep-precise is of engine files; a directory of transformers has one dtype");
    check_empty(path);
    clipc_model_info info;
    clipc_model *model = session_open_model(source, &info);
    folder out = {.path = path};
    clipc_error error = {0};
    if (clipc_model_write_directory(model, session_wanted_precision(source), begin_file, write_file, &out, &error) !=
        CLIPC_OK)
        quit_failed(&error);
    output_close(out.files[out.count - 1]);
    for (size_t i = 0; i < out.count; i++)
        output_publish(&out.files[i]);
    clipc_model_destroy(&model);
    report(path);
}
