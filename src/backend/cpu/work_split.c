#include "backend/cpu/work_split.h"

/* Pieces a thread should get at least, so that a slow one does not keep the others waiting. */
#define GEMM_PIECES_PER_THREAD      6
#define ATTENTION_PIECES_PER_THREAD 4
#define ROW_PIECES_PER_THREAD       4
#define ATTENTION_GRAINS_PER_THREAD 8

/* Rows that are worth a piece of their own. */
#define ROW_GRAIN_MAX 8

/* Pieces of attention that a thread takes at a time, at most. */
#define ATTENTION_GRAIN_MAX 4

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* The time until all pieces are done, at most: rounds of the threads times the costliest piece. */
static size_t time_bound(clipc_row_tiles tiles, size_t panels, size_t groups, size_t threads)
{
    const size_t rows = clipc_min(divide_up(tiles.tiles, groups) * divide_up(tiles.rows, tiles.tiles), tiles.rows);
    return divide_up(groups * panels, threads) * (rows + CLIPC_PANEL_COST);
}

clipc_gemm_split clipc_gemm_split_make(clipc_row_tiles tiles, size_t panels, size_t tile_bytes, size_t piece_bytes,
                                       size_t threads)
{
    const size_t tiles_in_budget = clipc_max((piece_bytes ? piece_bytes : CLIPC_PIECE_BYTES) / tile_bytes, 1);
    const size_t for_cache = divide_up(tiles.tiles, tiles_in_budget);
    const size_t for_threads = GEMM_PIECES_PER_THREAD * threads / panels + 1;
    const size_t fewest = clipc_min(clipc_max(for_cache, for_threads), tiles.tiles);
    clipc_gemm_split split = {tiles, panels, fewest};
    /* More groups where they come out more even. */
    const size_t most = clipc_min(tiles.tiles, 3 * fewest);
    for (size_t groups = fewest + 1; groups <= most; groups++)
        if (time_bound(tiles, panels, groups, threads) < time_bound(tiles, panels, split.groups, threads))
            split.groups = groups;
    return split;
}

clipc_gemm_piece clipc_gemm_piece_at(const clipc_gemm_split *split, size_t piece)
{
    const size_t group = piece / split->panels;
    return (clipc_gemm_piece){.panel = piece % split->panels,
                              .first_tile = split->tiles.tiles * group / split->groups,
                              .end_tile = split->tiles.tiles * (group + 1) / split->groups};
}

size_t clipc_gemm_piece_cost(const clipc_gemm_split *split, size_t piece)
{
    const clipc_gemm_piece it = clipc_gemm_piece_at(split, piece);
    return clipc_row_tiles_begin(split->tiles, it.end_tile) - clipc_row_tiles_begin(split->tiles, it.first_tile) +
           CLIPC_PANEL_COST;
}

clipc_row_tiles clipc_row_tiles_for_threads(size_t rows, size_t tallest, size_t panels, size_t threads)
{
    clipc_row_tiles best = clipc_row_tiles_make(rows, tallest);
    if (best.tiles * panels >= GEMM_PIECES_PER_THREAD * threads)
        return best;
    for (size_t height = tallest - 1; height > 0; height--) {
        const clipc_row_tiles tiles = clipc_row_tiles_make(rows, height);
        if (time_bound(tiles, panels, tiles.tiles, threads) < time_bound(best, panels, best.tiles, threads))
            best = tiles;
    }
    return best;
}

size_t clipc_row_grain(size_t rows, size_t threads)
{
    return clipc_max(1, clipc_min(rows / (ROW_PIECES_PER_THREAD * threads), ROW_GRAIN_MAX));
}

size_t clipc_attention_grain(size_t pieces, size_t threads)
{
    return clipc_max(1, clipc_min(pieces / (ATTENTION_GRAINS_PER_THREAD * threads), ATTENTION_GRAIN_MAX));
}

clipc_attention_split clipc_attention_split_make(size_t items, size_t heads, const size_t *offsets, size_t tile_rows,
                                                 bool causal, bool pooled, size_t threads)
{
    const size_t wanted = ATTENTION_PIECES_PER_THREAD * threads;
    size_t most_tiles = 1;
    for (size_t item = 0; item < items && !pooled; item++)
        most_tiles = clipc_max(most_tiles, divide_up(offsets[item + 1] - offsets[item], tile_rows));
    return (clipc_attention_split){.items = items,
                                   .heads = heads,
                                   .cuts = clipc_min(wanted / (items * heads) + 1, most_tiles),
                                   .offsets = offsets,
                                   .tile_rows = tile_rows,
                                   .causal = causal && !pooled,
                                   .pooled = pooled};
}

clipc_attention_piece clipc_attention_piece_at(const clipc_attention_split *split, size_t piece)
{
    clipc_attention_piece it;
    const size_t cut = piece % split->cuts;
    it.head = piece / split->cuts % split->heads;
    it.item = piece / split->cuts / split->heads;
    const size_t tokens = split->offsets[it.item + 1] - split->offsets[it.item];
    it.tiles = clipc_row_tiles_make(split->pooled ? 1 : tokens, split->tile_rows);
    it.first_tile = it.tiles.tiles * cut / split->cuts;
    it.end_tile = it.tiles.tiles * (cut + 1) / split->cuts;
    it.keys = split->causal ? clipc_row_tiles_begin(it.tiles, it.end_tile) : tokens;
    return it;
}

size_t clipc_attention_piece_cost(const clipc_attention_split *split, size_t piece)
{
    const clipc_attention_piece it = clipc_attention_piece_at(split, piece);
    if (it.first_tile == it.end_tile)
        return 0;
    size_t cost = CLIPC_PANEL_COST * it.keys;
    for (size_t tile = it.first_tile; tile < it.end_tile; tile++) {
        const size_t begin = clipc_row_tiles_begin(it.tiles, tile);
        const size_t end = clipc_row_tiles_begin(it.tiles, tile + 1);
        cost += (end - begin) * (split->causal ? end : it.keys);
    }
    return cost;
}
