/* A tower's weights as the kernels read them: matrices with the LayerNorm before them folded in, in one block of
 * device memory. */
#ifndef CLIPC_BACKEND_CUDA_WEIGHTS_H
#define CLIPC_BACKEND_CUDA_WEIGHTS_H

#include "backend/cuda/gemm_select.h"
#include "model/model.h"

/* [columns, depth] of `type` and [columns, 2] floats: bias and the sum of the row, or for bytes what a step is worth
 * (gemm.h). Device pointers. */
typedef struct clipc_cuda_matrix {
    void *weight;
    float *terms;
    clipc_cuda_type type;
    int32_t columns;
    int32_t depth;
    float output_scale; /* e4m3, before an activation: what its result is multiplied by (gemm.h) */
} clipc_cuda_matrix;

typedef struct clipc_cuda_layer {
    clipc_cuda_matrix qkv; /* [3 × heads × head_stride, stride], queries scaled */
    clipc_cuda_matrix out;
    clipc_cuda_matrix fc1;
    clipc_cuda_matrix fc2;
} clipc_cuda_layer;

typedef struct clipc_cuda_tower {
    clipc_cuda_type operand; /* of the products within layers */
    int32_t width;
    int32_t stride;        /* width rounded up to 8: halves from row to row */
    int32_t normal_stride; /* of rows that a LayerNorm made bytes of: width rounded up to 16 */
    float normal_scale;    /* e4m3: what those rows are multiplied by */
    int32_t heads;
    int32_t head_stride; /* width / heads rounded up to 16; the padding is zero */
    int32_t inner;       /* heads × head_stride */
    int32_t mlp_stride;
    int32_t layer_count;
    int32_t activation; /* clipc_cuda_activation */
    float epsilon;
    clipc_cuda_layer *layers;
    clipc_cuda_matrix projection; /* no weight: what pooling makes is the embedding */
    void *position;               /* [tokens, stride] */
    /* image */
    clipc_cuda_matrix patch;
    bool pools_by_attention;
    clipc_cuda_layer pooling; /* halves; its queries have no weights: the bias is the projected probe */
    void *zero_row;           /* [stride], of pooling */
    float *class_row;         /* fp32 [width]: class embedding + position 0; NULL: none, and no norm_pre */
    float *norm_pre_weight;
    float *norm_pre_bias;
    /* text */
    void *embedding; /* [vocabulary, stride] */
    void *memory;    /* all of the above */
    size_t bytes;
} clipc_cuda_tower;

/* `type`: what rows are kept in; `operand`: what the products within layers multiply, the same or bytes. */
clipc_status clipc_cuda_tower_pack(const clipc_model *model, bool image, clipc_cuda_type type, clipc_cuda_type operand,
                                   clipc_cuda_tower *out, clipc_error *error);
void clipc_cuda_tower_free(clipc_cuda_tower *tower);

#endif
