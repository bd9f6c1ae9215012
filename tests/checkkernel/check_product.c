#include "checkkernel/checkkernel.h"

#include "backend/cpu/gemm.h"

#include <math.h>
#include <string.h>

/* Packs a row-major matrix [rows, columns] as a GEMM reads it. */
static guarded pack_rows(const float *values, clipc_row_tiles tiles, size_t columns)
{
    const size_t blocks = clipc_blocks(columns);
    guarded packed = guarded_make(tiles.rows * blocks * CLIPC_BLOCK);
    memset(packed.values, 0, packed.count * sizeof(float));
    for (size_t row = 0; row < tiles.rows; row++) {
        const clipc_packed_row place = clipc_packed_row_at(tiles, blocks, row);
        for (size_t k = 0; k < columns; k++)
            packed.values[place.offset + k / CLIPC_BLOCK * place.block_stride + k % CLIPC_BLOCK] =
                values[row * columns + k];
    }
    return packed;
}

static void fill(check *c, guarded *array)
{
    for (size_t i = 0; i < array->count; i++)
        array->values[i] = random_normal(c);
}

/* rows × inner × outputs through packing and the thread pool, row-major and packed. */
static void check_shape(check *c, clipc_thread_pool *pool, size_t rows, size_t inner, size_t outputs)
{
    const size_t columns = c->kernels->tile_columns;
    const size_t padded = clipc_padded_columns(outputs);
    const size_t depth = clipc_blocks(inner) * CLIPC_BLOCK;
    const clipc_row_tiles tiles = clipc_row_tiles_make(rows, c->kernels->tile_rows);
    guarded a = guarded_make(rows * inner);
    guarded weights = guarded_make(outputs * inner);
    guarded bias = guarded_make(padded);
    guarded panels = guarded_make(padded * (depth + 1));
    guarded plain = guarded_make(rows * padded);
    guarded packed = guarded_make(rows * padded);
    fill(c, &a);
    fill(c, &weights);
    fill(c, &bias);
    const clipc_packed_weights layer = {.layout =
                                            clipc_packed_layout_make(CLIPC_DTYPE_F32, columns, 1, outputs, inner),
                                        .panels = panels.values,
                                        .bias = panels.values + padded * depth};
    const clipc_tensor weight_tensor = {.data = weights.values, .dtype = CLIPC_DTYPE_F32};
    const clipc_tensor bias_tensor = {.data = bias.values, .dtype = CLIPC_DTYPE_F32};
    for (size_t panel = 0; panel < layer.layout.panel_count; panel++) {
        const size_t first = clipc_min(panel * columns, outputs);
        clipc_pack_panel(&layer, panel, &weight_tensor, &bias_tensor, first, clipc_min(columns, outputs - first),
                         inner);
    }
    guarded input = pack_rows(a.values, tiles, inner);
    clipc_gemm gemm = {.kernels = c->kernels,
                       .weights = &layer,
                       .panel_count = layer.layout.panel_count,
                       .rows = input.values,
                       .row_blocks = clipc_blocks(inner),
                       .tiles = tiles,
                       .epilogue = CLIPC_EPILOGUE_BIAS,
                       .output = {plain.values, padded, false}};
    clipc_gemm_run(pool, &gemm);
    gemm.output = (clipc_gemm_output){packed.values, padded, true};
    clipc_gemm_run(pool, &gemm);
    for (size_t row = 0; row < rows; row++) {
        const clipc_packed_row place = clipc_packed_row_at(tiles, padded / CLIPC_BLOCK, row);
        for (size_t j = 0; j < outputs; j++) {
            double sum = (double)bias.values[j];
            double size = fabs(sum);
            for (size_t k = 0; k < inner; k++) {
                const double product = (double)a.values[row * inner + k] * (double)weights.values[j * inner + k];
                sum += product;
                size += fabs(product);
            }
            const float result = plain.values[row * padded + j];
            expect(c, TOLERANCE_F32_GEMM, (double)result, sum, size * (2.0 + sqrt((double)inner)), "product");
            expect_true(c,
                        packed.values[place.offset + j / CLIPC_BLOCK * place.block_stride + j % CLIPC_BLOCK] == result,
                        "product: packed and row-major results differ");
        }
    }
    guarded_end(c, &a, "");
    guarded_end(c, &weights, "packing changed the weights");
    guarded_end(c, &bias, "product changed the bias");
    guarded_end(c, &panels, "packing wrote outside the panels");
    guarded_end(c, &plain, "product wrote outside its rows");
    guarded_end(c, &packed, "product wrote outside its packed rows");
    guarded_end(c, &input, "product changed its input");
}

void check_product(check *c, clipc_thread_pool *pool)
{
    static const size_t shapes[][3] = {{1, 1, 1},   {1, 16, 32},  {2, 17, 33},   {13, 31, 7},   {14, 64, 64},
                                       {15, 97, 3}, {29, 48, 65}, {50, 192, 96}, {101, 5, 131}, {57, 4099, 17}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        check_shape(c, pool, shapes[i][0], shapes[i][1], shapes[i][2]);
    for (int i = 0; i < 10; i++)
        check_shape(c, pool, 1 + random_below(c, 70), 1 + random_below(c, 150), 1 + random_below(c, 150));
}
