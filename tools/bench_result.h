/* One measurement of clipc bench: what was measured, and what came of it. */
#ifndef CLIPC_TOOLS_BENCH_RESULT_H
#define CLIPC_TOOLS_BENCH_RESULT_H

#include "bench_explain.h"
#include "bench_loop.h"
#include "bench_work.h"
#include "machine_state.h"
#include "timing_summary.h"

typedef struct bench_result {
    const bench_work *work;
    const tool_settings *settings;
    clipc_engine_info engine;
    double model_seconds; /* to open the model */
    double ready_seconds; /* and to make the engine of it */
    bench_timing timing;
    bench_parts parts;
    machine_summary machine;
    bool explained; /* the backend records its steps: what follows is there */
    bench_explanation explanation;
    double roofline_seconds; /* a batch's products need at least; 0: unknown */
    /* In seconds; of those that the backend or the inputs do not have the count is 0. */
    timing_summary latency; /* prepare and encode */
    timing_summary prepare;
    timing_summary encode; /* the encode call */
    timing_summary host_to_device;
    timing_summary compute; /* on a backend of the host the encode call */
    timing_summary device_to_host;
    timing_summary enqueue;
    char *warnings[16]; /* sentences */
    size_t warning_count;
} bench_result;

/* Fills the summaries from timing and parts, and the warnings from all. */
void bench_result_summarize(bench_result *result);
void bench_result_free(bench_result *result);

/* Items, and batches, a second: of the wall time of the timed loop. */
double bench_items_per_second(const bench_result *result);
double bench_batches_per_second(const bench_result *result);
/* Whether the backend computes where the inputs are. */
bool bench_is_on_host(const bench_result *result);
/* The roofline's time as a share of the mean time that a batch computes; 0 when unknown. */
double bench_roofline_share(const bench_result *result);

/* Adds the sentences that say which figures deserve no trust, or speak of something else than the model. */
void bench_warn(bench_result *result);

void bench_result_print(const bench_result *result);
json_t *bench_result_to_json(const bench_result *result);

#endif
