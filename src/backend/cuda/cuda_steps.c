#include "backend/cuda/cuda_steps.h"

#include "backend/cuda/cuda_status.h"
#include "base/memory.h"

#include <stdio.h>
#include <time.h>

/* Of a pass: 48 layers of 7 launches, and some. */
#define MARKS      512
#define PRECISIONS (CLIPC_PRECISION_FP8 + 1)
#define KERNEL     64 /* bytes of a kernel's name */

static const char *const step_names[CLIPC_CUDA_STEP_KINDS] = {
    [CLIPC_CUDA_STEP_PATCHES] = "patches",
    [CLIPC_CUDA_STEP_PATCH_EMBEDDING] = "patch embedding",
    [CLIPC_CUDA_STEP_STEM] = "stem",
    [CLIPC_CUDA_STEP_CONVOLUTIONS] = "convolutions 1 × 1",
    [CLIPC_CUDA_STEP_WINDOWS] = "convolutions 3 × 3",
    [CLIPC_CUDA_STEP_AVERAGES] = "averages",
    [CLIPC_CUDA_STEP_ROWS] = "rows + positions",
    [CLIPC_CUDA_STEP_STATISTICS] = "statistics",
    [CLIPC_CUDA_STEP_QUANTIZATION] = "quantization",
    [CLIPC_CUDA_STEP_QUERY_KEY_VALUE] = "layer norm + query, key, value",
    [CLIPC_CUDA_STEP_ATTENTION] = "attention",
    [CLIPC_CUDA_STEP_ATTENTION_OUT] = "attention output + residual",
    [CLIPC_CUDA_STEP_FC1] = "layer norm + fc1 + activation",
    [CLIPC_CUDA_STEP_FC2] = "fc2 + residual",
    [CLIPC_CUDA_STEP_PROJECTION] = "layer norm + projection",
    [CLIPC_CUDA_STEP_WHOLE_TOWER] = "whole tower",
};

struct record {
    clipc_step_info info; /* calls = 0: never run */
    char kernel[KERNEL];
    double largest; /* operations of the call that `kernel` did */
};

struct mark {
    clipc_cuda_step_work work;
    char kernel[KERNEL];
    bool image;
    int layer;
};

struct clipc_cuda_steps {
    bool on;
    cudaEvent_t begin;
    cudaEvent_t events[MARKS];
    struct mark marks[MARKS];
    size_t used;
    bool image; /* where the marks that follow belong */
    int layer;
    clipc_step_target target;
    struct record records[CLIPC_CUDA_STEP_KINDS][PRECISIONS];
};

void clipc_cuda_steps_destroy(clipc_cuda_steps **steps)
{
    clipc_cuda_steps *old = *steps;
    if (!old)
        return;
    if (old->begin)
        (void)cudaEventDestroy(old->begin);
    for (size_t i = 0; i < MARKS; i++)
        if (old->events[i])
            (void)cudaEventDestroy(old->events[i]);
    clipc_free(old);
    *steps = NULL;
}

static clipc_status make(clipc_cuda_steps **out, clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    clipc_cuda_steps *steps = clipc_allocate(1, sizeof *steps);
    if (!steps)
        return clipc_fail_memory(error, sizeof *steps, "the times of steps");
    CLIPC_CHECK(clipc_cuda_check(cudaEventCreate(&steps->begin), "making an event", error));
    for (size_t i = 0; i < MARKS; i++)
        CLIPC_CHECK(clipc_cuda_check(cudaEventCreate(&steps->events[i]), "making an event", error));
    *out = steps;
    return CLIPC_OK;
fail:
    clipc_cuda_steps_destroy(&steps);
    return status;
}

clipc_status clipc_cuda_steps_switch(clipc_cuda_steps **steps, bool on, const clipc_step_target *target,
                                     clipc_error *error)
{
    if (!*steps && on)
        CLIPC_TRY(make(steps, error));
    if (!*steps)
        return CLIPC_OK;
    (*steps)->on = on;
    (*steps)->used = 0;
    (*steps)->target = target ? *target : (clipc_step_target){0};
    for (size_t i = 0; on && i < (size_t)CLIPC_CUDA_STEP_KINDS * PRECISIONS; i++)
        (*steps)->records[i / PRECISIONS][i % PRECISIONS] = (struct record){0};
    return CLIPC_OK;
}

bool clipc_cuda_steps_are_on(const clipc_cuda_steps *steps)
{
    return steps && steps->on;
}

cudaError_t clipc_cuda_steps_begin(clipc_cuda_steps *steps, cudaStream_t stream)
{
    if (!clipc_cuda_steps_are_on(steps))
        return cudaSuccess;
    steps->used = 0;
    return cudaEventRecord(steps->begin, stream);
}

void clipc_cuda_steps_enter(clipc_cuda_steps *steps, bool image, int layer)
{
    if (!clipc_cuda_steps_are_on(steps))
        return;
    steps->image = image;
    steps->layer = layer;
}

cudaError_t clipc_cuda_steps_mark(clipc_cuda_steps *steps, const clipc_cuda_step_work *work, cudaStream_t stream)
{
    if (!clipc_cuda_steps_are_on(steps) || steps->used == MARKS)
        return cudaSuccess;
    struct mark *mark = &steps->marks[steps->used];
    mark->work = *work;
    mark->image = steps->image;
    mark->layer = steps->layer;
    snprintf(mark->kernel, sizeof mark->kernel, "%s", work->kernel);
    return cudaEventRecord(steps->events[steps->used++], stream);
}

static void add(clipc_cuda_steps *steps, const struct mark *mark, double seconds)
{
    const clipc_cuda_step_work *work = &mark->work;
    struct record *record = &steps->records[work->kind][work->precision];
    if (record->info.calls == 0 || work->operations > record->largest) {
        snprintf(record->kernel, sizeof record->kernel, "%s", mark->kernel);
        record->largest = work->operations;
    }
    record->info.step = step_names[work->kind];
    record->info.kernel = record->kernel;
    record->info.precision = work->precision;
    record->info.calls++;
    record->info.seconds += seconds;
    record->info.operations += work->operations;
    record->info.bytes += work->bytes;
}

static void tell(const clipc_cuda_steps *steps, const struct mark *mark, double begin, double seconds)
{
    if (!steps->target.function)
        return;
    const clipc_step_run run = {.size = sizeof run,
                                .step = step_names[mark->work.kind],
                                .kernel = mark->kernel,
                                .precision = mark->work.precision,
                                .image = mark->image,
                                .layer = mark->layer,
                                .begin = begin,
                                .seconds = seconds,
                                .operations = mark->work.operations,
                                .bytes = mark->work.bytes};
    steps->target.function(steps->target.user, &run);
}

/* When the pass that has just been awaited began, by the host's clock: the device's events know only how long. */
static cudaError_t reckon_begin(const clipc_cuda_steps *steps, double *begin)
{
    float milliseconds = 0;
    struct timespec time;
    if (steps->used) {
        const cudaError_t result = cudaEventElapsedTime(&milliseconds, steps->begin, steps->events[steps->used - 1]);
        if (result != cudaSuccess)
            return result;
    }
    clock_gettime(CLOCK_MONOTONIC, &time);
    *begin = (double)time.tv_sec + 1e-9 * (double)time.tv_nsec - 1e-3 * (double)milliseconds;
    return cudaSuccess;
}

cudaError_t clipc_cuda_steps_collect(clipc_cuda_steps *steps)
{
    if (!clipc_cuda_steps_are_on(steps))
        return cudaSuccess;
    double at = 0;
    const cudaError_t reckoned = reckon_begin(steps, &at);
    if (reckoned != cudaSuccess)
        return reckoned;
    cudaEvent_t before = steps->begin;
    for (size_t i = 0; i < steps->used; i++) {
        float milliseconds = 0;
        const cudaError_t result = cudaEventElapsedTime(&milliseconds, before, steps->events[i]);
        if (result != cudaSuccess)
            return result;
        add(steps, &steps->marks[i], 1e-3 * (double)milliseconds);
        tell(steps, &steps->marks[i], at, 1e-3 * (double)milliseconds);
        at += 1e-3 * (double)milliseconds;
        before = steps->events[i];
    }
    steps->used = 0;
    return cudaSuccess;
}

bool clipc_cuda_steps_get(const clipc_cuda_steps *steps, size_t index, clipc_step_info *info)
{
    for (size_t i = 0; steps && i < (size_t)CLIPC_CUDA_STEP_KINDS * PRECISIONS; i++) {
        const struct record *record = &steps->records[i / PRECISIONS][i % PRECISIONS];
        if (record->info.calls == 0)
            continue;
        if (index == 0) {
            *info = record->info;
            return true;
        }
        index--;
    }
    return false;
}
