/* The operations around the integer GEMMs, written once over lines of 16 floats like lines_bf16.h.
 *
 * A row x of activations becomes bytes q and two numbers, x ≈ scale (q - zero), over the row's own range, which always
 * includes 0: after an activation nearly all of the range is on one side. Given the same row, every level makes the
 * same bytes: no step is fused, and each is correctly rounded. */
#include "backend/cpu/kernels.h"
#include "backend/cpu/line_statistics.h"
#include "backend/cpu/unroll.h"

#include <string.h>

/* Below this a row's numbers are taken for 0: their reciprocals overflow. */
#define SMALLEST_SCALE 0x1p-100f

/* Lines of values that become one line of bytes. */
#define LINES ((size_t)4)

/* What becomes bytes: a row of bf16, or one of fp32 through LayerNorm. */
struct source {
    size_t whole; /* lines before the last */
    size_t last;  /* values in the last */
    const uint16_t *halves;
    const float *row; /* NULL: bf16 */
    const float *weight;
    const float *bias;
    struct statistics statistics;
};

CLIPC_ALWAYS_INLINE line whole_line(const struct source *source, size_t j, const bool norm)
{
    if (!norm)
        return line_load_bf16(source->halves + j * CLIPC_BLOCK);
    const line difference = line_subtract(line_load(source->row + j * CLIPC_BLOCK), source->statistics.mean);
    return line_multiply_add(line_multiply(difference, source->statistics.scale),
                             line_load(source->weight + j * CLIPC_BLOCK), line_load(source->bias + j * CLIPC_BLOCK));
}

/* 0 beyond the row. */
CLIPC_ALWAYS_INLINE line last_lines(const struct source *source, size_t j, const bool norm)
{
    if (j > source->whole)
        return line_set(0.0f);
    const line x = whole_line(source, j, norm);
    return j < source->whole ? x : line_keep(x, source->last);
}

/* What a row lies between, 0 included. */
struct range {
    float low;
    float high;
    bool finite;
};

/* Two ranges side by side, so that a value need not wait for the one before it. A row that went through LayerNorm is
 * known by its variance: there a number that is not finite spoils all. */
CLIPC_ALWAYS_INLINE struct range range_of_norm(const struct source *source)
{
    line low = line_set(0.0f);
    line high = line_set(0.0f);
    line odd_low = low;
    line odd_high = high;
    size_t j = 0;
    for (; j + 2 <= source->whole; j += 2) {
        const line even = whole_line(source, j, true);
        const line odd = whole_line(source, j + 1, true);
        low = line_min(low, even);
        high = line_max(high, even);
        odd_low = line_min(odd_low, odd);
        odd_high = line_max(odd_high, odd);
    }
    for (; j <= source->whole; j++) {
        const line x = last_lines(source, j, true);
        low = line_min(low, x);
        high = line_max(high, x);
    }
    return (struct range){-line_largest(line_subtract(line_set(0.0f), line_min(low, odd_low))),
                          line_largest(line_max(high, odd_high)), source->statistics.variance * 0.0f == 0.0f};
}

static inline float float_of_half(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Without widening: as integers, positive bf16 are in order, and negative ones, unsigned, in the reverse and above
 * them. What is not finite has the largest exponent. */
static inline struct range range_of_halves(const struct source *source)
{
    const size_t width = source->whole * CLIPC_BLOCK + source->last;
    const size_t whole = width / (2 * CLIPC_BLOCK) * (2 * CLIPC_BLOCK);
    const uint16_t *next = source->halves + (source->whole + 1) * CLIPC_BLOCK; /* the next row, most likely */
    line_extremes extremes = line_extremes_set(0, 0x8000);
    for (size_t i = 0; i < whole; i += 2 * CLIPC_BLOCK) {
        __builtin_prefetch(next + i);
        extremes = line_extremes_add(extremes, source->halves + i);
    }
    int16_t high = 0;
    uint16_t low = 0;
    line_extremes_get(extremes, &high, &low);
    for (size_t i = whole; i < width; i++) {
        high = (int16_t)source->halves[i] > high ? (int16_t)source->halves[i] : high;
        low = source->halves[i] > low ? source->halves[i] : low;
    }
    return (struct range){float_of_half(low), float_of_half((uint16_t)high), high < 0x7F80 && low < 0xFF80};
}

/* How a row of that range becomes bytes, q = round(x × inverse) + zero, and what they mean then. */
static inline clipc_row_scale range_scale(struct range range, float *inverse)
{
    const float scale = range.high / 255.0f - range.low / 255.0f;
    *inverse = 0.0f;
    clipc_row_scale result = {0};
    if (!range.finite || !(scale <= 3e38f)) {
        result.scale = __builtin_nanf("");
    } else if (scale > SMALLEST_SCALE) {
        *inverse = 1.0f / scale;
        const float shift = 12582912.0f; /* leaves no bits for a fraction */
        result.scale = scale;
        result.zero = (int32_t)((-range.low * *inverse + shift) - shift);
    }
    return result;
}

CLIPC_ALWAYS_INLINE clipc_row_scale quantize(const struct source *source, uint32_t *out, size_t block_stride,
                                             const bool norm)
{
    float inverse = 0.0f;
    const clipc_row_scale result = range_scale(norm ? range_of_norm(source) : range_of_halves(source), &inverse);
    line x[LINES];
    size_t j = 0;
    for (; j + LINES <= source->whole; j += LINES, out += block_stride) {
        CLIPC_UNROLL
        for (size_t i = 0; i < LINES; i++)
            x[i] = whole_line(source, j + i, norm);
        line_store_quantized(out, x, inverse, result.zero);
    }
    for (; j <= source->whole; j += LINES, out += block_stride) {
        for (size_t i = 0; i < LINES; i++)
            x[i] = last_lines(source, j + i, norm);
        line_store_quantized(out, x, inverse, result.zero);
    }
    return result;
}

clipc_row_scale KERNEL(clipc_layer_norm_i8)(const float *row, size_t width, const float *weight, const float *bias,
                                            float epsilon, uint32_t *out, size_t block_stride)
{
    const size_t whole = (width - 1) / CLIPC_BLOCK;
    const struct source source = {.whole = whole,
                                  .last = width - whole * CLIPC_BLOCK,
                                  .row = row,
                                  .weight = weight,
                                  .bias = bias,
                                  .statistics = row_statistics(row, width, epsilon)};
    return quantize(&source, out, block_stride, true);
}

clipc_row_scale KERNEL(clipc_quantize_i8)(const uint32_t *row, size_t width, uint32_t *out, size_t block_stride)
{
    const size_t whole = (width - 1) / CLIPC_BLOCK;
    const struct source source = {
        .whole = whole, .last = width - whole * CLIPC_BLOCK, .halves = (const uint16_t *)(const void *)row};
    return quantize(&source, out, block_stride, false);
}
