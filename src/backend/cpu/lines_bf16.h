/* The operations around the GEMMs whose results are bf16, written once over lines of 16 floats like lines_f32.h. A
 * file lines_bf16__<isa>.c includes the line_narrow_<isa>.h, defines KERNEL(name) and then includes this.
 *
 * Approximations are as good as a result of 8 bits needs: within an eighth of its rounding. They are fitted like those
 * of lines_f32.h. */
#include "backend/cpu/kernels.h"
#include "backend/cpu/line_statistics.h"

/* Where 16 values from column 16 × group on go: half of a line of pairs. */
static inline uint16_t *half_line(uint32_t *out, size_t group, size_t block_stride)
{
    return (uint16_t *)(void *)(out + group / 2 * block_stride + group % 2 * (CLIPC_BLOCK / 2));
}

/* 2^t to 13 bits, |t| limited to 125. */
static inline line line_low_power(line t)
{
    /* max and min give back their second argument when one is not a number. */
    t = line_max(line_set(-125.0f), t);
    t = line_min(line_set(125.0f), t);
    const line n = line_round(t);
    const line r = line_subtract(t, n);
    line p = line_set(5.517177e-2f);
    p = line_multiply_add(p, r, line_set(2.4261158e-1f));
    p = line_multiply_add(p, r, line_set(6.9326101e-1f));
    p = line_multiply_add(p, r, line_set(9.9992805e-1f));
    return line_multiply(p, line_power_of_two(n));
}

/* x / (1 + 2^t). */
static inline line line_times_logistic(line x, line t)
{
    return line_multiply(x, line_reciprocal(line_add(line_low_power(t), line_set(1.0f))));
}

/* x / (1 + exp(-1.702 x)) */
static inline line line_low_quick_gelu(line x)
{
    return line_times_logistic(x, line_multiply(x, line_set(-2.45546696f)));
}

/* x / (1 + exp(-2 u)), u = sqrt(2 / π) (x + 0.044715 x³) */
static inline line line_low_gelu_tanh(line x)
{
    const line cubic = line_multiply_add(line_multiply(x, x), line_set(-0.102943240f), line_set(-2.30220818f));
    return line_times_logistic(x, line_multiply(x, cubic));
}

/* x Φ(x), Φ(x) = 1 / (1 + exp(-x P(x²))): P fitted for |x| up to 5.5, where Φ(-x) is off by 0.17 %. */
static inline line line_low_gelu(line x)
{
    const line square = line_min(line_set(30.25f), line_multiply(x, x));
    line p = line_set(-1.25207e-5f);
    p = line_multiply_add(p, square, line_set(1.39963444e-3f));
    p = line_multiply_add(p, square, line_set(-1.09073666e-1f));
    p = line_multiply_add(p, square, line_set(-2.29881206f));
    return line_times_logistic(x, line_multiply(x, p));
}

#define DEFINE_EPILOGUE(name, result)                                                                                 \
    void KERNEL(name)(size_t rows, size_t columns, const float *sums, const float *bias, uint32_t *out,               \
                      size_t row_stride, size_t block_stride)                                                         \
    {                                                                                                                 \
        for (size_t i = 0; i < rows; i++) {                                                                           \
            for (size_t j = 0; j < columns / CLIPC_BLOCK; j++) {                                                      \
                const line x =                                                                                        \
                    line_add(line_load(sums + i * columns + j * CLIPC_BLOCK), line_load(bias + j * CLIPC_BLOCK));     \
                line_store_bf16(half_line(out + i * row_stride, j, block_stride), result);                            \
            }                                                                                                         \
        }                                                                                                             \
    }

DEFINE_EPILOGUE(clipc_bias_bf16, x)
DEFINE_EPILOGUE(clipc_quick_gelu_bf16, line_low_quick_gelu(x))
DEFINE_EPILOGUE(clipc_gelu_bf16, line_low_gelu(x))
DEFINE_EPILOGUE(clipc_gelu_tanh_bf16, line_low_gelu_tanh(x))

void KERNEL(clipc_layer_norm_bf16)(const float *row, size_t width, const float *weight, const float *bias,
                                   float epsilon, uint32_t *out, size_t block_stride)
{
    const size_t lines = clipc_blocks(width);
    const size_t last = width - (lines - 1) * CLIPC_BLOCK; /* values in the last line */
    const struct statistics statistics = row_statistics(row, width, epsilon);
    for (size_t j = 0; j < lines; j++) {
        const line difference = line_subtract(line_load(row + j * CLIPC_BLOCK), statistics.mean);
        const line normal = line_multiply(difference, statistics.scale);
        const line result =
            line_multiply_add(normal, line_load(weight + j * CLIPC_BLOCK), line_load(bias + j * CLIPC_BLOCK));
        line_store_bf16(half_line(out, j, block_stride), line_keep(result, j + 1 < lines ? CLIPC_BLOCK : last));
    }
    if (lines % 2)
        line_store_bf16(half_line(out, lines, block_stride), line_set(0.0f));
}

float KERNEL(clipc_softmax_bf16)(const float *scores, size_t count, float scale, size_t blocks, uint32_t *out,
                                 size_t block_stride)
{
    const size_t lines = clipc_blocks(count);
    line largest = line_set(-__builtin_inff());
    for (size_t j = 0; j < lines; j++)
        largest =
            line_max(largest, line_load_first(scores + j * CLIPC_BLOCK, count - j * CLIPC_BLOCK, -__builtin_inff()));
    const line shift = line_set(line_largest(largest));
    const line factor = line_set(scale * 1.44269504f);
    line total = line_set(0.0f);
    for (size_t j = 0; j < lines; j++) {
        const line score = line_load_first(scores + j * CLIPC_BLOCK, count - j * CLIPC_BLOCK, 0.0f);
        const line power = line_low_power(line_multiply(line_subtract(score, shift), factor));
        const line weight = line_keep(power, count - j * CLIPC_BLOCK);
        total = line_add(total, weight);
        line_store_bf16(half_line(out, j, block_stride), weight);
    }
    for (size_t j = lines; j < 2 * blocks; j++)
        line_store_bf16(half_line(out, j, block_stride), line_set(0.0f));
    return line_sum(total);
}

void KERNEL(clipc_scale_bf16)(const float *values, size_t groups, float scale, uint32_t *out, size_t first_group,
                              size_t block_stride)
{
    for (size_t j = 0; j < groups; j++)
        line_store_bf16(half_line(out, first_group + j, block_stride),
                        line_multiply(line_load(values + j * CLIPC_BLOCK), line_set(scale)));
}
