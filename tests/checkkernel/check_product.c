#include "checkkernel/checkkernel.h"

#include "backend/cpu/gemm.h"
#include "io/bf16.h"

#include <math.h>
#include <string.h>

/* A value of a packed row: its column's place in the bytes of a matrix packed in `dtype`. */
static void *packed_value(const guarded *packed, clipc_packed_row place, size_t column, clipc_dtype dtype)
{
    const size_t size = clipc_dtype_size(dtype);
    const size_t in_block = CLIPC_BLOCK * sizeof(float) / size;
    return (char *)packed->values + (place.offset + column / in_block * place.block_stride) * sizeof(float) +
           column % in_block * size;
}

/* Packs a row-major matrix [rows, columns] as a GEMM reads it. */
static guarded pack_rows(const float *values, clipc_row_tiles tiles, size_t columns, clipc_dtype dtype)
{
    const size_t blocks = clipc_deep_blocks(columns, sizeof(float) / clipc_dtype_size(dtype));
    guarded packed = guarded_make(tiles.rows * blocks * CLIPC_BLOCK);
    memset(packed.values, 0, packed.count * sizeof(float));
    for (size_t row = 0; row < tiles.rows; row++) {
        const clipc_packed_row place = clipc_packed_row_at(tiles, blocks, row);
        for (size_t k = 0; k < columns; k++) {
            const float value = values[row * columns + k];
            const uint16_t half = clipc_bf16_of_float(value);
            if (dtype == CLIPC_DTYPE_BF16)
                memcpy(packed_value(&packed, place, k, dtype), &half, sizeof half);
            else
                memcpy(packed_value(&packed, place, k, dtype), &value, sizeof value);
        }
    }
    return packed;
}

/* Random values that `dtype` holds exactly. */
static void fill(check *c, guarded *array, clipc_dtype dtype)
{
    for (size_t i = 0; i < array->count; i++) {
        array->values[i] = random_normal(c);
        if (dtype == CLIPC_DTYPE_BF16)
            array->values[i] = clipc_float_of_bf16(clipc_bf16_of_float(array->values[i]));
    }
}

struct problem {
    clipc_dtype dtype;
    size_t rows;
    size_t inner;
    size_t outputs;
    guarded a;
    guarded weights;
    guarded bias;
};

/* Row-major results against sums in double. */
static void compare(check *c, const struct problem *problem, const guarded *results, size_t row_length)
{
    for (size_t row = 0; row < problem->rows; row++) {
        for (size_t j = 0; j < problem->outputs; j++) {
            double sum = (double)problem->bias.values[j];
            double size = fabs(sum);
            for (size_t k = 0; k < problem->inner; k++) {
                const double product = (double)problem->a.values[row * problem->inner + k] *
                                       (double)problem->weights.values[j * problem->inner + k];
                sum += product;
                size += fabs(product);
            }
            expect(c, problem->dtype == CLIPC_DTYPE_BF16 ? TOLERANCE_BF16_GEMM : TOLERANCE_F32_GEMM,
                   (double)results->values[row * row_length + j], sum, size * (2.0 + sqrt((double)problem->inner)),
                   "product");
        }
    }
}

/* Packed results are the row-major ones, rounded if they are bf16. */
static void compare_packed(check *c, const struct problem *problem, const guarded *plain, size_t row_length,
                           const guarded *packed, clipc_row_tiles tiles, clipc_dtype dtype)
{
    const size_t blocks = row_length / (CLIPC_BLOCK * sizeof(float) / clipc_dtype_size(dtype));
    for (size_t row = 0; row < problem->rows; row++) {
        const clipc_packed_row place = clipc_packed_row_at(tiles, blocks, row);
        for (size_t j = 0; j < problem->outputs; j++) {
            const float result = plain->values[row * row_length + j];
            const uint16_t half = clipc_bf16_of_float(result);
            const void *value = packed_value(packed, place, j, dtype);
            expect_true(c,
                        dtype == CLIPC_DTYPE_BF16 ? memcmp(value, &half, sizeof half) == 0
                                                  : memcmp(value, &result, sizeof result) == 0,
                        "product: packed and row-major results differ");
        }
    }
}

/* Weights packed from rows of fp32. */
static clipc_packed_weights pack_weights(check *c, const struct problem *problem, guarded *block)
{
    const size_t columns = clipc_kernels_tile_columns(c->kernels, problem->dtype);
    const clipc_packed_layout layout =
        clipc_packed_layout_make(problem->dtype, columns, 1, problem->outputs, problem->inner);
    size_t bytes = 0;
    expect_true(c, clipc_packed_bytes(&layout, &bytes), "packing: a size overflows");
    *block = guarded_make(bytes / sizeof(float));
    const clipc_packed_weights packed = clipc_packed_weights_at(&layout, block->values);
    const clipc_tensor weight = {.data = problem->weights.values, .dtype = CLIPC_DTYPE_F32};
    const clipc_tensor bias = {.data = problem->bias.values, .dtype = CLIPC_DTYPE_F32};
    for (size_t panel = 0; panel < layout.panel_count; panel++) {
        const size_t first = clipc_min(panel * columns, problem->outputs);
        clipc_pack_panel(c->kernels, &packed, panel, &weight, &bias, first,
                         clipc_min(columns, problem->outputs - first), problem->inner);
    }
    return packed;
}

/* rows × inner × outputs through packing and the thread pool, row-major and packed. */
static void check_shape(check *c, clipc_thread_pool *pool, clipc_dtype dtype, size_t rows, size_t inner,
                        size_t outputs)
{
    const size_t padded = clipc_padded_columns(outputs);
    const clipc_row_tiles tiles = clipc_row_tiles_make(rows, clipc_kernels_tile_rows(c->kernels, dtype));
    struct problem problem = {
        dtype, rows, inner, outputs, guarded_make(rows * inner), guarded_make(outputs * inner), guarded_make(outputs)};
    fill(c, &problem.a, dtype);
    fill(c, &problem.weights, dtype);
    fill(c, &problem.bias, CLIPC_DTYPE_F32);
    guarded plain = guarded_make(rows * padded);
    guarded packed = guarded_make(rows * padded * clipc_dtype_size(dtype) / sizeof(float));
    guarded input = pack_rows(problem.a.values, tiles, inner, dtype);
    guarded block = {0};
    const clipc_packed_weights layer = pack_weights(c, &problem, &block);
    clipc_gemm gemm = {.kernels = c->kernels,
                       .weights = &layer,
                       .panel_count = layer.layout.panel_count,
                       .rows = input.values,
                       .row_blocks = layer.layout.blocks,
                       .tiles = tiles,
                       .epilogue = CLIPC_EPILOGUE_BIAS,
                       .output = {plain.values, padded, false, CLIPC_DTYPE_F32}};
    clipc_gemm_run(pool, &gemm);
    gemm.output = (clipc_gemm_output){packed.values, padded * clipc_dtype_size(dtype) / sizeof(float), true, dtype};
    clipc_gemm_run(pool, &gemm);
    compare(c, &problem, &plain, padded);
    compare_packed(c, &problem, &plain, padded, &packed, tiles, dtype);
    guarded_end(c, &problem.a, "");
    guarded_end(c, &problem.weights, "packing changed the weights");
    guarded_end(c, &problem.bias, "packing changed the bias");
    guarded_end(c, &block, "packing wrote outside its block");
    guarded_end(c, &plain, "product wrote outside its rows");
    guarded_end(c, &packed, "product wrote outside its packed rows");
    guarded_end(c, &input, "product changed its input");
}

void check_product(check *c, clipc_thread_pool *pool, clipc_dtype dtype)
{
    static const size_t shapes[][3] = {{1, 1, 1},   {1, 16, 32},  {2, 17, 33},   {13, 31, 7},   {14, 64, 64},
                                       {15, 97, 3}, {29, 48, 65}, {50, 192, 96}, {101, 5, 131}, {57, 4099, 17}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        check_shape(c, pool, dtype, shapes[i][0], shapes[i][1], shapes[i][2]);
    for (int i = 0; i < 10; i++)
        check_shape(c, pool, dtype, 1 + random_below(c, 70), 1 + random_below(c, 150), 1 + random_below(c, 150));
}
