#include "backend/ref/ref_operations.h"

/* One output pixel of one channel: the sum over the inputs and the taps that lie within the image. */
static double sum_taps(const float *input, size_t inputs, size_t side, const float *weight, size_t kernel, size_t y,
                       size_t x)
{
    double sum = 0;
    for (size_t channel = 0; channel < inputs; channel++) {
        for (size_t i = 0; i < kernel; i++) {
            for (size_t j = 0; j < kernel; j++) {
                /* Row y + i - kernel / 2; above the image it wraps to a large number. */
                const size_t row = y + i - kernel / 2;
                const size_t column = x + j - kernel / 2;
                if (row < side && column < side)
                    sum += (double)input[(channel * side + row) * side + column] *
                           (double)weight[(channel * kernel + i) * kernel + j];
            }
        }
    }
    return sum;
}

void clipc_ref_convolution(const float *input, size_t inputs, size_t side, const float *weight, size_t outputs,
                           size_t kernel, size_t stride, float *output)
{
    const size_t output_side = (side + stride - 1) / stride;
    for (size_t channel = 0; channel < outputs; channel++)
        for (size_t y = 0; y < output_side; y++)
            for (size_t x = 0; x < output_side; x++)
                output[(channel * output_side + y) * output_side + x] = (float)sum_taps(
                    input, inputs, side, weight + channel * inputs * kernel * kernel, kernel, y * stride, x * stride);
}
