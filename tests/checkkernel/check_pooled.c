#include "checkkernel/checkkernel.h"

#include "backend/cpu/pooled_attention.h"
#include "io/bf16.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct problem {
    size_t items;
    const size_t *offsets;
    size_t heads;
    size_t width;
};

/* Random numbers that `dtype` holds exactly, as such and as fp32. */
static void fill(check *c, clipc_dtype dtype, guarded *exact, guarded *packed)
{
    for (size_t i = 0; i < exact->count; i++) {
        const uint16_t half = clipc_bf16_of_float(random_normal(c));
        exact->values[i] = dtype == CLIPC_DTYPE_BF16 ? clipc_float_of_bf16(half) : random_normal(c);
        memcpy((char *)packed->values + i * clipc_dtype_size(dtype),
               dtype == CLIPC_DTYPE_BF16 ? (const void *)&half : (const void *)&exact->values[i],
               clipc_dtype_size(dtype));
    }
}

static double result_at(const clipc_pooled_attention *attention, size_t head, size_t item, size_t column)
{
    const size_t size = clipc_dtype_size(attention->dtype);
    const size_t units = attention->width * size / sizeof(float);
    const size_t in_block = CLIPC_BLOCK * sizeof(float) / size;
    const clipc_packed_row at = clipc_packed_row_at(attention->out_tiles, units / CLIPC_BLOCK, item);
    const char *value = (const char *)(attention->out + head * attention->items * units + at.offset +
                                       column / in_block * at.block_stride) +
                        column % in_block * size;
    float whole = 0.0f;
    uint16_t half = 0;
    if (attention->dtype == CLIPC_DTYPE_F32)
        memcpy(&whole, value, sizeof whole);
    else
        memcpy(&half, value, sizeof half);
    return (double)(attention->dtype == CLIPC_DTYPE_F32 ? whole : clipc_float_of_bf16(half));
}

/* One head and item in double. */
static void compare(check *c, const clipc_pooled_attention *attention, const float *query, const float *rows,
                    size_t head, size_t item)
{
    const size_t tokens = attention->offsets[item + 1] - attention->offsets[item];
    const size_t width = attention->width;
    double *weights = malloc(tokens * sizeof *weights);
    double largest = -INFINITY;
    double total = 0.0;
    if (!weights)
        exit(2);
    for (size_t row = 0; row < tokens; row++) {
        weights[row] = 0.0;
        for (size_t i = 0; i < width; i++)
            weights[row] += (double)attention->scale * (double)query[i] * (double)rows[row * width + i];
        largest = fmax(largest, weights[row]);
    }
    for (size_t row = 0; row < tokens; row++)
        total += weights[row] = exp(weights[row] - largest);
    for (size_t column = 0; column < width; column++) {
        double sum = 0.0;
        double size = 0.0;
        for (size_t row = 0; row < tokens; row++) {
            sum += weights[row] / total * (double)rows[row * width + column];
            size += weights[row] / total * fabs((double)rows[row * width + column]);
        }
        const bool bf16 = attention->dtype == CLIPC_DTYPE_BF16;
        expect(c, bf16 ? TOLERANCE_BF16_RESULT : TOLERANCE_F32_ATTENTION, result_at(attention, head, item, column),
               sum, bf16 ? 2.0 * size : size * sqrt((double)(tokens + width)), "pooled attention");
    }
    free(weights);
}

static void check_problem(check *c, clipc_thread_pool *pool, clipc_thread_pool *alone, clipc_dtype dtype,
                          const struct problem *problem)
{
    const size_t units = problem->width * clipc_dtype_size(dtype) / sizeof(float);
    const size_t rows = problem->offsets[problem->items];
    const size_t queries = problem->items * problem->heads;
    size_t longest = 0;
    for (size_t i = 0; i < problem->items; i++)
        longest = clipc_max(longest, problem->offsets[i + 1] - problem->offsets[i]);
    guarded exact_queries = guarded_make(queries * problem->width);
    guarded exact_rows = guarded_make(rows * problem->width);
    guarded packed_queries = guarded_make(queries * units);
    guarded packed_rows = guarded_make(rows * units);
    guarded out = guarded_make(queries * units);
    guarded again = guarded_make(queries * units);
    fill(c, dtype, &exact_queries, &packed_queries);
    fill(c, dtype, &exact_rows, &packed_rows);
    clipc_pooled_attention attention = {
        .kernels = c->kernels,
        .items = problem->items,
        .offsets = problem->offsets,
        .heads = problem->heads,
        .width = problem->width,
        .dtype = dtype,
        .scale = 1.0f / sqrtf((float)problem->width),
        .queries = packed_queries.values,
        .rows = packed_rows.values,
        .out = (uint32_t *)(void *)out.values,
        .out_tiles = clipc_row_tiles_make(problem->items, clipc_kernels_tile_rows(c->kernels, dtype))};
    if (!clipc_pooled_attention_scratch(longest, problem->heads, problem->width, &attention.scratch_stride))
        exit(2);
    guarded scratch = guarded_make(clipc_thread_pool_threads(pool) * attention.scratch_stride);
    attention.scratch = scratch.values;
    clipc_pooled_attention_run(pool, &attention);
    for (size_t item = 0; item < problem->items; item++)
        for (size_t head = 0; head < problem->heads; head++)
            compare(c, &attention, exact_queries.values + (item * problem->heads + head) * problem->width,
                    exact_rows.values + problem->offsets[item] * problem->width, head, item);
    attention.out = (uint32_t *)(void *)again.values;
    clipc_pooled_attention_run(alone, &attention);
    expect_true(c, memcmp(out.values, again.values, out.count * sizeof(float)) == 0,
                "pooled attention: bits depend on the number of threads");
    guarded_end(c, &exact_queries, "");
    guarded_end(c, &exact_rows, "");
    guarded_end(c, &packed_queries, "pooled attention changed its queries");
    guarded_end(c, &packed_rows, "pooled attention changed its rows");
    guarded_end(c, &out, "pooled attention wrote outside its rows");
    guarded_end(c, &again, "pooled attention wrote outside its rows");
    guarded_end(c, &scratch, "pooled attention wrote outside its scratch");
}

/* The values' weights as bf16, of integers packed from `original`. */
static void check_values(check *c, const clipc_packed_weights *packed, const float *original, size_t width)
{
    const clipc_packed_layout layout = clipc_pooled_values_layout(c->kernels, width);
    const size_t columns = layout.panel_columns;
    size_t bytes = 0;
    if (!clipc_packed_bytes(&layout, &bytes))
        exit(2);
    guarded block = guarded_make(bytes / sizeof(float));
    const clipc_packed_weights values = clipc_packed_weights_at(&layout, block.values);
    for (size_t panel = 0; panel < layout.panel_count; panel++)
        clipc_pooled_values_fill(c->kernels, packed, width, panel, &values);
    for (size_t output = 0; output < width; output++) {
        const uint32_t *panel = clipc_packed_panel(&values, output / columns);
        for (size_t k = 0; k < width; k++) {
            const uint32_t unit = panel[k / 2 * columns + output % columns];
            const float value = clipc_float_of_bf16((uint16_t)(k % 2 ? unit >> 16 : unit));
            const float weight = original[(2 * width + output) * width + k];
            expect_true(c, fabsf(value - weight) <= 0.51f * packed->scales[2 * width + output] + fabsf(weight) / 256,
                        "weights of the values: not those that were packed");
        }
        expect_true(c, values.bias[output] == packed->bias[2 * width + output], "weights of the values: bias");
    }
    guarded_end(c, &block, "weights of the values: written outside");
}

/* The keys' weights of a packed layer, transposed, as the numbers that were packed. */
static void check_keys(check *c, clipc_dtype from, clipc_dtype to, size_t heads, size_t inner)
{
    const size_t width = heads * inner;
    const clipc_packed_layout layout =
        clipc_packed_layout_make(from, clipc_kernels_tile_columns(c->kernels, from), 3, width, width);
    const clipc_packed_layout keys_layout = clipc_pooled_keys_layout(c->kernels, to, heads, width);
    size_t bytes = 0;
    size_t keys_bytes = 0;
    if (!clipc_packed_bytes(&layout, &bytes) || !clipc_packed_bytes(&keys_layout, &keys_bytes))
        exit(2);
    guarded weights = guarded_make(3 * width * width);
    guarded block = guarded_make(bytes / sizeof(float));
    guarded keys_block = guarded_make(keys_bytes / sizeof(float));
    for (size_t i = 0; i < weights.count; i++)
        weights.values[i] = clipc_float_of_bf16(clipc_bf16_of_float(random_normal(c)));
    const clipc_packed_weights packed = clipc_packed_weights_at(&layout, block.values);
    const clipc_packed_weights keys = clipc_packed_weights_at(&keys_layout, keys_block.values);
    const clipc_tensor weight = {.data = weights.values, .dtype = CLIPC_DTYPE_F32};
    for (size_t panel = 0; panel < layout.panel_count; panel++)
        clipc_pack_panel(c->kernels, &packed, panel, &weight, NULL, panel * layout.panel_columns, layout.panel_columns,
                         width);
    for (size_t head = 0; head < heads; head++)
        clipc_pooled_keys_fill(c->kernels, &packed, width, heads, head, &keys);
    for (size_t key = 0; key < width; key++) {
        for (size_t column = 0; column < width; column++) {
            const size_t output = key / inner * width + column;
            const uint32_t *panel = clipc_packed_panel(&keys, output / keys_layout.panel_columns);
            const uint32_t unit = panel[key % inner / keys_layout.depth * keys_layout.panel_columns +
                                        output % keys_layout.panel_columns];
            float value = 0.0f;
            if (to == CLIPC_DTYPE_F32)
                memcpy(&value, &unit, sizeof value);
            else
                value = clipc_float_of_bf16((uint16_t)(key % 2 ? unit >> 16 : unit));
            const float original = weights.values[(width + key) * width + column];
            const float step = from == CLIPC_DTYPE_I8 ? packed.scales[width + key] : 0.0f;
            expect_true(c, fabsf(value - original) <= 0.51f * step + (step > 0.0f ? fabsf(original) / 256.0f : 0.0f),
                        "weights of the keys: not those that were packed");
        }
    }
    if (from == CLIPC_DTYPE_I8)
        check_values(c, &packed, weights.values, width);
    guarded_end(c, &weights, "");
    guarded_end(c, &block, "weights of the keys: the packed layer changed");
    guarded_end(c, &keys_block, "weights of the keys: written outside");
}

void check_pooled(check *c, clipc_thread_pool *pool, clipc_dtype dtype)
{
    static const size_t ragged[] = {0, 1, 3, 16, 45, 95, 172};
    static const size_t single[] = {0, 1029};
    clipc_thread_pool *alone = NULL;
    if (clipc_thread_pool_create(1, &alone, NULL) != CLIPC_OK)
        exit(2);
    check_problem(c, pool, alone, dtype, &(struct problem){6, ragged, 1, 32});
    check_problem(c, pool, alone, dtype, &(struct problem){6, ragged, 3, 96});
    check_problem(c, pool, alone, dtype, &(struct problem){6, ragged, 17, 128});
    check_problem(c, pool, alone, dtype, &(struct problem){1, single, 2, 64});
    check_keys(c, dtype, dtype, 3, 32);
    check_keys(c, dtype, dtype, 2, 64);
    if (dtype == CLIPC_DTYPE_BF16)
        check_keys(c, CLIPC_DTYPE_I8, dtype, 2, 64);
    clipc_thread_pool_destroy(&alone);
}
