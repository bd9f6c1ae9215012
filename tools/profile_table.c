#include "profile_table.h"

#include "columns.h"
#include "json_line.h"
#include "message.h"
#include "output.h"

#include <stdlib.h>
#include <string.h>

/* ---- for people ---- */

/* A number, or an empty column. */
static void print_number(const char *format, double value, int width)
{
    if (!(value > 0)) {
        print_format("%*s", width, "");
        return;
    }
    print_format(format, value);
}

static void print_step(const step_profile *profile, const profiled_step *step)
{
    print_format("%6.0f %10.3f %5.1f %%", step->runs, 1e3 * step->seconds,
                 100 * profile_share(step->seconds, profile->seconds));
    print_number(" %9.3f", 1e-9 * step->operations, 10);
    print_number(" %9.2f", 1e-6 * step->bytes, 10);
    print_number(" %9.1f", 1e-9 * profile_share(step->operations, step->seconds), 10);
    print_number(" %5.1f %%", 100 * profile_peak_share(profile, step), 8);
    const char *bound = roofline_bound(&step->limits);
    if (bound)
        print_format("  %-7s %5.1f %%", bound,
                     100 * profile_share(roofline_least_seconds(&step->limits), step->seconds));
    print_text("\n");
}

static const char *operations_unit(const step_profile *profile)
{
    return profile->engine.precision == CLIPC_PRECISION_INT8 ? "Gop" : "GFLOP";
}

static void print_steps(const step_profile *profile)
{
    size_t step_columns = strlen("outside the steps");
    size_t kernel_columns = strlen("kernel");
    char **names = allocate(profile->step_count + 1, sizeof *names);
    for (size_t i = 0; i < profile->step_count; i++) {
        names[i] = profile_step_name(&profile->steps[i]);
        step_columns = widest(step_columns, names[i]);
        kernel_columns = widest(kernel_columns, profile->steps[i].kernel);
    }
    const char *unit = operations_unit(profile);
    print_padded("step", step_columns);
    print_padded("kernel", kernel_columns);
    print_format("%6s %10s %7s %9s %9s %7s/s %7s  %-7s %7s\n", "runs", "ms", "share", unit, "MB", unit, "peak",
                 "bound", "limit");
    for (size_t i = 0; i < profile->step_count; i++) {
        print_padded(names[i], step_columns);
        print_padded(profile->steps[i].kernel, kernel_columns);
        print_step(profile, &profile->steps[i]);
        free(names[i]);
    }
    free(names);
    const double outside = profile->seconds - profile->steps_seconds;
    print_padded("outside the steps", step_columns);
    print_padded("", kernel_columns);
    print_format("%6s %10.3f %5.1f %%\n", "", 1e3 * outside, 100 * profile_share(outside, profile->seconds));
}

void profile_table_print(const step_profile *profile)
{
    const clipc_engine_info *engine = &profile->engine;
    print_format("%s tower, %s, %s (%s), %s, %zu threads, %zu iterations\n", profile->tower, profile->batch_text,
                 engine->backend, engine->isa, clipc_precision_name(engine->precision), engine->threads,
                 profile->trace.batch_count);
    print_format("%.2f %ss/s; a batch takes %.3f ms (mean), %.3f ms (median), %.3f %s, %.2f MB\n",
                 profile_share((double)profile->batch, profile->seconds), profile->tower, 1e3 * profile->seconds,
                 1e3 * profile->median_seconds, 1e-9 * profile->operations, operations_unit(profile),
                 1e-6 * profile->bytes);
    print_steps(profile);
    if (profile->least_seconds > 0)
        print_format("at its limits the tower would take %.3f ms, %.1f %% of what it takes\n",
                     1e3 * profile->least_seconds, 100 * profile_share(profile->least_seconds, profile->seconds));
    print_flush();
}

void profile_shapes_print(const step_profile *profiles, size_t count)
{
    if (!profile_has_shapes(profiles, count))
        return;
    print_format("%-6s %6s %10s %10s %11s %9s %7s\n", "tower", "batch", "ms", "median", "items/s", "limit ms",
                 "limit");
    for (size_t i = 0; i < count; i++) {
        const step_profile *profile = &profiles[i];
        print_format("%-6s %6zu %10.3f %10.3f %11.2f", profile->tower, profile->batch, 1e3 * profile->seconds,
                     1e3 * profile->median_seconds, profile_share((double)profile->batch, profile->seconds));
        print_number(" %9.3f", 1e3 * profile->least_seconds, 10);
        print_number(" %5.1f %%", 100 * profile_share(profile->least_seconds, profile->seconds), 8);
        print_text("\n");
    }
    print_text("\n");
}

static void print_peak(const char *name, double operations)
{
    if (operations > 0)
        print_format(" %s %.1f,", name, 1e-9 * operations);
}

void profile_peaks_print(const clipc_peaks *peaks)
{
    if (!(peaks->all_threads_bytes > 0)) {
        print_text("peaks: not known for this backend\n");
        return;
    }
    print_text("peaks, Gop/s:");
    print_peak("fp32", peaks->fp32_operations);
    print_peak("fp16", peaks->fp16_operations);
    print_peak("bf16", peaks->bf16_operations);
    print_peak("fp8", peaks->fp8_operations);
    print_peak("int8", peaks->int8_operations);
    print_format(" memory %.1f GB/s", 1e-9 * peaks->all_threads_bytes);
    if (peaks->start_seconds > 0)
        print_format(", a start %.2f us", 1e6 * peaks->start_seconds);
    print_text("\n");
    print_flush();
}

/* ---- for scripts ---- */

static json_t *number_or_null(double value)
{
    return value > 0 ? json_real(value) : json_null();
}

static json_t *limits_to_json(const roofline_limits *limits)
{
    json_t *object = json_object();
    json_put(object, "compute_ms", number_or_null(1e3 * limits->compute));
    json_put(object, "memory_ms", number_or_null(1e3 * limits->memory));
    json_put(object, "launch_ms", number_or_null(1e3 * limits->launch));
    return object;
}

static json_t *step_to_json(const step_profile *profile, const profiled_step *step)
{
    const char *bound = roofline_bound(&step->limits);
    const double least = roofline_least_seconds(&step->limits);
    json_t *object = json_object();
    json_put(object, "step", json_string(step->step));
    json_put(object, "layer", step->layer < 0 ? json_null() : json_integer(step->layer));
    json_put(object, "kernel", json_string(step->kernel));
    json_put(object, "precision", json_string(clipc_precision_name(step->precision)));
    json_put(object, "runs", json_real(step->runs));
    json_put(object, "ms", json_real(1e3 * step->seconds));
    json_put(object, "median_ms", json_real(1e3 * step->median_seconds));
    json_put(object, "share", json_real(profile_share(step->seconds, profile->seconds)));
    json_put(object, "operations", json_real(step->operations));
    json_put(object, "bytes", json_real(step->bytes));
    json_put(object, "operations_per_s", number_or_null(profile_share(step->operations, step->seconds)));
    json_put(object, "bytes_per_s", number_or_null(profile_share(step->bytes, step->seconds)));
    json_put(object, "peak_share", number_or_null(profile_peak_share(profile, step)));
    json_put(object, "bound", bound ? json_string(bound) : json_null());
    json_put(object, "limits", limits_to_json(&step->limits));
    json_put(object, "limit_share", number_or_null(profile_share(least, step->seconds)));
    return object;
}

json_t *profile_to_json(const step_profile *profile)
{
    const double outside = profile->seconds - profile->steps_seconds;
    json_t *object = json_object();
    json_t *steps = json_array();
    for (size_t i = 0; i < profile->step_count; i++)
        json_append(steps, step_to_json(profile, &profile->steps[i]));
    json_put(object, "tower", json_string(profile->tower));
    json_put(object, "batch", json_integer((json_int_t)profile->batch));
    json_put(object, "iterations", json_integer((json_int_t)profile->trace.batch_count));
    json_put(object, "ms", json_real(1e3 * profile->seconds));
    json_put(object, "median_ms", json_real(1e3 * profile->median_seconds));
    json_put(object, "items_per_s", json_real(profile_share((double)profile->batch, profile->seconds)));
    json_put(object, "operations", json_real(profile->operations));
    json_put(object, "bytes", json_real(profile->bytes));
    json_put(object, "steps", steps);
    json_put(object, "steps_ms", json_real(1e3 * profile->steps_seconds));
    json_put(object, "outside_ms", json_real(1e3 * outside));
    json_put(object, "outside_share", json_real(profile_share(outside, profile->seconds)));
    json_put(object, "limit_ms", number_or_null(1e3 * profile->least_seconds));
    json_put(object, "limit_share", number_or_null(profile_share(profile->least_seconds, profile->seconds)));
    return object;
}

json_t *profile_peaks_to_json(const clipc_peaks *peaks)
{
    json_t *object = json_object();
    json_put(object, "fp32_operations_per_s", number_or_null(peaks->fp32_operations));
    json_put(object, "fp16_operations_per_s", number_or_null(peaks->fp16_operations));
    json_put(object, "bf16_operations_per_s", number_or_null(peaks->bf16_operations));
    json_put(object, "fp8_operations_per_s", number_or_null(peaks->fp8_operations));
    json_put(object, "int8_operations_per_s", number_or_null(peaks->int8_operations));
    json_put(object, "all_threads_bytes_per_s", number_or_null(peaks->all_threads_bytes));
    json_put(object, "start_us", number_or_null(1e6 * peaks->start_seconds));
    return object;
}
