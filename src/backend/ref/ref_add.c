#include "backend/ref/ref_operations.h"

void clipc_ref_add(float *sum, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += values[i];
}
