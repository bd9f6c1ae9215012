#include "backend/cuda/weight_pack.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of_bits(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16. */
static uint16_t f16_of_float(float value)
{
    const uint32_t bits = bits_of(value);
    const uint32_t sign = bits >> 16 & 0x8000;
    const uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude >= 0x7F800000) /* NaN or infinity */
        return (uint16_t)(sign | 0x7C00 | (magnitude > 0x7F800000 ? 0x200 : 0));
    if (magnitude >= 0x477FF000) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7C00);
    if (magnitude < 0x38800000) /* below 2⁻¹⁴: a multiple of 2⁻²⁴ */
        return (uint16_t)(sign | (uint32_t)lrintf(float_of_bits(magnitude) * 0x1p24F));
    const uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
}

static float float_of_f16(uint16_t half)
{
    const uint32_t magnitude = half & 0x7FFF;
    const float value =
        magnitude < 0x400 ? (float)magnitude * 0x1p-24F : float_of_bits((magnitude << 13) + 0x38000000);
    return half & 0x8000 ? -value : value;
}

uint16_t clipc_half_of_float(clipc_cuda_type type, float value)
{
    if (type != CLIPC_CUDA_BF16)
        return f16_of_float(value);
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = bits + 0x7FFF + (bits >> 16 & 1);
    return (uint16_t)((value == value ? rounded : bits | 0x00400000) >> 16);
}

float clipc_float_of_half(clipc_cuda_type type, uint16_t half)
{
    return type == CLIPC_CUDA_BF16 ? float_of_bits((uint32_t)half << 16) : float_of_f16(half);
}

double clipc_pack_halves(clipc_cuda_type type, const float *values, size_t count, uint16_t *to)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        to[i] = clipc_half_of_float(type, values[i]);
        sum += clipc_float_of_half(type, to[i]);
    }
    return sum;
}
