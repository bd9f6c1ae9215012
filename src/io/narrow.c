#include "io/narrow.h"

#include "io/bf16.h"
#include "io/half.h"

#include <math.h>
#include <string.h>

size_t clipc_narrow(const float *values, size_t count, clipc_dtype dtype, void *out)
{
    size_t overflow = SIZE_MAX;
    uint8_t *to = out;
    if (dtype == CLIPC_DTYPE_F32) {
        memmove(out, values, count * sizeof *values);
        return overflow;
    }
    const uint16_t infinity = dtype == CLIPC_DTYPE_F16 ? 0x7C00 : 0x7F80;
    for (size_t i = 0; i < count; i++) {
        const float value = values[i];
        const uint16_t half = dtype == CLIPC_DTYPE_F16 ? clipc_half_from_float(value) : clipc_bf16_of_float(value);
        if ((half & 0x7FFF) == infinity && isfinite(value) && overflow == SIZE_MAX)
            overflow = i;
        memcpy(to + 2 * i, &half, sizeof half);
    }
    return overflow;
}
