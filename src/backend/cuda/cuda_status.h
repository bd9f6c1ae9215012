/* CUDA's errors as statuses with a sentence. */
#ifndef CLIPC_BACKEND_CUDA_STATUS_H
#define CLIPC_BACKEND_CUDA_STATUS_H

#include "base/error.h"

#include <cuda_runtime_api.h>

/* The status of `result`, with "WHAT: CUDA's words" as its sentence when it is a failure. */
clipc_status clipc_cuda_check(cudaError_t result, const char *what, clipc_error *error);

/* Device memory, zeroed. A failure names the size and what is free. */
clipc_status clipc_cuda_allocate(size_t bytes, const char *what, void **out, clipc_error *error);

#define CLIPC_CUDA_TRY(call, what) CLIPC_TRY(clipc_cuda_check(call, what, error))

#endif
