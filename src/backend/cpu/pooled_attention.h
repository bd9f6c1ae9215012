/* The last layer's attention, of which only one row an item is read, without keys and values.
 *
 * A score is q · (Wk x + b): with u = Wkᵀ q it is u · x, and b adds the same to all scores of a row, which softmax
 * does not see. The result is Σ p (Wv x + b) = Wv (Σ p x) + b, as the p sum up to 1. So what is normalised is read as
 * it is, and the two products with the weights are of one row an item and head instead of all rows. Exact but for
 * rounding. */
#ifndef CLIPC_BACKEND_CPU_POOLED_ATTENTION_H
#define CLIPC_BACKEND_CPU_POOLED_ATTENTION_H

#include "backend/cpu/gemm.h"

typedef struct clipc_pooled_attention {
    const clipc_kernels *kernels;
    size_t items;
    const size_t *offsets; /* [items + 1]: rows of each item */
    size_t unseen;         /* how many at the end of an item are not looked at */
    size_t heads;
    size_t width;         /* of a row, a multiple of 32 */
    clipc_dtype dtype;    /* of all rows: F32 or BF16 */
    float scale;          /* of the scores */
    const float *queries; /* u [items][heads][width], as units of 32 bits */
    const float *rows;    /* x [rows][width] */
    uint32_t *out;        /* Σ p x: for each head a packed matrix of one row an item */
    clipc_row_tiles out_tiles;
    float *scratch; /* [threads][scratch_stride] */
    size_t scratch_stride;
} clipc_pooled_attention;

/* Floats of scratch a thread needs for items of at most `tokens` rows; false on overflow. */
bool clipc_pooled_attention_scratch(size_t tokens, size_t heads, size_t width, size_t *floats);

void clipc_pooled_attention_run(clipc_thread_pool *pool, const clipc_pooled_attention *attention);

/* The layout of Wkᵀ, head after head: for each [width outputs, head width]. Heads are whole panels: head_width is a
 * multiple of 32. */
clipc_packed_layout clipc_pooled_keys_layout(const clipc_kernels *kernels, clipc_dtype dtype, size_t heads,
                                             size_t width);
/* Fills those of one head from packed weights of which outputs first_key … first_key + width - 1 are the keys, and of
 * which integers become numbers again. */
void clipc_pooled_keys_fill(const clipc_kernels *kernels, const clipc_packed_weights *from, size_t first_key,
                            size_t heads, size_t head, const clipc_packed_weights *keys);

/* The layout of Wv as bf16, and one panel of it filled from packed integers, bias included. What it multiplies is one
 * sum of rows, whose rounding to bytes no average over rows would make up for. */
clipc_packed_layout clipc_pooled_values_layout(const clipc_kernels *kernels, size_t width);
void clipc_pooled_values_fill(const clipc_kernels *kernels, const clipc_packed_weights *query_key_value, size_t width,
                              size_t panel, const clipc_packed_weights *values);

#endif
