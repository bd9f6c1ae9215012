/* How two arrays differ, in numbers. */
#ifndef CLIPC_TOOLS_TENSOR_STATS_H
#define CLIPC_TOOLS_TENSOR_STATS_H

#include <stddef.h>

#define HISTOGRAM_BINS 16

/* Of the finite values. */
typedef struct value_stats {
    size_t count; /* all values */
    size_t not_a_number;
    size_t infinite;
    double mean;
    double deviation; /* standard, of the population */
    double minimum;
    double maximum;
    double median;
    double quantile;                  /* at the share asked for */
    size_t maximum_at;                /* index of the largest */
    size_t histogram[HISTOGRAM_BINS]; /* equal bins from minimum to maximum */
} value_stats;

/* All zeros when no value is finite. `share` is of `quantile`, 0 to 1. */
value_stats value_stats_of(const float *values, size_t count, double share);

typedef struct difference_stats {
    value_stats absolute; /* |a - b| */
    value_stats relative; /* |a - b| / |b|; 0 where both are equal, infinite where b alone is 0 */
    double cosine;        /* of all values as one vector */
    double least_cosine;  /* of a row of the last axis */
    size_t least_row;
    size_t outside; /* values with |a - b| > absolute + relative tolerance × |b|, or of which one is not finite */
    size_t first_outside;
} difference_stats;

/* Rows of `width`; writes |a - b| to `differences` [count], which the caller may draw. */
difference_stats difference_stats_of(const float *a, const float *b, size_t count, size_t width, double tolerance,
                                     double relative_tolerance, double share, float *differences);

#endif
