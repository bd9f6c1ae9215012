/* fp32 as the narrower floats of weight files. */
#ifndef CLIPC_IO_NARROW_H
#define CLIPC_IO_NARROW_H

#include "io/tensor.h"

/* Writes `count` floats to `out` as F32, F16 or BF16, rounded to nearest even. Returns the index of the first finite
 * one that is too large for the dtype and became infinity, or SIZE_MAX. `out` may be `values` themselves. */
size_t clipc_narrow(const float *values, size_t count, clipc_dtype dtype, void *out);

#endif
