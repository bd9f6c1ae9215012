#include "step_trace.h"

#include "message.h"
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FIRST_RUNS 4096

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Called between two steps: whatever it takes is time outside them. */
static void note_run(void *user, const clipc_step_run *run)
{
    step_trace *trace = user;
    if (trace->run_count == trace->run_capacity) {
        trace->run_capacity *= 2;
        trace->runs = reallocate(trace->runs, trace->run_capacity, sizeof *trace->runs);
    }
    traced_run *note = &trace->runs[trace->run_count++];
    *note = (traced_run){.precision = run->precision,
                         .layer = run->layer,
                         .begin = run->begin,
                         .seconds = run->seconds,
                         .operations = run->operations,
                         .bytes = run->bytes};
    snprintf(note->step, sizeof note->step, "%s", run->step);
    snprintf(note->kernel, sizeof note->kernel, "%s", run->kernel);
}

void step_trace_start(step_trace *trace, clipc_engine *engine, size_t batches)
{
    clipc_error error = {0};
    *trace = (step_trace){.run_capacity = FIRST_RUNS};
    trace->runs = allocate(FIRST_RUNS, sizeof *trace->runs);
    trace->batches = allocate(batches, sizeof *trace->batches);
    if (clipc_engine_trace_steps(engine, note_run, trace, &error) != CLIPC_OK)
        quit_failed(&error);
}

void step_trace_begin_batch(step_trace *trace)
{
    trace->batches[trace->batch_count] = (traced_batch){.first_run = trace->run_count, .begin = now()};
}

void step_trace_end_batch(step_trace *trace)
{
    traced_batch *batch = &trace->batches[trace->batch_count++];
    batch->seconds = now() - batch->begin;
    batch->run_count = trace->run_count - batch->first_run;
}

void step_trace_stop(step_trace *trace, clipc_engine *engine)
{
    (void)trace;
    clipc_error error = {0};
    if (clipc_engine_trace_steps(engine, NULL, NULL, &error) != CLIPC_OK)
        quit_failed(&error);
}

void step_trace_free(step_trace *trace)
{
    free(trace->runs);
    free(trace->batches);
    *trace = (step_trace){0};
}
