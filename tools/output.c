#include "output.h"

#include "interrupt.h"
#include "message.h"

#include "clipc/clipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_BLOCK ((size_t)1 << 18)
#define SNIFF_BYTES 32

struct output_file {
    FILE *stream;
    char *name;      /* as the user wrote it */
    char *final;     /* the file it will be; NULL when written straight through */
    char *temporary; /* its name until then */
    size_t temporary_slot;
};

static _Noreturn void quit_errno(const char *name, const char *action)
{
    quit(STATUS_SYSTEM, "%s: cannot %s: %s", name, action, strerror(errno));
}

/* What was written through descriptors of this process or is no regular file cannot be replaced by renaming. */
static bool is_written_through(const char *path)
{
    struct stat info;
    static const char *const descriptors[] = {"/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/"};
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        if (strncmp(path, descriptors[i], strlen(descriptors[i])) == 0)
            return true;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

/* Through symbolic links, so that the link stays and the file it names is replaced. */
static char *resolve(const char *path)
{
    char *resolved = realpath(path, NULL);
    return resolved ? resolved : duplicate(path);
}

/* The permissions the file has, or would have had if it had been created directly. */
static mode_t wanted_mode(const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0)
        return info.st_mode & 07777;
    const mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

/* ".NAME.XXXXXX" in the same directory; a long name is cut, as names are limited to 255 bytes. */
static char *temporary_template(const char *final)
{
    const char *slash = strrchr(final, '/');
    const size_t directory = slash ? (size_t)(slash - final) + 1 : 0;
    return format_text("%.*s.%.200s.XXXXXX", (int)directory, final, final + directory);
}

/* Most likely one of the inputs; no output is ever an image. */
static bool is_image(const char *path)
{
    char start[SNIFF_BYTES];
    FILE *file = fopen(path, "re");
    const size_t size = file ? fread(start, 1, sizeof start, file) : 0;
    if (file)
        fclose(file);
    return clipc_image_format(start, size) != NULL;
}

static void open_beside(output_file *output)
{
    struct stat info;
    output->final = resolve(output->name);
    if (stat(output->final, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            quit(STATUS_SYSTEM, "%s: cannot write: is a directory", output->name);
        if (access(output->final, W_OK) != 0)
            quit_errno(output->name, "write");
        if (is_image(output->final))
            quit(STATUS_USAGE, "%s: is an image, which the output would replace", output->name);
    }
    output->temporary = temporary_template(output->final);
    const int descriptor = temporary_create(output->temporary, &output->temporary_slot);
    if (descriptor < 0)
        quit_errno(output->name, "create");
    if (fchmod(descriptor, wanted_mode(output->final)) != 0)
        quit_errno(output->name, "set the permissions");
    output->stream = fdopen(descriptor, "w");
}

output_file *output_open(const char *path)
{
    if (!path[0])
        quit(STATUS_USAGE, "the name of an output file is empty");
    output_file *created = allocate(1, sizeof *created);
    if (strcmp(path, "-") == 0) {
        created->name = duplicate("standard output");
        created->stream = stdout;
        if (fcntl(STDOUT_FILENO, F_GETFD) < 0)
            quit_errno(created->name, "write");
        return created;
    }
    created->name = duplicate(path);
    if (is_written_through(path))
        created->stream = fopen(path, "we");
    else
        open_beside(created);
    if (!created->stream)
        quit_errno(path, "open");
    setvbuf(created->stream, NULL, _IOFBF, WRITE_BLOCK);
    return created;
}

bool output_names_regular(const char *path)
{
    return strcmp(path, "-") != 0 && !is_written_through(path);
}

bool output_is_regular(const output_file *output)
{
    return output->final != NULL;
}

void output_write(output_file *output, const void *bytes, size_t size)
{
    if (fwrite(bytes, 1, size, output->stream) != size)
        quit_errno(output->name, "write");
}

void output_text(output_file *output, const char *text)
{
    output_write(output, text, strlen(text));
}

void output_format_list(output_file *output, const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        quit(STATUS_SYSTEM, "out of memory");
    output_text(output, text);
    free(text);
}

void output_format(output_file *output, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    output_format_list(output, format, arguments);
    va_end(arguments);
}

void output_patch_start(output_file *output, const void *bytes, size_t size)
{
    if (fseeko(output->stream, 0, SEEK_SET) != 0)
        quit_errno(output->name, "seek");
    output_write(output, bytes, size);
}

void output_close(output_file *output)
{
    if (fflush(output->stream) != 0)
        quit_errno(output->name, "write");
    if (output->stream != stdout && fclose(output->stream) != 0)
        quit_errno(output->name, "close");
    output->stream = NULL;
}

static void destroy(output_file **output)
{
    free((*output)->name);
    free((*output)->final);
    free((*output)->temporary);
    free(*output);
    *output = NULL;
}

void output_publish(output_file **output)
{
    if ((*output)->final) {
        if (rename((*output)->temporary, (*output)->final) != 0)
            quit_errno((*output)->name, "rename");
        temporary_forget((*output)->temporary_slot);
    }
    destroy(output);
}

bool output_replaces(const output_file *output)
{
    return output->final && access(output->final, F_OK) == 0;
}

void output_discard(output_file **output)
{
    if ((*output)->final) {
        unlink((*output)->temporary);
        temporary_forget((*output)->temporary_slot);
    }
    destroy(output);
}

void output_directory(const char *path)
{
    char *name = duplicate(path);
    for (char *slash = strchr(name + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        directory_create(name);
        *slash = '/';
    }
    struct stat info;
    if (directory_create(name) != 0 && errno != EEXIST)
        quit_errno(path, "create");
    if (stat(name, &info) != 0 || !S_ISDIR(info.st_mode))
        quit(STATUS_SYSTEM, "%s: is no directory", path);
    free(name);
}

void print_text(const char *text)
{
    if (fputs(text, stdout) == EOF)
        quit_errno("standard output", "write");
}

void print_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int written = vprintf(format, arguments);
    va_end(arguments);
    if (written < 0)
        quit_errno("standard output", "write");
}

void print_flush(void)
{
    if (fflush(stdout) != 0)
        quit_errno("standard output", "write");
}
