#include "bench_explain.h"

#include "escape.h"
#include "json_line.h"
#include "message.h"
#include "output.h"
#include "roofline.h"
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void bench_explain_prepare(bench_explanation *explanation, clipc_engine *engine)
{
    *explanation =
        (bench_explanation){.engine.size = sizeof explanation->engine, .peaks.size = sizeof explanation->peaks};
    clipc_error error = {0};
    if (clipc_engine_get_info(engine, &explanation->engine, &error) != CLIPC_OK)
        quit_failed(&error);
    /* Steps are shown without peaks where the backend cannot measure them. */
    if (clipc_engine_measure_peaks(engine, &explanation->peaks, &error) != CLIPC_OK &&
        error.status != CLIPC_ERROR_UNSUPPORTED)
        quit_failed(&error);
}

static void record(clipc_engine *engine, int on)
{
    clipc_error error = {0};
    if (clipc_engine_record_steps(engine, on, &error) != CLIPC_OK)
        quit_failed(&error);
}

void bench_explain_start(clipc_engine *engine)
{
    record(engine, 1);
}

void bench_explain_stop(bench_explanation *explanation, clipc_engine *engine, size_t iterations, double seconds)
{
    record(engine, 0);
    explanation->iterations = iterations;
    explanation->seconds = seconds;
    explanation->step_count = clipc_engine_step_count(engine);
    explanation->steps = allocate(explanation->step_count, sizeof *explanation->steps);
    for (size_t i = 0; i < explanation->step_count; i++) {
        clipc_error error = {0};
        explanation->steps[i].size = sizeof explanation->steps[i];
        if (clipc_engine_get_step(engine, i, &explanation->steps[i], &error) != CLIPC_OK)
            quit_failed(&error);
    }
}

void bench_explain_free(bench_explanation *explanation)
{
    free(explanation->steps);
}

/* ---- what is computed from the measurements ---- */

static double rate_of(const clipc_step_info *step)
{
    return step->seconds > 0 ? step->operations / step->seconds : 0;
}

/* 0 when it has no products or the peak is unknown. */
static double peak_share_of(const bench_explanation *explanation, const clipc_step_info *step)
{
    const double peak = roofline_peak(&explanation->peaks, step->precision);
    return peak > 0 ? rate_of(step) / peak : 0;
}

/* Of its products. */
static double least_seconds(const clipc_peaks *peaks, const clipc_step_info *step)
{
    const roofline_limits limits = roofline_of(peaks, step->precision, step->operations, step->bytes, 0);
    return step->operations > 0 ? roofline_least_seconds(&limits) : 0;
}

typedef struct step_totals {
    double seconds;
    double least_seconds;
    double operations;
    double operations_in_precision; /* in the engine's */
} step_totals;

static step_totals totals_of(const bench_explanation *explanation)
{
    step_totals totals = {0};
    for (size_t i = 0; i < explanation->step_count; i++) {
        const clipc_step_info *step = &explanation->steps[i];
        totals.seconds += step->seconds;
        totals.least_seconds += least_seconds(&explanation->peaks, step);
        totals.operations += step->operations;
        if (step->precision == explanation->engine.precision)
            totals.operations_in_precision += step->operations;
    }
    return totals;
}

double bench_explain_least_seconds(const bench_explanation *explanation)
{
    return totals_of(explanation).least_seconds / (double)explanation->iterations;
}

static bool is_exception(const bench_explanation *explanation, const clipc_step_info *step)
{
    return step->operations > 0 && step->precision != explanation->engine.precision;
}

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

/* ---- for people ---- */

static void print_padded(const char *text, size_t columns)
{
    const size_t width = display_width(text);
    print_format("%s%*s  ", text, (int)(width < columns ? columns - width : 0), "");
}

static void print_steps(const bench_explanation *explanation)
{
    size_t step_columns = 0;
    size_t kernel_columns = 0;
    for (size_t i = 0; i < explanation->step_count; i++) {
        step_columns = (size_t)fmax((double)step_columns, (double)display_width(explanation->steps[i].step));
        kernel_columns = (size_t)fmax((double)kernel_columns, (double)display_width(explanation->steps[i].kernel));
    }
    print_padded("step", step_columns);
    print_padded("kernel", kernel_columns);
    print_format("%6s %10s %7s %8s %7s\n", "calls", "ms", "share",
                 explanation->engine.precision == CLIPC_PRECISION_INT8 ? "Gop/s" : "GFLOP/s", "peak");
    const double batches = (double)explanation->iterations;
    for (size_t i = 0; i < explanation->step_count; i++) {
        const clipc_step_info *step = &explanation->steps[i];
        print_padded(step->step, step_columns);
        print_padded(step->kernel, kernel_columns);
        print_format("%6.0f %10.3f %5.1f %%", (double)step->calls / batches, 1e3 * step->seconds / batches,
                     100 * share(step->seconds, explanation->seconds));
        if (step->operations > 0)
            print_format(" %8.1f", 1e-9 * rate_of(step));
        const double of_peak = peak_share_of(explanation, step);
        if (of_peak > 0)
            print_format(" %5.1f %%", 100 * of_peak);
        print_text("\n");
    }
}

static void print_peak(const char *name, double operations, bool *any)
{
    if (operations > 0)
        print_format("%s %s %.1f %s/s", *any ? "," : "", name, 1e-9 * operations,
                     strcmp(name, "int8") == 0 ? "Gop" : "GFLOP");
    *any = *any || operations > 0;
}

static void print_peaks(const clipc_peaks *peaks)
{
    bool any = false;
    print_text("peaks:");
    print_peak("fp32", peaks->fp32_operations, &any);
    print_peak("fp16", peaks->fp16_operations, &any);
    print_peak("bf16", peaks->bf16_operations, &any);
    print_peak("fp8", peaks->fp8_operations, &any);
    print_peak("int8", peaks->int8_operations, &any);
    print_text("; memory ");
    if (peaks->one_thread_bytes > 0)
        print_format("%.1f GB/s by one thread, %.1f GB/s by all\n", 1e-9 * peaks->one_thread_bytes,
                     1e-9 * peaks->all_threads_bytes);
    else
        print_format("%.1f GB/s\n", 1e-9 * peaks->all_threads_bytes);
}

static bool has_peaks(const bench_explanation *explanation)
{
    return explanation->peaks.all_threads_bytes > 0;
}

void bench_explain_print(const bench_explanation *explanation)
{
    const step_totals totals = totals_of(explanation);
    const double milliseconds = 1e3 / (double)explanation->iterations;
    print_steps(explanation);
    print_format("a batch: %.3f ms in steps, %.3f ms outside\n", milliseconds * totals.seconds,
                 milliseconds * (explanation->seconds - totals.seconds));
    if (has_peaks(explanation)) {
        print_peaks(&explanation->peaks);
        print_format("roofline: the products of a batch need %.3f ms at least, %.1f %% of what it takes\n",
                     milliseconds * totals.least_seconds, 100 * share(totals.least_seconds, explanation->seconds));
    }
    print_format("in %s: %.2f %% of the operations of products\n", clipc_precision_name(explanation->engine.precision),
                 100 * share(totals.operations_in_precision, totals.operations));
    for (size_t i = 0; i < explanation->step_count; i++) {
        const clipc_step_info *step = &explanation->steps[i];
        if (is_exception(explanation, step))
            print_format("  in %s: %s, %.2f %%\n", clipc_precision_name(step->precision), step->step,
                         100 * share(step->operations, totals.operations));
    }
    print_flush();
}

/* ---- for scripts ---- */

static json_t *number_or_null(double value)
{
    return value > 0 ? json_real(value) : json_null();
}

/* All per batch. */
static json_t *step_to_json(const bench_explanation *explanation, const clipc_step_info *step)
{
    const double batches = (double)explanation->iterations;
    json_t *object = json_object();
    json_put(object, "step", json_string(step->step));
    json_put(object, "kernel", json_string(step->kernel));
    json_put(object, "precision", json_string(clipc_precision_name(step->precision)));
    json_put(object, "calls", json_real((double)step->calls / batches));
    json_put(object, "ms", json_real(1e3 * step->seconds / batches));
    json_put(object, "share", json_real(share(step->seconds, explanation->seconds)));
    json_put(object, "operations", json_real(step->operations / batches));
    json_put(object, "bytes", json_real(step->bytes / batches));
    json_put(object, "operations_per_s", number_or_null(rate_of(step)));
    json_put(object, "peak_share", number_or_null(peak_share_of(explanation, step)));
    return object;
}

static json_t *peaks_to_json(const clipc_peaks *peaks)
{
    json_t *object = json_object();
    json_put(object, "fp32_operations_per_s", number_or_null(peaks->fp32_operations));
    json_put(object, "fp16_operations_per_s", number_or_null(peaks->fp16_operations));
    json_put(object, "bf16_operations_per_s", number_or_null(peaks->bf16_operations));
    json_put(object, "fp8_operations_per_s", number_or_null(peaks->fp8_operations));
    json_put(object, "int8_operations_per_s", number_or_null(peaks->int8_operations));
    json_put(object, "one_thread_bytes_per_s", number_or_null(peaks->one_thread_bytes));
    json_put(object, "all_threads_bytes_per_s", number_or_null(peaks->all_threads_bytes));
    return object;
}

void bench_explain_to_json(const bench_explanation *explanation, json_t *object)
{
    const step_totals totals = totals_of(explanation);
    const double milliseconds = 1e3 / (double)explanation->iterations;
    json_t *steps = json_array();
    json_t *others = json_array();
    for (size_t i = 0; i < explanation->step_count; i++) {
        const clipc_step_info *step = &explanation->steps[i];
        json_append(steps, step_to_json(explanation, step));
        if (!is_exception(explanation, step))
            continue;
        json_t *other = json_object();
        json_put(other, "step", json_string(step->step));
        json_put(other, "precision", json_string(clipc_precision_name(step->precision)));
        json_put(other, "operation_share", json_real(share(step->operations, totals.operations)));
        json_append(others, other);
    }
    json_put(object, "peaks", peaks_to_json(&explanation->peaks));
    json_put(object, "steps", steps);
    json_put(object, "steps_ms", json_real(milliseconds * totals.seconds));
    json_put(object, "outside_ms", json_real(milliseconds * (explanation->seconds - totals.seconds)));
    json_put(object, "roofline_ms",
             has_peaks(explanation) ? json_real(milliseconds * totals.least_seconds) : json_null());
    json_put(object, "roofline_share",
             has_peaks(explanation) ? json_real(share(totals.least_seconds, explanation->seconds)) : json_null());
    json_put(object, "precision_share", json_real(share(totals.operations_in_precision, totals.operations)));
    json_put(object, "other_precisions", others);
}
