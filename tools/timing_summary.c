#include "timing_summary.h"

#include "json_line.h"
#include "message.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PERCENTILES "90,95,99"

percentile_list percentiles_parse(const char *list)
{
    percentile_list result = {0};
    for (const char *at = list ? list : DEFAULT_PERCENTILES;; at++) {
        char *end = NULL;
        const double percent = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !(percent > 0 && percent <= 100))
            quit(STATUS_USAGE, "--percentile: '%s' is not a list of numbers above 0 and up to 100 (90,95,99)", list);
        if (result.count == PERCENTILES)
            quit(STATUS_USAGE, "--percentile: more than %d", PERCENTILES);
        result.percents[result.count++] = percent;
        at = end;
        if (!*at)
            return result;
    }
}

static int compare_numbers(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* 99.9 % of 1000 is rank 999, although 99.9 is no binary fraction. */
double timing_percentile(const double *sorted, size_t count, double percent)
{
    const double exact = percent * (double)count / 100;
    const double rank = ceil(exact - 1e-9 * exact);
    const size_t index = rank < 1 ? 0 : (size_t)rank - 1;
    return sorted[index < count ? index : count - 1];
}

void timing_summarize(timing_summary *summary, double *values, size_t count, const percentile_list *wanted)
{
    double sum = 0;
    double squares = 0;
    qsort(values, count, sizeof *values, compare_numbers);
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    const double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    *summary = (timing_summary){
        .count = count,
        .minimum = values[0],
        .mean = mean,
        .median = (values[(count - 1) / 2] + values[count / 2]) / 2,
        .maximum = values[count - 1],
        .variation = count > 1 && mean > 0 ? sqrt(squares / (double)(count - 1)) / mean : 0,
        .wanted = *wanted,
    };
    for (size_t i = 0; i < wanted->count; i++)
        summary->percentiles[i] = timing_percentile(values, count, wanted->percents[i]);
}

const char *percentile_name(double percent)
{
    static char name[32];
    snprintf(name, sizeof name, "p%.10g", percent);
    return name;
}

json_t *timing_summary_to_json(const timing_summary *summary)
{
    json_t *object = json_object();
    json_put(object, "count", json_integer((json_int_t)summary->count));
    json_put(object, "min_ms", json_real(1e3 * summary->minimum));
    json_put(object, "mean_ms", json_real(1e3 * summary->mean));
    json_put(object, "median_ms", json_real(1e3 * summary->median));
    for (size_t i = 0; i < summary->wanted.count; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s_ms", percentile_name(summary->wanted.percents[i]));
        json_put(object, key, json_real(1e3 * summary->percentiles[i]));
    }
    json_put(object, "max_ms", json_real(1e3 * summary->maximum));
    json_put(object, "variation", json_real(summary->variation));
    return object;
}
