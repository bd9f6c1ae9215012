/* How activations lie in memory when a GEMM reads them.
 *
 * The rows of a matrix are dealt to tiles of nearly equal height, at most what the kernels hold in registers. Within a
 * tile the columns come in blocks of one cache line (16 units of 32 bits), and the lines of the tile's rows lie side
 * by side:  [tile][block][row of the tile][16].  So a kernel walks memory straight ahead with one pointer, a producer
 * writes whole lines, and neither transposes. The row-major layout is the same thing with other strides: line j of a
 * row is at row × row_stride + j × block_stride, with row_stride = 16 and block_stride = 16 × height when packed, and
 * row_stride = the row's length and block_stride = 16 when row-major.
 */
#ifndef CLIPC_BACKEND_CPU_PACKED_ROWS_H
#define CLIPC_BACKEND_CPU_PACKED_ROWS_H

#include "base/checked.h"

/* Units in a block. */
#define CLIPC_BLOCK ((size_t)16)

/* Rows of every buffer are padded to this many units with zeros: the widest panel of any kernel. */
#define CLIPC_ROW_PADDING ((size_t)32)

typedef struct clipc_row_tiles {
    size_t rows;
    size_t tiles;
} clipc_row_tiles;

static inline clipc_row_tiles clipc_row_tiles_make(size_t rows, size_t tallest)
{
    return (clipc_row_tiles){rows, (rows + tallest - 1) / tallest};
}

/* The first row of a tile; the row after the last for tile == tiles. */
static inline size_t clipc_row_tiles_begin(clipc_row_tiles partition, size_t tile)
{
    const size_t short_height = partition.rows / partition.tiles;
    const size_t tall = partition.rows % partition.tiles;
    return tile * short_height + clipc_min(tile, tall);
}

/* The tile that holds a row. */
static inline size_t clipc_row_tiles_find(clipc_row_tiles partition, size_t row)
{
    const size_t short_height = partition.rows / partition.tiles;
    const size_t tall = partition.rows % partition.tiles;
    const size_t in_tall = tall * (short_height + 1);
    return row < in_tall ? row / (short_height + 1) : tall + (row - in_tall) / short_height;
}

/* Where a row begins in a packed matrix of `blocks` blocks a row, and how far apart its blocks are. */
typedef struct clipc_packed_row {
    size_t offset;
    size_t block_stride;
} clipc_packed_row;

static inline clipc_packed_row clipc_packed_row_at(clipc_row_tiles partition, size_t blocks, size_t row)
{
    const size_t tile = clipc_row_tiles_find(partition, row);
    const size_t begin = clipc_row_tiles_begin(partition, tile);
    const size_t height = clipc_row_tiles_begin(partition, tile + 1) - begin;
    return (clipc_packed_row){(begin * blocks + (row - begin)) * CLIPC_BLOCK, height * CLIPC_BLOCK};
}

/* `count` columns padded to whole rows of buffers, and to whole blocks. */
static inline size_t clipc_padded_columns(size_t count)
{
    return clipc_round_up(count, CLIPC_ROW_PADDING);
}

static inline size_t clipc_blocks(size_t count)
{
    return (count + CLIPC_BLOCK - 1) / CLIPC_BLOCK;
}

/* Blocks of `count` columns when a unit holds `depth` of them. */
static inline size_t clipc_deep_blocks(size_t count, size_t depth)
{
    return clipc_blocks((count + depth - 1) / depth);
}

#endif
