#include "text/quick_json.h"

#include "text/unicode.h"

#include <string.h>

#define MAX_DIGITS 9

void clipc_quick_json_skip_space(clipc_quick_json *reader)
{
    const uint8_t *at = reader->at;
    while (at < reader->end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
        at++;
    reader->at = at;
}

bool clipc_quick_json_symbol(clipc_quick_json *reader, char symbol)
{
    clipc_quick_json_skip_space(reader);
    if (reader->at == reader->end || *reader->at != (uint8_t)symbol)
        return false;
    reader->at++;
    return true;
}

static int hexadecimal(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* \uXXXX behind the u. Declines U+0000 and surrogates. */
static bool decode_unicode(clipc_quick_json *reader, uint8_t **out)
{
    int32_t code_point = 0;
    if (reader->end - reader->at < 4)
        return false;
    for (size_t i = 0; i < 4; i++) {
        const int digit = hexadecimal(*reader->at++);
        if (digit < 0)
            return false;
        code_point = code_point << 4 | digit;
    }
    if (code_point == 0 || (code_point >= 0xD800 && code_point <= 0xDFFF))
        return false;
    *out += clipc_utf8_write(code_point, *out);
    return true;
}

static bool decode_escape(clipc_quick_json *reader, uint8_t **out)
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (reader->at == reader->end)
        return false;
    const uint8_t letter = *reader->at++;
    if (letter == 'u')
        return decode_unicode(reader, out);
    const char *known = memchr(escapes, letter, sizeof escapes - 1);
    if (!known)
        return false;
    *(*out)++ = (uint8_t)meanings[known - escapes];
    return true;
}

/* The rest of a text from its first escape on; what stands before it begins at `begin`. */
static bool decode_text(clipc_quick_json *reader, const uint8_t *begin, const char **text, size_t *length)
{
    uint8_t *out = reader->decoded;
    const size_t plain = (size_t)(reader->at - begin);
    memcpy(out, begin, plain);
    out += plain;
    while (reader->at < reader->end && *reader->at >= 0x20) {
        const uint8_t byte = *reader->at++;
        if (byte == '"') {
            *text = (const char *)reader->decoded;
            *length = (size_t)(out - reader->decoded);
            reader->decoded = out;
            return true;
        }
        if (byte != '\\')
            *out++ = byte;
        else if (!decode_escape(reader, &out))
            return false;
    }
    return false;
}

bool clipc_quick_json_text(clipc_quick_json *reader, const char **text, size_t *length)
{
    if (!clipc_quick_json_symbol(reader, '"'))
        return false;
    const uint8_t *begin = reader->at;
    const uint8_t *at = begin;
    while (at < reader->end && *at != '"' && *at != '\\' && *at >= 0x20)
        at++;
    reader->at = at;
    if (at == reader->end || *at < 0x20)
        return false;
    if (*at == '\\')
        return decode_text(reader, begin, text, length);
    *text = (const char *)begin;
    *length = (size_t)(at - begin);
    reader->at = at + 1;
    return true;
}

bool clipc_quick_json_number(clipc_quick_json *reader, uint32_t *number)
{
    clipc_quick_json_skip_space(reader);
    const uint8_t *begin = reader->at;
    const uint8_t *at = begin;
    uint32_t value = 0;
    while (at < reader->end && *at >= '0' && *at <= '9' && at - begin < MAX_DIGITS)
        value = 10 * value + (uint32_t)(*at++ - '0');
    if (at == begin || (*begin == '0' && at - begin > 1))
        return false;
    *number = value;
    reader->at = at; /* a further digit, point or exponent is no symbol that may follow */
    return true;
}
