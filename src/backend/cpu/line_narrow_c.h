/* What a line of line_c.h needs for results narrower than fp32; see lines_bf16.h. */
#ifndef CLIPC_BACKEND_CPU_LINE_NARROW_C_H
#define CLIPC_BACKEND_CPU_LINE_NARROW_C_H

#include "backend/cpu/line_c.h"
#include "io/bf16.h"

static inline line line_load_bf16(const uint16_t *from)
{
    line a;
    for (int i = 0; i < 16; i++)
        a.lane[i] = clipc_float_of_bf16(from[i]);
    return a;
}

static inline void line_store_bf16(uint16_t *to, line a)
{
    for (int i = 0; i < 16; i++)
        to[i] = clipc_bf16_of_float(a.lane[i]);
}

/* 1 / a to 11 bits or more. */
static inline line line_reciprocal(line a)
{
    return line_divide(line_set(1.0f), a);
}

/* To the nearest whole number, ties to even; |a| at most 2^22. */
static inline line line_round(line a)
{
    const line shift = line_set(12582912.0f);
    return line_subtract(line_add(a, shift), shift);
}

/* Four lines to 64 bytes, round(x × inverse) + zero, limited to 0 … 255; what is not a number may become any. */
static inline void line_store_quantized(void *to, const line x[4], float inverse, int32_t zero)
{
    for (int i = 0; i < 4; i++) {
        const line whole = line_round(line_multiply(x[i], line_set(inverse)));
        const line byte = line_max(line_set(0.0f), line_add(whole, line_set((float)zero)));
        const line limited = line_min(line_set(255.0f), byte);
        for (int j = 0; j < 16; j++)
            ((uint8_t *)to)[16 * i + j] = (uint8_t)(limited.lane[j] == limited.lane[j] ? limited.lane[j] : 0.0f);
    }
}

/* The largest of many halves, as signed and as unsigned integers, 32 at a time. */
typedef struct line_extremes {
    int16_t most_signed;
    uint16_t most;
} line_extremes;

static inline line_extremes line_extremes_set(int16_t most_signed, uint16_t most)
{
    return (line_extremes){most_signed, most};
}

static inline line_extremes line_extremes_add(line_extremes a, const uint16_t *from)
{
    for (int i = 0; i < 32; i++) {
        a.most_signed = (int16_t)from[i] > a.most_signed ? (int16_t)from[i] : a.most_signed;
        a.most = from[i] > a.most ? from[i] : a.most;
    }
    return a;
}

static inline void line_extremes_get(line_extremes a, int16_t *most_signed, uint16_t *most)
{
    *most_signed = a.most_signed;
    *most = a.most;
}

/* sums - zero × integers, as floats. */
static inline line line_corrected_sum(const int32_t *sums, const int32_t *integers, int32_t zero)
{
    line a;
    for (int i = 0; i < 16; i++)
        a.lane[i] = (float)(int32_t)((uint32_t)sums[i] - (uint32_t)zero * (uint32_t)integers[i]);
    return a;
}

#endif
