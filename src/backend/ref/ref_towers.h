/* Whole towers out of the reference's operations, one item at a time, with the model's weights read where they lie. */
#ifndef CLIPC_BACKEND_REF_TOWERS_H
#define CLIPC_BACKEND_REF_TOWERS_H

#include "backend/tap.h"
#include "model/model.h"

/* Scratch for one item of the larger tower. */
typedef struct clipc_ref_workspace {
    float *rows;       /* [tokens, width]: the residual stream */
    float *normalized; /* [tokens, width] */
    float *query;      /* [tokens, width], as the three that follow */
    float *key;
    float *value;
    float *context;
    float *hidden;  /* [tokens, mlp_width] */
    float *patch;   /* [3, patch_size, patch_size] */
    float *weight;  /* the largest matrix, as fp32 */
    float *bias;    /* the longest vector, as fp32 */
    double *scores; /* [tokens] */
    /* Of a ResNet; else NULL. */
    float *maps[4];     /* each the largest result of a convolution */
    float *pooled;      /* the largest input of one that averages it */
    float *norms;       /* [4][norm_length]: of BatchNorm */
    size_t norm_length; /* channels, at most */
    size_t bytes;
    clipc_tap_target tap;
} clipc_ref_workspace;

clipc_status clipc_ref_workspace_create(const clipc_model *model, bool image_tower, bool text_tower,
                                        clipc_ref_workspace *out, clipc_error *error);
/* Frees the arrays and zeroes *workspace. */
void clipc_ref_workspace_destroy(clipc_ref_workspace *workspace);

/* All write one raw projection [D]. The embedding of a text is its last token's; ids are as backend.h says. */
void clipc_ref_encode_image(const clipc_model *model, clipc_ref_workspace *workspace, const float *pixels,
                            float *embedding);
void clipc_ref_encode_resnet(const clipc_model *model, clipc_ref_workspace *workspace, const float *pixels,
                             float *embedding); /* clipc_ref_encode_image, when the tower is a ResNet */
void clipc_ref_encode_text(const clipc_model *model, clipc_ref_workspace *workspace, const int32_t *ids, size_t tokens,
                           float *embedding);

#endif
