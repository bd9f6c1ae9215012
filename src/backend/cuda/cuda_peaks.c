#include "backend/cuda/cuda_peaks.h"

#include "backend/cuda/cuda_status.h"
#include "backend/cuda/peaks.h"
#include "backend/cuda/try.h"
#include "base/checked.h"
#include "base/memory.h"

#include <math.h>

/* The first rounds also load the kernels and bring the clocks up. */
#define ROUNDS       10
#define REPEATS      2048 /* milliseconds of products */
#define READ_BYTES   ((size_t)512 << 20)
#define LEAST_BYTES  ((size_t)128 << 20) /* beyond the second-level cache of any device there is */
#define STARTS       64
#define START_ROUNDS 8

/* What the measurements share. */
struct measurement {
    clipc_gemm_device device;
    cudaStream_t stream;
    cudaEvent_t begin;
    cudaEvent_t events[STARTS];
    float *sums;      /* device memory, [multiprocessors] */
    float *host_sums; /* likewise */
};

static void destroy(struct measurement *with)
{
    if (with->begin)
        (void)cudaEventDestroy(with->begin);
    for (int i = 0; i < STARTS; i++)
        if (with->events[i])
            (void)cudaEventDestroy(with->events[i]);
    if (with->sums)
        (void)cudaFree(with->sums);
    clipc_free(with->host_sums);
}

static clipc_status make(struct measurement *with, clipc_error *error)
{
    const size_t count = (size_t)with->device.multiprocessors;
    with->host_sums = clipc_allocate(count, sizeof *with->host_sums);
    if (!with->host_sums)
        return clipc_fail_memory(error, count * sizeof *with->host_sums, "measuring peaks");
    CLIPC_TRY(clipc_cuda_allocate(count * sizeof *with->sums, "measuring peaks", (void **)&with->sums, error));
    CLIPC_CUDA_TRY(cudaEventCreate(&with->begin), "making an event");
    for (int i = 0; i < STARTS; i++)
        CLIPC_CUDA_TRY(cudaEventCreate(&with->events[i]), "making an event");
    return CLIPC_OK;
}

static cudaError_t seconds_until(const struct measurement *with, cudaEvent_t event, double *seconds)
{
    float milliseconds = 0;
    TRY(cudaEventSynchronize(event));
    TRY(cudaEventElapsedTime(&milliseconds, with->begin, event));
    *seconds = fmax(1e-3 * (double)milliseconds, 1e-9);
    return cudaSuccess;
}

/* ---- arithmetic ---- */

static cudaError_t time_products(const struct measurement *with, clipc_cuda_type type, double *best)
{
    const clipc_cuda_peak peak = {type, with->device.multiprocessors, REPEATS, with->sums};
    for (int round = 0; round < ROUNDS; round++) {
        double operations = 0;
        double seconds = 0;
        TRY(cudaEventRecord(with->begin, with->stream));
        TRY(with->device.architecture == 90 ? clipc_cuda_peak_wgmma(&peak, with->stream, &operations)
                                            : clipc_cuda_peak_mma(&peak, with->stream, &operations));
        TRY(cudaEventRecord(with->events[0], with->stream));
        TRY(seconds_until(with, with->events[0], &seconds));
        *best = fmax(*best, operations / seconds);
    }
    return cudaMemcpy(with->host_sums, with->sums, (size_t)peak.multiprocessors * sizeof *with->sums,
                      cudaMemcpyDeviceToHost);
}

static clipc_status measure_products(const struct measurement *with, clipc_cuda_type type, double *operations,
                                     clipc_error *error)
{
    CLIPC_CUDA_TRY(time_products(with, type, operations), "measuring products");
    for (int32_t i = 0; i < with->device.multiprocessors; i++)
        CLIPC_FAIL_IF(with->host_sums[i] != CLIPC_CUDA_PEAK_SUM(type), error, CLIPC_ERROR_DEVICE,
                      "measuring products: the device adds up %g ones and finds %g", (double)CLIPC_CUDA_PEAK_SUM(type),
                      (double)with->host_sums[i]);
    return CLIPC_OK;
}

/* ---- memory ---- */

static cudaError_t time_reading(const struct measurement *with, const void *memory, size_t bytes, double *best)
{
    for (int round = 0; round < ROUNDS; round++) {
        double seconds = 0;
        TRY(cudaEventRecord(with->begin, with->stream));
        TRY(clipc_cuda_peak_read(memory, bytes, with->device.multiprocessors, with->sums, with->stream));
        TRY(cudaEventRecord(with->events[0], with->stream));
        TRY(seconds_until(with, with->events[0], &seconds));
        *best = fmax(*best, (double)bytes / seconds);
    }
    return cudaSuccess;
}

/* Where too little is free that stays unknown. */
static clipc_status measure_memory(const struct measurement *with, double *best, clipc_error *error)
{
    size_t unused = 0;
    size_t total = 0;
    void *memory = NULL;
    CLIPC_CUDA_TRY(cudaMemGetInfo(&unused, &total), "asking for free memory");
    const size_t bytes = clipc_min(READ_BYTES, unused / 2 / 16 * 16);
    if (bytes < LEAST_BYTES)
        return CLIPC_OK;
    CLIPC_TRY(clipc_cuda_allocate(bytes, "measuring the speed of memory", &memory, error));
    const clipc_status status = clipc_cuda_check(time_reading(with, memory, bytes, best), "reading memory", error);
    (void)cudaFree(memory);
    return status;
}

/* ---- starting ---- */

static cudaError_t measure_start(const struct measurement *with, double *best)
{
    for (int round = 0; round < START_ROUNDS; round++) {
        double seconds = 0;
        TRY(cudaEventRecord(with->begin, with->stream));
        for (int i = 0; i < STARTS; i++) {
            TRY(clipc_cuda_peak_nothing(with->device.multiprocessors, with->stream));
            TRY(cudaEventRecord(with->events[i], with->stream));
        }
        TRY(seconds_until(with, with->events[STARTS - 1], &seconds));
        *best = round == 0 ? seconds / STARTS : fmin(*best, seconds / STARTS);
    }
    return cudaSuccess;
}

clipc_status clipc_cuda_measure_peaks(const clipc_gemm_device *device, cudaStream_t stream, clipc_peaks *peaks,
                                      clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    struct measurement with = {.device = *device, .stream = stream};
    *peaks = (clipc_peaks){.size = peaks->size};
    CLIPC_CHECK(make(&with, error));
    CLIPC_CHECK(measure_products(&with, CLIPC_CUDA_F16, &peaks->fp16_operations, error));
    CLIPC_CHECK(measure_products(&with, CLIPC_CUDA_BF16, &peaks->bf16_operations, error));
    CLIPC_CHECK(measure_products(&with, CLIPC_CUDA_S8, &peaks->int8_operations, error));
    if (device->fp8)
        CLIPC_CHECK(measure_products(&with, CLIPC_CUDA_E4M3, &peaks->fp8_operations, error));
    CLIPC_CHECK(measure_memory(&with, &peaks->all_threads_bytes, error));
    CLIPC_CHECK(clipc_cuda_check(measure_start(&with, &peaks->start_seconds), "starting kernels", error));
fail:
    destroy(&with);
    return status;
}
