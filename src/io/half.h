/* fp32 to fp16. */
#ifndef CLIPC_IO_HALF_H
#define CLIPC_IO_HALF_H

#include <stdint.h>
#include <string.h>

/* IEEE 754 binary16, round to nearest, ties to even; what is too large becomes infinity. */
static inline uint16_t clipc_half_from_float(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000;
    const uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000)
        return (uint16_t)(sign | 0x7E00); /* NaN */
    if (magnitude >= 0x47800000)
        return (uint16_t)(sign | 0x7C00);
    uint32_t result = 0;
    uint32_t rest = 0;
    uint32_t half = 0;
    if (magnitude >= 0x38800000) { /* normal in fp16: 13 bits of the fraction go, the exponent is biased by 112 less */
        result = (magnitude - 0x38000000) >> 13;
        rest = magnitude & 0x1FFF;
        half = 0x1000;
    } else if (magnitude >= 0x33000000) { /* subnormal: the fraction with its leading one, shifted into place */
        const uint32_t shift = 126 - (magnitude >> 23);
        const uint32_t fraction = (magnitude & 0x7FFFFF) | 0x800000;
        result = fraction >> shift;
        rest = fraction & ((1u << shift) - 1);
        half = 1u << (shift - 1);
    }
    if (rest > half || (rest == half && half && (result & 1)))
        result++;
    return (uint16_t)(sign | result);
}

#endif
