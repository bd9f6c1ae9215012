#include "base64.h"

#include "message.h"

#include <stdlib.h>
#include <string.h>

char *data_uri(const char *type, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *start = format_text("data:%s;base64,", type);
    char *uri = allocate(strlen(start) + (size + 2) / 3 * 4 + 1, 1);
    char *at = uri + strlen(start);
    memcpy(uri, start, strlen(start));
    free(start);
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const unsigned group = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0) |
                               (left > 2 ? (unsigned)bytes[i + 2] : 0);
        *at++ = digits[group >> 18];
        *at++ = digits[group >> 12 & 63];
        *at++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[group & 63] : '=';
    }
    return uri;
}
