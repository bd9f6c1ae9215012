#include "backend/ref/ref_operations.h"

#include <math.h>

void clipc_ref_batch_norm(float *values, size_t channels, size_t area, const float *weight, const float *bias,
                          const float *mean, const float *variance, double epsilon)
{
    for (size_t channel = 0; channel < channels; channel++) {
        const double scale = (double)weight[channel] / sqrt((double)variance[channel] + epsilon);
        for (size_t i = 0; i < area; i++) {
            float *value = values + channel * area + i;
            *value = (float)(((double)*value - (double)mean[channel]) * scale + (double)bias[channel]);
        }
    }
}

void clipc_ref_relu(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = values[i] < 0 ? 0 : values[i];
}

void clipc_ref_average_pool(const float *input, size_t channels, size_t side, size_t pool, float *output)
{
    const size_t output_side = side / pool;
    for (size_t channel = 0; channel < channels; channel++) {
        for (size_t y = 0; y < output_side; y++) {
            for (size_t x = 0; x < output_side; x++) {
                double sum = 0;
                for (size_t i = 0; i < pool * pool; i++)
                    sum += (double)input[(channel * side + y * pool + i / pool) * side + x * pool + i % pool];
                output[(channel * output_side + y) * output_side + x] = (float)(sum / (double)(pool * pool));
            }
        }
    }
}
