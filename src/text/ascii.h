/* The classes of single bytes, for the paths that most texts take. */
#ifndef CLIPC_TEXT_ASCII_H
#define CLIPC_TEXT_ASCII_H

#include <stdint.h>

enum {
    CLIPC_ASCII_NOT = 0, /* part of a longer character */
    CLIPC_ASCII_SPACE = 1,
    CLIPC_ASCII_LETTER = 2,
    CLIPC_ASCII_NUMBER = 3,
    CLIPC_ASCII_OTHER = 4
};

extern const uint8_t clipc_ascii_class[256];

static inline uint8_t clipc_ascii_lower(uint8_t byte)
{
    return (uint8_t)(byte | ((uint8_t)(byte - 'A') < 26 ? 0x20 : 0));
}

#endif
