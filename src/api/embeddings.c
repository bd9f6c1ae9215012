/* What is done with embeddings once there are some. */
#include "base/dot.h"
#include "clipc/clipc.h"

#include <math.h>

void clipc_similarities(const float *a, size_t rows, const float *b, size_t columns, size_t dimension,
                        float *similarities)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            similarities[i * columns + j] = (float)clipc_dot(a + i * dimension, b + j * dimension, dimension);
}

void clipc_scores(const float *similarities, size_t count, float logit_scale, float *scores)
{
    if (count == 0)
        return;
    const double scale = (double)logit_scale;
    double largest = scale * (double)similarities[0];
    for (size_t i = 1; i < count; i++) {
        const double score = scale * (double)similarities[i];
        if (score > largest) /* gcc 12 breaks down over fmax here when it compiles for aarch64 */
            largest = score;
    }
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += exp(scale * (double)similarities[i] - largest);
    for (size_t i = 0; i < count; i++)
        scores[i] = (float)(exp(scale * (double)similarities[i] - largest) / sum);
}

/* exp is given what cannot overflow. */
void clipc_scores_sigmoid(const float *similarities, size_t count, float logit_scale, float logit_bias, float *scores)
{
    for (size_t i = 0; i < count; i++) {
        const double logit = (double)logit_scale * (double)similarities[i] + (double)logit_bias;
        const double small = exp(logit < 0 ? logit : -logit);
        scores[i] = (float)((logit < 0 ? small : 1) / (1 + small));
    }
}

void clipc_embeddings_average(const float *rows, size_t count, size_t dimension, float *average)
{
    double squares = 0;
    for (size_t i = 0; i < dimension; i++) {
        double sum = 0;
        for (size_t row = 0; row < count; row++)
            sum += (double)rows[row * dimension + i];
        average[i] = count ? (float)(sum / (double)count) : 0;
        squares += (double)average[i] * (double)average[i];
    }
    const double length = sqrt(squares);
    if (length > 0)
        for (size_t i = 0; i < dimension; i++)
            average[i] = (float)((double)average[i] / length);
}
