/* The operations around the GEMMs, written once over lines of 16 floats. A file lines_f32__<isa>.c includes the
 * line_<isa>.h that says what a line is there, defines KERNEL(name) and then includes this.
 *
 * Approximations are polynomials fitted to minimise the largest relative error (Lawson's iteration in double
 * precision); checkkernel measures the error of the whole function.
 */
#include "backend/cpu/kernels.h"
#include "backend/cpu/line_statistics.h"

/* e to the power of each lane, which is limited to where the result is a normal number. x = n ln 2 + r with |r| at
 * most ln 2 / 2, and exp(r) = 1 + r + r² P(r). */
static inline line line_exp(line x)
{
    /* Limits first: max and min give back their second argument when one is not a number. */
    x = line_max(line_set(-87.3f), x);
    x = line_min(line_set(88.3f), x);
    /* Adding 1.5 × 2^23 leaves no bits for a fraction: the sum is rounded to a whole number. */
    const line shift = line_set(12582912.0f);
    const line n = line_subtract(line_multiply_add(x, line_set(1.44269504f), shift), shift);
    line r = line_multiply_add(n, line_set(-0.693359375f), x); /* ln 2 in two parts, the first of 10 bits, */
    r = line_multiply_add(n, line_set(2.12194440e-4f), r);     /* so that n times it is exact */
    line p = line_set(1.381453825e-3f);
    p = line_multiply_add(p, r, line_set(8.368745446e-3f));
    p = line_multiply_add(p, r, line_set(4.166839272e-2f));
    p = line_multiply_add(p, r, line_set(1.666652113e-1f));
    p = line_multiply_add(p, r, line_set(4.999999404e-1f));
    p = line_multiply_add(p, r, line_set(1.0f));
    p = line_multiply_add(p, r, line_set(1.0f));
    return line_multiply(p, line_power_of_two(n));
}

/* x / (1 + exp(-z)); below z = -88, where line_exp is at its limit, x × 0. */
static inline line line_times_sigmoid(line x, line z)
{
    const line exponential = line_exp(line_subtract(line_set(0.0f), z));
    const line sigmoid = line_divide(line_set(1.0f), line_add(line_set(1.0f), exponential));
    const line room = line_add(z, line_set(88.0f));
    return line_multiply(x, line_select_negative(room, line_set(0.0f), sigmoid));
}

static inline line line_quick_gelu(line x)
{
    return line_times_sigmoid(x, line_multiply(x, line_set(1.702f)));
}

/* x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / π) (x + 0.044715 x³) */
static inline line line_gelu_tanh(line x)
{
    const line cubic = line_multiply_add(line_multiply(x, x), line_set(0.044715f), line_set(1.0f));
    return line_times_sigmoid(x, line_multiply(line_multiply(x, line_set(1.5957691216f)), cubic));
}

/* x Φ(x). With z = |x| / √2: Φ(-|x|) = erfc(z) / 2, and exp(z²) erfc(z) = t Q(t) with t = 1 / (1 + 0.35 z), where Q
 * has degree 9 and is fitted for z up to 9.5, beyond which the result is below the smallest normal number. */
static inline line line_gelu(line x)
{
    const line z = line_multiply(line_absolute(x), line_set(0.70710678f));
    const line t = line_divide(line_set(1.0f), line_multiply_add(z, line_set(0.35f), line_set(1.0f)));
    line q = line_set(3.760749847e-2f);
    q = line_multiply_add(q, t, line_set(-1.544679254e-1f));
    q = line_multiply_add(q, t, line_set(1.705674976e-1f));
    q = line_multiply_add(q, t, line_set(-1.255645882e-2f));
    q = line_multiply_add(q, t, line_set(7.382173836e-2f));
    q = line_multiply_add(q, t, line_set(1.534980386e-1f));
    q = line_multiply_add(q, t, line_set(1.484588385e-1f));
    q = line_multiply_add(q, t, line_set(1.885243654e-1f));
    q = line_multiply_add(q, t, line_set(1.970582306e-1f));
    q = line_multiply_add(q, t, line_set(1.974882185e-1f));
    const line gauss = line_exp(line_subtract(line_set(0.0f), line_multiply(z, z)));
    const line tail = line_multiply(line_multiply(q, t), line_multiply(gauss, line_set(0.5f)));
    return line_multiply(x, line_select_negative(x, tail, line_subtract(line_set(1.0f), tail)));
}

#define DEFINE_EPILOGUE(name, result)                                                                                 \
    void KERNEL(name)(size_t rows, size_t columns, const float *sums, const float *bias, float *out,                  \
                      size_t row_stride, size_t block_stride)                                                         \
    {                                                                                                                 \
        for (size_t i = 0; i < rows; i++) {                                                                           \
            for (size_t j = 0; j < columns / CLIPC_BLOCK; j++) {                                                      \
                float *at = out + i * row_stride + j * block_stride;                                                  \
                const line x =                                                                                        \
                    line_add(line_load(sums + i * columns + j * CLIPC_BLOCK), line_load(bias + j * CLIPC_BLOCK));     \
                line_store(at, result);                                                                               \
            }                                                                                                         \
        }                                                                                                             \
    }

DEFINE_EPILOGUE(clipc_bias_f32, x)
DEFINE_EPILOGUE(clipc_residual_f32, line_add(line_load(at), x))
/* The second argument is what comes of a number that is none. */
DEFINE_EPILOGUE(clipc_relu_f32, line_max(line_set(0.0f), x))
DEFINE_EPILOGUE(clipc_residual_relu_f32, line_max(line_set(0.0f), line_add(line_load(at), x)))
DEFINE_EPILOGUE(clipc_quick_gelu_f32, line_quick_gelu(x))
DEFINE_EPILOGUE(clipc_gelu_f32, line_gelu(x))
DEFINE_EPILOGUE(clipc_gelu_tanh_f32, line_gelu_tanh(x))

void KERNEL(clipc_copy_lines_f32)(const float *from, size_t lines, float *out, size_t block_stride)
{
    for (size_t j = 0; j < lines; j++)
        line_store(out + j * block_stride, from ? line_load(from + j * CLIPC_BLOCK) : line_set(0.0f));
}

void KERNEL(clipc_average_f32)(const float *const from[4], size_t lines, float *out, size_t block_stride)
{
    for (size_t j = 0; j < lines; j++) {
        const size_t at = j * CLIPC_BLOCK;
        const line two = line_add(line_load(from[0] + at), line_load(from[1] + at));
        const line sum = line_add(line_add(two, line_load(from[2] + at)), line_load(from[3] + at));
        line_store(out + j * block_stride, line_multiply(sum, line_set(0.25f)));
    }
}

void KERNEL(clipc_layer_norm_f32)(const float *row, size_t width, const float *weight, const float *bias,
                                  float epsilon, float *out, size_t block_stride)
{
    const size_t lines = clipc_blocks(width);
    const size_t last = width - (lines - 1) * CLIPC_BLOCK; /* values in the last line */
    const struct statistics statistics = row_statistics(row, width, epsilon);
    for (size_t j = 0; j < lines; j++) {
        const line difference = line_subtract(line_load(row + j * CLIPC_BLOCK), statistics.mean);
        const line normal = line_multiply(difference, statistics.scale);
        const line result =
            line_multiply_add(normal, line_load(weight + j * CLIPC_BLOCK), line_load(bias + j * CLIPC_BLOCK));
        line_store(out + j * block_stride, line_keep(result, j + 1 < lines ? CLIPC_BLOCK : last));
    }
}

float KERNEL(clipc_softmax_f32)(float *scores, size_t count, size_t blocks, float *out, size_t block_stride)
{
    const size_t lines = clipc_blocks(count);
    line largest = line_set(-__builtin_inff());
    for (size_t j = 0; j < lines; j++)
        largest =
            line_max(largest, line_load_first(scores + j * CLIPC_BLOCK, count - j * CLIPC_BLOCK, -__builtin_inff()));
    const line shift = line_set(line_largest(largest));
    line total = line_set(0.0f);
    for (size_t j = 0; j < lines; j++) {
        const line score = line_load_first(scores + j * CLIPC_BLOCK, count - j * CLIPC_BLOCK, 0.0f);
        const line weight = line_keep(line_exp(line_subtract(score, shift)), count - j * CLIPC_BLOCK);
        total = line_add(total, weight);
        line_store(out + j * block_stride, weight);
    }
    for (size_t j = lines; j < blocks; j++)
        line_store(out + j * block_stride, line_set(0.0f));
    return line_sum(total);
}
