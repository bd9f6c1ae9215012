#include "backend/cpu/pack_units.h"

#include <string.h>

typedef float four __attribute__((vector_size(16)));

static inline four load_four(const float *from)
{
    four values;
    memcpy(&values, from, sizeof values);
    return values;
}

/* to[k × columns + j] = from[j × stride + k] for four of each. */
static inline void transpose_four(const float *from, size_t stride, size_t columns, float *to)
{
    const four a = load_four(from);
    const four b = load_four(from + stride);
    const four c = load_four(from + 2 * stride);
    const four d = load_four(from + 3 * stride);
    const four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    const four rows[4] = {
        __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5),
        __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
        __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5),
        __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7),
    };
    for (size_t k = 0; k < 4; k++)
        memcpy(to + k * columns, &rows[k], sizeof rows[k]);
}

void clipc_pack_units__c(const float *from, size_t stride, size_t count, size_t inner, size_t columns, float *to)
{
    const size_t whole_columns = count & ~(size_t)3;
    const size_t whole_inner = inner & ~(size_t)3;
    for (size_t k = 0; k < whole_inner; k += 4)
        for (size_t j = 0; j < whole_columns; j += 4)
            transpose_four(from + j * stride + k, stride, columns, to + k * columns + j);
    /* What is left at the right and below, and the padding. */
    for (size_t k = 0; k < inner; k++) {
        for (size_t j = k < whole_inner ? whole_columns : 0; j < count; j++)
            memcpy(to + k * columns + j, from + j * stride + k, sizeof *to); /* bits, perhaps not a float's */
        memset(to + k * columns + count, 0, (columns - count) * sizeof *to);
    }
    memset(to + inner * columns, 0, (clipc_blocks(inner) * CLIPC_BLOCK - inner) * columns * sizeof *to);
}

void clipc_pack_pairs__c(const uint16_t *from, size_t stride, size_t count, size_t width, size_t columns, uint32_t *to)
{
    const size_t padded = clipc_deep_blocks(count, 2) * CLIPC_BLOCK;
    for (size_t k = 0; k < padded; k++, to += columns) {
        const size_t lower = 2 * k < count ? width : 0;
        const size_t upper = 2 * k + 1 < count ? width : 0;
        const uint16_t *row = from + 2 * k * stride;
        for (size_t j = 0; j < upper; j++)
            to[j] = row[j] | (uint32_t)row[stride + j] << 16;
        for (size_t j = upper; j < lower; j++)
            to[j] = row[j];
        memset(to + lower, 0, (columns - lower) * sizeof *to);
    }
}
