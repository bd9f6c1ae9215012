#include "tensor_stats.h"

#include "message.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The value that would be at `rank` if they were sorted; reorders them (Hoare 1961). */
static float select_rank(float *values, size_t count, size_t rank)
{
    size_t low = 0;
    size_t high = count - 1;
    while (low < high) {
        const float pivot = values[low + (high - low) / 2];
        size_t i = low;
        size_t j = high;
        for (;;) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i >= j)
                break;
            const float swapped = values[i];
            values[i++] = values[j];
            values[j--] = swapped;
        }
        if (rank <= j)
            high = j;
        else
            low = j + 1;
    }
    return values[rank];
}

static size_t nearest_rank(double share, size_t count)
{
    const size_t rank = (size_t)ceil(share * (double)count);
    return rank ? rank - 1 : 0;
}

static void fill_histogram(value_stats *stats, const float *finite, size_t count)
{
    const double width = (stats->maximum - stats->minimum) / HISTOGRAM_BINS;
    for (size_t i = 0; i < count; i++) {
        const double bin = width > 0 ? ((double)finite[i] - stats->minimum) / width : 0;
        stats->histogram[bin < HISTOGRAM_BINS - 1 ? (size_t)bin : HISTOGRAM_BINS - 1]++;
    }
}

value_stats value_stats_of(const float *values, size_t count, double share)
{
    value_stats stats = {.count = count};
    float *finite = allocate(count ? count : 1, sizeof *finite);
    size_t kept = 0;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        stats.not_a_number += isnan(values[i]) != 0;
        stats.infinite += isinf(values[i]) != 0;
        if (!isfinite(values[i]))
            continue;
        if (kept == 0 || (double)values[i] > stats.maximum) {
            stats.maximum = (double)values[i];
            stats.maximum_at = i;
        }
        stats.minimum = kept == 0 ? (double)values[i] : fmin(stats.minimum, (double)values[i]);
        sum += (double)values[i];
        finite[kept++] = values[i];
    }
    if (kept) {
        double squares = 0;
        stats.mean = sum / (double)kept;
        for (size_t i = 0; i < kept; i++)
            squares += ((double)finite[i] - stats.mean) * ((double)finite[i] - stats.mean);
        stats.deviation = sqrt(squares / (double)kept);
        fill_histogram(&stats, finite, kept);
        stats.median =
            ((double)select_rank(finite, kept, (kept - 1) / 2) + (double)select_rank(finite, kept, kept / 2)) / 2;
        stats.quantile = (double)select_rank(finite, kept, nearest_rank(share, kept));
    }
    free(finite);
    return stats;
}

typedef struct products {
    double ab;
    double aa;
    double bb;
} products;

/* 1 for two vectors of zeros, 0 where one alone is zeros; not a number where the values are not. */
static double cosine_of(products sums)
{
    const double length = sqrt(sums.aa) * sqrt(sums.bb);
    return length > 0 ? sums.ab / length : isnan(length) ? length : sums.aa == sums.bb ? 1 : 0;
}

static void compare_rows(difference_stats *stats, const float *a, const float *b, size_t count, size_t width)
{
    products all = {0};
    stats->least_cosine = 1;
    for (size_t row = 0; row * width < count; row++) {
        products sums = {0};
        for (size_t i = row * width; i < (row + 1) * width; i++) {
            sums.ab += (double)a[i] * (double)b[i];
            sums.aa += (double)a[i] * (double)a[i];
            sums.bb += (double)b[i] * (double)b[i];
        }
        const double cosine = cosine_of(sums);
        if (row == 0 || cosine < stats->least_cosine || isnan(cosine)) {
            stats->least_cosine = cosine;
            stats->least_row = row;
        }
        all = (products){all.ab + sums.ab, all.aa + sums.aa, all.bb + sums.bb};
        if (isnan(cosine))
            break;
    }
    stats->cosine = isnan(stats->least_cosine) ? stats->least_cosine : cosine_of(all);
}

difference_stats difference_stats_of(const float *a, const float *b, size_t count, size_t width, double tolerance,
                                     double relative_tolerance, double share, float *differences)
{
    difference_stats stats = {.first_outside = count};
    float *relative = allocate(count ? count : 1, sizeof *relative);
    for (size_t i = 0; i < count; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        const double size = fabs((double)b[i]);
        const bool same = a[i] == b[i]; /* two infinities of one sign are */
        differences[i] = same ? 0 : (float)difference;
        relative[i] = same ? 0 : (float)(difference / size);
        if (same || difference <= tolerance + relative_tolerance * size)
            continue;
        stats.first_outside = stats.outside++ ? stats.first_outside : i;
    }
    stats.absolute = value_stats_of(differences, count, share);
    stats.relative = value_stats_of(relative, count, share);
    compare_rows(&stats, a, b, count, width ? width : 1);
    free(relative);
    return stats;
}
