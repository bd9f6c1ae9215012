/* Runs a tower over a micro-batch: as many items as keep the activations in the caches. */
#ifndef CLIPC_BACKEND_CPU_ENCODER_H
#define CLIPC_BACKEND_CPU_ENCODER_H

#include "backend/cpu/steps.h"
#include "backend/cpu/tower.h"

/* Activations of one micro-batch, planned once. Row-major unless said otherwise. */
typedef struct clipc_cpu_workspace {
    size_t row_capacity; /* at least one longest item */
    size_t item_capacity;
    size_t *offsets;    /* [item_capacity + 1] */
    float *rows;        /* X [row_capacity, padded width]: the residual stream */
    float *packed;      /* packed, the same size: a GEMM's input of that width */
    float *wide;        /* query, key and value; or packed: the MLP's inner activations, or the patches */
    size_t wide_length; /* units of one row of it */
    uint32_t
        *halves; /* int8: rows of bf16 on their way to bytes: patches, attention's results, the MLP's inner ones */
    clipc_row_scale *row_scales; /* int8: of the packed rows that the next product reads */
    float *pooled;               /* [item_capacity, padded width]: X of the pooled rows, in the last layer and after */
    float *pooled_packed;        /* packed, the same size */
    float *pooled_query;         /* the same size */
    float *pooled_wide; /* where the tower has last_keys, [item_capacity, heads, width]: u of pooled_attention.h */
    float *pooled_sums; /* the same size, a matrix for each head: its result */
    float *embeddings;  /* [item_capacity, padded embedding dimension] */
    float *scratch;     /* [threads][scratch_stride], of attention */
    size_t scratch_stride;
    clipc_cpu_steps *steps; /* where steps are recorded; NULL while nobody asks */
    clipc_tap_target tap;   /* who is handed what is computed on the way */
} clipc_cpu_workspace;

/* Blocks of rows of `columns` columns in `dtype`. */
static inline size_t clipc_cpu_packed_blocks(size_t columns, clipc_dtype dtype)
{
    return clipc_deep_blocks(clipc_padded_columns(columns), sizeof(float) / clipc_dtype_size(dtype));
}

/* Units of a row of padded width of queries, keys or values. */
static inline size_t clipc_cpu_attention_length(const clipc_cpu_tower *tower)
{
    return tower->padded_width * clipc_dtype_size(clipc_cpu_tower_attention_dtype(tower)) / sizeof(float);
}

/* The same of pooling by a query. */
static inline size_t clipc_cpu_pooling_length(const clipc_cpu_tower *tower)
{
    return clipc_padded_columns(tower->pooled_width) * clipc_dtype_size(clipc_cpu_tower_pooling_dtype(tower)) /
           sizeof(float);
}

/* Activations of a micro-batch: small enough to stay in a share of the last-level cache, large enough that reading the
 * weights from memory once a micro-batch costs little. */
#define CLIPC_ACTIVATION_BUDGET ((size_t)12 << 20)

/* Takes a workspace from the arena, for micro-batches of at most max_batch items that fit in `budget` bytes (one item
 * always does). */
void clipc_cpu_workspace_plan(const clipc_cpu_tower *tower, size_t max_batch, size_t threads, size_t budget,
                              clipc_arena *arena, clipc_cpu_workspace *workspace);

/* pixels [count, 3, image_size, image_size] → raw projections [count, D]. */
void clipc_cpu_encode_images(const clipc_cpu_tower *tower, const clipc_cpu_workspace *workspace,
                             clipc_thread_pool *pool, const float *pixels, size_t count, float *embeddings);
/* Sequences that end with their pooled token → raw projections [count, D]. */
void clipc_cpu_encode_tokens(const clipc_cpu_tower *tower, const clipc_cpu_workspace *workspace,
                             clipc_thread_pool *pool, const int32_t *ids, const size_t *offsets, size_t count,
                             float *embeddings);

#endif
