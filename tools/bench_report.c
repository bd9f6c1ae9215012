/* A measurement in words, and as JSON. */
#include "bench_result.h"

#include "json_line.h"
#include "message.h"
#include "output.h"

#include <stdlib.h>

/* ---- for people ---- */

static void print_tokens(const bench_work *work)
{
    size_t shortest = work->tokens[0];
    size_t longest = work->tokens[0];
    for (size_t i = 1; i < work->token_count; i++) {
        shortest = work->tokens[i] < shortest ? work->tokens[i] : shortest;
        longest = work->tokens[i] > longest ? work->tokens[i] : longest;
    }
    if (work->source == BENCH_RANDOM) {
        for (size_t i = 0; i < work->token_count; i++)
            print_format(i ? ",%zu" : "%zu", work->tokens[i]);
    } else if (shortest < longest) {
        print_format("%zu to %zu", shortest, longest);
    } else {
        print_format("%zu", shortest);
    }
}

static void print_head(const bench_result *result)
{
    const bench_work *work = result->work;
    const clipc_engine_info *engine = &result->engine;
    print_format("%s tower, batch %zu, ", work->text ? "text" : "image", work->batch);
    print_tokens(work);
    print_format(" tokens, %s (%s), %s, %zu threads", engine->backend, engine->isa,
                 clipc_precision_name(engine->precision), engine->threads);
    if (!bench_is_on_host(result))
        print_format(", %zu devices of %zu streams", engine->devices, engine->streams);
    if (result->parts.passes > 1)
        print_format(", %.0f passes a batch", result->parts.passes);
    if (result->settings->bench.callers > 1)
        print_format(", %zu callers", (size_t)result->settings->bench.callers);
    print_text("\n");
}

static void print_row(const char *name, const timing_summary *summary)
{
    if (!summary->count)
        return;
    print_format("%-18s %9.3f %9.3f %9.3f", name, 1e3 * summary->minimum, 1e3 * summary->mean, 1e3 * summary->median);
    for (size_t i = 0; i < summary->wanted.count; i++)
        print_format(" %9.3f", 1e3 * summary->percentiles[i]);
    print_format(" %9.3f %8.1f %%\n", 1e3 * summary->maximum, 100 * summary->variation);
}

static void print_table(const bench_result *result)
{
    print_format("%-18s %9s %9s %9s", "ms a batch", "min", "mean", "median");
    for (size_t i = 0; i < result->latency.wanted.count; i++)
        print_format(" %9s", percentile_name(result->latency.wanted.percents[i]));
    print_format(" %9s %10s\n", "max", "variation");
    print_row("latency", &result->latency);
    print_row("  preprocessing", &result->prepare);
    print_row("  host to device", &result->host_to_device);
    print_row("  computing", &result->compute);
    print_row("  device to host", &result->device_to_host);
    print_row("  enqueue", &result->enqueue);
    if (bench_is_on_host(result))
        print_format("%s; backend %s computes where the inputs are: no transfers, nothing to enqueue\n",
                     result->prepare.count ? "preprocessing: reading and decoding, or tokenizing"
                                           : "inputs are preprocessed already (--image, --text: files)",
                     result->engine.backend);
    else if (result->parts.passes > 1)
        print_text("of a batch in several passes each part is the sum of all, though they may run side by side\n");
    else if (!result->parts.count)
        print_format("backend %s does not say how its time splits\n", result->engine.backend);
}

void bench_result_print(const bench_result *result)
{
    const bench_timing *timing = &result->timing;
    const char *tower = result->work->text ? "text" : "image";
    print_head(result);
    print_format("throughput   %.2f %ss/s, %.3f batches/s: %zu iterations in %.2f s, after %zu to warm up\n",
                 bench_items_per_second(result), tower, bench_batches_per_second(result), timing->count,
                 timing->seconds, timing->warm_ups);
    print_format("ready        model open in %.1f ms, engine made in %.1f ms\n", 1e3 * result->model_seconds,
                 1e3 * result->ready_seconds);
    print_table(result);
    machine_summary_print(&result->machine);
    if (result->settings->explain)
        bench_explain_print(&result->explanation);
    else if (result->roofline_seconds > 0)
        print_format("roofline     the products of a batch need %.3f ms at least, %.1f %% of what it takes\n",
                     1e3 * result->roofline_seconds, 100 * bench_roofline_share(result));
    print_flush();
    for (size_t i = 0; i < result->warning_count; i++)
        message_note("bench: %s", result->warnings[i]);
}

/* ---- for scripts ---- */

/* A number, or an array when texts differ in length. */
static json_t *tokens_to_json(const bench_work *work)
{
    if (work->token_count == 1)
        return json_integer((json_int_t)work->tokens[0]);
    json_t *lengths = json_array();
    for (size_t i = 0; i < work->token_count; i++)
        json_append(lengths, json_integer((json_int_t)work->tokens[i]));
    return lengths;
}

static json_t *summary_or_null(const timing_summary *summary)
{
    return summary->count ? timing_summary_to_json(summary) : json_null();
}

static void put_shape(json_t *object, const bench_result *result)
{
    const clipc_engine_info *engine = &result->engine;
    const uint64_t callers = result->settings->bench.callers;
    json_put(object, "tower", json_string(result->work->text ? "text" : "image"));
    json_put(object, "batch", json_integer((json_int_t)result->work->batch));
    json_put(object, "tokens", tokens_to_json(result->work));
    json_put(object, "backend", json_string(engine->backend));
    json_put(object, "precision", json_string(clipc_precision_name(engine->precision)));
    json_put(object, "threads", json_integer((json_int_t)engine->threads));
    json_put(object, "isa", json_string(engine->isa));
    json_put(object, "devices", json_integer((json_int_t)engine->devices));
    json_put(object, "streams", json_integer((json_int_t)engine->streams));
    json_put(object, "passes", result->parts.count ? json_real(result->parts.passes) : json_null());
    json_put(object, "callers", json_integer(callers ? (json_int_t)callers : 1));
    json_put(object, "inputs",
             json_string(result->work->source == BENCH_RANDOM   ? "random"
                         : result->work->source == BENCH_LOADED ? "loaded"
                                                                : "files"));
}

static double percentile_of(const bench_result *result, double percent)
{
    const size_t count = result->timing.count;
    double *values = allocate(count, sizeof *values);
    const percentile_list one = {{percent}, 1};
    timing_summary summary;
    for (size_t i = 0; i < count; i++)
        values[i] = result->timing.samples[i].prepare + result->timing.samples[i].encode;
    timing_summarize(&summary, values, count, &one);
    free(values);
    return summary.percentiles[0];
}

json_t *bench_result_to_json(const bench_result *result)
{
    json_t *object = json_object();
    put_shape(object, result);
    json_put(object, "warm_up_iterations", json_integer((json_int_t)result->timing.warm_ups));
    json_put(object, "iterations", json_integer((json_int_t)result->timing.count));
    json_put(object, "seconds", json_real(result->timing.seconds));
    json_put(object, "items_per_s", json_real(bench_items_per_second(result)));
    json_put(object, "batches_per_s", json_real(bench_batches_per_second(result)));
    json_put(object, "median_ms", json_real(1e3 * result->latency.median));
    json_put(object, "p90_ms", json_real(1e3 * percentile_of(result, 90)));
    json_put(object, "p99_ms", json_real(1e3 * percentile_of(result, 99)));
    json_put(object, "latency", timing_summary_to_json(&result->latency));
    json_put(object, "preprocessing", summary_or_null(&result->prepare));
    json_put(object, "host_to_device", summary_or_null(&result->host_to_device));
    json_put(object, "compute", summary_or_null(&result->compute));
    json_put(object, "device_to_host", summary_or_null(&result->device_to_host));
    json_put(object, "enqueue", summary_or_null(&result->enqueue));
    json_put(object, "model_ms", json_real(1e3 * result->model_seconds));
    json_put(object, "engine_ms", json_real(1e3 * result->ready_seconds));
    json_put(object, "machine", machine_summary_to_json(&result->machine));
    json_t *warnings = json_array();
    for (size_t i = 0; i < result->warning_count; i++)
        json_append(warnings, json_string(result->warnings[i]));
    json_put(object, "warnings", warnings);
    if (result->settings->explain) {
        bench_explain_to_json(&result->explanation, object);
        return object;
    }
    const bool known = result->roofline_seconds > 0;
    json_put(object, "roofline_ms", known ? json_real(1e3 * result->roofline_seconds) : json_null());
    json_put(object, "roofline_share", known ? json_real(bench_roofline_share(result)) : json_null());
    return object;
}
