/* From the integer sums of a tile through scales, bias and activation to memory in one pass, written once over lines
 * of 16 floats like lines_bf16.h. A file epilogues_i8__<isa>.c includes the line_narrow_<isa>.h, defines KERNEL(name)
 * and then includes this. */
#include "backend/cpu/kernels.h"
#include "backend/cpu/line_activations.h"
#include "backend/cpu/unroll.h"

/* What all rows of 16 columns share. */
struct columns {
    const int32_t *integers;
    line scale;
    line bias;
};

static inline struct columns load_columns(const clipc_i8_terms *terms, size_t j)
{
    return (struct columns){terms->integers + j * CLIPC_BLOCK, line_load(terms->scales + j * CLIPC_BLOCK),
                            line_load(terms->bias + j * CLIPC_BLOCK)};
}

/* (sum - zero × integers) × scales + bias */
CLIPC_ALWAYS_INLINE line scaled_sum(const int32_t *sums, const struct columns *columns, clipc_row_scale row)
{
    const line whole = line_corrected_sum(sums, columns->integers, row.zero);
    return line_multiply_add(line_multiply(whole, line_set(row.scale)), columns->scale, columns->bias);
}

#define DEFINE_EPILOGUE(name, store)                                                                                  \
    void KERNEL(name)(size_t rows, size_t columns, const int32_t *sums, const clipc_i8_terms *terms, uint32_t *out,   \
                      size_t row_stride, size_t block_stride)                                                         \
    {                                                                                                                 \
        for (size_t j = 0; j < columns / CLIPC_BLOCK; j++) {                                                          \
            const struct columns shared = load_columns(terms, j);                                                     \
            for (size_t i = 0; i < rows; i++) {                                                                       \
                const line x = scaled_sum(sums + i * columns + j * CLIPC_BLOCK, &shared, terms->row_scales[i]);       \
                store;                                                                                                \
            }                                                                                                         \
        }                                                                                                             \
    }

/* Where the line goes as fp32, and as bf16. */
#define WHOLE ((float *)(void *)(out + i * row_stride + j * block_stride))
#define HALF  half_line(out + i * row_stride, j, block_stride)

DEFINE_EPILOGUE(clipc_bias_i8_f32, line_store(WHOLE, x))
DEFINE_EPILOGUE(clipc_residual_i8_f32, line_store(WHOLE, line_add(line_load(WHOLE), x)))
DEFINE_EPILOGUE(clipc_bias_i8_bf16, line_store_bf16(HALF, x))
DEFINE_EPILOGUE(clipc_quick_gelu_i8_bf16, line_store_bf16(HALF, line_low_quick_gelu(x)))
DEFINE_EPILOGUE(clipc_gelu_i8_bf16, line_store_bf16(HALF, line_low_gelu(x)))
DEFINE_EPILOGUE(clipc_gelu_tanh_i8_bf16, line_store_bf16(HALF, line_low_gelu_tanh(x)))
