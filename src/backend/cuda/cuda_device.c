#include "backend/cuda/cuda_device.h"

#include "backend/cuda/cuda_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRIVER_VERSION_FILE "/sys/module/nvidia/version"

clipc_status clipc_cuda_device_count(size_t *count, clipc_error *error)
{
    int found = 0;
    *count = 0;
    CLIPC_CUDA_TRY(cudaGetDeviceCount(&found), "looking for devices");
    CLIPC_FAIL_IF(found < 1, error, CLIPC_ERROR_DEVICE, "no NVIDIA device was found");
    *count = (size_t)found;
    return CLIPC_OK;
}

static clipc_status read_attribute(int index, enum cudaDeviceAttr attribute, int *out, clipc_error *error)
{
    return clipc_cuda_check(cudaDeviceGetAttribute(out, attribute, index), "asking the device", error);
}

clipc_status clipc_cuda_device_read(int index, clipc_cuda_device *out, clipc_error *error)
{
    int major = 0;
    int minor = 0;
    int multiprocessors = 0;
    int shared = 0;
    CLIPC_TRY(read_attribute(index, cudaDevAttrComputeCapabilityMajor, &major, error));
    CLIPC_TRY(read_attribute(index, cudaDevAttrComputeCapabilityMinor, &minor, error));
    CLIPC_TRY(read_attribute(index, cudaDevAttrMultiProcessorCount, &multiprocessors, error));
    CLIPC_TRY(read_attribute(index, cudaDevAttrMaxSharedMemoryPerBlockOptin, &shared, error));
    CLIPC_FAIL_IF(major < 8, error, CLIPC_ERROR_DEVICE,
                  "NVIDIA device %d has compute capability %d.%d, and the cuda backend needs 8.0", index, major,
                  minor);
    *out = (clipc_cuda_device){
        .kernels = {.multiprocessors = multiprocessors,
                    .architecture = major * 10 + minor,
                    .fp8 = major * 10 + minor >= 89},
        .shared_limit = shared,
    };
    const char *forced = getenv("CLIPC_CUDA_ARCH");
    if (forced && strcmp(forced, "sm80") == 0)
        out->kernels.architecture = 80;
    else
        CLIPC_FAIL_IF(forced && *forced, error, CLIPC_ERROR_ARGUMENT, "CLIPC_CUDA_ARCH is \"%s\"; it may be \"sm80\"",
                      forced);
    return CLIPC_OK;
}

clipc_status clipc_cuda_precision_check(const clipc_cuda_device *device, clipc_precision precision, clipc_error *error)
{
    CLIPC_FAIL_IF(precision == CLIPC_PRECISION_FP8 && !device->kernels.fp8, error, CLIPC_ERROR_UNSUPPORTED,
                  "fp8 needs an NVIDIA device of compute capability 8.9 or later; this one computes in fp16, bf16 and "
                  "int8");
    return CLIPC_OK;
}

const char *clipc_cuda_kernels_name(const clipc_gemm_device *device)
{
    return device->architecture == 90 ? "sm90" : "sm80";
}

/* The driver's own version, where the system tells it, and the CUDA that it is for. */
static void describe_driver(char *text, size_t size)
{
    char own[32] = "";
    int version = 0;
    FILE *file = fopen(DRIVER_VERSION_FILE, "re");
    if (file) {
        if (!fgets(own, sizeof own, file))
            own[0] = '\0';
        own[strcspn(own, "\r\n")] = '\0';
        fclose(file);
    }
    if (cudaDriverGetVersion(&version) != cudaSuccess)
        (void)cudaGetLastError();
    snprintf(text, size, "%s%sfor CUDA %d.%d", own, own[0] ? ", " : "", version / 1000, version % 1000 / 10);
}

/* Asking makes a context on the device where there was none, and leaves the caller's device as it was. */
static void read_memory(int index, clipc_device_info *info)
{
    int before = 0;
    size_t unused = 0;
    size_t total = 0;
    if (cudaGetDevice(&before) != cudaSuccess || cudaSetDevice(index) != cudaSuccess ||
        cudaMemGetInfo(&unused, &total) != cudaSuccess)
        (void)cudaGetLastError();
    (void)cudaSetDevice(before);
    info->memory_bytes = total;
    info->free_bytes = unused;
}

clipc_status clipc_cuda_device_info(size_t index, clipc_device_info *info, clipc_error *error)
{
    struct cudaDeviceProp properties;
    clipc_cuda_device device = {0};
    clipc_error problem = {0};
    CLIPC_CUDA_TRY(cudaGetDeviceProperties(&properties, (int)index), "asking the device");
    snprintf(info->name, sizeof info->name, "%.127s", properties.name);
    describe_driver(info->driver, sizeof info->driver);
    read_memory((int)index, info);
    if (cudaDeviceGetPCIBusId(info->bus, sizeof info->bus, (int)index) != cudaSuccess) {
        info->bus[0] = '\0';
        (void)cudaGetLastError();
    }
    info->units = (size_t)properties.multiProcessorCount;
    info->isa = "";
    if (clipc_cuda_device_read((int)index, &device, &problem) != CLIPC_OK) {
        snprintf(info->problem, sizeof info->problem, "%.*s", (int)sizeof info->problem - 1, problem.message);
        return CLIPC_OK;
    }
    info->isa = clipc_cuda_kernels_name(&device.kernels);
    info->precision = CLIPC_PRECISION_FP16;
    return CLIPC_OK;
}
