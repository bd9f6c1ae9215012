#include "bench_loop.h"

#include "message.h"
#include "progress.h"
#include "real_number.h"
#include "session.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define LEAST_ITERATIONS 10
#define LEAST_SECONDS    3.0
#define LONGEST_SECONDS  86400.0
#define MOST_PARTS       1000

double bench_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

bench_limits bench_limits_of(const tool_settings *settings)
{
    bench_limits limits = {LEAST_ITERATIONS, LEAST_SECONDS};
    const char *duration = settings->bench.duration;
    if (settings->iterations)
        limits = (bench_limits){(size_t)settings->iterations, 0};
    if (duration)
        limits.seconds = real_number("duration", duration, 0, LONGEST_SECONDS);
    if (duration && !settings->iterations)
        limits.iterations = 1;
    return limits;
}

size_t bench_warm_up(const bench_work *work, const tool_settings *settings)
{
    const double seconds = 1e-3 * (double)settings->bench.warm_up;
    const double start = bench_now();
    size_t done = 0;
    bench_caller caller;
    bench_caller_create(&caller, work);
    while (bench_now() - start < seconds) {
        bench_prepare(&caller, done);
        bench_encode(&caller, done++);
    }
    bench_caller_destroy(&caller);
    return done;
}

/* ---- the timed loop ---- */

typedef struct bench_loop {
    const bench_work *work;
    bench_limits limits;
    struct timespec rest;
    bool rests;
    double start;
    atomic_size_t next;
    pthread_mutex_t lock; /* guards what follows */
    bench_timing *timing;
    size_t capacity;
} bench_loop;

typedef struct bench_thread {
    bench_loop *loop;
    size_t number;
    bench_caller caller;
    pthread_t thread;
} bench_thread;

static void add_sample(bench_loop *loop, bench_sample sample)
{
    pthread_mutex_lock(&loop->lock);
    bench_timing *timing = loop->timing;
    if (timing->count == loop->capacity) {
        loop->capacity = loop->capacity ? 2 * loop->capacity : 1024;
        timing->samples = reallocate(timing->samples, loop->capacity, sizeof *timing->samples);
    }
    timing->samples[timing->count++] = sample;
    pthread_mutex_unlock(&loop->lock);
}

static bool is_over(const bench_loop *loop, size_t iteration)
{
    return iteration >= loop->limits.iterations && bench_now() - loop->start >= loop->limits.seconds;
}

static void *iterate(void *context)
{
    bench_thread *self = context;
    bench_loop *loop = self->loop;
    for (size_t i = 0; !is_over(loop, i = atomic_fetch_add(&loop->next, 1));) {
        const double start = bench_now();
        bench_prepare(&self->caller, i);
        const double prepared = bench_prepares(loop->work) ? bench_now() : start;
        bench_encode(&self->caller, i);
        const double end = bench_now();
        add_sample(loop, (bench_sample){start - loop->start, prepared - start, end - prepared, self->number});
        if (self->number == 0)
            progress_update(i + 1);
        if (loop->rests)
            nanosleep(&loop->rest, NULL);
    }
    return NULL;
}

static int compare_starts(const void *a, const void *b)
{
    const bench_sample *left = a;
    const bench_sample *right = b;
    return left->start < right->start ? -1 : left->start > right->start;
}

static double last_end(const bench_timing *timing)
{
    double last = 0;
    for (size_t i = 0; i < timing->count; i++) {
        const double end = timing->samples[i].start + timing->samples[i].prepare + timing->samples[i].encode;
        last = end > last ? end : last;
    }
    return last;
}

static void run_threads(bench_loop *loop, bench_thread *threads, size_t count)
{
    loop->start = bench_now();
    for (size_t i = 1; i < count; i++)
        if (pthread_create(&threads[i].thread, NULL, iterate, &threads[i]) != 0)
            quit(STATUS_SYSTEM, "bench: cannot start caller %zu of %zu", i + 1, count);
    iterate(&threads[0]); /* on the main thread, which draws the progress bar */
    for (size_t i = 1; i < count; i++)
        pthread_join(threads[i].thread, NULL);
}

void bench_time(bench_timing *timing, const bench_work *work, const tool_settings *settings, bench_limits limits)
{
    const uint64_t milliseconds = settings->bench.idle_time;
    const size_t callers = settings->bench.callers ? (size_t)settings->bench.callers : 1;
    bench_loop loop = {
        .work = work,
        .limits = limits,
        .rest = {.tv_sec = (time_t)(milliseconds / 1000), .tv_nsec = (long)(milliseconds % 1000) * 1000000L},
        .rests = milliseconds != 0,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .timing = timing,
    };
    bench_thread *threads = allocate(callers, sizeof *threads);
    for (size_t i = 0; i < callers; i++) {
        threads[i] = (bench_thread){.loop = &loop, .number = i};
        bench_caller_create(&threads[i].caller, work);
    }
    progress_start("iterations", NULL, limits.seconds > 0 ? 0 : limits.iterations, false);
    run_threads(&loop, threads, callers);
    progress_finish();
    for (size_t i = 0; i < callers; i++)
        bench_caller_destroy(&threads[i].caller);
    free(threads);
    qsort(timing->samples, timing->count, sizeof *timing->samples, compare_starts);
    timing->seconds = last_end(timing);
}

void bench_timing_free(bench_timing *timing)
{
    free(timing->samples);
    *timing = (bench_timing){0};
}

/* ---- parts ---- */

static clipc_call_parts parts_of(const bench_work *work)
{
    clipc_call_parts parts = {.size = sizeof parts};
    clipc_error error = {0};
    if (clipc_engine_get_parts(work->engine, &parts, &error) != CLIPC_OK)
        quit_failed(&error);
    return parts;
}

void bench_time_parts(bench_parts *parts, const bench_work *work, size_t iterations)
{
    bench_caller caller;
    *parts = (bench_parts){.count = iterations < MOST_PARTS ? iterations : MOST_PARTS};
    parts->samples = allocate(parts->count, sizeof *parts->samples);
    bench_caller_create(&caller, work);
    clipc_call_parts before = parts_of(work);
    const uint64_t passes = before.passes;
    for (size_t i = 0; i < parts->count; i++) {
        bench_prepare(&caller, i);
        const double start = bench_now();
        bench_encode(&caller, i);
        const double end = bench_now();
        const clipc_call_parts after = parts_of(work);
        parts->samples[i] = (bench_part_sample){
            .encode = end - start,
            .host_to_device = after.host_to_device - before.host_to_device,
            .compute = after.compute - before.compute,
            .device_to_host = after.device_to_host - before.device_to_host,
            .enqueue = after.enqueue - before.enqueue,
        };
        before = after;
    }
    if (parts->count)
        parts->passes = (double)(before.passes - passes) / (double)parts->count;
    bench_caller_destroy(&caller);
}

void bench_parts_free(bench_parts *parts)
{
    free(parts->samples);
    *parts = (bench_parts){0};
}
