#include "backend/ref/ref_operations.h"

/* Four sums side by side, because one addition alone would have to wait for the one before it. */
static double dot(const float *a, const float *b, size_t count)
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

void clipc_ref_linear(const float *input, size_t rows, size_t in, const float *weight, const float *bias, size_t out,
                      float *output)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < out; column++) {
            const double product = dot(input + row * in, weight + column * in, in);
            output[row * out + column] = (float)(product + (bias ? (double)bias[column] : 0));
        }
}
