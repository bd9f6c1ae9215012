/* Text from outside (file names, labels) made safe for where it is shown. File names may hold any bytes. */
#ifndef CLIPC_TOOLS_ESCAPE_H
#define CLIPC_TOOLS_ESCAPE_H

#include <stddef.h>

/* Each returns a new string that the caller frees. Bytes that are not UTF-8 are shown as \xNN everywhere. */
char *escape_for_terminal(const char *text);            /* control characters as \xNN too */
char *escape_for_html(const char *text);                /* control characters as \xNN, & < > " ' as entities */
char *escape_clipped(const char *text, size_t columns); /* for a terminal, at most that wide, cut with "…" */

/* Nothing else escaped, as JSON does the rest itself: `length` bytes, which may hold NUL, become *used. */
char *escape_to_utf8(const char *text, size_t length, size_t *used);

/* Columns that printable UTF-8 takes on a terminal. */
size_t display_width(const char *text);

#endif
