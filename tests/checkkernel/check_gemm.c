#include "checkkernel/checkkernel.h"

#include <math.h>
#include <string.h>

/* One tile of `rows` rows and `inner` values of k, against sums in double. The tile's neighbours in `out` must stay as
 * they were. */
static void check_tile(check *c, size_t rows, size_t blocks, float poison)
{
    const size_t columns = c->kernels->tile_columns;
    const size_t inner = blocks * CLIPC_BLOCK;
    const size_t stride = columns + CLIPC_BLOCK * random_below(c, 3);
    guarded a = guarded_make(rows * inner);
    guarded b = guarded_make(inner * columns);
    guarded out = guarded_make((rows - 1) * stride + columns);
    for (size_t i = 0; i < a.count; i++)
        a.values[i] = random_normal(c);
    for (size_t i = 0; i < b.count; i++)
        b.values[i] = random_normal(c);
    const size_t poisoned = random_below(c, a.count);
    if (poison != 0.0f)
        a.values[poisoned] = poison;
    for (size_t i = 0; i < out.count; i++)
        out.values[i] = -7.0f;
    c->kernels->gemm_tile(rows, blocks, a.values, b.values, out.values, stride);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            double sum = 0.0;
            double size = 0.0;
            for (size_t k = 0; k < inner; k++) {
                const double product = (double)a.values[(k / CLIPC_BLOCK * rows + i) * CLIPC_BLOCK + k % CLIPC_BLOCK] *
                                       (double)b.values[k * columns + j];
                sum += product;
                size += fabs(product);
            }
            expect(c, TOLERANCE_F32_GEMM, (double)out.values[i * stride + j], sum, size * (2.0 + sqrt((double)inner)),
                   "gemm tile");
        }
        for (size_t j = columns; i + 1 < rows && j < stride; j++)
            expect_true(c, out.values[i * stride + j] == -7.0f, "gemm tile wrote beside its columns");
    }
    guarded_end(c, &a, "gemm tile changed around a");
    guarded_end(c, &b, "gemm tile changed around b");
    guarded_end(c, &out, "gemm tile wrote outside its tile");
}

/* A row's sums must be the same bits in tiles of any height. */
static void check_heights_agree(check *c, size_t blocks)
{
    const size_t columns = c->kernels->tile_columns;
    const size_t tallest = c->kernels->tile_rows;
    guarded row = guarded_make(blocks * CLIPC_BLOCK);
    guarded b = guarded_make(blocks * CLIPC_BLOCK * columns);
    guarded alone = guarded_make(columns);
    for (size_t i = 0; i < row.count; i++)
        row.values[i] = random_normal(c);
    for (size_t i = 0; i < b.count; i++)
        b.values[i] = random_normal(c);
    c->kernels->gemm_tile(1, blocks, row.values, b.values, alone.values, columns);
    for (size_t rows = 2; rows <= tallest; rows++) {
        guarded a = guarded_make(rows * row.count);
        guarded out = guarded_make(rows * columns);
        const size_t place = random_below(c, rows);
        for (size_t i = 0; i < a.count; i++)
            a.values[i] = i / CLIPC_BLOCK % rows == place
                              ? row.values[i / CLIPC_BLOCK / rows * CLIPC_BLOCK + i % CLIPC_BLOCK]
                              : random_normal(c);
        c->kernels->gemm_tile(rows, blocks, a.values, b.values, out.values, columns);
        expect_true(c, memcmp(out.values + place * columns, alone.values, columns * sizeof(float)) == 0,
                    "gemm tile: a row's bits depend on the height of its tile");
        guarded_end(c, &a, "gemm tile changed around a");
        guarded_end(c, &out, "gemm tile wrote outside its tile");
    }
    guarded_end(c, &row, "gemm tile changed around a");
    guarded_end(c, &b, "gemm tile changed around b");
    guarded_end(c, &alone, "gemm tile wrote outside its tile");
}

void check_gemm_tile(check *c)
{
    static const size_t block_counts[] = {1, 2, 3, 7, 48};
    for (size_t rows = 1; rows <= c->kernels->tile_rows; rows++)
        for (size_t i = 0; i < sizeof block_counts / sizeof block_counts[0]; i++)
            check_tile(c, rows, block_counts[i], 0.0f);
    for (size_t rows = 1; rows <= c->kernels->tile_rows; rows++) {
        check_tile(c, rows, 2, NAN);
        check_tile(c, rows, 2, INFINITY);
    }
    check_heights_agree(c, 1);
    check_heights_agree(c, 5);
}
