/* What a micro-batch needs, planned once. */
#include "backend/cpu/attention.h"
#include "backend/cpu/encoder.h"
#include "backend/cpu/pooled_attention.h"

/* Units of a row of the MLP's inner activations: what the widest fc2 reads. */
static size_t inner_units(const clipc_cpu_tower *tower)
{
    size_t blocks = clipc_cpu_packed_blocks(tower->config.mlp_width, tower->layer_dtype);
    for (size_t i = 0; i < tower->config.layers; i++)
        blocks =
            clipc_max(blocks, clipc_cpu_packed_blocks(tower->config.mlp_width, tower->layers[i].fc2.layout.dtype));
    if (tower->pooling.fc2.panels)
        blocks = clipc_max(blocks, clipc_cpu_packed_blocks(tower->config.mlp_width, tower->pooling.fc2.layout.dtype));
    return blocks * CLIPC_BLOCK;
}

/* Units of a row of keys and values of pooling. */
static size_t pooling_units(const clipc_cpu_tower *tower)
{
    return clipc_cpu_tower_pools_by_query(tower) ? 2 * clipc_cpu_pooling_length(tower) : 0;
}

/* The widest head, be it of a layer's or of pooling. */
static size_t widest_head(const clipc_cpu_tower *tower)
{
    const size_t of_layers = tower->config.width / tower->config.heads;
    if (!clipc_cpu_tower_pools_by_query(tower))
        return of_layers;
    return clipc_max(of_layers, tower->pooled_width / tower->pooling_heads);
}

void clipc_cpu_workspace_plan(const clipc_cpu_tower *tower, size_t max_batch, size_t threads, size_t budget,
                              clipc_arena *arena, clipc_cpu_workspace *workspace)
{
    const size_t width = tower->padded_width;
    const size_t attended = clipc_max(3 * clipc_cpu_attention_length(tower), pooling_units(tower));
    const size_t wide =
        clipc_max(clipc_max(attended, inner_units(tower)), tower->patch_embedding.layout.blocks * CLIPC_BLOCK);
    const bool bytes = tower->layer_dtype == CLIPC_DTYPE_I8;
    const size_t halves = bytes ? clipc_max(clipc_max(width, clipc_padded_columns(tower->config.mlp_width)),
                                            clipc_padded_columns(3 * tower->patch_size * tower->patch_size)) /
                                      2
                                : 0;
    const size_t row_bytes = (2 * width + wide + halves) * sizeof(float);
    size_t most_rows = 0;
    if (!clipc_multiply(max_batch, tower->most_tokens, &most_rows))
        most_rows = SIZE_MAX;
    workspace->row_capacity = clipc_min(clipc_max(tower->most_tokens, budget / row_bytes), most_rows);
    workspace->item_capacity = clipc_min(max_batch, workspace->row_capacity);
    const bool by_rows = tower->last_keys.layout.panel_count > 0; /* pooled_attention.h */
    const size_t item_units = by_rows ? tower->config.heads * clipc_cpu_attention_length(tower) : 0;
    if (by_rows)
        workspace->item_capacity =
            clipc_min(workspace->item_capacity, clipc_max(1, budget / (2 * item_units * sizeof(float))));
    workspace->wide_length = wide;
    workspace->steps = NULL;
    workspace->tap = (clipc_tap_target){0};
    const size_t rows = workspace->row_capacity;
    const size_t items = workspace->item_capacity;
    if (!clipc_attention_scratch(tower->kernels, tower->most_tokens, widest_head(tower), &workspace->scratch_stride))
        arena->overflow = true;
    size_t pooled_scratch = 0;
    if (by_rows && !clipc_pooled_attention_scratch(tower->most_tokens, tower->config.heads, width, &pooled_scratch))
        arena->overflow = true;
    workspace->scratch_stride = clipc_max(workspace->scratch_stride, pooled_scratch);
    workspace->offsets = clipc_arena_take(arena, items + 1, 1, sizeof *workspace->offsets);
    workspace->rows = clipc_arena_floats(arena, rows, width);
    workspace->packed = clipc_arena_floats(arena, rows, width);
    workspace->wide = clipc_arena_floats(arena, rows, wide);
    workspace->halves = clipc_arena_take(arena, rows, halves, sizeof *workspace->halves);
    workspace->row_scales = clipc_arena_take(arena, bytes ? rows : 0, 1, sizeof *workspace->row_scales);
    workspace->pooled = clipc_arena_floats(arena, items, width);
    workspace->pooled_packed = clipc_arena_floats(arena, items, width);
    workspace->pooled_query = clipc_arena_floats(arena, items, width);
    workspace->pooled_wide = clipc_arena_floats(arena, items, item_units);
    workspace->pooled_sums = clipc_arena_floats(arena, items, item_units);
    workspace->embeddings = clipc_arena_floats(arena, items, clipc_padded_columns(tower->embedding_dimension));
    workspace->scratch = clipc_arena_floats(arena, threads, workspace->scratch_stride);
}
