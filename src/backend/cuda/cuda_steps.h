/* What each kind of step costs on the device, recorded while somebody asks for it: an event after each launch. Passes
 * are then not graphs, so that launches which are slower than what they start show in the times. */
#ifndef CLIPC_BACKEND_CUDA_STEPS_RECORD_H
#define CLIPC_BACKEND_CUDA_STEPS_RECORD_H

#include "backend/step_target.h"
#include "base/error.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>

/* In the order of the towers. */
typedef enum clipc_cuda_step {
    CLIPC_CUDA_STEP_PATCHES,
    CLIPC_CUDA_STEP_PATCH_EMBEDDING,
    CLIPC_CUDA_STEP_STEM,
    CLIPC_CUDA_STEP_CONVOLUTIONS,
    CLIPC_CUDA_STEP_WINDOWS, /* convolutions of 3 × 3 pixels */
    CLIPC_CUDA_STEP_AVERAGES,
    CLIPC_CUDA_STEP_ROWS, /* class token, positions, first LayerNorm; token embedding */
    CLIPC_CUDA_STEP_STATISTICS,
    CLIPC_CUDA_STEP_QUANTIZATION, /* with the LayerNorm before it */
    CLIPC_CUDA_STEP_QUERY_KEY_VALUE,
    CLIPC_CUDA_STEP_ATTENTION,
    CLIPC_CUDA_STEP_ATTENTION_OUT,
    CLIPC_CUDA_STEP_FC1,
    CLIPC_CUDA_STEP_FC2,
    CLIPC_CUDA_STEP_PROJECTION,
    CLIPC_CUDA_STEP_WHOLE_TOWER, /* where one kernel does all of it */
    CLIPC_CUDA_STEP_KINDS
} clipc_cuda_step;

typedef struct clipc_cuda_steps clipc_cuda_steps;

/* What a launch was, for the step's record. */
typedef struct clipc_cuda_step_work {
    clipc_cuda_step kind;
    clipc_precision precision;
    const char *kernel; /* copied */
    double operations;  /* of its products: two a multiplication and addition; 0: none */
    double bytes;
} clipc_cuda_step_work;

/* Starts from zero, making *steps on the current device when it is NULL, or stops. The target, unless it is NULL, is
 * told of every launch when its pass is collected. */
clipc_status clipc_cuda_steps_switch(clipc_cuda_steps **steps, bool on, const clipc_step_target *target,
                                     clipc_error *error);
void clipc_cuda_steps_destroy(clipc_cuda_steps **steps);
bool clipc_cuda_steps_are_on(const clipc_cuda_steps *steps);

/* These do nothing when `steps` is NULL or off. */
/* Before the first launch of a pass. */
cudaError_t clipc_cuda_steps_begin(clipc_cuda_steps *steps, cudaStream_t stream);
/* What follows is of that tower and layer (−1: of none). */
void clipc_cuda_steps_enter(clipc_cuda_steps *steps, bool image, int layer);
/* After each launch. */
cudaError_t clipc_cuda_steps_mark(clipc_cuda_steps *steps, const clipc_cuda_step_work *work, cudaStream_t stream);
/* After the pass, when the stream is done. */
cudaError_t clipc_cuda_steps_collect(clipc_cuda_steps *steps);

/* The index-th record that has calls; false past the last. */
bool clipc_cuda_steps_get(const clipc_cuda_steps *steps, size_t index, clipc_step_info *info);

#endif
