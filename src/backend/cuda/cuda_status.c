#include "backend/cuda/cuda_status.h"

/* Version 0 is what the runtime library says where it finds no driver at all. */
static clipc_status fail_of_driver(clipc_error *error)
{
    int version = 0;
    if (cudaDriverGetVersion(&version) != cudaSuccess)
        (void)cudaGetLastError();
    CLIPC_FAIL_IF(version == 0, error, CLIPC_ERROR_DEVICE, "no NVIDIA driver was found");
    return clipc_fail(error, CLIPC_ERROR_DEVICE,
                      "the NVIDIA driver is for CUDA %d.%d, and this program needs one for CUDA %d.%d", version / 1000,
                      version % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
}

clipc_status clipc_cuda_check(cudaError_t result, const char *what, clipc_error *error)
{
    if (result == cudaSuccess)
        return CLIPC_OK;
    (void)cudaGetLastError(); /* a failure that is not sticky must not be reported a second time */
    switch (result) {
    case cudaErrorInsufficientDriver:
    case cudaErrorStubLibrary: return fail_of_driver(error);
    case cudaErrorMemoryAllocation:
        return clipc_fail(error, CLIPC_ERROR_MEMORY, "%s: out of memory on the device, or of memory to pin", what);
    case cudaErrorNoDevice: return clipc_fail(error, CLIPC_ERROR_DEVICE, "no NVIDIA device was found");
    default:
        return clipc_fail(error, CLIPC_ERROR_DEVICE, "%s: %s (%s)", what, cudaGetErrorString(result),
                          cudaGetErrorName(result));
    }
}

clipc_status clipc_cuda_allocate(size_t bytes, const char *what, void **out, clipc_error *error)
{
    *out = NULL;
    const cudaError_t result = cudaMalloc(out, bytes ? bytes : 1);
    if (result == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        size_t unused = 0;
        size_t total = 0;
        if (cudaMemGetInfo(&unused, &total) != cudaSuccess)
            (void)cudaGetLastError();
        return clipc_fail(error, CLIPC_ERROR_MEMORY,
                          "out of device memory: %s needs %zu MiB, and %zu of %zu MiB are free", what, bytes >> 20,
                          unused >> 20, total >> 20);
    }
    CLIPC_CUDA_TRY(result, "cudaMalloc");
    const clipc_status status = clipc_cuda_check(cudaMemset(*out, 0, bytes ? bytes : 1), "cudaMemset", error);
    if (status != CLIPC_OK) {
        cudaFree(*out);
        *out = NULL;
    }
    return status;
}
