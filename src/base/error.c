#include "base/error.h"

#include <stdio.h>
#include <string.h>

const char *clipc_status_text(clipc_status status)
{
    switch (status) {
    case CLIPC_OK: return "ok";
    case CLIPC_ERROR_ARGUMENT: return "invalid argument";
    case CLIPC_ERROR_IO: return "input/output error";
    case CLIPC_ERROR_NOT_FOUND: return "not found";
    case CLIPC_ERROR_FORMAT: return "format error";
    case CLIPC_ERROR_TRUNCATED: return "truncated";
    case CLIPC_ERROR_LIMIT: return "limit exceeded";
    case CLIPC_ERROR_MEMORY: return "out of memory";
    case CLIPC_ERROR_DEVICE: return "device error";
    case CLIPC_ERROR_UNSUPPORTED: return "unsupported";
    case CLIPC_ERROR_INTERNAL: return "internal error";
    }
    return "unknown status";
}

/* The length of the well-formed, printable UTF-8 character at `text`, or 0. Follows table 3-7 of the Unicode standard.
 */
static size_t printable_length(const unsigned char *text)
{
    const unsigned char first = text[0];
    if (first >= 0x20 && first < 0x7F)
        return 1;
    const size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                          : first >= 0xE0 && first <= 0xEF ? 3
                          : first >= 0xF0 && first <= 0xF4 ? 4
                                                           : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    if ((first == 0xC2 && text[1] < 0xA0) || (first == 0xE0 && text[1] < 0xA0) || (first == 0xED && text[1] > 0x9F) ||
        (first == 0xF0 && text[1] < 0x90) || (first == 0xF4 && text[1] > 0x8F))
        return 0;
    return length;
}

/* Copies `text` into `message`, escaping what must not reach a terminal, and cuts it at a character's border. */
static void copy_escaped(char *message, size_t capacity, const char *text)
{
    size_t used = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        const size_t length = printable_length(at);
        const size_t needed = length ? length : 4;
        if (used + needed >= capacity)
            break;
        if (length)
            memcpy(message + used, at, length);
        else
            snprintf(message + used, 5, "\\x%02x", *at);
        used += needed;
        at += length ? length : 1;
    }
    message[used] = '\0';
}

clipc_status clipc_fail(clipc_error *error, clipc_status status, const char *format, ...)
{
    if (error) {
        char raw[sizeof error->message];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(raw, sizeof raw, format, arguments);
        va_end(arguments);
        error->status = status;
        copy_escaped(error->message, sizeof error->message, raw);
    }
    return status;
}

clipc_status clipc_fail_within(clipc_error *error, clipc_status status, const char *context, ...)
{
    if (error) {
        char raw[2 * sizeof error->message];
        va_list arguments;
        va_start(arguments, context);
        const int written = vsnprintf(raw, sizeof error->message, context, arguments);
        va_end(arguments);
        size_t used = written < 0 ? 0 : (size_t)written;
        if (used >= sizeof error->message)
            used = sizeof error->message - 1;
        snprintf(raw + used, sizeof raw - used, ": %s", error->message);
        error->status = status;
        copy_escaped(error->message, sizeof error->message, raw);
    }
    return status;
}
