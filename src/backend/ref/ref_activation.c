#include "backend/ref/ref_operations.h"

#include <math.h>

/* x × sigmoid(1.702 x): Hendrycks & Gimpel 2016, the approximation OpenAI CLIP was trained with. */
static double quick_gelu(double x)
{
    return x / (1 + exp(-1.702 * x));
}

/* x × Φ(x), Φ the normal distribution function. erfc keeps its digits where 1 + erf would cancel. */
static double gelu(double x)
{
    return x * 0.5 * erfc(-x * 0.70710678118654752440); /* 1/√2 */
}

/* The tanh approximation of the same paper. */
static double gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))); /* √(2/π) */
}

void clipc_ref_activation(clipc_activation activation, float *values, size_t count)
{
    double (*function)(double) = activation == CLIPC_ACTIVATION_QUICK_GELU ? quick_gelu
                                 : activation == CLIPC_ACTIVATION_GELU     ? gelu
                                                                           : gelu_tanh;
    for (size_t i = 0; i < count; i++)
        values[i] = (float)function((double)values[i]);
}
