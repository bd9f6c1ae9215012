#include "backend/cpu/round_bf16.h"
#include "io/bf16.h"

#define EXPONENT 0x7F80u /* all ones in a number that is not finite */

bool clipc_round_bf16__c(const float *from, size_t count, uint16_t *to)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = 0;
        memcpy(&bits, from + i, sizeof bits);
        finite &= (bits >> 16 & EXPONENT) != EXPONENT;
        to[i] = clipc_bf16_of_float(from[i]);
    }
    return finite;
}
