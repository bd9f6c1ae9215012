#include "backend/cpu/attention.h"

#include "backend/cpu/work_split.h"
#include "base/memory.h"

#include <math.h>
#include <string.h>

/* The parts of a thread's scratch, for one item and head. The products run on the GEMM's kernel: keys become panels of
 * its columns, values are panels as they are, once padded. */
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
    const size_t rows = kernels->tile_rows;
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
    if (!clipc_multiply(clipc_padded_columns(tokens) + kernels->tile_rows,
                        16 * (clipc_padded_columns(head_width) + kernels->tile_rows), &product))
        return false;
    struct scratch unused;
    *units = lay_out(kernels, tokens, head_width, NULL, &unused);
    return true;
}

/* Keys as panels: panel[k][j] = key j's k-th value. */
static void pack_keys(const clipc_attention *attention, const float *keys, size_t count, float *out)
{
    const size_t columns = attention->kernels->tile_columns;
    const size_t depth = clipc_blocks(attention->head_width) * CLIPC_BLOCK;
    for (size_t first = 0; first < count; first += columns)
        clipc_pack_units(keys + first * attention->key_stride, attention->key_stride,
                         clipc_min(columns, count - first), attention->head_width, columns, out + first * depth);
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
    for (size_t i = 0; i < attention->head_width; i++)
        sums[i] *= scale;
    clipc_write_columns((uint32_t *)attention->out + place.offset, place.block_stride, attention->out_dtype,
                        head * attention->head_width, sums, attention->head_width);
}

/* One tile of queries against the first `keys` keys. `first_row` is the first query's row in `out`, and its place
 * within the item is first_query. */
static void attend(const clipc_attention *attention, const struct scratch *scratch, size_t head, size_t first_row,
                   size_t first_query, size_t rows, size_t keys, size_t packed_keys)
{
    const clipc_kernels *kernels = attention->kernels;
    const size_t columns = kernels->tile_columns;
    const size_t depth = clipc_blocks(attention->head_width);
    const size_t score_stride = clipc_padded_columns(keys);
    const size_t key_blocks = clipc_blocks(keys);
    float weight_sums[CLIPC_TILE_ROWS_MAX];
    pack_queries(attention, attention->queries + first_row * attention->query_stride + head * attention->head_width,
                 rows, scratch->queries);
    for (size_t first = 0; first < keys; first += columns)
        kernels->gemm_tile(rows, depth, scratch->queries, scratch->keys + first * depth * CLIPC_BLOCK,
                           scratch->scores + first, score_stride);
    for (size_t i = 0; i < rows; i++)
        weight_sums[i] = kernels->softmax(scratch->scores + i * score_stride,
                                          attention->causal && !attention->pooled ? first_query + i + 1 : keys,
                                          key_blocks, scratch->weights + i * CLIPC_BLOCK, rows * CLIPC_BLOCK);
    const size_t sum_stride = clipc_padded_columns(attention->head_width);
    const size_t panel = clipc_blocks(packed_keys) * CLIPC_BLOCK * columns;
    for (size_t first = 0; first < attention->head_width; first += columns)
        kernels->gemm_tile(rows, key_blocks, scratch->weights, scratch->values + first / columns * panel,
                           scratch->sums + first, sum_stride);
    for (size_t i = 0; i < rows; i++)
        write_row(attention, first_row + i, head, scratch->sums + i * sum_stride, 1.0f / weight_sums[i]);
}

struct job {
    const clipc_attention *attention;
    clipc_attention_split split;
};

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
    const size_t source = begin * attention->key_stride + piece.head * attention->head_width;
    pack_keys(attention, attention->keys + source, piece.keys, scratch.keys);
    pack_values(attention, attention->values + source, piece.keys, scratch.values);
    for (size_t tile = piece.first_tile; tile < piece.end_tile; tile++) {
        const size_t first = clipc_row_tiles_begin(piece.tiles, tile);
        const size_t end = clipc_row_tiles_begin(piece.tiles, tile + 1);
        attend(attention, &scratch, piece.head, attention->pooled ? piece.item : begin + first, first, end - first,
               job->split.causal ? end : tokens, piece.keys);
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
    struct job job = {.attention = attention,
                      .split = clipc_attention_split_make(attention->items, attention->heads, attention->offsets,
                                                          attention->kernels->tile_rows, attention->causal,
                                                          attention->pooled, clipc_thread_pool_threads(pool))};
    clipc_thread_pool_run(pool, run_pieces, &job, clipc_attention_pieces(&job.split), 1);
}
