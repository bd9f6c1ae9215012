/* The loops of clipc bench: warming up, timing, and timing the parts of calls. */
#ifndef CLIPC_TOOLS_BENCH_LOOP_H
#define CLIPC_TOOLS_BENCH_LOOP_H

#include "bench_work.h"
#include "options.h"

/* When a timed loop ends: when both are reached. */
typedef struct bench_limits {
    size_t iterations;
    double seconds;
} bench_limits;

/* --iterations and --duration; of one that is given alone the other does not count, and without both it is 10
 * iterations and 3 seconds, as with trtexec. */
bench_limits bench_limits_of(const tool_settings *settings);

/* One iteration, in seconds by CLOCK_MONOTONIC. */
typedef struct bench_sample {
    double start;   /* since the loop began */
    double prepare; /* reading and preprocessing files; 0 without */
    double encode;  /* the encode call */
    size_t caller;
} bench_sample;

typedef struct bench_timing {
    bench_sample *samples; /* in the order of their starts */
    size_t count;
    double seconds;  /* from the first start to the last end */
    size_t warm_ups; /* iterations before */
} bench_timing;

/* At least one iteration and --warm-up milliseconds of them, unless that is 0, by one caller. Returns their number. */
size_t bench_warm_up(const bench_work *work, const tool_settings *settings);
/* --callers threads encode batches side by side, each resting for --idle-time after a batch. */
void bench_time(bench_timing *timing, const bench_work *work, const tool_settings *settings, bench_limits limits);
void bench_timing_free(bench_timing *timing);

/* Where a call's time goes, in seconds: see clipc_call_parts. */
typedef struct bench_part_sample {
    double encode; /* the whole call */
    double host_to_device;
    double compute;
    double device_to_host;
    double enqueue;
} bench_part_sample;

typedef struct bench_parts {
    bench_part_sample *samples;
    size_t count;  /* 0: the backend has no such parts */
    double passes; /* that a call is done in */
} bench_parts;

/* A loop of its own, as timing the parts costs time: of one caller, and of as many iterations as the timed loop had,
 * but at most 1000. */
void bench_time_parts(bench_parts *parts, const bench_work *work, size_t iterations);
void bench_parts_free(bench_parts *parts);

/* Seconds by CLOCK_MONOTONIC. */
double bench_now(void);

#endif
