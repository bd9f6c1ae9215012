#include "report_html.h"

#include "base64.h"
#include "escape.h"
#include "message.h"
#include "output.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAP_COLUMNS ((size_t)512)
#define MAP_ROWS    ((size_t)128)

static const char style[] =
    ":root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1b1f24;--soft:#5d6673;--line:#e1e5ea;"
    "--track:#e9edf2;--bar:#5b86b8;--other:#8a7bb5;--third:#c08a3e;--good:#1f7a5c;--bad:#b23b2e}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#14171b;--card:#1d2126;--ink:#e8ebef;--soft:#9aa4b1;"
    "--line:#2e343c;--track:#2a3038;--bar:#6f9ccf;--other:#a496d0;--third:#d9a55c;--good:#4cc59a;--bad:#ef8a7d}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:76rem;padding:2rem clamp(1rem,4vw,3rem);background:var(--page);color:var(--ink);"
    "font:15px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\n"
    "h1{font-size:1.5rem;margin:0 0 .25rem}h2{font:600 .95rem ui-monospace,Menlo,Consolas,monospace;margin:0 0 "
    ".5rem}\n"
    "p{margin:.25rem 0 1rem;color:var(--soft)}\n"
    "code{font:.9em ui-monospace,Menlo,Consolas,monospace;color:var(--ink);overflow-wrap:anywhere}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1rem;margin:0 0 1rem;"
    "overflow-x:auto}\n"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
    "th{font-weight:500;color:var(--soft);text-align:right;padding:.3rem .6rem;white-space:nowrap}\n"
    "td{text-align:right;padding:.3rem .6rem;border-top:1px solid var(--line);white-space:nowrap}\n"
    "th:first-child,td:first-child{text-align:left}\n"
    "td.bar{min-width:7rem}\n"
    ".track{display:block;height:8px;border-radius:4px;background:var(--track);overflow:hidden}\n"
    ".track b{display:block;height:100%;border-radius:4px;background:var(--bar)}\n"
    ".track.bad b{background:var(--bad)}.track.other b{background:var(--other)}"
    ".track.third b{background:var(--third)}\n"
    "td.name{padding-right:1.2rem}td.name small{display:block;color:var(--soft)}\n"
    ".badge{display:inline-block;padding:.05rem .5rem;border-radius:1rem;color:#fff;background:var(--bar);"
    "font-size:.8rem}.badge.other{background:var(--other)}.badge.third{background:var(--third)}\n"
    ".figures{display:flex;flex-wrap:wrap;gap:.4rem 2.2rem;margin:0 0 .8rem}.figures "
    "b{display:block;font-size:1.25rem;"
    "font-variant-numeric:tabular-nums}.figures span{color:var(--soft);font-size:.85rem}\n"
    ".columns{display:flex;align-items:flex-end;gap:3px;height:6rem;margin:.6rem 0 .2rem}"
    ".columns i{flex:1;background:var(--bar);border-radius:2px 2px 0 0;min-height:1px;min-width:2px}\n"
    ".good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}\n"
    ".map{image-rendering:pixelated;width:100%;min-height:4rem;max-height:14rem;display:block;border-radius:6px;"
    "background:var(--track)}\n"
    ".histogram{display:flex;align-items:flex-end;gap:2px;height:3.2rem;min-width:9rem}\n"
    ".histogram i{flex:1;background:var(--bar);border-radius:2px 2px 0 0;min-height:1px}\n"
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:1rem;margin-top:.8rem}\n"
    ".pair small{color:var(--soft);display:block}\n";

struct report_page {
    output_file *output;
};

void report_put(report_page *page, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    output_format_list(page->output, format, arguments);
    va_end(arguments);
}

void report_put_text(report_page *page, const char *text)
{
    char *escaped = escape_for_html(text);
    output_text(page->output, escaped);
    free(escaped);
}

report_page *report_page_open(const char *path, const char *title)
{
    report_page *page = allocate(1, sizeof *page);
    page->output = output_open(path);
    report_put(page, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>");
    report_put_text(page, title);
    report_put(page, "</title>\n<style>\n");
    output_text(page->output, style);
    report_put(page, "</style>\n</head>\n<body>\n<h1>");
    report_put_text(page, title);
    report_put(page, "</h1>\n");
    return page;
}

void report_page_close(report_page **page)
{
    report_put(*page, "</body>\n</html>\n");
    output_close((*page)->output);
    output_publish(&(*page)->output);
    free(*page);
    *page = NULL;
}

void report_put_bar(report_page *page, double share, const char *kind)
{
    const double width = share > 0 ? fmin(share, 1) : 0;
    report_put(page, "<span class=\"track %s\"><b style=\"width:%.2f%%\"></b></span>", kind, 100 * width);
}

/* ---- heat maps ---- */

static unsigned char *put_16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)value;
    at[1] = (unsigned char)(value >> 8);
    return at + 2;
}

static unsigned char *put_32(unsigned char *at, unsigned value)
{
    return put_16(put_16(at, value & 0xFFFF), value >> 16);
}

/* From near black over red and orange to pale yellow: lighter at every step, so that it also reads in gray. */
static void put_palette(unsigned char *at)
{
    static const unsigned char stops[5][3] = {
        {18, 20, 40}, {96, 24, 96}, {196, 52, 64}, {246, 146, 48}, {252, 246, 190}};
    for (unsigned i = 0; i < 256; i++, at += 4) {
        const unsigned stop = i == 255 ? 3 : i / 64;
        const unsigned part = i - 64 * stop;
        for (unsigned channel = 0; channel < 3; channel++)
            at[2 - channel] =
                (unsigned char)((stops[stop][channel] * (64 - part) + stops[stop + 1][channel] * part) / 64);
        at[3] = 0;
    }
}

/* The largest of the values that fall on a pixel, as an index of the palette; what is not finite is the brightest. */
static unsigned char level_of(const float *values, size_t columns, const size_t rows[2], const size_t across[2],
                              float largest)
{
    float most = 0;
    for (size_t row = rows[0]; row < rows[1]; row++)
        for (size_t column = across[0]; column < across[1]; column++) {
            const float value = values[row * columns + column];
            most = isfinite(value) ? fmaxf(most, value) : INFINITY;
            if (!isfinite(most))
                return 255;
        }
    return largest > 0 ? (unsigned char)(255 * fminf(most / largest, 1)) : 0;
}

/* A Windows bitmap of 8 bits a pixel: the plainest picture that browsers show. */
void report_put_heat_map(report_page *page, const float *values, size_t rows, size_t columns, float largest)
{
    const size_t width = columns < MAP_COLUMNS ? columns : MAP_COLUMNS;
    const size_t height = rows < MAP_ROWS ? rows : MAP_ROWS;
    const size_t line = (width + 3) / 4 * 4;
    const size_t start = 14 + 40 + 1024;
    if (width == 0 || height == 0)
        return;
    unsigned char *bytes = allocate(start + line * height, 1);
    unsigned char *at = put_16(bytes, 0x4D42);
    at = put_32(put_32(put_32(at, (unsigned)(start + line * height)), 0), (unsigned)start);
    at = put_32(put_32(put_32(at, 40), (unsigned)width), (unsigned)height);
    at = put_32(put_16(put_16(at, 1), 8), 0);
    at = put_32(put_32(put_32(put_32(put_32(at, 0), 2835), 2835), 256), 0);
    put_palette(at);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++) {
            const size_t down[2] = {rows * y / height, rows * (y + 1) / height};
            const size_t across[2] = {columns * x / width, columns * (x + 1) / width};
            bytes[start + (height - 1 - y) * line + x] = level_of(values, columns, down, across, largest);
        }
    char *uri = data_uri("image/bmp", bytes, start + line * height);
    report_put(page, "<img class=\"map\" alt=\"heat map\" src=\"%s\">", uri);
    free(uri);
    free(bytes);
}
