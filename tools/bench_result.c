#include "bench_result.h"

#include "message.h"

#include <stdlib.h>
#include <string.h>

bool bench_is_on_host(const bench_result *result)
{
    return strcmp(result->engine.backend, "cpu") == 0 || strcmp(result->engine.backend, "ref") == 0;
}

double bench_batches_per_second(const bench_result *result)
{
    return (double)result->timing.count / result->timing.seconds;
}

double bench_items_per_second(const bench_result *result)
{
    return (double)result->work->batch * bench_batches_per_second(result);
}

double bench_roofline_share(const bench_result *result)
{
    const timing_summary *compute = result->compute.count ? &result->compute : &result->encode;
    return compute->mean > 0 ? result->roofline_seconds / compute->mean : 0;
}

static void summarize_timing(bench_result *result, const percentile_list *wanted)
{
    const size_t count = result->timing.count;
    const bench_sample *samples = result->timing.samples;
    double *values = allocate(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = samples[i].prepare + samples[i].encode;
    timing_summarize(&result->latency, values, count, wanted);
    for (size_t i = 0; i < count; i++)
        values[i] = samples[i].encode;
    timing_summarize(&result->encode, values, count, wanted);
    if (bench_prepares(result->work)) {
        for (size_t i = 0; i < count; i++)
            values[i] = samples[i].prepare;
        timing_summarize(&result->prepare, values, count, wanted);
    }
    if (bench_is_on_host(result))
        result->compute = result->encode;
    free(values);
}

/* `offset` of a double in bench_part_sample. */
static void summarize_part(const bench_parts *parts, size_t offset, const percentile_list *wanted, timing_summary *out)
{
    double *values = allocate(parts->count, sizeof *values);
    for (size_t i = 0; i < parts->count; i++)
        values[i] = *(const double *)(const void *)((const char *)&parts->samples[i] + offset);
    timing_summarize(out, values, parts->count, wanted);
    free(values);
}

void bench_result_summarize(bench_result *result)
{
    const percentile_list wanted = percentiles_parse(result->settings->bench.percentiles);
    const bench_parts *parts = &result->parts;
    summarize_timing(result, &wanted);
    if (parts->count) {
        summarize_part(parts, offsetof(bench_part_sample, host_to_device), &wanted, &result->host_to_device);
        summarize_part(parts, offsetof(bench_part_sample, compute), &wanted, &result->compute);
        summarize_part(parts, offsetof(bench_part_sample, device_to_host), &wanted, &result->device_to_host);
        summarize_part(parts, offsetof(bench_part_sample, enqueue), &wanted, &result->enqueue);
    }
    bench_warn(result);
}

void bench_result_free(bench_result *result)
{
    bench_timing_free(&result->timing);
    bench_parts_free(&result->parts);
    bench_explain_free(&result->explanation);
    for (size_t i = 0; i < result->warning_count; i++)
        free(result->warnings[i]);
}
