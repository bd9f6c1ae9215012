/* What a device can do at most. */
#ifndef CLIPC_BACKEND_CUDA_CUDA_PEAKS_H
#define CLIPC_BACKEND_CUDA_CUDA_PEAKS_H

#include "backend/cuda/gemm_select.h"
#include "base/error.h"

#include <cuda_runtime_api.h>

/* Fills all but peaks->size, on the current device: arithmetic of the types that the kernels for it multiply, by the
 * instructions that they do it with; memory as the whole device reads it (one_thread_bytes and fp32_operations stay
 * 0); start_seconds is what a kernel with nothing to do takes from one event to the next, when kernels and events are
 * enqueued one by one, as steps are timed. Each is the best of several rounds; together they take a fifth of a second
 * and half a gigabyte. Less memory serves where less is free; below 128 MiB of it the speed of
 * memory stays 0. */
clipc_status clipc_cuda_measure_peaks(const clipc_gemm_device *device, cudaStream_t stream, clipc_peaks *peaks,
                                      clipc_error *error);

#endif
