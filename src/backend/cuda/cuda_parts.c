#include "backend/cuda/cuda_parts.h"

#include "backend/cuda/cuda_status.h"
#include "base/memory.h"

#include <time.h>

struct clipc_cuda_parts {
    bool on;
    cudaEvent_t events[CLIPC_CUDA_MOMENTS];
    clipc_call_parts sums;
};

void clipc_cuda_parts_destroy(clipc_cuda_parts **parts)
{
    clipc_cuda_parts *old = *parts;
    if (!old)
        return;
    for (size_t i = 0; i < CLIPC_CUDA_MOMENTS; i++)
        if (old->events[i])
            (void)cudaEventDestroy(old->events[i]);
    clipc_free(old);
    *parts = NULL;
}

static clipc_status make(clipc_cuda_parts **out, clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    clipc_cuda_parts *parts = clipc_allocate(1, sizeof *parts);
    if (!parts)
        return clipc_fail_memory(error, sizeof *parts, "the times of parts");
    for (size_t i = 0; i < CLIPC_CUDA_MOMENTS; i++)
        CLIPC_CHECK(clipc_cuda_check(cudaEventCreate(&parts->events[i]), "making an event", error));
    *out = parts;
    return CLIPC_OK;
fail:
    clipc_cuda_parts_destroy(&parts);
    return status;
}

clipc_status clipc_cuda_parts_switch(clipc_cuda_parts **parts, bool on, clipc_error *error)
{
    if (!*parts && on)
        CLIPC_TRY(make(parts, error));
    if (!*parts)
        return CLIPC_OK;
    (*parts)->on = on;
    if (on)
        (*parts)->sums = (clipc_call_parts){0};
    return CLIPC_OK;
}

static bool is_on(const clipc_cuda_parts *parts)
{
    return parts && parts->on;
}

cudaError_t clipc_cuda_parts_mark(clipc_cuda_parts *parts, clipc_cuda_moment moment, cudaStream_t stream)
{
    return is_on(parts) ? cudaEventRecord(parts->events[moment], stream) : cudaSuccess;
}

double clipc_cuda_parts_clock(const clipc_cuda_parts *parts)
{
    struct timespec time;
    if (!is_on(parts))
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void clipc_cuda_parts_enqueued(clipc_cuda_parts *parts, double since)
{
    if (is_on(parts))
        parts->sums.enqueue += clipc_cuda_parts_clock(parts) - since;
}

static cudaError_t seconds_until(const clipc_cuda_parts *parts, clipc_cuda_moment moment, double *sum)
{
    float milliseconds = 0;
    const cudaError_t result = cudaEventElapsedTime(&milliseconds, parts->events[moment - 1], parts->events[moment]);
    if (result == cudaSuccess)
        *sum += 1e-3 * (double)milliseconds;
    return result;
}

cudaError_t clipc_cuda_parts_collect(clipc_cuda_parts *parts)
{
    if (!is_on(parts))
        return cudaSuccess;
    cudaError_t result = seconds_until(parts, CLIPC_CUDA_MOMENT_UPLOADED, &parts->sums.host_to_device);
    if (result == cudaSuccess)
        result = seconds_until(parts, CLIPC_CUDA_MOMENT_COMPUTED, &parts->sums.compute);
    if (result == cudaSuccess)
        result = seconds_until(parts, CLIPC_CUDA_MOMENT_DOWNLOADED, &parts->sums.device_to_host);
    parts->sums.passes += result == cudaSuccess;
    return result;
}

void clipc_cuda_parts_add(const clipc_cuda_parts *parts, clipc_call_parts *to)
{
    if (!parts)
        return;
    to->passes += parts->sums.passes;
    to->host_to_device += parts->sums.host_to_device;
    to->compute += parts->sums.compute;
    to->device_to_host += parts->sums.device_to_host;
    to->enqueue += parts->sums.enqueue;
}
