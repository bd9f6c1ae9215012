#include "checkkernel/checkkernel.h"

#include "io/bf16.h"

#include <math.h>
#include <string.h>

static int byte_at(const guarded *array, size_t unit, size_t part)
{
    return ((const unsigned char *)array->values)[unit * sizeof(float) + part];
}

/* Integer sums must be exact, whatever the bytes. */
static void check_tile(check *c, size_t rows, size_t blocks, bool extreme)
{
    const size_t columns = c->kernels->i8.tile_columns;
    const size_t units = blocks * CLIPC_BLOCK;
    guarded a = guarded_make(rows * units);
    guarded b = guarded_make(units * columns);
    guarded out = guarded_make(rows * columns);
    unsigned char *a_bytes = (unsigned char *)a.values;
    signed char *b_bytes = (signed char *)b.values;
    for (size_t i = 0; i < a.count * sizeof(float); i++)
        a_bytes[i] = (unsigned char)(extreme ? 255 : random_below(c, 256));
    for (size_t i = 0; i < b.count * sizeof(float); i++)
        b_bytes[i] = (signed char)(extreme ? (random_below(c, 2) ? -127 : 127) : (int)random_below(c, 255) - 127);
    int32_t *sums = (int32_t *)(void *)out.values;
    c->kernels->i8.gemm_tile(rows, blocks, (const void *)a.values, (const void *)b.values, sums, columns);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            int32_t sum = 0;
            for (size_t k = 0; k < units; k++)
                for (size_t part = 0; part < 4; part++)
                    sum += byte_at(&a, (k / CLIPC_BLOCK * rows + i) * CLIPC_BLOCK + k % CLIPC_BLOCK, part) *
                           b_bytes[(k * columns + j) * sizeof(float) + part];
            expect_true(c, sums[i * columns + j] == sum, "int8 gemm tile: a sum is not exact");
        }
    }
    guarded_end(c, &a, "int8 gemm tile changed around a");
    guarded_end(c, &b, "int8 gemm tile changed around b");
    guarded_end(c, &out, "int8 gemm tile wrote outside its tile");
}

enum row_kind {
    ROW_NORMAL,
    ROW_ZERO,
    ROW_TINY,
    ROW_OUTLIER,
    ROW_HUGE,
    ROW_POSITIVE,
    ROW_NAN,
    ROW_INFINITE,
    ROW_KINDS
};

static float row_value(check *c, enum row_kind kind, bool chosen)
{
    const float x = random_normal(c);
    switch (kind) {
    case ROW_ZERO: return 0.0f;
    case ROW_TINY: return x * 1e-37f;
    case ROW_OUTLIER: return chosen ? 1e4f : x;
    case ROW_HUGE: return x * 1e37f;
    case ROW_POSITIVE: return fabsf(x);
    case ROW_NAN: return chosen ? NAN : x;
    case ROW_INFINITE: return chosen ? -INFINITY : x;
    default: return x;
    }
}

/* Rows to bytes: the same at every level as in portable C, each within its step of the value, and NaN in the scale
 * when a value is not finite. */
static void check_quantize(check *c, enum row_kind kind, size_t width)
{
    const size_t blocks = clipc_deep_blocks(width, 4);
    const size_t stride = CLIPC_BLOCK * (1 + random_below(c, 3));
    guarded row = guarded_make(clipc_blocks(width) * CLIPC_BLOCK / 2);
    guarded out = guarded_make((blocks - 1) * stride + CLIPC_BLOCK);
    guarded other = guarded_make(out.count);
    uint16_t *halves = (uint16_t *)(void *)row.values;
    const size_t chosen = random_below(c, width);
    for (size_t i = 0; i < row.count * 2; i++) /* what is beyond the width must not matter */
        halves[i] = clipc_bf16_of_float(i < width ? row_value(c, kind, i == chosen) : NAN);
    memset(out.values, 0, out.count * sizeof(float));
    memset(other.values, 0, other.count * sizeof(float));
    const clipc_row_scale scale = c->kernels->i8.quantize((const void *)row.values, width, (void *)out.values, stride);
    const clipc_row_scale portable =
        clipc_quantize_i8__c((const void *)row.values, width, (void *)other.values, stride);
    const bool finite = kind != ROW_NAN && kind != ROW_INFINITE;
    expect_true(c, isfinite(scale.scale) == finite, "quantizing: the scale does not tell what is finite");
    expect_true(c, !finite || memcmp(&scale, &portable, sizeof scale) == 0, "quantizing: scales differ by level");
    expect_true(c, !finite || memcmp(out.values, other.values, out.count * sizeof(float)) == 0,
                "quantizing: bytes differ by level");
    for (size_t i = 0; finite && i < width; i++) {
        const int byte = byte_at(&out, i / 64 * stride + i % 64 / 4, i % 4);
        const double value = (double)clipc_float_of_bf16(halves[i]);
        const double actual = (double)scale.scale * (byte - scale.zero);
        expect_true(c, fabs(actual - value) <= 1.001 * (double)scale.scale + 0x1p-92,
                    "quantizing: a value is far off");
    }
    guarded_end(c, &row, "quantizing changed its row");
    guarded_end(c, &out, "quantizing wrote outside its lines");
    guarded_end(c, &other, "quantizing wrote outside its lines");
}

/* LayerNorm to bytes is within a step of the level's fp32 one. */
static void check_norm(check *c, size_t width, float offset, float spread)
{
    const size_t padded = clipc_padded_columns(width);
    const size_t blocks = clipc_deep_blocks(width, 4);
    const size_t stride = CLIPC_BLOCK * (1 + random_below(c, 3));
    guarded row = guarded_make(padded);
    guarded weight = guarded_make(padded);
    guarded bias = guarded_make(padded);
    guarded exact = guarded_make(padded);
    guarded out = guarded_make((blocks - 1) * stride + CLIPC_BLOCK);
    for (size_t i = 0; i < padded; i++) {
        row.values[i] = i < width ? offset + spread * random_normal(c) : 9.0f;
        weight.values[i] = i < width ? random_normal(c) : 9.0f;
        bias.values[i] = i < width ? random_normal(c) : 9.0f;
    }
    c->kernels->layer_norm(row.values, width, weight.values, bias.values, 1e-5f, exact.values, CLIPC_BLOCK);
    const clipc_row_scale scale =
        c->kernels->i8.layer_norm(row.values, width, weight.values, bias.values, 1e-5f, (void *)out.values, stride);
    for (size_t i = 0; i < width; i++) {
        const int byte = byte_at(&out, i / 64 * stride + i % 64 / 4, i % 4);
        expect_true(
            c, fabs((double)scale.scale * (byte - scale.zero) - (double)exact.values[i]) <= 1.01 * (double)scale.scale,
            "int8 layer norm: a value is far off");
    }
    row.values[random_below(c, width)] = NAN;
    expect_true(c,
                isnan(c->kernels->i8
                          .layer_norm(row.values, width, weight.values, bias.values, 1e-5f, (void *)out.values, stride)
                          .scale),
                "int8 layer norm hides NaN");
    guarded_end(c, &row, "int8 layer norm changed around its row");
    guarded_end(c, &weight, "int8 layer norm changed around its weight");
    guarded_end(c, &bias, "int8 layer norm changed around its bias");
    guarded_end(c, &exact, "layer norm wrote outside its lines");
    guarded_end(c, &out, "int8 layer norm wrote outside its lines");
}

/* A tile of integer sums and all that an epilogue reads beside it. */
struct sums {
    guarded whole;
    guarded scales;
    guarded integers;
    guarded bias;
    clipc_row_scale row_scales[CLIPC_TILE_ROWS_MAX];
};

static struct sums make_sums(check *c, size_t rows)
{
    const size_t columns = c->kernels->i8.tile_columns;
    struct sums sums = {.whole = guarded_make(rows * columns),
                        .scales = guarded_make(columns),
                        .integers = guarded_make(columns),
                        .bias = guarded_make(columns)};
    int32_t *whole = (int32_t *)(void *)sums.whole.values;
    int32_t *integers = (int32_t *)(void *)sums.integers.values;
    for (size_t i = 0; i < rows * columns; i++)
        whole[i] = (int32_t)random_below(c, 100000000) - 50000000;
    for (size_t j = 0; j < columns; j++) {
        sums.scales.values[j] = 1e-3f * random_normal(c);
        sums.bias.values[j] = random_normal(c);
        integers[j] = (int32_t)random_below(c, 300000) - 150000;
    }
    for (size_t i = 0; i < rows; i++)
        sums.row_scales[i] = (clipc_row_scale){1e-4f * random_normal(c), (int32_t)random_below(c, 256)};
    return sums;
}

static void end_sums(check *c, struct sums *sums)
{
    guarded_end(c, &sums->whole, "int8 epilogue changed around its sums");
    guarded_end(c, &sums->scales, "int8 epilogue changed around its scales");
    guarded_end(c, &sums->integers, "int8 epilogue changed around its integers");
    guarded_end(c, &sums->bias, "int8 epilogue changed around its bias");
}

/* Through an epilogue to packed rows. With 16 columns, bf16 may go to a line's second half. */
static void check_epilogue(check *c, clipc_epilogue kind, bool halves, size_t rows)
{
    const size_t columns = c->kernels->i8.tile_columns;
    const size_t block_stride = CLIPC_BLOCK * rows;
    const size_t shift = halves && columns == CLIPC_BLOCK && random_below(c, 2) ? CLIPC_BLOCK / 2 : 0;
    struct sums sums = make_sums(c, rows);
    guarded out = guarded_make(rows * (halves ? CLIPC_BLOCK : columns));
    float before[CLIPC_TILE_ROWS_MAX * CLIPC_TILE_COLUMNS_MAX];
    for (size_t i = 0; i < out.count; i++)
        before[i] = out.values[i] = random_normal(c);
    const clipc_i8_terms terms = {sums.row_scales, sums.scales.values, (const int32_t *)(void *)sums.integers.values,
                                  sums.bias.values};
    (halves ? c->kernels->i8.epilogue_bf16
            : c->kernels->i8.epilogue_f32)[kind](rows, columns, (const int32_t *)(void *)sums.whole.values, &terms,
                                                 (uint32_t *)(void *)out.values + shift, CLIPC_BLOCK, block_stride);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            const int32_t whole = ((const int32_t *)(void *)sums.whole.values)[i * columns + j] -
                                  terms.row_scales[i].zero * terms.integers[j];
            const double product = (double)whole * (double)terms.row_scales[i].scale * (double)terms.scales[j];
            const double x = product + (double)terms.bias[j];
            const size_t place = j / CLIPC_BLOCK * block_stride + i * CLIPC_BLOCK + j % CLIPC_BLOCK;
            const double size = fabs(product) + fabs((double)terms.bias[j]);
            const double old = kind == CLIPC_EPILOGUE_RESIDUAL ? (double)before[place] : 0.0;
            if (!halves)
                expect(c, TOLERANCE_F32_EPILOGUE, (double)out.values[place], x + old, 2.0 * (size + fabs(old)),
                       "int8 epilogue");
            else if (kind != CLIPC_EPILOGUE_BIAS && x < -5.0)
                expect_true(c, fabs(half_at(&out, i * CLIPC_BLOCK, j + 2 * shift, block_stride)) < 2e-3,
                            "int8 epilogue: tail");
            else
                expect(c, TOLERANCE_BF16_RESULT, half_at(&out, i * CLIPC_BLOCK, j + 2 * shift, block_stride),
                       activation_reference(kind, x), fabs(activation_reference(kind, x)) + 1e-5 * size,
                       "int8 epilogue");
        }
    }
    guarded_end(c, &out, "int8 epilogue wrote outside its rows");
    end_sums(c, &sums);
}

/* A row's scale of NaN must come through. */
static void check_not_a_number(check *c)
{
    struct sums sums = make_sums(c, 1);
    guarded out = guarded_make(c->kernels->i8.tile_columns);
    sums.row_scales[0].scale = NAN;
    const clipc_i8_terms terms = {sums.row_scales, sums.scales.values, (const int32_t *)(void *)sums.integers.values,
                                  sums.bias.values};
    c->kernels->i8.epilogue_bf16[CLIPC_EPILOGUE_QUICK_GELU](1, out.count, (const int32_t *)(void *)sums.whole.values,
                                                            &terms, (uint32_t *)(void *)out.values, CLIPC_BLOCK,
                                                            CLIPC_BLOCK);
    for (size_t j = 0; j < out.count; j++)
        expect_true(c, isnan(half_at(&out, 0, j, CLIPC_BLOCK)), "int8 epilogue hides NaN");
    guarded_end(c, &out, "int8 epilogue wrote outside its rows");
    end_sums(c, &sums);
}

static void check_epilogues_of(check *c, size_t rows)
{
    for (int kind = 0; kind < CLIPC_EPILOGUE_COUNT; kind++) {
        for (int halves = 0; halves < 2; halves++)
            if ((halves ? c->kernels->i8.epilogue_bf16 : c->kernels->i8.epilogue_f32)[kind])
                check_epilogue(c, (clipc_epilogue)kind, halves, rows);
    }
}

void check_i8(check *c)
{
    static const size_t block_counts[] = {1, 2, 7, 48};
    static const size_t widths[] = {1, 2, 15, 16, 17, 31, 33, 64, 65, 97, 512, 768, 1025};
    for (size_t rows = 1; rows <= c->kernels->i8.tile_rows; rows++) {
        for (size_t i = 0; i < sizeof block_counts / sizeof block_counts[0]; i++) {
            check_tile(c, rows, block_counts[i], false);
            check_tile(c, rows, block_counts[i], true);
        }
        check_epilogues_of(c, rows);
    }
    check_not_a_number(c);
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        for (int kind = 0; kind < ROW_KINDS; kind++)
            check_quantize(c, (enum row_kind)kind, widths[i]);
        check_norm(c, widths[i], 0.0f, 1.0f);
        check_norm(c, widths[i], 3.0f, 0.5f);
        check_norm(c, widths[i], 0.0f, 1000.0f);
    }
}
