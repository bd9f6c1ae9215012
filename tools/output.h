/* Where results go. A regular file appears only when it is complete; every failure to write ends the program. */
#ifndef CLIPC_TOOLS_OUTPUT_H
#define CLIPC_TOOLS_OUTPUT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct output_file output_file;

/* Opens "-" (standard output), a device or a pipe for writing straight through, and anything else as a temporary file
 * beside it, which takes its name in output_publish. Quits with STATUS_SYSTEM when that is impossible, and with
 * STATUS_USAGE when an image would be replaced. */
output_file *output_open(const char *path);
/* Whether output_open would make a regular file of it, which appears when it is complete. */
bool output_names_regular(const char *path);
/* True when it is a regular file: it can be patched, and files may be put beside it. */
bool output_is_regular(const output_file *output);

void output_write(output_file *output, const void *bytes, size_t size);
void output_text(output_file *output, const char *text);
__attribute__((format(printf, 2, 3))) void output_format(output_file *output, const char *format, ...);
__attribute__((format(printf, 2, 0))) void output_format_list(output_file *output, const char *format,
                                                              va_list arguments);
/* Overwrites the first bytes of a regular file. */
void output_patch_start(output_file *output, const void *bytes, size_t size);

/* Flushes and closes, checking both. */
void output_close(output_file *output);
/* Gives a closed regular file its name, and frees. */
void output_publish(output_file **output);

/* Whether publishing would replace a file that is there already. */
bool output_replaces(const output_file *output);
/* Removes the temporary file of a regular one, and frees. */
void output_discard(output_file **output);

/* Standard output, for results printed line by line: fails as the above do. */
void print_text(const char *text);
__attribute__((format(printf, 1, 2))) void print_format(const char *format, ...);
/* Ends a result: what was printed so far reaches the reader now. */
void print_flush(void);

/* Creates the folder, and those above it, where they do not exist. */
void output_directory(const char *path);

#endif
