/* The operations around the GEMMs whose results are bf16, written once over lines of 16 floats like lines_f32.h. A
 * file lines_bf16__<isa>.c includes the line_narrow_<isa>.h, defines KERNEL(name) and then includes this. */
#include "backend/cpu/kernels.h"
#include "backend/cpu/line_activations.h"
#include "backend/cpu/line_statistics.h"

#define DEFINE_EPILOGUE(name, result)                                                                                 \
    void KERNEL(name)(size_t rows, size_t columns, const float *sums, const float *bias, uint32_t *out,               \
                      size_t row_stride, size_t block_stride)                                                         \
    {                                                                                                                 \
        for (size_t i = 0; i < rows; i++) {                                                                           \
            for (size_t j = 0; j < columns / CLIPC_BLOCK; j++) {                                                      \
                const line x =                                                                                        \
                    line_add(line_load(sums + i * columns + j * CLIPC_BLOCK), line_load(bias + j * CLIPC_BLOCK));     \
                uint16_t *at = half_line(out + i * row_stride, j, block_stride);                                      \
                line_store_bf16(at, result);                                                                          \
            }                                                                                                         \
        }                                                                                                             \
    }

DEFINE_EPILOGUE(clipc_bias_bf16, x)
/* The second argument is what comes of a number that is none. */
DEFINE_EPILOGUE(clipc_relu_bf16, line_max(line_set(0.0f), x))
DEFINE_EPILOGUE(clipc_residual_relu_bf16, line_max(line_set(0.0f), line_add(line_load_bf16(at), x)))
DEFINE_EPILOGUE(clipc_quick_gelu_bf16, line_low_quick_gelu(x))
DEFINE_EPILOGUE(clipc_gelu_bf16, line_low_gelu(x))
DEFINE_EPILOGUE(clipc_gelu_tanh_bf16, line_low_gelu_tanh(x))

void KERNEL(clipc_average_bf16)(const uint32_t *const from[4], size_t lines, uint32_t *out, size_t block_stride)
{
    for (size_t j = 0; j < 2 * lines; j++) {
        line sum = line_load_bf16((const uint16_t *)(const void *)from[0] + j * CLIPC_BLOCK);
        for (int i = 1; i < 4; i++)
            sum = line_add(sum, line_load_bf16((const uint16_t *)(const void *)from[i] + j * CLIPC_BLOCK));
        line_store_bf16(half_line(out, j, block_stride), line_multiply(sum, line_set(0.25f)));
    }
}

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
