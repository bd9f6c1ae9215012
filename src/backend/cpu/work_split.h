/* How the steps of a tower are cut into pieces of work for the thread pool: arithmetic on shapes alone, so that the
 * balance on any number of threads can be computed without running (tests/unit/test_work_split.c).
 *
 * Costs are in rows of a product: one is the time that one row takes with one panel. A piece has a cost beside its
 * rows, for loading the panel: with 32 columns that is 128 bytes for every k, 4 cycles at 32 bytes a cycle from the
 * second-level cache, in which 8 multiply-adds of 16 lanes are done, 4 rows' worth.
 */
#ifndef CLIPC_BACKEND_CPU_WORK_SPLIT_H
#define CLIPC_BACKEND_CPU_WORK_SPLIT_H

#include "backend/cpu/packed_rows.h"

#include <stdbool.h>

#define CLIPC_PANEL_COST ((size_t)4)

/* Bytes of packed rows that one piece of a product goes through for each panel: together with a panel they should stay
 * in a core's second-level cache. */
#define CLIPC_PIECE_BYTES ((size_t)512 << 10)

/* A product's tiles are dealt to groups of nearly equal size; a piece is one panel times one group. */
typedef struct clipc_gemm_split {
    clipc_row_tiles tiles;
    size_t panels;
    size_t groups;
} clipc_gemm_split;

/* `tile_bytes` is what the rows of the tallest tile take, `piece_bytes` what the rows of a piece may take: 0 is
 * CLIPC_PIECE_BYTES. */
clipc_gemm_split clipc_gemm_split_make(clipc_row_tiles tiles, size_t panels, size_t tile_bytes, size_t piece_bytes,
                                       size_t threads);

typedef struct clipc_gemm_piece {
    size_t panel;
    size_t first_tile;
    size_t end_tile;
} clipc_gemm_piece;

static inline size_t clipc_gemm_pieces(const clipc_gemm_split *split)
{
    return split->groups * split->panels;
}

clipc_gemm_piece clipc_gemm_piece_at(const clipc_gemm_split *split, size_t piece);
size_t clipc_gemm_piece_cost(const clipc_gemm_split *split, size_t piece);

/* The tiles that `rows` rows are dealt to before products with `panels` panels: as tall as the kernel's, or shorter
 * where that leaves threads without work. Heights do not change results. */
clipc_row_tiles clipc_row_tiles_for_threads(size_t rows, size_t tallest, size_t panels, size_t threads);

/* Rows a thread takes at a time in the steps that go row by row. */
size_t clipc_row_grain(size_t rows, size_t threads);

/* Attention: a piece is one item and head, or some of its tiles of queries. */
typedef struct clipc_attention_split {
    size_t items;
    size_t heads;
    size_t cuts; /* pieces of an item and head; some are empty when there are fewer tiles */
    const size_t *offsets;
    size_t tile_rows;
    bool causal;
    bool pooled; /* one query an item */
} clipc_attention_split;

clipc_attention_split clipc_attention_split_make(size_t items, size_t heads, const size_t *offsets, size_t tile_rows,
                                                 bool causal, bool pooled, size_t threads);

typedef struct clipc_attention_piece {
    size_t item;
    size_t head;
    clipc_row_tiles tiles; /* of the item's queries */
    size_t first_tile;
    size_t end_tile; /* first_tile: nothing to do */
    size_t keys;     /* packed: all that any of its queries sees */
} clipc_attention_piece;

static inline size_t clipc_attention_pieces(const clipc_attention_split *split)
{
    return split->items * split->heads * split->cuts;
}

clipc_attention_piece clipc_attention_piece_at(const clipc_attention_split *split, size_t piece);

/* Pieces a thread takes at a time: heads that lie side by side. */
size_t clipc_attention_grain(size_t pieces, size_t threads);

/* Queries × keys, and as much as CLIPC_PANEL_COST queries more for packing the keys and values. */
size_t clipc_attention_piece_cost(const clipc_attention_split *split, size_t piece);

#endif
