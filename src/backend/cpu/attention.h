/* Attention of several items and heads at once, one block of queries at a time: no matrix of tokens × tokens is ever
 * stored. */
#ifndef CLIPC_BACKEND_CPU_ATTENTION_H
#define CLIPC_BACKEND_CPU_ATTENTION_H

#include "backend/cpu/gemm.h"

typedef struct clipc_attention {
    const clipc_kernels *kernels;
    size_t items;
    const size_t *offsets; /* [items + 1]: rows of each item */
    size_t heads;
    size_t head_width;
    bool causal;          /* row i sees rows 0 … i of its item */
    bool last_unseen;     /* an item's last row is no key for itself, nor for the pooled query: it has two rows */
    bool pooled;          /* one query an item, at row = item, that sees all of the item's rows */
    clipc_dtype dtype;    /* of queries, keys and values: F32, or BF16 with an even head_width */
    const float *queries; /* as units of 32 bits, one or two values each */
    size_t query_stride;  /* units from row to row */
    const float *keys;
    const float *values;
    size_t key_stride;
    void *out; /* packed rows, one a query, head after head; columns from heads × head_width on are left alone */
    clipc_dtype out_dtype; /* F32 or BF16 */
    size_t out_blocks;
    clipc_row_tiles out_tiles;
    float *scratch; /* [threads][scratch_stride] */
    size_t scratch_stride;
} clipc_attention;

/* Floats of scratch a thread needs for items of at most `tokens` rows; false on overflow. */
bool clipc_attention_scratch(const clipc_kernels *kernels, size_t tokens, size_t head_width, size_t *units);

void clipc_attention_run(clipc_thread_pool *pool, const clipc_attention *attention);

#endif
