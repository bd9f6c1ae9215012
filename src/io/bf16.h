/* bfloat16: the upper half of a float, rounded to nearest even. NaN stays NaN. */
#ifndef CLIPC_IO_BF16_H
#define CLIPC_IO_BF16_H

#include <stdint.h>
#include <string.h>

static inline uint16_t clipc_bf16_of_float(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t rounded = bits + 0x7FFF + (bits >> 16 & 1);
    const uint32_t quiet = bits | 0x00400000;
    return (uint16_t)((value == value ? rounded : quiet) >> 16);
}

static inline float clipc_float_of_bf16(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
