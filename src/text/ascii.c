#include "text/ascii.h"

#define N CLIPC_ASCII_NUMBER
#define L CLIPC_ASCII_LETTER
#define O CLIPC_ASCII_OTHER
#define S CLIPC_ASCII_SPACE

/* 0x80 and above: CLIPC_ASCII_NOT. */
const uint8_t clipc_ascii_class[256] = {
    O, O, O, O, O, O, O, O, O, S, S, S, S, S, O, O, /* control characters; \t \n \v \f \r */
    O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, /* */
    S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, /* punctuation */
    N, N, N, N, N, N, N, N, N, N, O, O, O, O, O, O, /* 0 … 9 */
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, /* @ A … O */
    L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O, /* P … Z */
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, /* ` a … o */
    L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O, /* p … z */
};
