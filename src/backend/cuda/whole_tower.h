/* A tower of few rows as one launch: every multiprocessor has a block that stays for the whole chain. Between products
 * the rows travel through L2 as matrix fragments, and a reader waits for the data itself: its place holds a pattern
 * that no result has until the result arrives. So there is no barrier over the grid, and the weights of a layer are on
 * their way into shared memory while the layer before it is computed.
 *
 * Which towers fit, and how a product is shared out, is plain arithmetic, the same for host and device. */
#ifndef CLIPC_BACKEND_CUDA_WHOLE_TOWER_H
#define CLIPC_BACKEND_CUDA_WHOLE_TOWER_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#include "backend/cuda/whole_tower_plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The matrices of a layer, in the order of use; after the last layer's come the projection and the patch embedding. */
enum { CLIPC_WHOLE_QKV, CLIPC_WHOLE_OUT, CLIPC_WHOLE_FC1, CLIPC_WHOLE_FC2, CLIPC_WHOLE_MATRICES };

typedef struct clipc_whole_tower {
    const void *maps; /* CUtensorMap [layers × 4 + 2], device memory, boxes as clipc_whole_tower_box says */
    const float *terms[CLIPC_WHOLE_MATRICES]; /* of layer 0 */
    int64_t layer_stride;                     /* floats from a layer's terms to the next one's */
    const float *projection_terms;
    int32_t layers;
    int32_t activation; /* clipc_cuda_activation */
    float epsilon;
    int32_t dimension; /* columns of the projection and of `embeddings` */
    int32_t count;     /* items */
    int32_t rows;      /* of all items */
    int32_t tokens;    /* of an image; 0: texts */
    const void *position;
    /* images */
    const float *pixels;
    int32_t image_size;
    int32_t patch_size;
    const float *class_row;
    const float *norm_pre_weight;
    const float *norm_pre_bias;
    /* texts */
    const int32_t *ids;
    const int32_t *offsets;
    const void *embedding;
    /* Two sets of clipc_whole_tower_exchange_bytes: a launch uses one, all places empty, and empties the other. */
    void *exchange;
    int64_t exchange_bytes; /* of one set */
    int32_t *state;         /* [blocks, 2]: launches so far, tiles of 16 rows that the last one used */
    float *embeddings;
} clipc_whole_tower;

/* Whether this device can have all blocks of the kernel at once, which it must. */
cudaError_t clipc_cuda_whole_tower_fits(const clipc_whole_tower_plan *plan, int *fits);
/* Asynchronous. One launch at a time on the same exchange. */
cudaError_t clipc_cuda_whole_tower_f16(const clipc_whole_tower_plan *plan, const clipc_whole_tower *tower,
                                       cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
