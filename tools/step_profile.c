#include "step_profile.h"

#include "message.h"

#include <stdlib.h>
#include <string.h>

double profile_share(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

double profile_peak_share(const step_profile *profile, const profiled_step *step)
{
    return profile_share(profile_share(step->operations, step->seconds),
                         roofline_peak(&profile->peaks, step->precision));
}

bool profile_has_shapes(const step_profile *profiles, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (strcmp(profiles[i].tower, profiles[i - 1].tower) == 0)
            return true;
    return false;
}

char *profile_step_name(const profiled_step *step)
{
    return step->layer < 0 ? duplicate(step->step) : format_text("layers.%d %s", step->layer, step->step);
}

static int compare_numbers(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* Sorts the values. */
static double median_of(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_numbers);
    return count ? (values[(count - 1) / 2] + values[count / 2]) / 2 : 0;
}

/* The step that the run belongs to, made when there is none yet. */
static profiled_step *step_of(step_profile *profile, const traced_run *run, int layer)
{
    for (size_t i = 0; i < profile->step_count; i++) {
        profiled_step *step = &profile->steps[i];
        if (step->layer == layer && step->precision == run->precision && strcmp(step->step, run->step) == 0)
            return step;
    }
    profile->steps = reallocate(profile->steps, profile->step_count + 1, sizeof *profile->steps);
    profiled_step *step = &profile->steps[profile->step_count++];
    *step = (profiled_step){
        .step = run->step, .kernel = run->kernel, .precision = run->precision, .layer = layer, .operations = -1};
    return step;
}

/* Which step each run is of. While that is found out, `operations` is the most that one run has. */
static size_t *assign_runs(step_profile *profile, bool by_layers)
{
    const step_trace *trace = &profile->trace;
    size_t *steps = allocate(trace->run_count, sizeof *steps);
    for (size_t i = 0; i < trace->run_count; i++) {
        const traced_run *run = &trace->runs[i];
        profiled_step *step = step_of(profile, run, by_layers ? run->layer : -1);
        if (run->operations > step->operations) {
            step->operations = run->operations;
            step->kernel = run->kernel;
        }
        steps[i] = (size_t)(step - profile->steps);
    }
    for (size_t i = 0; i < profile->step_count; i++)
        profile->steps[i].operations = 0;
    return steps;
}

/* seconds [batches, steps]: of all runs of a step in a batch. */
static double *seconds_by_batch(const step_profile *profile, const size_t *steps)
{
    const step_trace *trace = &profile->trace;
    double *seconds = allocate(trace->batch_count * profile->step_count, sizeof *seconds);
    for (size_t i = 0; i < trace->batch_count; i++)
        for (size_t run = 0; run < trace->batches[i].run_count; run++) {
            const size_t at = trace->batches[i].first_run + run;
            seconds[i * profile->step_count + steps[at]] += trace->runs[at].seconds;
        }
    return seconds;
}

/* From sums to what a batch has. */
static void settle_step(step_profile *profile, size_t index, const double *seconds)
{
    profiled_step *step = &profile->steps[index];
    const size_t batches = profile->trace.batch_count;
    step->runs /= (double)batches;
    step->seconds /= (double)batches;
    step->operations /= (double)batches;
    step->bytes /= (double)batches;
    double *column = allocate(batches, sizeof *column);
    for (size_t i = 0; i < batches; i++)
        column[i] = seconds[i * profile->step_count + index];
    step->median_seconds = median_of(column, batches);
    free(column);
    step->limits = roofline_of(&profile->peaks, step->precision, step->operations, step->bytes, step->runs);
    profile->steps_seconds += step->seconds;
    profile->least_seconds += roofline_least_seconds(&step->limits);
    profile->operations += step->operations;
    profile->bytes += step->bytes;
}

static void settle_batches(step_profile *profile)
{
    const step_trace *trace = &profile->trace;
    double *seconds = allocate(trace->batch_count, sizeof *seconds);
    for (size_t i = 0; i < trace->batch_count; i++) {
        seconds[i] = trace->batches[i].seconds;
        profile->seconds += seconds[i] / (double)trace->batch_count;
    }
    profile->median_seconds = median_of(seconds, trace->batch_count);
    free(seconds);
}

void step_profile_sum(step_profile *profile, bool by_layers)
{
    const step_trace *trace = &profile->trace;
    size_t *steps = assign_runs(profile, by_layers);
    for (size_t i = 0; i < trace->run_count; i++) {
        profiled_step *step = &profile->steps[steps[i]];
        step->runs += 1;
        step->seconds += trace->runs[i].seconds;
        step->operations += trace->runs[i].operations;
        step->bytes += trace->runs[i].bytes;
    }
    double *seconds = seconds_by_batch(profile, steps);
    for (size_t i = 0; i < profile->step_count; i++)
        settle_step(profile, i, seconds);
    settle_batches(profile);
    free(seconds);
    free(steps);
}

void step_profile_free(step_profile *profile)
{
    step_trace_free(&profile->trace);
    free(profile->steps);
    free(profile->batch_text);
}
