/* Every run of a step in every iteration over batches of one tower, as the engine tells of them. */
#ifndef CLIPC_TOOLS_STEP_TRACE_H
#define CLIPC_TOOLS_STEP_TRACE_H

#include "clipc/clipc.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct traced_run {
    char step[48];
    char kernel[64];
    clipc_precision precision;
    int layer; /* −1: outside the layers */
    double begin;
    double seconds;
    double operations;
    double bytes;
} traced_run;

typedef struct traced_batch {
    double begin; /* seconds of CLOCK_MONOTONIC, as above */
    double seconds;
    size_t first_run;
    size_t run_count;
} traced_batch;

typedef struct step_trace {
    traced_run *runs;
    size_t run_count;
    size_t run_capacity;
    traced_batch *batches;
    size_t batch_count;
} step_trace;

/* Room for that many batches; from now on the engine tells the trace of its steps. Quits when the backend cannot. */
void step_trace_start(step_trace *trace, clipc_engine *engine, size_t batches);
/* Around each batch. */
void step_trace_begin_batch(step_trace *trace);
void step_trace_end_batch(step_trace *trace);
void step_trace_stop(step_trace *trace, clipc_engine *engine);
void step_trace_free(step_trace *trace);

#endif
