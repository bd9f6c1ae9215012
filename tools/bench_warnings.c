/* Figures that deserve no trust, or speak of something else than the model. */
#include "bench_result.h"

#include "message.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define LARGEST_VARIATION 0.025 /* as in trtexec */
#define LARGEST_ENQUEUE   0.8   /* of the computing, as in trtexec */
#define LARGEST_WAIT      0.05  /* of the threads' time */
#define FEW_SAMPLES       10

__attribute__((format(printf, 2, 3))) static void warn(bench_result *result, const char *format, ...)
{
    char text[512];
    va_list arguments;
    if (result->warning_count == sizeof result->warnings / sizeof *result->warnings)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    result->warnings[result->warning_count++] = duplicate(text);
}

static void warn_of_unstable_figures(bench_result *result)
{
    const timing_summary *compute = result->compute.count ? &result->compute : &result->encode;
    if (compute->count < FEW_SAMPLES)
        warn(result, "only %zu iterations: percentiles say little", compute->count);
    if (compute->variation > LARGEST_VARIATION)
        warn(
            result,
            "unstable: the computing time varies by %.1f %% (its standard deviation over its mean; above %.1f %%, run "
            "longer, fix the clocks or stop other work)",
            100 * compute->variation, 100 * LARGEST_VARIATION);
}

static void warn_of_wrong_bounds(bench_result *result)
{
    const timing_summary *compute = result->compute.count ? &result->compute : &result->encode;
    const struct {
        const char *name;
        const timing_summary *part;
    } transfers[] = {{"host-to-device", &result->host_to_device}, {"device-to-host", &result->device_to_host}};
    if (result->prepare.count && result->prepare.median > compute->median)
        warn(result,
             "bound by preprocessing: it takes the host %.3f ms a batch (median), computing %.3f ms; a pipeline of "
             "both "
             "goes no faster than the first",
             1e3 * result->prepare.median, 1e3 * compute->median);
    for (size_t i = 0; i < sizeof transfers / sizeof *transfers; i++)
        if (transfers[i].part->count && transfers[i].part->median >= compute->median)
            warn(result, "bound by transfers: %s takes %.3f ms a batch (median), computing %.3f ms%s",
                 transfers[i].name, 1e3 * transfers[i].part->median, 1e3 * compute->median,
                 result->parts.passes > 1 ? ", each the sum of passes that may run side by side" : "");
    if (result->enqueue.count && result->enqueue.median > LARGEST_ENQUEUE * compute->median)
        warn(
            result,
            "bound by launches: the host takes %.3f ms to start what computes in %.3f ms (medians); larger batches or "
            "graphs help",
            1e3 * result->enqueue.median, 1e3 * compute->median);
}

static void warn_of_the_machine(bench_result *result)
{
    const size_t cores = clipc_thread_count_default();
    if (bench_is_on_host(result) && result->engine.threads > cores)
        warn(result, "%zu threads share %zu cores, which is all that affinity mask and cgroup leave to the process",
             result->engine.threads, cores);
    if (result->machine.waited_share > LARGEST_WAIT)
        warn(result, "other work on this machine: threads waited for a core %.1f %% of the time",
             100 * result->machine.waited_share);
    if (result->machine.gpu_slowed[0])
        warn(result, "the GPU was held back: %s", result->machine.gpu_slowed);
}

void bench_warn(bench_result *result)
{
    warn_of_unstable_figures(result);
    warn_of_wrong_bounds(result);
    warn_of_the_machine(result);
    if (bench_roofline_share(result) > 1)
        warn(result, "the peaks are too low: other work slowed the machine down while they were measured");
    if (result->settings->bench.callers > 1)
        warn(result, "latencies include waiting for the other callers");
}
