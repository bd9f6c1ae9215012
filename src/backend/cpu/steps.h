/* What each kind of step of the encoder costs, recorded while somebody asks for it. */
#ifndef CLIPC_BACKEND_CPU_STEPS_H
#define CLIPC_BACKEND_CPU_STEPS_H

#include "backend/cpu/attention.h"
#include "backend/cpu/convolution.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/pooled_attention.h"
#include "backend/step_target.h"

#include "clipc/clipc.h"

/* In the order of the towers. */
typedef enum clipc_cpu_step {
    CLIPC_STEP_PATCHES, /* pixels cut up and packed, positions copied to X */
    CLIPC_STEP_PATCH_EMBEDDING,
    CLIPC_STEP_TOKEN_EMBEDDING,
    CLIPC_STEP_STEM,   /* the convolutions of a ResNet before its stages */
    CLIPC_STEP_STAGES, /* those of 1 × 1 pixels in them */
    CLIPC_STEP_STAGES_SPREAD,
    CLIPC_STEP_LAYER_NORM, /* its result packed for the product that follows */
    CLIPC_STEP_QUERY_KEY_VALUE,
    CLIPC_STEP_QUERY_BY_KEYS,  /* the last layer's queries times the weights of the keys: pooled_attention.h */
    CLIPC_STEP_SUMS_BY_VALUES, /* and the sums of its rows times the weights of the values */
    CLIPC_STEP_ATTENTION,
    CLIPC_STEP_QUANTIZATION, /* of what a product of bytes reads, when LayerNorm did not do it */
    CLIPC_STEP_ATTENTION_OUT,
    CLIPC_STEP_FC1,
    CLIPC_STEP_FC2,
    CLIPC_STEP_POOLING,
    CLIPC_STEP_PROJECTION,
    CLIPC_STEP_KINDS
} clipc_cpu_step;

/* Precisions a step may be computed in: FP32, BF16 and INT8, of which the first two may stand in for INT8. */
#define CLIPC_STEP_PRECISIONS (CLIPC_PRECISION_INT8 + 1)

typedef struct clipc_cpu_steps {
    clipc_step_info records[CLIPC_STEP_KINDS][CLIPC_STEP_PRECISIONS]; /* calls = 0: never run */
    clipc_step_target target;                                         /* told of every run */
    bool image;                                                       /* where the runs that follow belong */
    int layer;                                                        /* −1: outside the layers */
} clipc_cpu_steps;

/* What follows is of that tower and layer (−1: of none). Does nothing when `steps` is NULL. */
void clipc_cpu_steps_enter(clipc_cpu_steps *steps, bool image, int layer);

/* A step about to run. */
typedef struct clipc_cpu_step_start {
    clipc_cpu_steps *steps; /* NULL: nothing is recorded */
    double seconds;
} clipc_cpu_step_start;

clipc_cpu_step_start clipc_cpu_step_begin(clipc_cpu_steps *steps);
/* The step that ran was this product, this convolution, this attention, or work row by row, to rows of `dtype`, by the
 * kernel of that (static) name, which read and wrote so many bytes. */
void clipc_cpu_step_end_gemm(clipc_cpu_step_start start, clipc_cpu_step kind, const clipc_gemm *gemm);
void clipc_cpu_step_end_convolution(clipc_cpu_step_start start, const clipc_convolution_run *run);
void clipc_cpu_step_end_attention(clipc_cpu_step_start start, const clipc_attention *attention);
void clipc_cpu_step_end_pooled_attention(clipc_cpu_step_start start, const clipc_pooled_attention *attention);
void clipc_cpu_step_end(clipc_cpu_step_start start, clipc_cpu_step kind, clipc_dtype dtype, const char *kernel,
                        double bytes);

/* The index-th record that has calls; false past the last. */
bool clipc_cpu_steps_get(const clipc_cpu_steps *steps, size_t index, clipc_step_info *info);

#endif
