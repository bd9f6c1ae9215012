/* The least time that work can take on a machine whose peaks were measured, and what sets it. */
#ifndef CLIPC_TOOLS_ROOFLINE_H
#define CLIPC_TOOLS_ROOFLINE_H

#include "clipc/clipc.h"

/* Seconds; 0 where the work has none of it or the peak is not known. The first two are the roofline of Williams,
 * Waterman and Patterson 2009; the third is what starting the runs costs. */
typedef struct roofline_limits {
    double compute; /* operations / peak of their precision */
    double memory;  /* bytes / speed at which all threads read memory */
    double launch;  /* runs × what starting one costs */
} roofline_limits;

/* Operations a second that the machine has for that precision; 0 when unknown. Without instructions for it, bf16 is
 * widened to fp32. */
double roofline_peak(const clipc_peaks *peaks, clipc_precision precision);
roofline_limits roofline_of(const clipc_peaks *peaks, clipc_precision precision, double operations, double bytes,
                            double runs);
/* The greatest of them. */
double roofline_least_seconds(const roofline_limits *limits);
/* Which that is: "compute", "memory" or "launch"; NULL when all are 0. */
const char *roofline_bound(const roofline_limits *limits);

#endif
