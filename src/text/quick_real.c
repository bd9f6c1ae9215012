#include "text/quick_json.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT ((size_t)64)

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* The characters of the number at the reader, which must be one of JSON's; 0: it is none, or too long. */
static size_t number_length(const clipc_quick_json *reader)
{
    const uint8_t *at = reader->at;
    const uint8_t *end = reader->end;
    at += at < end && *at == '-';
    const uint8_t *digits = at;
    while (at < end && is_digit(*at))
        at++;
    if (at == digits || (*digits == '0' && at - digits > 1))
        return 0;
    if (at < end && *at == '.') {
        digits = ++at;
        while (at < end && is_digit(*at))
            at++;
        if (at == digits)
            return 0;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        digits = at;
        while (at < end && is_digit(*at))
            at++;
        if (at == digits || at - digits > 3)
            return 0;
    }
    const size_t length = (size_t)(at - reader->at);
    return length < MAX_TEXT ? length : 0;
}

/* strtod takes the locale's decimal point. */
static bool read_exact(char *text, double *number)
{
    char *point = strchr(text, '.');
    char *end = NULL;
    if (point)
        *point = localeconv()->decimal_point[0];
    *number = strtod(text, &end);
    return *end == '\0';
}

/* serde_json, de.rs: digits are taken while they fit in 64 bits, then one multiplication or division. */
static bool read_fast(const char *text, double *number)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13,
                                    1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27,
                                    1e28, 1e29, 1e30, 1e31, 1e32, 1e33, 1e34, 1e35, 1e36, 1e37, 1e38, 1e39, 1e40};
    const int limit = (int)(sizeof powers / sizeof *powers);
    const bool negative = *text == '-';
    uint64_t digits = 0;
    int exponent = 0;
    bool fraction = false;
    bool full = false;
    for (text += negative; is_digit((uint8_t)*text) || *text == '.'; text++) {
        if (*text == '.') {
            fraction = true;
            continue;
        }
        const uint64_t digit = (uint64_t)(*text - '0');
        full = full || digits > (UINT64_MAX - digit) / 10;
        if (!full)
            digits = 10 * digits + digit;
        exponent += full ? !fraction : -(int)fraction;
    }
    if (*text)
        exponent += (int)strtol(text + 1, NULL, 10);
    if (exponent <= -limit || exponent >= limit)
        return false;
    const double value = exponent < 0 ? (double)digits / powers[-exponent] : (double)digits * powers[exponent];
    *number = negative ? -value : value;
    return true;
}

bool clipc_quick_json_real(clipc_quick_json *reader, bool exact, double *number)
{
    char text[MAX_TEXT];
    clipc_quick_json_skip_space(reader);
    const size_t length = number_length(reader);
    if (length == 0)
        return false;
    memcpy(text, reader->at, length);
    text[length] = '\0';
    reader->at += length;
    return exact ? read_exact(text, number) : read_fast(text, number);
}
