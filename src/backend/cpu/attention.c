#include "backend/cpu/attention.h"

#include "backend/cpu/work_split.h"
#include "base/memory.h"

#include <math.h>
#include <string.h>

/* The parts of a thread's scratch, for one item and head. The products run on the GEMM's kernel: keys become panels of
 * its columns, values are panels as they are, once padded. Sizes are fp32's; bf16 needs half of most. */
struct scratch {
    float *keys;    /* [panel of keys][padded head width][tile_columns] */
    float *values;  /* [panel of the head's columns][padded keys][tile_columns] */
    float *queries; /* packed tile */
    float *scores;  /* [tile rows][padded keys] */
    float *weights; /* packed tile */
    float *sums;    /* [tile rows][padded head width] */
};

/* Lays the parts out from `base` and returns how much they take. */
static size_t lay_out(const clipc_kernels *kernels, size_t tokens, size_t head_width, float *base,
                      struct scratch *scratch)
{
    const size_t keys = clipc_padded_columns(tokens);
    const size_t width = clipc_padded_columns(head_width);
    const size_t rows = clipc_max(kernels->tile_rows, kernels->bf16.tile_rows);
    const size_t sizes[] = {keys * width, keys * width, rows * width, rows * keys, rows * keys, rows * width};
    float **parts[] = {&scratch->keys,   &scratch->values,  &scratch->queries,
                       &scratch->scores, &scratch->weights, &scratch->sums};
    size_t used = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        *parts[i] = base ? base + used : NULL;
        used += sizes[i];
    }
    return used;
}

bool clipc_attention_scratch(const clipc_kernels *kernels, size_t tokens, size_t head_width, size_t *units)
{
    size_t product = 0;
    /* More than the sum of lay_out, which is less than 2 (keys + rows) (width + rows). */
    if (!clipc_multiply(clipc_padded_columns(tokens) + CLIPC_TILE_ROWS_MAX,
                        16 * (clipc_padded_columns(head_width) + CLIPC_TILE_ROWS_MAX), &product))
        return false;
    struct scratch unused;
    *units = lay_out(kernels, tokens, head_width, NULL, &unused);
    return true;
}

/* Units of one head's columns. */
static size_t head_units(const clipc_attention *attention)
{
    return attention->head_width * clipc_dtype_size(attention->dtype) / sizeof(float);
}

/* Keys as panels: panel[k][j] = key j's k-th unit. */
static void pack_keys(const clipc_attention *attention, const float *keys, size_t count, float *out)
{
    const size_t columns = clipc_kernels_tile_columns(attention->kernels, attention->dtype);
    const size_t units = head_units(attention);
    const size_t depth = clipc_blocks(units) * CLIPC_BLOCK;
    for (size_t first = 0; first < count; first += columns)
        attention->kernels->pack_units(keys + first * attention->key_stride, attention->key_stride,
                                       clipc_min(columns, count - first), units, columns, out + first * depth);
}

/* Values as panels: panel[key][j], keys padded to a whole block. */
static void pack_values(const clipc_attention *attention, const float *values, size_t count, float *out)
{
    const size_t columns = attention->kernels->tile_columns;
    const size_t padded = clipc_blocks(count) * CLIPC_BLOCK;
    for (size_t first = 0; first < attention->head_width; first += columns, out += padded * columns) {
        const size_t wide = clipc_min(columns, attention->head_width - first);
        memset(out, 0, padded * columns * sizeof *out);
        for (size_t key = 0; key < count; key++)
            memcpy(out + key * columns, values + key * attention->key_stride + first, wide * sizeof *out);
    }
}

/* The same with pairs of keys in a unit. */
static void pack_value_pairs(const clipc_attention *attention, const float *values, size_t count, uint32_t *out)
{
    const size_t columns = attention->kernels->bf16.tile_columns;
    const size_t padded = clipc_deep_blocks(count, 2) * CLIPC_BLOCK;
    const uint16_t *halves = (const uint16_t *)(const void *)values;
    for (size_t first = 0; first < attention->head_width; first += columns, out += padded * columns)
        attention->kernels->pack_pairs(halves + first, 2 * attention->key_stride, count,
                                       clipc_min(columns, attention->head_width - first), columns, out);
}

/* A tile of bf16 queries as they are: the scale comes with the softmax. */
static void pack_query_pairs(const clipc_attention *attention, const float *queries, size_t rows, float *out)
{
    const size_t units = head_units(attention);
    for (size_t block = 0; block < clipc_blocks(units); block++) {
        const size_t count = clipc_min(CLIPC_BLOCK, units - block * CLIPC_BLOCK);
        for (size_t i = 0; i < rows; i++, out += CLIPC_BLOCK) {
            const float *from = queries + i * attention->query_stride + block * CLIPC_BLOCK;
            if (count == CLIPC_BLOCK) {
                memcpy(out, from, CLIPC_BLOCK * sizeof *out); /* of constant size: no call */
                continue;
            }
            memcpy(out, from, count * sizeof *out);
            memset(out + count, 0, (CLIPC_BLOCK - count) * sizeof *out);
        }
    }
}

/* A tile of queries, scaled by 1 / √(head width). */
static void pack_queries(const clipc_attention *attention, const float *queries, size_t rows, float *out)
{
    const size_t width = attention->head_width;
    const float scale = 1.0f / sqrtf((float)width);
    for (size_t block = 0; block < clipc_blocks(width); block++)
        for (size_t i = 0; i < rows; i++, out += CLIPC_BLOCK)
            for (size_t k = 0; k < CLIPC_BLOCK; k++) {
                const size_t column = block * CLIPC_BLOCK + k;
                out[k] = column < width ? scale * queries[i * attention->query_stride + column] : 0.0f;
            }
}

/* Writes a head's columns of one output row, scaled. */
static void write_row(const clipc_attention *attention, size_t row, size_t head, float *sums, float scale)
{
    const clipc_packed_row place = clipc_packed_row_at(attention->out_tiles, attention->out_blocks, row);
    if (attention->out_dtype == CLIPC_DTYPE_BF16 && attention->head_width % CLIPC_BLOCK == 0) {
        attention->kernels->bf16.scale(sums, attention->head_width / CLIPC_BLOCK, scale,
                                       (uint32_t *)attention->out + place.offset,
                                       head * attention->head_width / CLIPC_BLOCK, place.block_stride);
        return;
    }
    for (size_t i = 0; i < attention->head_width; i++)
        sums[i] *= scale;
    clipc_write_columns(attention->kernels, (uint32_t *)attention->out + place.offset, place.block_stride,
                        attention->out_dtype, head * attention->head_width, sums, attention->head_width);
}

/* One tile of queries and what it sees: `keys` keys, of which query i sees the first causal_keys + i, if that is not
 * 0. The panels of values are of packed_keys. */
struct tile {
    size_t rows;
    size_t keys;
    size_t causal_keys;
    size_t packed_keys;
    size_t last_row; /* one that does not see itself, the last of its keys; past the tile: none */
    float weight_sums[CLIPC_TILE_ROWS_MAX];
};

static size_t seen_keys(const struct tile *tile, size_t row)
{
    return (tile->causal_keys ? tile->causal_keys + row : tile->keys) - (row == tile->last_row ? 1 : 0);
}

/* From packed queries, keys and values to sums and weight_sums. */
static void attend_f32(const clipc_attention *attention, const struct scratch *scratch, struct tile *tile)
{
    const clipc_kernels *kernels = attention->kernels;
    const size_t columns = kernels->tile_columns;
    const size_t depth = clipc_blocks(attention->head_width);
    const size_t score_stride = clipc_padded_columns(tile->keys);
    const size_t key_blocks = clipc_blocks(tile->keys);
    for (size_t first = 0; first < tile->keys; first += columns)
        kernels->gemm_tile(tile->rows, depth, scratch->queries, scratch->keys + first * depth * CLIPC_BLOCK,
                           scratch->scores + first, score_stride);
    for (size_t i = 0; i < tile->rows; i++)
        tile->weight_sums[i] = kernels->softmax(scratch->scores + i * score_stride, seen_keys(tile, i), key_blocks,
                                                scratch->weights + i * CLIPC_BLOCK, tile->rows * CLIPC_BLOCK);
    const size_t panel = clipc_blocks(tile->packed_keys) * CLIPC_BLOCK * columns;
    for (size_t first = 0; first < attention->head_width; first += columns)
        kernels->gemm_tile(tile->rows, key_blocks, scratch->weights, scratch->values + first / columns * panel,
                           scratch->sums + first, clipc_padded_columns(attention->head_width));
}

static void attend_bf16(const clipc_attention *attention, const struct scratch *scratch, struct tile *tile)
{
    const clipc_bf16_kernels *kernels = &attention->kernels->bf16;
    const size_t columns = kernels->tile_columns;
    const size_t depth = clipc_blocks(head_units(attention));
    const size_t score_stride = clipc_padded_columns(tile->keys);
    const size_t key_blocks = clipc_deep_blocks(tile->keys, 2);
    const float scale = 1.0f / sqrtf((float)attention->head_width);
    uint32_t *weights = (uint32_t *)(void *)scratch->weights;
    const uint32_t *queries = (const uint32_t *)(const void *)scratch->queries;
    for (size_t first = 0; first < tile->keys; first += columns)
        kernels->gemm_tile(tile->rows, depth, queries,
                           (const uint32_t *)(const void *)scratch->keys + first * depth * CLIPC_BLOCK,
                           scratch->scores + first, score_stride);
    for (size_t i = 0; i < tile->rows; i++)
        tile->weight_sums[i] = kernels->softmax(scratch->scores + i * score_stride, seen_keys(tile, i), scale,
                                                key_blocks, weights + i * CLIPC_BLOCK, tile->rows * CLIPC_BLOCK);
    const size_t panel = clipc_deep_blocks(tile->packed_keys, 2) * CLIPC_BLOCK * columns;
    for (size_t first = 0; first < attention->head_width; first += columns)
        kernels->gemm_tile(tile->rows, key_blocks, weights,
                           (const uint32_t *)(const void *)scratch->values + first / columns * panel,
                           scratch->sums + first, clipc_padded_columns(attention->head_width));
}

/* One tile of queries, of which the first is at row first_row of `out`. */
static void attend(const clipc_attention *attention, const struct scratch *scratch, size_t head, size_t first_row,
                   struct tile *tile)
{
    const float *queries = attention->queries + first_row * attention->query_stride + head * head_units(attention);
    if (attention->dtype == CLIPC_DTYPE_BF16) {
        pack_query_pairs(attention, queries, tile->rows, scratch->queries);
        attend_bf16(attention, scratch, tile);
    } else {
        pack_queries(attention, queries, tile->rows, scratch->queries);
        attend_f32(attention, scratch, tile);
    }
    const size_t sum_stride = clipc_padded_columns(attention->head_width);
    for (size_t i = 0; i < tile->rows; i++)
        write_row(attention, first_row + i, head, scratch->sums + i * sum_stride, 1.0f / tile->weight_sums[i]);
}

/* Asks for the columns of the next head, most likely the next piece's: rows lie too far apart to be foreseen. */
static void fetch_next_head(const clipc_attention *attention, const float *rows, size_t stride, size_t count)
{
    const size_t units = head_units(attention);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < units; j += CLIPC_BLOCK)
            __builtin_prefetch(rows + i * stride + units + j);
}

struct job {
    const clipc_attention *attention;
    clipc_attention_split split;
};

/* Of the tile that begins with query `first`. */
static size_t last_row(const clipc_attention *attention, size_t tokens, size_t first)
{
    if (!attention->last_unseen)
        return SIZE_MAX;
    return attention->pooled ? 0 : tokens - 1 - first;
}

static void run_piece(const struct job *job, size_t index, float *scratch_base)
{
    const clipc_attention *attention = job->attention;
    const clipc_attention_piece piece = clipc_attention_piece_at(&job->split, index);
    if (piece.first_tile == piece.end_tile)
        return;
    const size_t begin = attention->offsets[piece.item];
    const size_t tokens = attention->offsets[piece.item + 1] - begin;
    struct scratch scratch;
    lay_out(attention->kernels, tokens, attention->head_width, scratch_base, &scratch);
    const size_t source = begin * attention->key_stride + piece.head * head_units(attention);
    pack_keys(attention, attention->keys + source, piece.keys, scratch.keys);
    if (attention->dtype == CLIPC_DTYPE_BF16)
        pack_value_pairs(attention, attention->values + source, piece.keys, (uint32_t *)(void *)scratch.values);
    else
        pack_values(attention, attention->values + source, piece.keys, scratch.values);
    fetch_next_head(attention, attention->keys + source, attention->key_stride, piece.keys);
    fetch_next_head(attention, attention->values + source, attention->key_stride, piece.keys);
    for (size_t i = piece.first_tile; i < piece.end_tile; i++) {
        const size_t first = clipc_row_tiles_begin(piece.tiles, i);
        const size_t end = clipc_row_tiles_begin(piece.tiles, i + 1);
        struct tile tile = {.rows = end - first,
                            .keys = job->split.causal ? end : tokens,
                            .causal_keys = job->split.causal ? first + 1 : 0,
                            .packed_keys = piece.keys,
                            .last_row = last_row(attention, tokens, first)};
        attend(attention, &scratch, piece.head, attention->pooled ? piece.item : begin + first, &tile);
    }
}

static void run_pieces(void *context, size_t begin, size_t end, size_t thread)
{
    const struct job *job = context;
    float *scratch = job->attention->scratch + thread * job->attention->scratch_stride;
    for (size_t index = begin; index < end; index++)
        run_piece(job, index, scratch);
}

void clipc_attention_run(clipc_thread_pool *pool, const clipc_attention *attention)
{
    struct job job = {
        .attention = attention,
        .split = clipc_attention_split_make(attention->items, attention->heads, attention->offsets,
                                            clipc_kernels_tile_rows(attention->kernels, attention->dtype),
                                            attention->causal, attention->pooled, clipc_thread_pool_threads(pool))};
    const size_t pieces = clipc_attention_pieces(&job.split);
    clipc_thread_pool_run(pool, run_pieces, &job, pieces,
                          clipc_attention_grain(pieces, clipc_thread_pool_threads(pool)));
}
