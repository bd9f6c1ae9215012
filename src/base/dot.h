/* The sum of products that the reference and the similarities use. */
#ifndef CLIPC_BASE_DOT_H
#define CLIPC_BASE_DOT_H

#include "base/checked_range.h"

/* In double, with four sums side by side: one addition alone would have to wait for the one before it. */
static CLIPC_RANGES_ARE_CHECKED double clipc_dot_of_checked(const float *a, const float *b, size_t count)
{
    double first = 0;
    double second = 0;
    double third = 0;
    double fourth = 0;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        first += (double)a[i] * (double)b[i];
        second += (double)a[i + 1] * (double)b[i + 1];
        third += (double)a[i + 2] * (double)b[i + 2];
        fourth += (double)a[i + 3] * (double)b[i + 3];
    }
    for (; i < count; i++)
        first += (double)a[i] * (double)b[i];
    return (first + second) + (third + fourth);
}

static inline double clipc_dot(const float *a, const float *b, size_t count)
{
    clipc_check_range(a, count * sizeof *a);
    clipc_check_range(b, count * sizeof *b);
    return clipc_dot_of_checked(a, b, count);
}

#endif
