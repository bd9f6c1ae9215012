/* The image operands of a command (IMAGE, DIR, @LIST, -) as one stream of paths. */
#ifndef CLIPC_TOOLS_INPUTS_H
#define CLIPC_TOOLS_INPUTS_H

#include "options.h"

/* Of UTF-8, as some editors write it before the first line of a file. */
#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

typedef struct input_stream input_stream;

/* One path, or the reason why a named input or part of it cannot be read. */
typedef struct input {
    char *path;    /* freed by the caller */
    char *failure; /* NULL, or a sentence without the path; freed by the caller */
    bool walked;   /* found inside a directory: not an image means skipped, not failed */
    bool skipped;  /* with `failure`: changes no exit status */
} input;

/* `operands` must outlive the result. Nothing is opened yet. */
input_stream *inputs_create(const string_list *operands);
void inputs_destroy(input_stream **inputs);

/* The next path; false at the end. Directories are walked depth first, their paths in byte order as `LC_ALL=C sort`
 * has it; within one operand each directory is entered
 * once, so that links that go round in a circle end. Memory grows with the largest
 * directory, not with the number of paths. One caller at a time. May block: on standard input, say. */
bool inputs_next(input_stream *inputs, input *out);

/* Counts what inputs_next will yield, without changing it: for "time left". Returns 0 when that cannot be known
 * beforehand (standard input, pipes). Slow: walks the directories. */
size_t inputs_count(const string_list *operands);

#endif
