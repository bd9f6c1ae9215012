#include "text/unicode.h"

#include "text/unicode_tables.h"

#include <string.h>
#include <utf8proc.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool contains(const clipc_code_range *ranges, size_t count, int32_t code_point)
{
    size_t begin = 0;
    size_t end = count;
    while (begin < end) {
        const size_t middle = begin + (end - begin) / 2;
        if (code_point > ranges[middle].last)
            begin = middle + 1;
        else if (code_point < ranges[middle].first)
            end = middle;
        else
            return true;
    }
    return false;
}

/* Bytes of the well-formed sequence at `bytes`, of which `left` remain, or 0. */
static size_t sequence_length(const uint8_t *bytes, size_t left)
{
    const uint8_t first = bytes[0];
    if (first < 0x80)
        return 1;
    const size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                          : first >= 0xE0 && first <= 0xEF ? 3
                          : first >= 0xF0 && first <= 0xF4 ? 4
                                                           : 0;
    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
    const bool bad_second = (first == 0xE0 && bytes[1] < 0xA0) || (first == 0xED && bytes[1] > 0x9F) ||
                            (first == 0xF0 && bytes[1] < 0x90) || (first == 0xF4 && bytes[1] > 0x8F);
    return bad_second ? 0 : length;
}

size_t clipc_utf8_check(const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        uint64_t word = 0;
        if (length - at >= sizeof word) {
            memcpy(&word, bytes + at, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                at += sizeof word;
                continue;
            }
        }
        const size_t step = sequence_length(bytes + at, length - at);
        if (step == 0)
            return at;
        at += step;
    }
    return length;
}

size_t clipc_utf8_read(const uint8_t *bytes, int32_t *code_point)
{
    const uint8_t first = bytes[0];
    if (first < 0x80) {
        *code_point = first;
        return 1;
    }
    if (first < 0xE0) {
        *code_point = (first & 0x1F) << 6 | (bytes[1] & 0x3F);
        return 2;
    }
    if (first < 0xF0) {
        *code_point = (first & 0x0F) << 12 | (bytes[1] & 0x3F) << 6 | (bytes[2] & 0x3F);
        return 3;
    }
    *code_point = (first & 0x07) << 18 | (bytes[1] & 0x3F) << 12 | (bytes[2] & 0x3F) << 6 | (bytes[3] & 0x3F);
    return 4;
}

size_t clipc_utf8_write(int32_t code_point, uint8_t bytes[4])
{
    const uint32_t value = (uint32_t)code_point;
    if (value < 0x80) {
        bytes[0] = (uint8_t)value;
        return 1;
    }
    const size_t length = value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(0x80 | ((value >> (6 * (length - 1 - i))) & 0x3F));
    bytes[0] = (uint8_t)(lead[length] | (value >> (6 * (length - 1))));
    return length;
}

clipc_code_class clipc_code_classify(int32_t code_point)
{
    switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return CLIPC_CODE_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return CLIPC_CODE_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CC:
        return contains(space_ranges, COUNT(space_ranges), code_point) ? CLIPC_CODE_SPACE : CLIPC_CODE_OTHER;
    case UTF8PROC_CATEGORY_CN:
        if (contains(new_letters, COUNT(new_letters), code_point))
            return CLIPC_CODE_LETTER;
        return contains(new_numbers, COUNT(new_numbers), code_point) ? CLIPC_CODE_NUMBER : CLIPC_CODE_OTHER;
    default: return CLIPC_CODE_OTHER;
    }
}

size_t clipc_code_lower(int32_t code_point, int32_t lower[2])
{
    if (code_point == 0x130) { /* İ: the one lower case of two code points (SpecialCasing.txt) */
        lower[0] = 'i';
        lower[1] = 0x307;
        return 2;
    }
    lower[0] = utf8proc_tolower(code_point);
    if (lower[0] != code_point || code_point < new_lower_cases[0].first)
        return 1;
    for (size_t i = 0; i < COUNT(new_lower_cases); i++) {
        const clipc_code_shift *shift = &new_lower_cases[i];
        if (code_point >= shift->first && code_point <= shift->last && (code_point - shift->first) % shift->step == 0)
            lower[0] = code_point + shift->distance;
    }
    return 1;
}

/* First code point that combines with anything before it: U+0300. */
#define FIRST_MARK 0x300

static bool is_hangul_syllable(int32_t code_point)
{
    return code_point >= 0xAC00 && code_point <= 0xD7A3;
}

bool clipc_code_is_inert(int32_t code_point)
{
    return code_point >= inert_marks[0].first && contains(inert_marks, COUNT(inert_marks), code_point);
}

bool clipc_code_continues_run(int32_t code_point)
{
    if (code_point < FIRST_MARK)
        return false;
    if (utf8proc_get_property(code_point)->combining_class != 0)
        return !clipc_code_is_inert(code_point);
    return contains(second_starters, COUNT(second_starters), code_point);
}

bool clipc_code_is_stable(int32_t code_point)
{
    if (code_point < FIRST_MARK || is_hangul_syllable(code_point) || clipc_code_is_inert(code_point))
        return true;
    int32_t decomposition[CLIPC_MAX_DECOMPOSITION];
    return clipc_code_decompose(code_point, decomposition) == 1 && decomposition[0] == code_point;
}

size_t clipc_code_decompose(int32_t code_point, int32_t decomposition[CLIPC_MAX_DECOMPOSITION])
{
    decomposition[0] = code_point;
    if (code_point < 0xC0 || clipc_code_is_inert(code_point))
        return 1;
    int boundary = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(code_point, decomposition, (utf8proc_ssize_t)CLIPC_MAX_DECOMPOSITION,
                                UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &boundary);
    return count < 1 ? 1 : (size_t)count;
}

static uint8_t combining_class(int32_t code_point)
{
    return (uint8_t)utf8proc_get_property(code_point)->combining_class;
}

/* Sorts marks by combining class and keeps the order of equals. */
static void sort_marks(int32_t *marks, size_t count, int32_t *scratch)
{
    size_t places[256] = {0};
    for (size_t i = 0; i < count; i++)
        places[combining_class(marks[i])]++;
    size_t next = 0;
    for (size_t i = 0; i < 256; i++) {
        const size_t here = places[i];
        places[i] = next;
        next += here;
    }
    for (size_t i = 0; i < count; i++)
        scratch[places[combining_class(marks[i])]++] = marks[i];
    memcpy(marks, scratch, count * sizeof *marks);
}

size_t clipc_code_compose(int32_t *run, size_t length, int32_t *scratch)
{
    for (size_t begin = 0; begin < length;) {
        if (combining_class(run[begin]) == 0) {
            begin++;
            continue;
        }
        size_t end = begin + 1;
        while (end < length && combining_class(run[end]) != 0)
            end++;
        if (end - begin > 1)
            sort_marks(run + begin, end - begin, scratch);
        begin = end;
    }
    const utf8proc_ssize_t composed =
        utf8proc_normalize_utf32(run, (utf8proc_ssize_t)length, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    return composed < 0 ? length : (size_t)composed;
}
