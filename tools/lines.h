/* Lines of files that users name: lists of paths, labels and texts. */
#ifndef TOOLS_LINES_H
#define TOOLS_LINES_H

#include <stddef.h>
#include <stdio.h>

/* Longer lines are no text and no path; what never ends (/dev/zero) must not take all memory. */
#define LINE_LIMIT ((size_t)16 << 20)

typedef enum line_result {
    LINE_READ,
    LINE_END,      /* nothing was left */
    LINE_TOO_LONG, /* more than LINE_LIMIT bytes */
    LINE_FAILED    /* errno says why; want of memory, too */
} line_result;

typedef struct line_buffer {
    char *bytes; /* the line without its \n and one \r before that, then a NUL; to be freed */
    size_t length;
    size_t capacity;
} line_buffer;

line_result line_read(FILE *stream, line_buffer *line);
/* What to say of LINE_TOO_LONG and LINE_FAILED. */
const char *line_reason(line_result result);

#endif
