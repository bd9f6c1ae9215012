#include "columns.h"

#include "escape.h"
#include "output.h"

void print_padded(const char *text, size_t columns)
{
    const size_t width = display_width(text);
    print_format("%s%*s  ", text, (int)(width < columns ? columns - width : 0), "");
}

size_t widest(size_t columns, const char *text)
{
    const size_t width = display_width(text);
    return width > columns ? width : columns;
}
