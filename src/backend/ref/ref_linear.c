#include "backend/ref/ref_operations.h"
#include "base/dot.h"

void clipc_ref_linear(const float *input, size_t rows, size_t in, const float *weight, const float *bias, size_t out,
                      float *output)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < out; column++) {
            const double product = clipc_dot(input + row * in, weight + column * in, in);
            output[row * out + column] = (float)(product + (bias ? (double)bias[column] : 0));
        }
}
