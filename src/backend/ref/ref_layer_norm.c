#include "backend/ref/ref_operations.h"

#include <math.h>

static void normalize_row(const float *input, size_t width, const float *weight, const float *bias, float epsilon,
                          float *output)
{
    double sum = 0;
    for (size_t i = 0; i < width; i++)
        sum += (double)input[i];
    const double mean = sum / (double)width;

    double squares = 0;
    for (size_t i = 0; i < width; i++) {
        const double difference = (double)input[i] - mean;
        squares += difference * difference;
    }
    const double variance = squares / (double)width;

    const double scale = 1 / sqrt(variance + (double)epsilon);
    for (size_t i = 0; i < width; i++)
        output[i] = (float)(((double)input[i] - mean) * scale * (double)weight[i] + (double)bias[i]);
}

void clipc_ref_layer_norm(const float *input, size_t rows, size_t width, const float *weight, const float *bias,
                          float epsilon, float *output)
{
    for (size_t row = 0; row < rows; row++)
        normalize_row(input + row * width, width, weight, bias, epsilon, output + row * width);
}
