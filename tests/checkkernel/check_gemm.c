#include "checkkernel/checkkernel.h"

#include "io/bf16.h"

#include <math.h>
#include <string.h>

/* What differs between the tiles of one dtype and another. */
struct variant {
    clipc_dtype dtype;
    size_t depth; /* values in a unit */
    size_t rows;
    size_t columns;
    tolerance tolerance;
    const char *name;
};

static struct variant variant_of(const check *c, clipc_dtype dtype)
{
    const bool bf16 = dtype == CLIPC_DTYPE_BF16;
    return (struct variant){dtype,
                            sizeof(float) / clipc_dtype_size(dtype),
                            clipc_kernels_tile_rows(c->kernels, dtype),
                            clipc_kernels_tile_columns(c->kernels, dtype),
                            bf16 ? TOLERANCE_BF16_GEMM : TOLERANCE_F32_GEMM,
                            bf16 ? "gemm tile bf16" : "gemm tile"};
}

static void run_tile(const check *c, clipc_dtype dtype, size_t rows, size_t blocks, const guarded *a, const guarded *b,
                     float *out, size_t stride)
{
    const void *units = a->values;
    const void *weights = b->values;
    if (dtype == CLIPC_DTYPE_BF16)
        c->kernels->bf16.gemm_tile(rows, blocks, units, weights, out, stride);
    else
        c->kernels->gemm_tile(rows, blocks, units, weights, out, stride);
}

/* Value `part` of a unit. */
static double value_at(clipc_dtype dtype, const guarded *array, size_t unit, size_t part)
{
    if (dtype == CLIPC_DTYPE_F32)
        return (double)array->values[unit];
    uint16_t half = 0;
    memcpy(&half, (const char *)array->values + unit * sizeof(float) + part * sizeof half, sizeof half);
    return (double)clipc_float_of_bf16(half);
}

static void set_value(clipc_dtype dtype, guarded *array, size_t unit, size_t part, float value)
{
    if (dtype == CLIPC_DTYPE_F32) {
        array->values[unit] = value;
        return;
    }
    const uint16_t half = clipc_bf16_of_float(value);
    memcpy((char *)array->values + unit * sizeof(float) + part * sizeof half, &half, sizeof half);
}

static void fill_units(check *c, const struct variant *variant, guarded *array)
{
    for (size_t unit = 0; unit < array->count; unit++)
        for (size_t part = 0; part < variant->depth; part++)
            set_value(variant->dtype, array, unit, part, random_normal(c));
}

/* One tile of `rows` rows against sums in double. The tile's neighbours in `out` must stay as they were. */
static void check_tile(check *c, const struct variant *variant, size_t rows, size_t blocks, float poison)
{
    const size_t columns = variant->columns;
    const size_t units = blocks * CLIPC_BLOCK;
    const size_t stride = columns + CLIPC_BLOCK * random_below(c, 3);
    guarded a = guarded_make(rows * units);
    guarded b = guarded_make(units * columns);
    guarded out = guarded_make((rows - 1) * stride + columns);
    fill_units(c, variant, &a);
    fill_units(c, variant, &b);
    if (poison != 0.0f)
        set_value(variant->dtype, &a, random_below(c, a.count), random_below(c, variant->depth), poison);
    for (size_t i = 0; i < out.count; i++)
        out.values[i] = -7.0f;
    run_tile(c, variant->dtype, rows, blocks, &a, &b, out.values, stride);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            double sum = 0.0;
            double size = 0.0;
            for (size_t k = 0; k < units * variant->depth; k++) {
                const size_t unit = k / variant->depth;
                const size_t at = (unit / CLIPC_BLOCK * rows + i) * CLIPC_BLOCK + unit % CLIPC_BLOCK;
                const double product = value_at(variant->dtype, &a, at, k % variant->depth) *
                                       value_at(variant->dtype, &b, unit * columns + j, k % variant->depth);
                sum += product;
                size += fabs(product);
            }
            expect(c, variant->tolerance, (double)out.values[i * stride + j], sum,
                   size * (2.0 + sqrt((double)(units * variant->depth))), variant->name);
        }
        for (size_t j = columns; i + 1 < rows && j < stride; j++)
            expect_true(c, out.values[i * stride + j] == -7.0f, "gemm tile wrote beside its columns");
    }
    guarded_end(c, &a, "gemm tile changed around a");
    guarded_end(c, &b, "gemm tile changed around b");
    guarded_end(c, &out, "gemm tile wrote outside its tile");
}

/* A row's sums must be the same bits in tiles of any height. */
static void check_heights_agree(check *c, const struct variant *variant, size_t blocks)
{
    const size_t columns = variant->columns;
    guarded row = guarded_make(blocks * CLIPC_BLOCK);
    guarded b = guarded_make(blocks * CLIPC_BLOCK * columns);
    guarded alone = guarded_make(columns);
    fill_units(c, variant, &row);
    fill_units(c, variant, &b);
    run_tile(c, variant->dtype, 1, blocks, &row, &b, alone.values, columns);
    for (size_t rows = 2; rows <= variant->rows; rows++) {
        guarded a = guarded_make(rows * row.count);
        guarded out = guarded_make(rows * columns);
        const size_t place = random_below(c, rows);
        fill_units(c, variant, &a);
        for (size_t block = 0; block < blocks; block++)
            memcpy(a.values + (block * rows + place) * CLIPC_BLOCK, row.values + block * CLIPC_BLOCK,
                   CLIPC_BLOCK * sizeof(float));
        run_tile(c, variant->dtype, rows, blocks, &a, &b, out.values, columns);
        expect_true(c, memcmp(out.values + place * columns, alone.values, columns * sizeof(float)) == 0,
                    "gemm tile: a row's bits depend on the height of its tile");
        guarded_end(c, &a, "gemm tile changed around a");
        guarded_end(c, &out, "gemm tile wrote outside its tile");
    }
    guarded_end(c, &row, "gemm tile changed around a");
    guarded_end(c, &b, "gemm tile changed around b");
    guarded_end(c, &alone, "gemm tile wrote outside its tile");
}

void check_gemm_tile(check *c, clipc_dtype dtype)
{
    static const size_t block_counts[] = {1, 2, 3, 7, 48};
    const struct variant variant = variant_of(c, dtype);
    for (size_t rows = 1; rows <= variant.rows; rows++)
        for (size_t i = 0; i < sizeof block_counts / sizeof block_counts[0]; i++)
            check_tile(c, &variant, rows, block_counts[i], 0.0f);
    for (size_t rows = 1; rows <= variant.rows; rows++) {
        check_tile(c, &variant, rows, 2, NAN);
        check_tile(c, &variant, rows, 2, INFINITY);
        check_tile(c, &variant, rows, 2, 1e30f);
    }
    check_heights_agree(c, &variant, 1);
    check_heights_agree(c, &variant, 5);
}
