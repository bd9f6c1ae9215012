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

uint8_t clipc_e4m3_of_float(float value)
{
    const uint8_t sign = signbit(value) ? 0x80 : 0;
    const float absolute = fabsf(value);
    if (value != value)
        return (uint8_t)(sign | 0x7F);
    if (absolute >= 448.0F)
        return (uint8_t)(sign | 0x7E);
    if (absolute < 0x1p-6F) /* a multiple of 2⁻⁹ */
        return (uint8_t)(sign | (uint32_t)lrintf(absolute * 512.0F));
    const uint32_t bits = bits_of(absolute);
    const uint32_t rounded = bits + 0x7FFFF + (bits >> 20 & 1);
    return (uint8_t)(sign | (rounded - 0x3C000000) >> 20);
}

float clipc_float_of_e4m3(uint8_t byte)
{
    const int exponent = byte >> 3 & 15;
    const float mantissa = (float)(byte & 7);
    float value = exponent ? ldexpf(8.0F + mantissa, exponent - 10) : ldexpf(mantissa, -9);
    if ((byte & 0x7F) == 0x7F)
        value = NAN;
    return byte & 0x80 ? -value : value;
}

float clipc_pack_bytes(clipc_cuda_type type, const float *values, size_t count, uint8_t *to)
{
    const float limit = type == CLIPC_CUDA_E4M3 ? 448.0F : 127.0F;
    float largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(values[i]));
    const float scale = largest >= 0x1p-100F ? limit / largest : 0;
    for (size_t i = 0; i < count; i++) {
        const float scaled = values[i] * scale;
        to[i] = type == CLIPC_CUDA_E4M3 ? clipc_e4m3_of_float(scaled) : (uint8_t)(int8_t)lrintf(scaled);
    }
    return largest / limit;
}

size_t clipc_packed_column(size_t value_bytes, size_t column)
{
    const size_t run = 16 / value_bytes; /* columns of a lane that lie side by side */
    const size_t group = column / (4 * run) * (4 * run);
    const size_t lane = column / run % 4;
    const size_t at = column % run;
    return group + at / 2 * 8 + lane * 2 + at % 2;
}
