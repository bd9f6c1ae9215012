/* Tables of text for people: columns as wide as their widest cell. */
#ifndef CLIPC_TOOLS_COLUMNS_H
#define CLIPC_TOOLS_COLUMNS_H

#include <stddef.h>

/* Prints the text, filled up to so many columns, and two more. */
void print_padded(const char *text, size_t columns);
/* The larger of `columns` and what the text takes. */
size_t widest(size_t columns, const char *text);

#endif
