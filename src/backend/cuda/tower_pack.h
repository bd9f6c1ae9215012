/* A tower's weights as the kernels read them: matrices with the LayerNorm before them folded in, in one block that
 * lies in device memory, or in an engine file. Plain host code, built and tested with no GPU. */
#ifndef CLIPC_BACKEND_CUDA_TOWER_PACK_H
#define CLIPC_BACKEND_CUDA_TOWER_PACK_H

#include "backend/cuda/gemm_select.h"
#include "model/model.h"
#include "model/resnet.h"

/* Of a block's layout, as engine files have it: raised with every change of what clipc_cuda_tower_pack hands on.
 * unit.test_cuda_tower_pack knows the checksums of this one. */
#define CLIPC_CUDA_LAYOUT 1u

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

/* Values of a window of 3 × 3 pixels of three channels, rounded up to whole pieces of 16 bytes. */
#define CLIPC_CUDA_PIXEL_WINDOW 32

/* Folded with the BatchNorm that follows: the depth is [tap][channels rounded up to 8], of the first convolution
 * [channel][tap], CLIPC_CUDA_PIXEL_WINDOW in all. */
typedef struct clipc_cuda_convolution {
    clipc_convolution shape;
    clipc_cuda_matrix matrix;
} clipc_cuda_convolution;

typedef struct clipc_cuda_tower {
    clipc_cuda_type type;    /* of rows: fp16 or bf16 */
    clipc_cuda_type operand; /* of the products within layers that are not kept more precise */
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
    bool averages;            /* the mean of the patches' rows is what is projected */
    bool averages_normed;     /* of rows that each went through the last LayerNorm */
    clipc_cuda_layer pooling; /* halves; its queries have no weights: the bias is the projected probe */
    void *zero_row;           /* [stride], of pooling */
    float *class_row;         /* fp32 [width]: class embedding + position 0; NULL: none, and no norm_pre */
    float *norm_pre_weight;   /* NULL: none */
    float *norm_pre_bias;
    /* image, a ResNet, which has no layers */
    clipc_cuda_convolution *convolutions;
    int32_t convolution_count;
    clipc_cuda_matrix query;     /* [heads × head_stride, stride], scaled */
    clipc_cuda_matrix key_value; /* [2 × heads × head_stride, stride] */
    /* text */
    void *embedding; /* [vocabulary, stride] */
    int32_t places;  /* ids are places (model/token_place.h) of so many ids; 0: they are ids alone */
    void *memory;    /* all of the above */
    size_t bytes;
    /* what of it is in host memory and not in the block, of each linear layer in the order of model/linear.h */
    size_t linear_count;
    uint8_t *types; /* clipc_cuda_type */
    float *scales;  /* output_scale */
} clipc_cuda_tower;

typedef struct clipc_cuda_packing {
    clipc_cuda_type type;    /* of rows */
    clipc_cuda_type operand; /* of the products within layers: the same, or bytes */
} clipc_cuda_packing;

/* Shapes, and types of matrices; no places yet. To be freed with clipc_cuda_tower_destroy also when it fails. */
clipc_status clipc_cuda_tower_create(const clipc_model *model, bool image, const clipc_cuda_packing *packing,
                                     clipc_cuda_tower *out, clipc_error *error);
/* Frees what is in host memory. */
void clipc_cuda_tower_destroy(clipc_cuda_tower *tower);
/* Before it has places: the layers that a checked list names (model/keep_precise.h) multiply halves. */
void clipc_cuda_tower_keep(const clipc_model *model, bool image, const char *keep_precise, clipc_cuda_tower *tower);
/* Whether types and scales, which came from a file called `name`, are such as an engine has. */
clipc_status clipc_cuda_tower_check(const clipc_cuda_tower *tower, bool image, const char *name, clipc_error *error);
/* Gives everything its place in the block at `memory` (NULL: it is only counted) and sets tower->bytes. */
void clipc_cuda_tower_place(const clipc_model *model, bool image, void *memory, clipc_cuda_tower *tower);

/* Receives the block in order, a part at a time. */
typedef clipc_status (*clipc_cuda_block_function)(void *context, const void *bytes, size_t size, clipc_error *error);
/* Packs the block, whose places are given, and hands it on; settles tower->scales. `once`: the model's weights will
 * not be read again soon. */
clipc_status clipc_cuda_tower_pack(const clipc_model *model, bool image, bool once, clipc_cuda_tower *tower,
                                   clipc_cuda_block_function function, void *context, clipc_error *error);

#endif
