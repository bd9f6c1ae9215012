#include "escape.h"

#include "message.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

typedef enum escape_style { ESCAPE_TERMINAL, ESCAPE_UTF8, ESCAPE_HTML } escape_style;

/* The longest that one byte becomes: "&quot;". */
#define WORST_GROWTH 6

static bool is_control(utf8proc_int32_t character)
{
    const utf8proc_category_t category = utf8proc_category(character);
    return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP ||
           (character >= 0x202A && character <= 0x202E) || (character >= 0x2066 && character <= 0x2069);
}

static const char *html_entity(utf8proc_int32_t character)
{
    switch (character) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

static size_t put_hexadecimal(char *out, const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        snprintf(out + 4 * i, 5, "\\x%02x", bytes[i]);
    return 4 * count;
}

static char *escape(const char *text, size_t length, escape_style style, size_t *out_length)
{
    char *out = allocate(length + 1, WORST_GROWTH);
    size_t used = 0;
    for (size_t at = 0; at < length;) {
        const unsigned char *bytes = (const unsigned char *)text + at;
        utf8proc_int32_t character = 0;
        const utf8proc_ssize_t taken = utf8proc_iterate(bytes, (utf8proc_ssize_t)(length - at), &character);
        const size_t count = taken > 0 ? (size_t)taken : 1;
        const char *entity = taken > 0 && style == ESCAPE_HTML ? html_entity(character) : NULL;
        if (taken <= 0 || (style != ESCAPE_UTF8 && is_control(character))) {
            used += put_hexadecimal(out + used, bytes, count);
        } else if (entity) {
            memcpy(out + used, entity, strlen(entity));
            used += strlen(entity);
        } else {
            memcpy(out + used, bytes, count);
            used += count;
        }
        at += count;
    }
    out[used] = '\0';
    *out_length = used;
    return out;
}

char *escape_for_terminal(const char *text)
{
    size_t used = 0;
    return escape(text, strlen(text), ESCAPE_TERMINAL, &used);
}

char *escape_to_utf8(const char *text, size_t length, size_t *used)
{
    return escape(text, length, ESCAPE_UTF8, used);
}

char *escape_for_html(const char *text)
{
    size_t used = 0;
    return escape(text, strlen(text), ESCAPE_HTML, &used);
}

static size_t character_width(const char *text, size_t *bytes)
{
    utf8proc_int32_t character = 0;
    const utf8proc_ssize_t taken = utf8proc_iterate((const unsigned char *)text, -1, &character);
    *bytes = taken > 0 ? (size_t)taken : 1;
    return taken > 0 ? (size_t)utf8proc_charwidth(character) : 1;
}

size_t display_width(const char *text)
{
    size_t width = 0;
    size_t bytes = 0;
    for (; *text; text += bytes)
        width += character_width(text, &bytes);
    return width;
}

char *escape_clipped(const char *text, size_t columns)
{
    char *printable = escape_for_terminal(text);
    if (display_width(printable) <= columns)
        return printable;
    size_t width = 0;
    size_t at = 0;
    for (;;) {
        size_t bytes = 0;
        const size_t next = character_width(printable + at, &bytes);
        if (width + next + 1 > columns)
            break;
        width += next;
        at += bytes;
    }
    char *clipped = allocate(at + sizeof "…", 1);
    memcpy(clipped, printable, at);
    memcpy(clipped + at, "…", sizeof "…");
    free(printable);
    return clipped;
}
