#include "roofline.h"

#include <math.h>
#include <stddef.h>

double roofline_peak(const clipc_peaks *peaks, clipc_precision precision)
{
    switch (precision) {
    case CLIPC_PRECISION_BF16: return peaks->bf16_operations > 0 ? peaks->bf16_operations : peaks->fp32_operations;
    case CLIPC_PRECISION_INT8: return peaks->int8_operations;
    case CLIPC_PRECISION_FP16: return peaks->fp16_operations;
    case CLIPC_PRECISION_FP8: return peaks->fp8_operations;
    default: return peaks->fp32_operations;
    }
}

static double seconds_for(double amount, double rate)
{
    return rate > 0 ? amount / rate : 0;
}

roofline_limits roofline_of(const clipc_peaks *peaks, clipc_precision precision, double operations, double bytes,
                            double runs)
{
    return (roofline_limits){.compute = seconds_for(operations, roofline_peak(peaks, precision)),
                             .memory = seconds_for(bytes, peaks->all_threads_bytes),
                             .launch = runs * peaks->start_seconds};
}

double roofline_least_seconds(const roofline_limits *limits)
{
    return fmax(limits->compute, fmax(limits->memory, limits->launch));
}

const char *roofline_bound(const roofline_limits *limits)
{
    const double least = roofline_least_seconds(limits);
    if (!(least > 0))
        return NULL;
    return limits->compute >= least ? "compute" : limits->memory >= least ? "memory" : "launch";
}
