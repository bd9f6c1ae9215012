/* The operations around the integer GEMMs, written once over lines of 16 floats like lines_bf16.h.
 *
 * A row x of activations becomes bytes q and two numbers, x ≈ scale (q - zero), over the row's own range, which always
 * includes 0: after an activation nearly all of the range is on one side. Given the same row, every level makes the
 * same bytes: no step is fused, and each is correctly rounded. */
#include "backend/cpu/kernels.h"

/* Below this a row's numbers are taken for 0: their reciprocals overflow. */
#define SMALLEST_SCALE 0x1p-100f

/* Where 16 values from column 16 × group on go: a quarter of a line. */
static inline uint8_t *quarter_line(uint32_t *out, size_t group, size_t block_stride)
{
    return (uint8_t *)(void *)(out + group / 4 * block_stride + group % 4 * (CLIPC_BLOCK / 4));
}

struct range {
    line low;
    line high;
    line poison; /* 0, or NaN where a value is not finite */
};

static inline struct range range_start(void)
{
    return (struct range){line_set(0.0f), line_set(0.0f), line_set(0.0f)};
}

static inline struct range range_add(struct range range, line x)
{
    return (struct range){line_min(range.low, x), line_max(range.high, x),
                          line_multiply_add(x, line_set(0.0f), range.poison)};
}

/* Values in whole and how to get them: q = round(x × inverse) + zero. */
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

static inline void store_bytes(uint32_t *out, size_t group, size_t block_stride, line x, float inverse, int32_t zero)
{
    line q = line_add(line_round(line_multiply(x, line_set(inverse))), line_set((float)zero));
    q = line_min(line_set(255.0f), line_max(q, line_set(0.0f)));
    line_store_bytes(quarter_line(out, group, block_stride), q);
}

static inline void store_padding(uint32_t *out, size_t groups, size_t block_stride)
{
    for (size_t group = groups; group % 4; group++)
        line_store_bytes(quarter_line(out, group, block_stride), line_set(0.0f));
}

clipc_row_scale KERNEL(clipc_layer_norm_i8)(const float *row, size_t width, const float *weight, const float *bias,
                                            float epsilon, uint32_t *out, size_t block_stride)
{
    const size_t lines = clipc_blocks(width);
    const size_t last = width - (lines - 1) * CLIPC_BLOCK; /* values in the last line */
    line total = line_set(0.0f);
    for (size_t j = 0; j < lines; j++)
        total = line_add(total, line_keep(line_load(row + j * CLIPC_BLOCK), j + 1 < lines ? CLIPC_BLOCK : last));
    const line mean = line_set(line_sum(total) / (float)width);
    line squares = line_set(0.0f);
    for (size_t j = 0; j < lines; j++) {
        line difference = line_subtract(line_load(row + j * CLIPC_BLOCK), mean);
        difference = line_keep(difference, j + 1 < lines ? CLIPC_BLOCK : last);
        squares = line_multiply_add(difference, difference, squares);
    }
    const line scale = line_set(1.0f / __builtin_sqrtf(line_sum(squares) / (float)width + epsilon));
    struct range range = range_start();
    float inverse = 0.0f;
    clipc_row_scale result = {0};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t j = 0; j < lines; j++) {
            const line normal = line_multiply(line_subtract(line_load(row + j * CLIPC_BLOCK), mean), scale);
            line x = line_multiply_add(normal, line_load(weight + j * CLIPC_BLOCK), line_load(bias + j * CLIPC_BLOCK));
            x = line_keep(x, j + 1 < lines ? CLIPC_BLOCK : last);
            if (pass == 0)
                range = range_add(range, x);
            else
                store_bytes(out, j, block_stride, x, inverse, result.zero);
        }
        if (pass == 0)
            result = range_scale(range, &inverse);
    }
    store_padding(out, lines, block_stride);
    return result;
}

clipc_row_scale KERNEL(clipc_quantize_i8)(const uint32_t *row, size_t width, uint32_t *out, size_t block_stride)
{
    const uint16_t *halves = (const uint16_t *)(const void *)row;
    const size_t lines = clipc_blocks(width);
    const size_t last = width - (lines - 1) * CLIPC_BLOCK; /* values in the last line */
    struct range range = range_start();
    for (size_t j = 0; j + 1 < lines; j++)
        range = range_add(range, line_load_bf16(halves + j * CLIPC_BLOCK));
    range = range_add(range, line_keep(line_load_bf16(halves + (lines - 1) * CLIPC_BLOCK), last));
    float inverse = 0.0f;
    const clipc_row_scale result = range_scale(range, &inverse);
    for (size_t j = 0; j < lines; j++) {
        const line x = line_keep(line_load_bf16(halves + j * CLIPC_BLOCK), j + 1 < lines ? CLIPC_BLOCK : last);
        store_bytes(out, j, block_stride, x, inverse, result.zero);
    }
    store_padding(out, lines, block_stride);
    return result;
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
