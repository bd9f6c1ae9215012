/* What there is to run on. */
#ifndef CLIPC_BACKEND_CUDA_DEVICE_H
#define CLIPC_BACKEND_CUDA_DEVICE_H

#include "backend/backend.h"
#include "backend/cuda/gemm_select.h"

typedef struct clipc_cuda_device {
    clipc_gemm_device kernels; /* what their choice goes by; CLIPC_CUDA_ARCH=sm80 in the environment lowers it */
    int32_t shared_limit;      /* bytes of shared memory that a block may have */
} clipc_cuda_device;

/* Fails when there is no driver, it is too old, or no device: *count is at least 1. */
clipc_status clipc_cuda_device_count(size_t *count, clipc_error *error);
/* Fails when clipc cannot use the device. */
clipc_status clipc_cuda_device_read(int index, clipc_cuda_device *out, clipc_error *error);
/* Whether the device has instructions for it. */
clipc_status clipc_cuda_precision_check(const clipc_cuda_device *device, clipc_precision precision,
                                        clipc_error *error);
/* For clipc_device_get_info. */
clipc_status clipc_cuda_device_info(size_t index, clipc_device_info *info, clipc_error *error);
/* "sm90" or "sm80"; static storage. */
const char *clipc_cuda_kernels_name(const clipc_gemm_device *device);

#endif
