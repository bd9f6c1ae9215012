/* Two sets of tensors side by side: what differs, and whether that is within the limits asked for. */
#ifndef CLIPC_TOOLS_COMPARISON_H
#define CLIPC_TOOLS_COMPARISON_H

#include "tensor_set.h"
#include "tensor_stats.h"

#include <jansson.h>

typedef enum error_statistic {
    ERROR_ELEMENTWISE, /* |a - b| <= absolute + relative × |b| for every value */
    ERROR_MAXIMUM,     /* of these, the statistic of |a - b| <= absolute, or that of |a - b| / |b| <= relative */
    ERROR_MEAN,
    ERROR_MEDIAN,
    ERROR_QUANTILE
} error_statistic;

typedef struct comparison_limits {
    bool by_difference; /* the next four count */
    error_statistic statistic;
    double absolute;
    double relative;
    double quantile; /* a share */
    bool by_cosine;
    double least_cosine; /* of every row */
} comparison_limits;

typedef struct compared_tensor {
    const char *name;
    const named_tensor *a; /* NULL: not there */
    const named_tensor *b;
    bool same_shape;
    value_stats of_a;
    value_stats of_b;
    difference_stats difference; /* where the shapes agree */
    float *differences;          /* |a - b|, [count] */
    bool passed;
} compared_tensor;

typedef struct comparison {
    compared_tensor *items;
    size_t count;
    size_t failed;
    size_t compared; /* that are in both */
    bool stopped;    /* after the first failure, as was asked */
} comparison;

/* Compares what has the same name, in the order of `a`, then of `b`. Names that are in one alone are listed, and fail
 * nothing. Shapes that differ fail. */
void comparison_make(comparison *result, const tensor_set *a, const tensor_set *b, const comparison_limits *limits,
                     bool stop_at_failure);
void comparison_free(comparison *result);

/* A table, or with `all` also the statistics and histograms of each tensor. */
void comparison_print(const comparison *result, const comparison_limits *limits, bool all);
json_t *comparison_to_json(const comparison *result);
/* What is asked of each tensor, in words that the caller frees. */
char *comparison_limits_text(const comparison_limits *limits);

#endif
