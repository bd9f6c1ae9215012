#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 128

static char *grow(line_buffer *line)
{
    const size_t capacity = line->capacity ? 2 * line->capacity : FIRST_CAPACITY;
    char *larger = realloc(line->bytes, capacity);
    if (larger) {
        line->bytes = larger;
        line->capacity = capacity;
    }
    return larger;
}

line_result line_read(FILE *stream, line_buffer *line)
{
    int byte = 0;
    line->length = 0;
    errno = 0;
    while ((byte = getc_unlocked(stream)) != EOF && byte != '\n') {
        if (line->length == LINE_LIMIT)
            return LINE_TOO_LONG;
        if (line->length + 1 >= line->capacity && !grow(line))
            return LINE_FAILED;
        line->bytes[line->length++] = (char)byte;
    }
    if (byte == EOF && ferror(stream))
        return LINE_FAILED;
    if (byte == EOF && line->length == 0)
        return LINE_END;
    if (!line->bytes && !grow(line))
        return LINE_FAILED;
    if (byte == '\n' && line->length && line->bytes[line->length - 1] == '\r')
        line->length--;
    line->bytes[line->length] = '\0';
    return LINE_READ;
}

const char *line_reason(line_result result)
{
    return result == LINE_TOO_LONG ? "a line is longer than 16 MiB" : strerror(errno);
}
