/* Goes through a tower in the order of its block, one matrix or table after the other: what tower_pack.c and
 * tower_pack_resnet.c share. */
#ifndef CLIPC_BACKEND_CUDA_TOWER_PACKER_H
#define CLIPC_BACKEND_CUDA_TOWER_PACKER_H

#include "backend/cuda/tower_pack.h"

/* Without a function it only gives places, with one it fills them. */
typedef struct clipc_tower_packer {
    uint8_t *base; /* where the block will lie */
    size_t used;
    clipc_cuda_block_function function;
    void *context;
    const clipc_model *forget; /* whose weights will not be read again; NULL: they may */
    clipc_status status;
    clipc_error *error;
    clipc_cuda_tower *tower;
    size_t linear;  /* the next, in the order of model/linear.h */
    float *row;     /* scratch: one row of the widest matrix */
    float *folded;  /* scratch: the same as it is packed, padding included */
    float *scratch; /* LayerNorm weights and biases */
    /* of attention pooling: the query of all images as a layer without weights */
    float *query; /* [width], then [width, width] of zeros */
    clipc_tensor query_weight;
    clipc_tensor query_bias;
} clipc_tower_packer;

/* A part of the block: its address goes to *place. Zeros to be filled, or NULL when there is nothing to fill. */
void *clipc_packer_begin_part(clipc_tower_packer *packer, size_t bytes, void **place);
void clipc_packer_end_part(clipc_tower_packer *packer, void *part, size_t bytes);

/* Where matrix rows go and come from when heads are padded: source row r of a head of `head` is packed row
 * r / head × head_stride + r % head. */
typedef struct clipc_head_layout {
    size_t head;
    size_t head_stride;
} clipc_head_layout;

/* One source matrix into `weight` and `terms` from packed row `first` on. norm_weight and norm_bias [in] or NULL: the
 * LayerNorm before it. `columns_layout` pads the input side, `rows_layout` the output side. */
typedef struct clipc_matrix_source {
    const clipc_tensor *weight;
    const clipc_tensor *bias; /* NULL: zero */
    const float *norm_weight;
    const float *norm_bias;
    const clipc_head_layout *rows_layout;
    const clipc_head_layout *columns_layout;
    float scale;
    size_t first;
} clipc_matrix_source;

/* What a matrix is packed as. */
typedef struct clipc_matrix_shape {
    clipc_cuda_type type;
    size_t columns;
    size_t depth;
    /* bytes only */
    size_t value_bytes; /* of a value of the output */
    float input_scale;  /* what the input was multiplied by */
} clipc_matrix_shape;

/* One output's weights, LayerNorm's folded in, into packer->folded; returns its bias. */
double clipc_packer_fold_row(clipc_tower_packer *packer, const clipc_matrix_source *source, size_t r);
/* The next linear layer. */
void clipc_packer_matrix(clipc_tower_packer *packer, const clipc_matrix_source *sources, size_t count,
                         const clipc_matrix_shape *shape, clipc_cuda_matrix *out);
/* A table of rows of `width` values, `stride` apart; returns its place. */
void *clipc_packer_table(clipc_tower_packer *packer, const clipc_tensor *tensor, size_t width, size_t stride);

/* The image tower when it is a ResNet. */
void clipc_packer_resnet(clipc_tower_packer *packer, const clipc_model *model, clipc_cuda_tower *tower);
/* Values of the longest row of any of its convolutions, packed or not. */
size_t clipc_packer_resnet_row(const clipc_cuda_tower *tower);

#endif
