#include "comparison.h"

#include "escape.h"
#include "json_line.h"
#include "message.h"
#include "output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- comparing ---- */

static double statistic_of(const value_stats *stats, error_statistic statistic)
{
    if (stats->not_a_number || stats->infinite)
        return INFINITY;
    switch (statistic) {
    case ERROR_MEAN: return stats->mean;
    case ERROR_MEDIAN: return stats->median;
    case ERROR_QUANTILE: return stats->quantile;
    default: return stats->maximum;
    }
}

static bool is_within(const compared_tensor *tensor, const comparison_limits *limits)
{
    const difference_stats *difference = &tensor->difference;
    if (tensor->of_a.not_a_number || tensor->of_b.not_a_number)
        return false;
    if (limits->by_cosine && !(difference->least_cosine >= limits->least_cosine))
        return false;
    if (!limits->by_difference)
        return true;
    if (limits->statistic == ERROR_ELEMENTWISE)
        return difference->outside == 0;
    return statistic_of(&difference->absolute, limits->statistic) <= limits->absolute ||
           statistic_of(&difference->relative, limits->statistic) <= limits->relative;
}

static bool same_shape(const named_tensor *a, const named_tensor *b)
{
    return a->rank == b->rank && memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0;
}

static void compare_one(comparison *result, const named_tensor *a, const named_tensor *b,
                        const comparison_limits *limits)
{
    compared_tensor *tensor = &result->items[result->count++];
    *tensor = (compared_tensor){.name = a ? a->name : b->name, .a = a, .b = b, .passed = true};
    if (a)
        tensor->of_a = value_stats_of(a->values, a->count, limits->quantile);
    if (b)
        tensor->of_b = value_stats_of(b->values, b->count, limits->quantile);
    if (!a || !b)
        return;
    result->compared++;
    tensor->same_shape = same_shape(a, b);
    tensor->passed = tensor->same_shape;
    if (tensor->same_shape) {
        tensor->differences = allocate(a->count ? a->count : 1, sizeof *tensor->differences);
        tensor->difference = difference_stats_of(a->values, b->values, a->count, tensor_width(a), limits->absolute,
                                                 limits->relative, limits->quantile, tensor->differences);
        tensor->passed = is_within(tensor, limits);
    }
    result->failed += !tensor->passed;
}

void comparison_make(comparison *result, const tensor_set *a, const tensor_set *b, const comparison_limits *limits,
                     bool stop_at_failure)
{
    *result = (comparison){.items = allocate(a->count + b->count + 1, sizeof *result->items)};
    for (size_t i = 0; i < a->count && !result->stopped; i++) {
        compare_one(result, &a->items[i], tensor_set_find(b, a->items[i].name), limits);
        result->stopped = stop_at_failure && result->failed;
    }
    for (size_t i = 0; i < b->count && !result->stopped; i++)
        if (!tensor_set_find(a, b->items[i].name))
            compare_one(result, NULL, &b->items[i], limits);
}

void comparison_free(comparison *result)
{
    for (size_t i = 0; i < result->count; i++)
        free(result->items[i].differences);
    free(result->items);
    *result = (comparison){0};
}

/* ---- in words ---- */

char *comparison_limits_text(const comparison_limits *limits)
{
    static const char *const names[] = {"", "largest", "mean", "median", "quantile"};
    char *cosine = limits->by_cosine ? format_text("cosine of every row at least %.9g", limits->least_cosine) : NULL;
    char *difference = NULL;
    if (limits->by_difference && limits->statistic == ERROR_ELEMENTWISE)
        difference = format_text("|a - b| at most %g + %g × |b| for every value", limits->absolute, limits->relative);
    else if (limits->by_difference)
        difference = format_text("%s |a - b| at most %g, or %s |a - b| / |b| at most %g", names[limits->statistic],
                                 limits->absolute, names[limits->statistic], limits->relative);
    char *text =
        format_text("%s%s%s", difference ? difference : "", difference && cosine ? "; " : "", cosine ? cosine : "");
    free(cosine);
    free(difference);
    return text;
}

static void print_padded(const char *text, size_t columns)
{
    const size_t width = display_width(text);
    print_format("%s%*s  ", text, (int)(width < columns ? columns - width : 0), "");
}

static const char *verdict_of(const compared_tensor *tensor)
{
    return !tensor->a            ? "only in B"
           : !tensor->b          ? "only in A"
           : !tensor->same_shape ? "FAILED: other shape"
           : tensor->passed      ? "ok"
                                 : "FAILED";
}

/* A cosine of rows that hold a NaN is none; what the C library makes of its sign is nobody's business. */
static void print_cosine(int width, double cosine)
{
    if (isnan(cosine))
        print_format("%*s", width, "NaN");
    else
        print_format("%*.9f", width, cosine);
}

static void print_row(const compared_tensor *tensor, size_t name_columns, size_t shape_columns)
{
    char *name = escape_for_terminal(tensor->name);
    char *shape = tensor_shape_text(tensor->a ? tensor->a : tensor->b);
    print_padded(name, name_columns);
    print_padded(shape, shape_columns);
    const difference_stats *difference = &tensor->difference;
    if (tensor->same_shape) {
        print_format("%10.3g %10.3g %10.3g ", difference->absolute.maximum, difference->absolute.mean,
                     difference->relative.median);
        print_cosine(12, difference->least_cosine);
        print_text("  ");
    } else {
        print_format("%10s %10s %10s %12s  ", "", "", "", "");
    }
    print_format("%s\n", verdict_of(tensor));
    if (tensor->of_a.not_a_number || tensor->of_a.infinite || tensor->of_b.not_a_number || tensor->of_b.infinite)
        print_format("  not finite: A has %zu NaN and %zu infinite, B has %zu NaN and %zu infinite\n",
                     tensor->of_a.not_a_number, tensor->of_a.infinite, tensor->of_b.not_a_number,
                     tensor->of_b.infinite);
    free(shape);
    free(name);
}

static void print_values(const char *heading, const value_stats *stats)
{
    print_format("  %-8s mean %.6g, std %.6g, min %.6g, median %.6g, max %.6g at %zu, quantile %.6g, NaN %zu, "
                 "infinite %zu\n           ",
                 heading, stats->mean, stats->deviation, stats->minimum, stats->median, stats->maximum,
                 stats->maximum_at, stats->quantile, stats->not_a_number, stats->infinite);
    static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    size_t most = 1;
    for (size_t i = 0; i < HISTOGRAM_BINS; i++)
        most = stats->histogram[i] > most ? stats->histogram[i] : most;
    for (size_t i = 0; i < HISTOGRAM_BINS; i++)
        print_text(bars[(stats->histogram[i] * 8 + most - 1) / most]);
    print_text("\n");
}

static void print_all(const compared_tensor *tensor)
{
    if (tensor->a)
        print_values("A", &tensor->of_a);
    if (tensor->b)
        print_values("B", &tensor->of_b);
    if (!tensor->same_shape)
        return;
    print_values("|a-b|", &tensor->difference.absolute);
    print_values("relative", &tensor->difference.relative);
    print_text("  cosine ");
    print_cosine(0, tensor->difference.cosine);
    print_text("; least of a row ");
    print_cosine(0, tensor->difference.least_cosine);
    print_format(", row %zu; %zu values outside", tensor->difference.least_row, tensor->difference.outside);
    if (tensor->difference.outside)
        print_format(", the first at %zu", tensor->difference.first_outside);
    print_text("\n");
}

void comparison_print(const comparison *result, const comparison_limits *limits, bool all)
{
    size_t names = strlen("tensor");
    size_t shapes = strlen("shape");
    for (size_t i = 0; i < result->count; i++) {
        const compared_tensor *tensor = &result->items[i];
        char *shape = tensor_shape_text(tensor->a ? tensor->a : tensor->b);
        names = display_width(tensor->name) > names ? display_width(tensor->name) : names;
        shapes = display_width(shape) > shapes ? display_width(shape) : shapes;
        free(shape);
    }
    print_padded("tensor", names);
    print_padded("shape", shapes);
    print_format("%10s %10s %10s %12s\n", "max |a-b|", "mean", "rel median", "least cosine");
    for (size_t i = 0; i < result->count; i++) {
        print_row(&result->items[i], names, shapes);
        if (all)
            print_all(&result->items[i]);
    }
    char *text = comparison_limits_text(limits);
    print_format("%s: %zu of %zu tensors outside (%s)%s\n", result->failed ? "FAILED" : "PASSED", result->failed,
                 result->compared, text, result->stopped ? "; stopped at the first" : "");
    free(text);
    print_flush();
}

/* ---- for scripts ---- */

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *values_to_json(const value_stats *stats)
{
    json_t *object = json_object();
    json_t *histogram = json_array();
    json_put(object, "mean", number(stats->mean));
    json_put(object, "std", number(stats->deviation));
    json_put(object, "min", number(stats->minimum));
    json_put(object, "median", number(stats->median));
    json_put(object, "max", number(stats->maximum));
    json_put(object, "max_at", json_integer((json_int_t)stats->maximum_at));
    json_put(object, "quantile", number(stats->quantile));
    json_put(object, "nan", json_integer((json_int_t)stats->not_a_number));
    json_put(object, "infinite", json_integer((json_int_t)stats->infinite));
    for (size_t i = 0; i < HISTOGRAM_BINS; i++)
        json_append(histogram, json_integer((json_int_t)stats->histogram[i]));
    json_put(object, "histogram", histogram);
    return object;
}

static json_t *tensor_to_json(const compared_tensor *tensor)
{
    const named_tensor *shown = tensor->a ? tensor->a : tensor->b;
    json_t *object = json_object();
    json_t *shape = json_array();
    for (size_t i = 0; i < shown->rank; i++)
        json_append(shape, json_integer((json_int_t)shown->shape[i]));
    json_put(object, "name", json_name(tensor->name));
    json_put(object, "shape", shape);
    json_put(object, "passed", tensor->a && tensor->b ? json_boolean(tensor->passed) : json_null());
    json_put(object, "a", tensor->a ? values_to_json(&tensor->of_a) : json_null());
    json_put(object, "b", tensor->b ? values_to_json(&tensor->of_b) : json_null());
    if (!tensor->same_shape)
        return object;
    json_put(object, "absolute", values_to_json(&tensor->difference.absolute));
    json_put(object, "relative", values_to_json(&tensor->difference.relative));
    json_put(object, "cosine", number(tensor->difference.cosine));
    json_put(object, "least_cosine", number(tensor->difference.least_cosine));
    json_put(object, "least_cosine_row", json_integer((json_int_t)tensor->difference.least_row));
    json_put(object, "outside", json_integer((json_int_t)tensor->difference.outside));
    return object;
}

json_t *comparison_to_json(const comparison *result)
{
    json_t *tensors = json_array();
    for (size_t i = 0; i < result->count; i++)
        json_append(tensors, tensor_to_json(&result->items[i]));
    return tensors;
}
