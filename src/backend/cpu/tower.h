/* One encoder with its weights in the layout the kernels read. Both of CLIP's towers are this, run over the rows of
 * several items at once: rows X[rows, width] with an offset for each item. */
#ifndef CLIPC_BACKEND_CPU_TOWER_H
#define CLIPC_BACKEND_CPU_TOWER_H

#include "backend/backend.h"
#include "backend/cpu/arena.h"
#include "backend/cpu/gemm.h"

/* [padded width] */
typedef struct clipc_cpu_norm {
    float *weight;
    float *bias;
} clipc_cpu_norm;

typedef struct clipc_cpu_layer {
    clipc_cpu_norm norm1;
    clipc_packed_weights query_key_value; /* three parts of padded width outputs */
    clipc_packed_weights attention_out;
    clipc_cpu_norm norm2;
    clipc_packed_weights fc1;
    clipc_packed_weights fc2;
} clipc_cpu_layer;

typedef struct clipc_cpu_tower {
    clipc_tower_config config;
    const clipc_kernels *kernels;
    clipc_precision precision;
    clipc_dtype layer_dtype;  /* of the inputs and weights of all products but the last, and but for those that
                                 keep_precise names, whose layout tells: F32, BF16 or I8 */
    clipc_dtype dtype;        /* of the last, to the embedding, and of attention: F32 or BF16 */
    const char *keep_precise; /* while the tower is built: model/keep_precise.h */
    size_t tallest_tile;      /* rows, that every product takes: one tiling serves products of several dtypes */
    size_t padded_width;
    size_t most_tokens; /* of one item */
    bool image;         /* pooled at an item's first row, or by attention; a text's last row is pooled */
    bool causal;
    bool last_unseen; /* an item's last row does not see itself: a text's class token */
    clipc_cpu_layer *layers;
    clipc_packed_weights last_keys; /* of the last layer, transposed: pooled_attention.h; no panels: it is not used */
    clipc_packed_weights last_values; /* of such a last layer in int8: in bf16 */
    float *positions; /* [most_tokens, padded_width]; the class embedding and the bias of patches are added */
    clipc_cpu_norm norm_final;
    clipc_packed_weights projection; /* no panels: the pooled row is the embedding */
    size_t embedding_dimension;

    /* image tower */
    clipc_packed_weights patch_embedding; /* zeroed in the text tower */
    size_t class_tokens;                  /* rows before the patches: 1 or 0 */
    clipc_cpu_norm norm_pre;              /* NULLs: none */
    clipc_image_pooling pooling_kind;
    size_t pooled_width; /* of what is pooled: the tower's, but with CLIPC_IMAGE_POOL_QUERY */
    size_t pooling_heads;
    clipc_cpu_layer pooling; /* its query_key_value has keys and values alone, norm1 is not used; of `dtype` */
    float *pooling_query;    /* [padded width] units: the query of all images, in the type that attention takes */
    size_t image_size;
    size_t patch_size;

    /* text tower: rows are read in place, in the file's own type */
    const clipc_tensor *token_embedding;
    const clipc_tensor *class_embedding; /* NULL: none */
    size_t placed_vocabulary;            /* ids are places in one of so many tokens (token_place.h); 0: they are not */

    void *weights; /* what all of the above points into, but for packed weights of an engine file */
    size_t weight_bytes;
    size_t repacked; /* layers that an engine file has in another layout */
} clipc_cpu_tower;

/* Packs one tower of the model; `kernels` and the model must outlive it. `keep_precise` may be NULL; weights of an
 * engine file keep the precision they have there. */
clipc_status clipc_cpu_image_tower_create(const clipc_model *model, const clipc_kernels *kernels,
                                          clipc_precision precision, const char *keep_precise, clipc_thread_pool *pool,
                                          clipc_cpu_tower *tower, clipc_error *error);
clipc_status clipc_cpu_text_tower_create(const clipc_model *model, const clipc_kernels *kernels,
                                         clipc_precision precision, const char *keep_precise, clipc_thread_pool *pool,
                                         clipc_cpu_tower *tower, clipc_error *error);
/* Packs the linear layers of one tower, one at a time, and hands each on. */
clipc_status clipc_cpu_tower_pack(const clipc_model *model, bool image, const clipc_kernels *kernels,
                                  clipc_precision precision, const char *keep_precise, clipc_thread_pool *pool,
                                  clipc_packed_function function, void *context, clipc_error *error);
/* Whether all rows of an image are pooled, by whatever way. */
static inline bool clipc_cpu_tower_pools_rows(const clipc_cpu_tower *tower)
{
    return tower->image && tower->pooling_kind != CLIPC_IMAGE_POOL_CLASS;
}
/* Whether one query attends to them. */
static inline bool clipc_cpu_tower_pools_by_query(const clipc_cpu_tower *tower)
{
    return tower->image &&
           (tower->pooling_kind == CLIPC_IMAGE_POOL_ATTENTION || tower->pooling_kind == CLIPC_IMAGE_POOL_QUERY);
}
/* What keys and values are rounded to for that. */
clipc_dtype clipc_cpu_tower_pooling_dtype(const clipc_cpu_tower *tower);
/* What query, key and value of the tower's layers are rounded to: bf16 where no pair of columns straddles two heads.
 */
clipc_dtype clipc_cpu_tower_attention_dtype(const clipc_cpu_tower *tower);
/* Frees and zeroes; a zeroed tower is allowed. */
void clipc_cpu_tower_destroy(clipc_cpu_tower *tower);

#endif
