#include "backend/ref/ref_operations.h"

#include <math.h>

/* softmax in place; the largest score is subtracted first, so that exp cannot overflow. */
static void softmax(double *scores, size_t count)
{
    double largest = scores[0];
    for (size_t i = 1; i < count; i++)
        largest = fmax(largest, scores[i]);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        scores[i] = exp(scores[i] - largest);
        sum += scores[i];
    }
    for (size_t i = 0; i < count; i++)
        scores[i] /= sum;
}

/* One row of one head: `query` sees `visible` rows of key and value, which are `stride` floats apart. */
static void attend(const float *query, const float *key, const float *value, size_t visible, size_t head_width,
                   size_t stride, double *scores, float *output)
{
    const double scale = 1 / sqrt((double)head_width);
    for (size_t token = 0; token < visible; token++) {
        double product = 0;
        for (size_t i = 0; i < head_width; i++)
            product += (double)query[i] * (double)key[token * stride + i];
        scores[token] = product * scale;
    }
    softmax(scores, visible);
    for (size_t i = 0; i < head_width; i++) {
        double sum = 0;
        for (size_t token = 0; token < visible; token++)
            sum += scores[token] * (double)value[token * stride + i];
        output[i] = (float)sum;
    }
}

void clipc_ref_attention(const float *query, const float *key, const float *value, size_t tokens, size_t width,
                         size_t heads, bool causal, bool last_unseen, double *scores, float *output)
{
    const size_t head_width = width / heads;
    for (size_t head = 0; head < heads; head++) {
        const size_t column = head * head_width;
        for (size_t token = 0; token < tokens; token++) {
            const size_t visible = (causal ? token + 1 : tokens) - (last_unseen && token + 1 == tokens ? 1 : 0);
            attend(query + token * width + column, key + column, value + column, visible, head_width, width, scores,
                   output + token * width + column);
        }
    }
}

void clipc_ref_attention_pooling(const float *query, const float *key, const float *value, size_t tokens, size_t width,
                                 size_t heads, double *scores, float *output)
{
    const size_t head_width = width / heads;
    for (size_t column = 0; column < width; column += head_width)
        attend(query + column, key + column, value + column, tokens, head_width, width, scores, output + column);
}
