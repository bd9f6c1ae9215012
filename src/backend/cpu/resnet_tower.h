/* The image tower of a ResNet CLIP with its weights in the layout the kernels read, and its run over images. */
#ifndef CLIPC_BACKEND_CPU_RESNET_TOWER_H
#define CLIPC_BACKEND_CPU_RESNET_TOWER_H

#include "backend/backend.h"
#include "backend/cpu/arena.h"
#include "backend/cpu/steps.h"
#include "model/resnet.h"

typedef struct clipc_cpu_convolution {
    clipc_convolution shape;
    clipc_packed_weights weights; /* folded with the BatchNorm that follows */
} clipc_cpu_convolution;

typedef struct clipc_cpu_resnet {
    const clipc_kernels *kernels;
    clipc_dtype dtype; /* of all maps and weights: F32 or BF16 */
    size_t image_size;
    size_t width; /* of attention pooling, as the three that follow */
    size_t padded_width;
    size_t heads;
    size_t tokens;
    size_t embedding_dimension;
    clipc_cpu_convolution *convolutions; /* in the order of model/resnet.h */
    size_t count;
    float *positions; /* [tokens, padded_width] */
    clipc_packed_weights query;
    clipc_packed_weights key_value; /* two parts of padded width outputs */
    clipc_packed_weights keys;      /* transposed: pooled_attention.h; no panels: it is not used */
    clipc_packed_weights projection;
    void *weights; /* what all of the above points into, but for packed weights of an engine file */
    size_t weight_bytes;
    size_t repacked; /* layers that an engine file has in another layout */
} clipc_cpu_resnet;

/* Packs the tower of a model in fp32 or bf16, all of it: a layer that `keep_precise` (model/keep_precise.h; may be
 * NULL) names is refused. `kernels` and the model must outlive it. */
clipc_status clipc_cpu_resnet_create(const clipc_model *model, const clipc_kernels *kernels, clipc_precision precision,
                                     const char *keep_precise, clipc_thread_pool *pool, clipc_cpu_resnet *resnet,
                                     clipc_error *error);
/* Packs its linear layers, one at a time, and hands each on. */
clipc_status clipc_cpu_resnet_pack(const clipc_model *model, const clipc_kernels *kernels, clipc_precision precision,
                                   const char *keep_precise, clipc_thread_pool *pool, clipc_packed_function function,
                                   void *context, clipc_error *error);
/* Frees and zeroes; a zeroed one is allowed. */
void clipc_cpu_resnet_destroy(clipc_cpu_resnet *resnet);

/* What one micro-batch needs, planned once. Maps are those of convolution.h. */
typedef struct clipc_cpu_resnet_workspace {
    size_t item_capacity;
    uint32_t *streams[2]; /* what passes from block to block */
    uint32_t *inner[2];   /* what passes within a block, and the stem's first maps */
    size_t *offsets;      /* [items + 1] */
    uint32_t *tokens;     /* [items × tokens, padded width]: packed, or with resnet->keys row by row */
    uint32_t *first;      /* packed [items, padded width]: the mean's token, then what attention makes of it */
    uint32_t *query;      /* [items][length], with resnet->keys packed */
    uint32_t *key_value;  /* [items × tokens][2 × length]; with resnet->keys instead: */
    uint32_t *by_keys;    /* [items, heads, width]: u of pooled_attention.h */
    uint32_t *sums;       /* the same size, a packed matrix for each head: its result */
    float *embeddings;    /* [items, padded embedding dimension] */
    float *rows;          /* [threads, padded width] */
    uint32_t *scratch;    /* [threads][scratch_stride], of convolutions */
    size_t scratch_stride;
    float *attention; /* [threads][attention_stride] */
    size_t attention_stride;
    clipc_cpu_steps *steps; /* where steps are recorded; NULL while nobody asks */
} clipc_cpu_resnet_workspace;

/* Takes a workspace from the arena, for micro-batches of at most max_batch items that fit in `budget` bytes (one item
 * always does). */
void clipc_cpu_resnet_plan(const clipc_cpu_resnet *resnet, size_t max_batch, size_t threads, size_t budget,
                           clipc_arena *arena, clipc_cpu_resnet_workspace *workspace);

/* pixels [count, 3, image_size, image_size] → raw projections [count, D]. */
void clipc_cpu_resnet_encode(const clipc_cpu_resnet *resnet, const clipc_cpu_resnet_workspace *workspace,
                             clipc_thread_pool *pool, const float *pixels, size_t count, float *embeddings);

#endif
