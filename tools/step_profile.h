/* What the steps of one tower cost, beside what they would at least: a trace summed up. */
#ifndef CLIPC_TOOLS_STEP_PROFILE_H
#define CLIPC_TOOLS_STEP_PROFILE_H

#include "roofline.h"
#include "step_trace.h"

#include <stdbool.h>
#include <stddef.h>

/* A kind of step in one precision, or, by layers, that step of one layer. All per batch. */
typedef struct profiled_step {
    const char *step; /* of the trace, as the kernel: that of the run with the most operations */
    const char *kernel;
    clipc_precision precision;
    int layer; /* −1 also where layers are taken together */
    double runs;
    double seconds; /* the mean over batches */
    double median_seconds;
    double operations;
    double bytes;
    roofline_limits limits;
} profiled_step;

typedef struct step_profile {
    const char *tower; /* "image" or "text" */
    char *batch_text;  /* "batch 8, 50 tokens"; freed with the profile */
    size_t batch;
    clipc_engine_info engine;
    clipc_peaks peaks; /* zeros where they were not measured */
    step_trace trace;
    profiled_step *steps; /* in the order in which they first run */
    size_t step_count;
    double seconds; /* a batch, the mean */
    double median_seconds;
    double steps_seconds; /* the sums over the steps */
    double least_seconds;
    double operations;
    double bytes;
} step_profile;

/* Fills what follows from the trace, the engine and the peaks. */
void step_profile_sum(step_profile *profile, bool by_layers);
void step_profile_free(step_profile *profile);

/* part / whole; 0 when the whole is. */
double profile_share(double part, double whole);
/* Operations of the step a second, as a share of the peak; 0 when one of them is unknown. */
double profile_peak_share(const step_profile *profile, const profiled_step *step);
/* Whether some tower is there with more than one batch size. */
bool profile_has_shapes(const step_profile *profiles, size_t count);
/* "fc1 + activation", or "layers.3 fc1 + activation"; the caller frees. */
char *profile_step_name(const profiled_step *step);

#endif
