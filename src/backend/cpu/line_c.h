/* A line of 16 floats in portable C; see lines_f32.h. */
#ifndef CLIPC_BACKEND_CPU_LINE_C_H
#define CLIPC_BACKEND_CPU_LINE_C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct line {
    float lane[16];
} line;

static inline line line_load(const float *from)
{
    line a;
    memcpy(a.lane, from, sizeof a.lane);
    return a;
}

static inline void line_store(float *to, line a)
{
    memcpy(to, a.lane, sizeof a.lane);
}

static inline line line_set(float value)
{
    line a;
    for (int i = 0; i < 16; i++)
        a.lane[i] = value;
    return a;
}

static inline line line_add(line a, line b)
{
    for (int i = 0; i < 16; i++)
        a.lane[i] += b.lane[i];
    return a;
}

static inline line line_subtract(line a, line b)
{
    for (int i = 0; i < 16; i++)
        a.lane[i] -= b.lane[i];
    return a;
}

static inline line line_multiply(line a, line b)
{
    for (int i = 0; i < 16; i++)
        a.lane[i] *= b.lane[i];
    return a;
}

static inline line line_divide(line a, line b)
{
    for (int i = 0; i < 16; i++)
        a.lane[i] /= b.lane[i];
    return a;
}

static inline line line_multiply_add(line a, line b, line c)
{
    for (int i = 0; i < 16; i++)
        a.lane[i] = a.lane[i] * b.lane[i] + c.lane[i];
    return a;
}

static inline line line_max(line a, line b)
{
    for (int i = 0; i < 16; i++)
        a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}

static inline line line_min(line a, line b)
{
    for (int i = 0; i < 16; i++)
        a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}

static inline line line_absolute(line a)
{
    for (int i = 0; i < 16; i++)
        a.lane[i] = __builtin_fabsf(a.lane[i]);
    return a;
}

static inline line line_select_negative(line sign, line a, line b)
{
    for (int i = 0; i < 16; i++)
        a.lane[i] = sign.lane[i] < 0.0f ? a.lane[i] : b.lane[i];
    return a;
}

static inline line line_keep(line a, size_t count)
{
    for (int i = 0; i < 16; i++)
        a.lane[i] = (size_t)i < count ? a.lane[i] : 0.0f;
    return a;
}

static inline line line_load_first(const float *from, size_t count, float rest)
{
    line a;
    for (int i = 0; i < 16; i++)
        a.lane[i] = (size_t)i < count ? from[i] : rest;
    return a;
}

/* 2 to the power of whole numbers from -126 to 127, by way of the exponent's bits. */
static inline line line_power_of_two(line a)
{
    for (int i = 0; i < 16; i++) {
        /* Not a number, it may be anything: what it is multiplied with is not a number either. */
        const float exponent = a.lane[i] == a.lane[i] ? a.lane[i] : 0.0f;
        const uint32_t bits = (uint32_t)((int32_t)exponent + 127) << 23;
        memcpy(&a.lane[i], &bits, sizeof bits);
    }
    return a;
}

static inline float line_sum(line a)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            a.lane[i] += a.lane[i + half];
    return a.lane[0];
}

static inline float line_largest(line a)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            a.lane[i] = a.lane[i] > a.lane[i + half] ? a.lane[i] : a.lane[i + half];
    return a.lane[0];
}

#endif
