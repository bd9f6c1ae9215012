#include "text/python_case.h"

#include "text/unicode.h"

#include <stdbool.h>
#include <utf8proc.h>

#define CAPITAL_SIGMA ((int32_t)0x3A3)
#define FINAL_SIGMA   ((int32_t)0x3C2)

static bool contains(const clipc_code_range *ranges, size_t count, int32_t code_point)
{
    for (size_t i = 0; i < count; i++)
        if (code_point >= ranges[i].first && code_point <= ranges[i].last)
            return true;
    return false;
}

/* Case_Ignorable (Unicode standard, D136): Mn, Me, Cf, Lm, Sk, and the word breaks MidLetter, MidNumLet and
 * Single_Quote. */
static bool is_ignorable(int32_t code_point)
{
    static const clipc_code_range breaks[] = {{0x27, 0x27},     {0x2E, 0x2E},     {0x3A, 0x3A},     {0xB7, 0xB7},
                                              {0x387, 0x387},   {0x55F, 0x55F},   {0x5F4, 0x5F4},   {0x2018, 0x2019},
                                              {0x2024, 0x2024}, {0x2027, 0x2027}, {0xFE13, 0xFE13}, {0xFE52, 0xFE52},
                                              {0xFE55, 0xFE55}, {0xFF07, 0xFF07}, {0xFF0E, 0xFF0E}, {0xFF1A, 0xFF1A}};
    switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return contains(breaks, sizeof breaks / sizeof *breaks, code_point);
    }
}

/* Cased (D135), of what is not ignorable: Lu, Ll, Lt, Other_Lowercase and Other_Uppercase (PropList.txt). */
static bool is_cased(int32_t code_point)
{
    static const clipc_code_range others[] = {{0xAA, 0xAA},      {0xBA, 0xBA},       {0x2160, 0x217F},
                                              {0x24B6, 0x24E9},  {0x1F130, 0x1F149}, {0x1F150, 0x1F169},
                                              {0x1F170, 0x1F189}};
    switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT: return true;
    default: return contains(others, sizeof others / sizeof *others, code_point);
    }
}

static bool is_cased_before(const uint8_t *text, size_t at)
{
    while (at > 0) {
        int32_t code_point = 0;
        do
            at--;
        while (at > 0 && (text[at] & 0xC0) == 0x80);
        clipc_utf8_read(text + at, &code_point);
        if (!is_ignorable(code_point))
            return is_cased(code_point);
    }
    return false;
}

static bool is_cased_after(const uint8_t *text, size_t length, size_t at)
{
    while (at < length) {
        int32_t code_point = 0;
        at += clipc_utf8_read(text + at, &code_point);
        if (!is_ignorable(code_point))
            return is_cased(code_point);
    }
    return false;
}

size_t clipc_python_lower(const uint8_t *text, size_t length, size_t at, int32_t code_point, int32_t lower[2])
{
    if (code_point != CAPITAL_SIGMA)
        return clipc_code_lower(code_point, lower);
    const bool is_final = is_cased_before(text, at) && !is_cased_after(text, length, at + 2);
    lower[0] = is_final ? FINAL_SIGMA : CAPITAL_SIGMA + 0x20;
    return 1;
}
