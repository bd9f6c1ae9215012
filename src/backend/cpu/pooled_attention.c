#include "backend/cpu/pooled_attention.h"

#include "io/bf16.h"

#include <string.h>

/* The parts of a thread's scratch, for one item. Sizes are fp32's; bf16 needs half of most. */
struct scratch {
    float *queries; /* packed tiles [heads][width] */
    float *scores;  /* [heads][padded tokens] */
    float *weights; /* packed tiles, the same size */
    float *panel;   /* of keys [width][columns], or of values [padded tokens][columns] */
};

bool clipc_pooled_attention_scratch(size_t tokens, size_t heads, size_t width, size_t *floats)
{
    size_t all = 0;
    const size_t keys = clipc_padded_columns(tokens);
    if (!clipc_add(keys, width, &all) || !clipc_multiply(all, 2 * CLIPC_TILE_COLUMNS_MAX + 2 * heads, floats))
        return false;
    *floats = heads * (width + 2 * keys) + clipc_max(width, keys) * CLIPC_TILE_COLUMNS_MAX;
    return true;
}

static struct scratch lay_out(const clipc_pooled_attention *attention, size_t tokens, float *base)
{
    const size_t scores = attention->heads * clipc_padded_columns(tokens);
    const size_t queries = attention->heads * attention->width;
    return (struct scratch){base, base + queries, base + queries + scores, base + queries + 2 * scores};
}

/* Units of a row. */
static size_t row_units(const clipc_pooled_attention *attention)
{
    return attention->width * clipc_dtype_size(attention->dtype) / sizeof(float);
}

static clipc_row_tiles head_tiles(const clipc_pooled_attention *attention)
{
    return clipc_row_tiles_make(attention->heads, clipc_kernels_tile_rows(attention->kernels, attention->dtype));
}

/* To packed tiles; fp32 is scaled here, bf16 in the softmax. */
static void pack_queries(const clipc_pooled_attention *attention, const float *queries, float *out)
{
    const size_t units = row_units(attention);
    const clipc_row_tiles tiles = head_tiles(attention);
    for (size_t head = 0; head < attention->heads; head++) {
        const clipc_packed_row place = clipc_packed_row_at(tiles, units / CLIPC_BLOCK, head);
        for (size_t k = 0; k < units; k += CLIPC_BLOCK) {
            float *line = out + place.offset + k / CLIPC_BLOCK * place.block_stride;
            memcpy(line, queries + head * units + k, CLIPC_BLOCK * sizeof *line);
            for (size_t i = 0; i < CLIPC_BLOCK && attention->dtype == CLIPC_DTYPE_F32; i++)
                line[i] *= attention->scale;
        }
    }
}

static void multiply(const clipc_pooled_attention *attention, size_t height, size_t blocks, const float *rows,
                     const float *panel, float *out, size_t out_stride)
{
    const clipc_kernels *kernels = attention->kernels;
    if (attention->dtype == CLIPC_DTYPE_BF16)
        kernels->bf16.gemm_tile(height, blocks, (const uint32_t *)(const void *)rows,
                                (const uint32_t *)(const void *)panel, out, out_stride);
    else
        kernels->gemm_tile(height, blocks, rows, panel, out, out_stride);
}

/* Scores of all heads, a panel of keys at a time. */
static void score(const clipc_pooled_attention *attention, const float *rows, size_t tokens,
                  const struct scratch *scratch)
{
    const size_t columns = clipc_kernels_tile_columns(attention->kernels, attention->dtype);
    const size_t units = row_units(attention);
    const size_t stride = clipc_padded_columns(tokens);
    const clipc_row_tiles tiles = head_tiles(attention);
    for (size_t first = 0; first < tokens; first += columns) {
        attention->kernels->pack_units(rows + first * units, units, clipc_min(columns, tokens - first), units, columns,
                                       scratch->panel);
        for (size_t tile = 0; tile < tiles.tiles; tile++) {
            const size_t begin = clipc_row_tiles_begin(tiles, tile);
            multiply(attention, clipc_row_tiles_begin(tiles, tile + 1) - begin, units / CLIPC_BLOCK,
                     scratch->queries + begin * units, scratch->panel, scratch->scores + begin * stride + first,
                     stride);
        }
    }
}

/* Blocks of a row of weights. */
static size_t key_blocks(const clipc_pooled_attention *attention, size_t tokens)
{
    return clipc_deep_blocks(tokens, sizeof(float) / clipc_dtype_size(attention->dtype));
}

/* Scores to packed tiles of weights; returns each row's sum in `sums`, the first place of its scores. */
static void weigh(const clipc_pooled_attention *attention, size_t tokens, const struct scratch *scratch)
{
    const clipc_kernels *kernels = attention->kernels;
    const size_t blocks = key_blocks(attention, tokens);
    const clipc_row_tiles tiles = head_tiles(attention);
    for (size_t head = 0; head < attention->heads; head++) {
        const clipc_packed_row place = clipc_packed_row_at(tiles, blocks, head);
        float *scores = scratch->scores + head * clipc_padded_columns(tokens);
        float *out = scratch->weights + place.offset;
        if (attention->dtype == CLIPC_DTYPE_BF16)
            scores[0] = kernels->bf16.softmax(scores, tokens, attention->scale, blocks, (uint32_t *)(void *)out,
                                              place.block_stride);
        else
            scores[0] = kernels->softmax(scores, tokens, blocks, out, place.block_stride);
    }
}

/* Columns first … first + columns - 1 of the rows, as a panel. */
static void pack_values(const clipc_pooled_attention *attention, const float *rows, size_t tokens, size_t first,
                        size_t columns, float *panel)
{
    const size_t units = row_units(attention);
    const size_t padded = key_blocks(attention, tokens) * CLIPC_BLOCK;
    if (attention->dtype == CLIPC_DTYPE_BF16) {
        attention->kernels->pack_pairs((const uint16_t *)(const void *)rows + first, 2 * units, tokens, columns,
                                       columns, (uint32_t *)(void *)panel);
        return;
    }
    for (size_t key = 0; key < tokens; key++)
        memcpy(panel + key * columns, rows + key * units + first, columns * sizeof *panel);
    memset(panel + tokens * columns, 0, (padded - tokens) * columns * sizeof *panel);
}

/* Some columns of a head's result. */
static void write_columns(const clipc_pooled_attention *attention, size_t head, size_t item, size_t first,
                          size_t columns, const float *sums, float scale)
{
    const size_t units = row_units(attention);
    const clipc_packed_row place = clipc_packed_row_at(attention->out_tiles, units / CLIPC_BLOCK, item);
    uint32_t *out = attention->out + head * attention->items * units + place.offset;
    if (attention->dtype == CLIPC_DTYPE_BF16) {
        attention->kernels->bf16.scale(sums, columns / CLIPC_BLOCK, scale, out, first / CLIPC_BLOCK,
                                       place.block_stride);
        return;
    }
    for (size_t j = 0; j < columns; j += CLIPC_BLOCK) {
        float *line = (float *)(void *)out + (first + j) / CLIPC_BLOCK * place.block_stride;
        for (size_t i = 0; i < CLIPC_BLOCK; i++)
            line[i] = sums[j + i] * scale;
    }
}

static void sum_rows(const clipc_pooled_attention *attention, size_t item, const float *rows, size_t tokens,
                     const struct scratch *scratch)
{
    _Alignas(64) float sums[CLIPC_TILE_ROWS_MAX * CLIPC_TILE_COLUMNS_MAX];
    const size_t columns = clipc_kernels_tile_columns(attention->kernels, attention->dtype);
    const size_t blocks = key_blocks(attention, tokens);
    const clipc_row_tiles tiles = head_tiles(attention);
    for (size_t first = 0; first < attention->width; first += columns) {
        pack_values(attention, rows, tokens, first, columns, scratch->panel);
        for (size_t tile = 0; tile < tiles.tiles; tile++) {
            const size_t begin = clipc_row_tiles_begin(tiles, tile);
            const size_t end = clipc_row_tiles_begin(tiles, tile + 1);
            multiply(attention, end - begin, blocks, scratch->weights + begin * blocks * CLIPC_BLOCK, scratch->panel,
                     sums, columns);
            for (size_t head = begin; head < end; head++)
                write_columns(attention, head, item, first, columns, sums + (head - begin) * columns,
                              1.0f / scratch->scores[head * clipc_padded_columns(tokens)]);
        }
    }
}

static void run_items(void *context, size_t begin, size_t end, size_t thread)
{
    const clipc_pooled_attention *attention = context;
    const size_t units = row_units(attention);
    for (size_t item = begin; item < end; item++) {
        const size_t tokens = attention->offsets[item + 1] - attention->offsets[item] - attention->unseen;
        const float *rows = attention->rows + attention->offsets[item] * units;
        const struct scratch scratch =
            lay_out(attention, tokens, attention->scratch + thread * attention->scratch_stride);
        pack_queries(attention, attention->queries + item * attention->heads * units, scratch.queries);
        score(attention, rows, tokens, &scratch);
        weigh(attention, tokens, &scratch);
        sum_rows(attention, item, rows, tokens, &scratch);
    }
}

void clipc_pooled_attention_run(clipc_thread_pool *pool, const clipc_pooled_attention *attention)
{
    clipc_thread_pool_run(pool, run_items, (void *)attention, attention->items, 1);
}

/* ---- weights ---- */

clipc_packed_layout clipc_pooled_keys_layout(const clipc_kernels *kernels, clipc_dtype dtype, size_t heads,
                                             size_t width)
{
    return clipc_packed_layout_make(dtype, clipc_kernels_tile_columns(kernels, dtype), heads, width, width / heads);
}

/* Weights first … first + count - 1 of one output. */
static void unpack(const clipc_packed_weights *weights, size_t output, size_t first, size_t count, float *out)
{
    const size_t columns = weights->layout.panel_columns;
    const uint32_t *panel = (const uint32_t *)clipc_packed_panel(weights, output / columns) + output % columns;
    const size_t depth = weights->layout.depth;
    for (size_t i = 0; i < count; i++) {
        const size_t k = first + i;
        const uint32_t unit = panel[k / depth * columns];
        switch (weights->layout.dtype) {
        case CLIPC_DTYPE_I8:
            out[i] = weights->scales[output] * (float)(int8_t)(uint8_t)(unit >> 8 * (k % depth));
            break;
        case CLIPC_DTYPE_BF16: out[i] = clipc_float_of_bf16((uint16_t)(unit >> 16 * (k % depth))); break;
        default: memcpy(out + i, &unit, sizeof *out); break;
        }
    }
}

/* One panel: output c has, of k = 0 … head width - 1, the c-th weight of key k. */
static void fill_panel(const clipc_kernels *kernels, const clipc_packed_weights *from, size_t first_key, size_t inner,
                       size_t first, const clipc_packed_weights *keys, size_t panel)
{
    float row[CLIPC_TILE_COLUMNS_MAX];
    uint16_t halves[2][CLIPC_TILE_COLUMNS_MAX];
    const size_t columns = keys->layout.panel_columns;
    uint32_t *to = clipc_packed_panel(keys, panel);
    for (size_t k = 0; k < inner; k++) {
        unpack(from, first_key + k, first, columns, row);
        if (keys->layout.dtype == CLIPC_DTYPE_F32) {
            memcpy(to + k * columns, row, columns * sizeof *row);
            continue;
        }
        kernels->round_bf16(row, columns, halves[k % 2]);
        for (size_t j = 0; j < columns && k % 2; j++)
            to[k / 2 * columns + j] = halves[0][j] | (uint32_t)halves[1][j] << 16;
    }
}

void clipc_pooled_keys_fill(const clipc_kernels *kernels, const clipc_packed_weights *from, size_t first_key,
                            size_t heads, size_t head, const clipc_packed_weights *keys)
{
    const size_t columns = keys->layout.panel_columns;
    const size_t panels = keys->layout.panel_count / heads;
    const size_t width = panels * columns;
    const size_t inner = width / heads;
    for (size_t i = 0; i < panels; i++)
        fill_panel(kernels, from, first_key + head * inner, inner, i * columns, keys, head * panels + i);
    memset(keys->bias + head * width, 0, width * sizeof *keys->bias);
}

clipc_packed_layout clipc_pooled_values_layout(const clipc_kernels *kernels, size_t width)
{
    return clipc_packed_layout_make(CLIPC_DTYPE_BF16, clipc_kernels_tile_columns(kernels, CLIPC_DTYPE_BF16), 1, width,
                                    width);
}

void clipc_pooled_values_fill(const clipc_kernels *kernels, const clipc_packed_weights *query_key_value, size_t width,
                              size_t panel, const clipc_packed_weights *values)
{
    enum { DEPTH = 2 * CLIPC_TILE_COLUMNS_MAX };
    float row[DEPTH];
    _Alignas(float) uint16_t halves[CLIPC_TILE_COLUMNS_MAX * DEPTH];
    const size_t columns = values->layout.panel_columns;
    const size_t first = 2 * width + panel * columns;
    float *to = clipc_packed_panel(values, panel);
    for (size_t k = 0; k < width; k += DEPTH) {
        const size_t depth = clipc_min(DEPTH, width - k);
        for (size_t j = 0; j < columns; j++) {
            unpack(query_key_value, first + j, k, depth, row);
            kernels->round_bf16(row, depth, halves + j * DEPTH);
        }
        kernels->pack_units((const float *)(const void *)halves, DEPTH / 2, columns, depth / 2, columns,
                            to + k / 2 * columns);
    }
    memcpy(values->bias + panel * columns, query_key_value->bias + first, columns * sizeof *values->bias);
}
