#include "checkkernel/checkkernel.h"

#include "backend/cpu/attention.h"
#include "io/bf16.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Attention over a few items of unequal length, as the towers call it. */
struct problem {
    size_t items;
    const size_t *offsets;
    size_t heads;
    size_t head_width;
    bool causal;
    bool pooled;
};

/* One output row of one head in double. `scale` receives, for each column, the weighted sum of |values|. */
static void reference_row(const struct problem *problem, const float *query, const float *keys, const float *values,
                          size_t stride, size_t seen, double *out, double *scale)
{
    double *weights = malloc(seen * sizeof *weights);
    if (!weights)
        exit(2);
    double largest = -INFINITY;
    double total = 0.0;
    for (size_t key = 0; key < seen; key++) {
        weights[key] = 0.0;
        for (size_t i = 0; i < problem->head_width; i++)
            weights[key] += (double)query[i] * (double)keys[key * stride + i] / sqrt((double)problem->head_width);
        largest = fmax(largest, weights[key]);
    }
    for (size_t key = 0; key < seen; key++)
        total += weights[key] = exp(weights[key] - largest);
    for (size_t i = 0; i < problem->head_width; i++) {
        out[i] = scale[i] = 0.0;
        for (size_t key = 0; key < seen; key++) {
            out[i] += weights[key] / total * (double)values[key * stride + i];
            scale[i] += weights[key] / total * fabs((double)values[key * stride + i]);
        }
    }
    free(weights);
}

/* Row `place` of the result, head after head, as numbers. */
static double result_at(const clipc_attention *attention, size_t place, size_t column)
{
    const clipc_packed_row at = clipc_packed_row_at(attention->out_tiles, attention->out_blocks, place);
    const size_t size = clipc_dtype_size(attention->out_dtype);
    const size_t in_block = CLIPC_BLOCK * sizeof(float) / size;
    const char *value = (const char *)attention->out +
                        (at.offset + column / in_block * at.block_stride) * sizeof(float) + column % in_block * size;
    float whole = 0.0f;
    uint16_t half = 0;
    if (attention->out_dtype == CLIPC_DTYPE_F32) {
        memcpy(&whole, value, sizeof whole);
        return (double)whole;
    }
    memcpy(&half, value, sizeof half);
    return (double)clipc_float_of_bf16(half);
}

/* `in` holds query, key and value of each row as fp32, `padded` columns each. */
static void compare(check *c, const struct problem *problem, const clipc_attention *attention, const float *in,
                    size_t padded)
{
    const bool bf16 = attention->dtype == CLIPC_DTYPE_BF16;
    double *row = malloc(2 * problem->head_width * sizeof *row);
    if (!row)
        exit(2);
    for (size_t item = 0; item < problem->items; item++) {
        const size_t begin = problem->offsets[item];
        const size_t tokens = problem->offsets[item + 1] - begin;
        const size_t queries = problem->pooled ? 1 : tokens;
        for (size_t head = 0; head < problem->heads; head++) {
            const size_t first = head * problem->head_width;
            for (size_t i = 0; i<queries; i += queries> 100 ? 37 : 1) {
                const size_t place = problem->pooled ? item : begin + i;
                reference_row(problem, in + place * 3 * padded + first, in + (begin * 3 + 1) * padded + first,
                              in + (begin * 3 + 2) * padded + first, 3 * padded,
                              problem->causal && !problem->pooled ? i + 1 : tokens, row, row + problem->head_width);
                for (size_t j = 0; j < problem->head_width; j++) {
                    const double scale = row[problem->head_width + j];
                    expect(c, bf16 ? TOLERANCE_BF16_RESULT : TOLERANCE_F32_ATTENTION,
                           result_at(attention, place, first + j), row[j],
                           bf16 ? 2.0 * scale : scale * sqrt((double)(tokens + problem->head_width)), "attention");
                }
            }
        }
    }
    free(row);
}

static void check_problem(check *c, clipc_thread_pool *pool, clipc_thread_pool *alone, clipc_dtype dtype,
                          const struct problem *problem)
{
    const size_t rows = problem->offsets[problem->items];
    const size_t width = problem->heads * problem->head_width;
    const size_t padded = clipc_padded_columns(width);
    const size_t length = padded * clipc_dtype_size(dtype) / sizeof(float); /* of such a row, in units */
    size_t longest = 0;
    for (size_t i = 0; i < problem->items; i++)
        longest = clipc_max(longest, problem->offsets[i + 1] - problem->offsets[i]);
    const size_t queries = problem->pooled ? problem->items : rows;
    guarded exact = guarded_make(rows * 3 * padded);
    guarded in = guarded_make(rows * 3 * length);
    guarded out = guarded_make(queries * length);
    guarded again = guarded_make(queries * length);
    for (size_t i = 0; i < exact.count; i++) {
        const uint16_t half = clipc_bf16_of_float(random_normal(c));
        exact.values[i] = dtype == CLIPC_DTYPE_BF16 ? clipc_float_of_bf16(half) : random_normal(c);
        memcpy((char *)in.values + i * clipc_dtype_size(dtype),
               dtype == CLIPC_DTYPE_BF16 ? (const void *)&half : (const void *)&exact.values[i],
               clipc_dtype_size(dtype));
    }
    memset(out.values, 0, out.count * sizeof(float));
    memset(again.values, 0, again.count * sizeof(float));
    clipc_attention attention = {.kernels = c->kernels,
                                 .items = problem->items,
                                 .offsets = problem->offsets,
                                 .heads = problem->heads,
                                 .head_width = problem->head_width,
                                 .causal = problem->causal,
                                 .pooled = problem->pooled,
                                 .dtype = dtype,
                                 .queries = in.values,
                                 .query_stride = 3 * length,
                                 .keys = in.values + length,
                                 .values = in.values + 2 * length,
                                 .key_stride = 3 * length,
                                 .out = out.values,
                                 .out_dtype = dtype,
                                 .out_blocks = length / CLIPC_BLOCK,
                                 .out_tiles =
                                     clipc_row_tiles_make(queries, clipc_kernels_tile_rows(c->kernels, dtype))};
    if (!clipc_attention_scratch(c->kernels, longest, problem->head_width, &attention.scratch_stride))
        exit(2);
    guarded scratch = guarded_make(clipc_thread_pool_threads(pool) * attention.scratch_stride);
    attention.scratch = scratch.values;
    clipc_attention_run(pool, &attention);
    compare(c, problem, &attention, exact.values, padded);
    attention.out = again.values;
    clipc_attention_run(alone, &attention);
    expect_true(c, memcmp(out.values, again.values, out.count * sizeof(float)) == 0,
                "attention: bits depend on the number of threads");
    guarded_end(c, &exact, "");
    guarded_end(c, &in, "attention changed its input");
    guarded_end(c, &out, "attention wrote outside its rows");
    guarded_end(c, &again, "attention wrote outside its rows");
    guarded_end(c, &scratch, "attention wrote outside its scratch");
}

void check_attention(check *c, clipc_thread_pool *pool, clipc_dtype dtype)
{
    static const size_t ragged[] = {0, 1, 3, 16, 45, 95, 172};
    static const size_t single[] = {0, 1029};
    static const size_t head_widths[] = {1, 7, 2, 16, 64, 80, 88};
    clipc_thread_pool *alone = NULL;
    if (clipc_thread_pool_create(1, &alone, NULL) != CLIPC_OK)
        exit(2);
    for (size_t i = 0; i < sizeof head_widths / sizeof head_widths[0]; i++) {
        if (head_widths[i] % (sizeof(float) / clipc_dtype_size(dtype)))
            continue;
        for (int mode = 0; mode < 4; mode++) {
            const bool causal = mode & 1;
            const bool pooled = mode & 2;
            check_problem(c, pool, alone, dtype, &(struct problem){6, ragged, 3, head_widths[i], causal, pooled});
            if (i % 2)
                check_problem(c, pool, alone, dtype, &(struct problem){1, single, 1, head_widths[i], causal, pooled});
        }
    }
    clipc_thread_pool_destroy(&alone);
}
