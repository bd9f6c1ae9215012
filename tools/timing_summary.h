/* Times of many repetitions in a few figures. */
#ifndef CLIPC_TOOLS_TIMING_SUMMARY_H
#define CLIPC_TOOLS_TIMING_SUMMARY_H

#include <jansson.h>
#include <stddef.h>

#define PERCENTILES 16 /* of one summary at most */

/* Which percentiles are asked for, in percent, above 0 and at most 100. */
typedef struct percentile_list {
    double percents[PERCENTILES];
    size_t count;
} percentile_list;

/* "90,95,99.9"; NULL is 90,95,99. Quits with STATUS_USAGE when it is no such list. */
percentile_list percentiles_parse(const char *list);

/* In the unit of the values. */
typedef struct timing_summary {
    size_t count;
    double minimum;
    double mean;
    double median; /* of an even count the mean of the two in the middle */
    double maximum;
    double variation; /* coefficient of variation: the standard deviation (by count − 1) over the mean; 0 of one */
    percentile_list wanted;
    double percentiles[PERCENTILES]; /* by nearest rank: the smallest value that P % of all do not exceed */
} timing_summary;

/* Sorts the values; there is at least one. */
void timing_summarize(timing_summary *summary, double *values, size_t count, const percentile_list *wanted);
/* One of them, by its percent, of sorted values. */
double timing_percentile(const double *sorted, size_t count, double percent);

/* "p99.9", in a buffer that the next call overwrites. */
const char *percentile_name(double percent);
/* min_ms, mean_ms, median_ms, the percentiles as p90_ms, max_ms, variation, count; values are seconds. */
json_t *timing_summary_to_json(const timing_summary *summary);

#endif
