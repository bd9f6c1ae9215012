/* bench --explain: the steps of the timed loop beside what the machine can do. */
#ifndef CLIPC_TOOLS_BENCH_EXPLAIN_H
#define CLIPC_TOOLS_BENCH_EXPLAIN_H

#include "clipc/clipc.h"

#include <jansson.h>

typedef struct bench_explanation {
    clipc_engine_info engine;
    clipc_peaks peaks;
    size_t iterations;
    double seconds; /* of the timed loop */
    clipc_step_info *steps;
    size_t step_count;
} bench_explanation;

/* Measures the machine's peaks. Quits when the backend cannot say what it does. */
void bench_explain_prepare(bench_explanation *explanation, clipc_engine *engine);
/* Around the timed loop, which took `seconds`. */
void bench_explain_start(clipc_engine *engine);
void bench_explain_stop(bench_explanation *explanation, clipc_engine *engine, size_t iterations, double seconds);
/* What the products of a batch need at least by the roofline, in seconds; 0 without peaks. */
double bench_explain_least_seconds(const bench_explanation *explanation);
void bench_explain_free(bench_explanation *explanation);

void bench_explain_print(const bench_explanation *explanation);
/* Adds its fields to the object. */
void bench_explain_to_json(const bench_explanation *explanation, json_t *object);

#endif
