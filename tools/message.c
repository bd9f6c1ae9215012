#include "message.h"

#include "escape.h"
#include "interrupt.h"
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static message_level current_level = MESSAGE_NORMAL;

void message_set_level(message_level level)
{
    current_level = level;
}

message_level message_get_level(void)
{
    return current_level;
}

/* One write, so that lines of several processes do not mix. */
static void print_line(const char *format, va_list arguments)
{
    progress_hide();
    char *raw = NULL;
    if (vasprintf(&raw, format, arguments) < 0)
        return;
    char *printable = escape_for_terminal(raw);
    char *line = NULL;
    if (asprintf(&line, "clipc: %s\n", printable) >= 0)
        fputs(line, stderr);
    free(line);
    free(printable);
    free(raw);
}

void message_print(message_level level, const char *format, ...)
{
    if (current_level < level)
        return;
    va_list arguments;
    va_start(arguments, format);
    print_line(format, arguments);
    va_end(arguments);
}

void quit(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line(format, arguments);
    va_end(arguments);
    temporaries_remove();
    fflush(stdout); /* results that are already made are not lost */
    _exit(status);
}

void *allocate(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size ? size : 1);
    if (!block)
        quit(STATUS_SYSTEM, "out of memory (%zu × %zu bytes)", count, size);
    return block;
}

void *reallocate(void *block, size_t count, size_t size)
{
    size_t bytes = 0;
    void *larger = NULL;
    if (!__builtin_mul_overflow(count, size, &bytes))
        larger = realloc(block, bytes ? bytes : 1);
    if (!larger)
        quit(STATUS_SYSTEM, "out of memory (%zu × %zu bytes)", count, size);
    return larger;
}

char *duplicate(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    return memcpy(allocate(bytes, 1), text, bytes);
}

char *format_text(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        quit(STATUS_SYSTEM, "out of memory");
    return text;
}
