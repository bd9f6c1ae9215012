#include "backend/ref/ref_operations.h"

void clipc_ref_add(float *sum, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += values[i];
}

void clipc_ref_mean_rows(const float *rows, size_t count, size_t width, float *mean)
{
    for (size_t i = 0; i < width; i++) {
        double sum = 0;
        for (size_t row = 0; row < count; row++)
            sum += (double)rows[row * width + i];
        mean[i] = (float)(sum / (double)count);
    }
}
