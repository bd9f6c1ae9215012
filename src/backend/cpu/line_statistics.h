/* Mean and spread of a row, as every LayerNorm needs them; included after a line_<isa>.h. */
#ifndef CLIPC_BACKEND_CPU_LINE_STATISTICS_H
#define CLIPC_BACKEND_CPU_LINE_STATISTICS_H

#include "backend/cpu/packed_rows.h"

/* Sums side by side, so that an addition need not wait for the one before it. */
#define CLIPC_STATISTICS_SUMS ((size_t)4)

struct statistics {
    line mean;
    line scale;     /* 1 / √(variance + epsilon), the variance being the population's */
    float variance; /* not finite when a value is not */
};

static inline float sum_of_sums(const line *sums)
{
    return line_sum(line_add(line_add(sums[0], sums[1]), line_add(sums[2], sums[3])));
}

/* Adds what `difference` squared is to a sum. */
static inline line add_square(line sum, line difference)
{
    return line_multiply_add(difference, difference, sum);
}

static inline struct statistics row_statistics(const float *row, size_t width, float epsilon)
{
    const size_t whole = (width - 1) / CLIPC_BLOCK; /* lines before the last, which may be shorter */
    const size_t last = width - whole * CLIPC_BLOCK;
    const line last_line = line_keep(line_load(row + whole * CLIPC_BLOCK), last);
    struct statistics result;
    line sums[CLIPC_STATISTICS_SUMS] = {last_line, line_set(0.0f), line_set(0.0f), line_set(0.0f)};
    size_t j = 0;
    for (; j + CLIPC_STATISTICS_SUMS <= whole; j += CLIPC_STATISTICS_SUMS)
        for (size_t i = 0; i < CLIPC_STATISTICS_SUMS; i++) {
            __builtin_prefetch(row + (whole + 1 + j + i) * CLIPC_BLOCK); /* the next row, most likely */
            sums[i] = line_add(sums[i], line_load(row + (j + i) * CLIPC_BLOCK));
        }
    for (; j < whole; j++)
        sums[0] = line_add(sums[0], line_load(row + j * CLIPC_BLOCK));
    result.mean = line_set(sum_of_sums(sums) / (float)width);
    sums[0] = add_square(line_set(0.0f), line_keep(line_subtract(last_line, result.mean), last));
    for (size_t i = 1; i < CLIPC_STATISTICS_SUMS; i++)
        sums[i] = line_set(0.0f);
    for (j = 0; j + CLIPC_STATISTICS_SUMS <= whole; j += CLIPC_STATISTICS_SUMS)
        for (size_t i = 0; i < CLIPC_STATISTICS_SUMS; i++)
            sums[i] = add_square(sums[i], line_subtract(line_load(row + (j + i) * CLIPC_BLOCK), result.mean));
    for (; j < whole; j++)
        sums[0] = add_square(sums[0], line_subtract(line_load(row + j * CLIPC_BLOCK), result.mean));
    result.variance = sum_of_sums(sums) / (float)width;
    result.scale = line_set(1.0f / __builtin_sqrtf(result.variance + epsilon));
    return result;
}

#endif
