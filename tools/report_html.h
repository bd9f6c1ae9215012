/* The frame of a report as one web page that needs nothing else: style, heading, and escaped text. */
#ifndef CLIPC_TOOLS_REPORT_HTML_H
#define CLIPC_TOOLS_REPORT_HTML_H

#include <stddef.h>

typedef struct report_page report_page;

/* Opens the file, as output_open does, and writes the page up to its body. */
report_page *report_page_open(const char *path, const char *title);
/* Ends the page and gives the file its name. */
void report_page_close(report_page **page);

/* Markup as it is, and text from outside escaped. */
__attribute__((format(printf, 2, 3))) void report_put(report_page *page, const char *format, ...);
void report_put_text(report_page *page, const char *text);
/* A bar of that share of its track, 0 to 1; `kind` is a class of the style: "", "bad" or "other". */
void report_put_bar(report_page *page, double share, const char *kind);

/* `rows` × `columns` values, from 0 to `largest`, drawn as a picture of at most 512 × 128 pixels, each
 * the largest value of its place: an <img>. */
void report_put_heat_map(report_page *page, const float *values, size_t rows, size_t columns, float largest);

#endif
