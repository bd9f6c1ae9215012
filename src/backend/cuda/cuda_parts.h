/* Where the time of a pass goes, recorded while somebody asks for it: events before and after the copies and the
 * tower. */
#ifndef CLIPC_BACKEND_CUDA_PARTS_H
#define CLIPC_BACKEND_CUDA_PARTS_H

#include "base/error.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>

/* The moments of a pass, in order. */
typedef enum clipc_cuda_moment {
    CLIPC_CUDA_MOMENT_BEGIN,
    CLIPC_CUDA_MOMENT_UPLOADED,
    CLIPC_CUDA_MOMENT_COMPUTED,
    CLIPC_CUDA_MOMENT_DOWNLOADED,
    CLIPC_CUDA_MOMENTS
} clipc_cuda_moment;

typedef struct clipc_cuda_parts clipc_cuda_parts;

/* Starts from zero, making *parts on the current device when it is NULL, or stops; the sums stay then. */
clipc_status clipc_cuda_parts_switch(clipc_cuda_parts **parts, bool on, clipc_error *error);
void clipc_cuda_parts_destroy(clipc_cuda_parts **parts);

/* These do nothing when `parts` is NULL or off. */
/* What was put on the stream so far is what comes before that moment. */
cudaError_t clipc_cuda_parts_mark(clipc_cuda_parts *parts, clipc_cuda_moment moment, cudaStream_t stream);
/* Seconds of CLOCK_MONOTONIC, for clipc_cuda_parts_enqueued; 0 when off. */
double clipc_cuda_parts_clock(const clipc_cuda_parts *parts);
/* The host has started the tower's kernels, which it began to do then. */
void clipc_cuda_parts_enqueued(clipc_cuda_parts *parts, double since);
/* After the pass, when the stream is done. */
cudaError_t clipc_cuda_parts_collect(clipc_cuda_parts *parts);

/* Adds the sums to *to; nothing when `parts` is NULL. */
void clipc_cuda_parts_add(const clipc_cuda_parts *parts, clipc_call_parts *to);

#endif
