/* The operations around the integer GEMMs, written once over lines of 16 floats like lines_bf16.h.
 *
 * A row x of activations becomes bytes q and two numbers, x ≈ scale (q - zero), over the row's own range, which always
 * includes 0: after an activation nearly all of the range is on one side. Given the same row, every level makes the
 * same bytes: no step is fused, and each is correctly rounded. */
#include "backend/cpu/kernels.h"
#include "backend/cpu/line_statistics.h"
#include "backend/cpu/unroll.h"

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

struct range {
    line low;
    line high;
    line poison; /* 0, or NaN where a value is not finite */
};

/* A row that went through LayerNorm is known by its variance: there a number that is not finite spoils all. */
CLIPC_ALWAYS_INLINE struct range range_add(struct range range, line x, const bool norm)
{
    return (struct range){line_min(range.low, x), line_max(range.high, x),
                          norm ? range.poison : line_multiply_add(x, line_set(0.0f), range.poison)};
}

/* Two ranges side by side, so that a value need not wait for the one before it. */
CLIPC_ALWAYS_INLINE struct range range_of(const struct source *source, const bool norm)
{
    const line zero = line_set(0.0f);
    const line poison = norm ? line_set(source->statistics.variance * 0.0f) : zero;
    struct range even = {zero, zero, poison};
    struct range odd = {zero, zero, zero};
    size_t j = 0;
    for (; j + 2 <= source->whole; j += 2) {
        if (!norm) /* the next row, most likely */
            __builtin_prefetch(source->halves + (source->whole + 1 + j) * CLIPC_BLOCK);
        even = range_add(even, whole_line(source, j, norm), norm);
        odd = range_add(odd, whole_line(source, j + 1, norm), norm);
    }
    for (; j <= source->whole; j++)
        even = range_add(even, last_lines(source, j, norm), norm);
    return (struct range){line_min(even.low, odd.low), line_max(even.high, odd.high),
                          line_add(even.poison, odd.poison)};
}

/* How a row of that range becomes bytes, q = round(x × inverse) + zero, and what they mean then. */
static inline clipc_row_scale range_scale(struct range range, float *inverse)
{
    const float high = line_largest(range.high);
    const float low = -line_largest(line_subtract(line_set(0.0f), range.low));
    const float poison = line_sum(range.poison);
    float scale = high / 255.0f - low / 255.0f;
    *inverse = 0.0f;
    clipc_row_scale result = {0};
    if (poison != 0.0f || !(scale <= 3e38f)) {
        result.scale = __builtin_nanf("");
    } else if (scale > SMALLEST_SCALE) {
        *inverse = 1.0f / scale;
        const float shift = 12582912.0f; /* leaves no bits for a fraction */
        result.scale = scale;
        result.zero = (int32_t)((-low * *inverse + shift) - shift);
    }
    return result;
}

CLIPC_ALWAYS_INLINE clipc_row_scale quantize(const struct source *source, uint32_t *out, size_t block_stride,
                                             const bool norm)
{
    float inverse = 0.0f;
    const clipc_row_scale result = range_scale(range_of(source, norm), &inverse);
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

void KERNEL(clipc_dequantize_i8)(size_t rows, size_t columns, const int32_t *sums, const clipc_row_scale *row_scales,
                                 const float *scales, const int32_t *integers, float *out)
{
    for (size_t j = 0; j < columns / CLIPC_BLOCK; j++) {
        const line column = line_load(scales + j * CLIPC_BLOCK);
        for (size_t i = 0; i < rows; i++) {
            const size_t at = i * columns + j * CLIPC_BLOCK;
            const line sum = line_corrected_sum(sums + at, integers + j * CLIPC_BLOCK, row_scales[i].zero);
            line_store(out + at, line_multiply(line_multiply(sum, line_set(row_scales[i].scale)), column));
        }
    }
}
