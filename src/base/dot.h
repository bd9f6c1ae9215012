/* The sum of products that the reference and the similarities use. */
#ifndef CLIPC_BASE_DOT_H
#define CLIPC_BASE_DOT_H

#include <stddef.h>

/* In double, with four sums side by side: one addition alone would have to wait for the one before it. */
static inline double clipc_dot(const float *a, const float *b, size_t count)
{
    double sums[4] = {0};
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (size_t lane = 0; lane < 4; lane++)
            sums[lane] += (double)a[i + lane] * (double)b[i + lane];
    for (; i < count; i++)
        sums[0] += (double)a[i] * (double)b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

#endif
