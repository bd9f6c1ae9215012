#include "checkkernel/checkkernel.h"

#include <string.h>

/* Random bits, which need not be a number. */
static void fill_bits(check *c, guarded *array)
{
    uint32_t *units = (uint32_t *)(void *)array->values;
    for (size_t i = 0; i < array->count; i++)
        units[i] = (uint32_t)random_bits(c);
}

/* Rows far apart, of which every bit that exists must arrive and every place beyond must be 0. */
static void check_units(check *c, size_t count, size_t inner, size_t columns)
{
    const size_t stride = inner + random_below(c, 5);
    const size_t depth = clipc_blocks(inner) * CLIPC_BLOCK;
    guarded from = guarded_make((count - 1) * stride + inner);
    guarded to = guarded_make(depth * columns);
    fill_bits(c, &from);
    c->kernels->pack_units(from.values, stride, count, inner, columns, to.values);
    const uint32_t *source = (const uint32_t *)(void *)from.values;
    const uint32_t *units = (const uint32_t *)(void *)to.values;
    for (size_t k = 0; k < depth; k++)
        for (size_t j = 0; j < columns; j++)
            expect_true(c, units[k * columns + j] == (k < inner && j < count ? source[j * stride + k] : 0),
                        "packing units: a unit is not where it belongs");
    guarded_end(c, &from, "packing units changed its rows");
    guarded_end(c, &to, "packing units wrote outside its panel");
}

static void check_pairs(check *c, size_t count, size_t width, size_t columns)
{
    const size_t stride = clipc_round_up(width + random_below(c, 5), 2);
    const size_t depth = clipc_deep_blocks(count, 2) * CLIPC_BLOCK;
    guarded from = guarded_make(((count - 1) * stride + width + 1) / 2);
    guarded to = guarded_make(depth * columns);
    fill_bits(c, &from);
    const uint16_t *source = (const uint16_t *)(void *)from.values;
    const uint32_t *units = (const uint32_t *)(void *)to.values;
    c->kernels->pack_pairs(source, stride, count, width, columns, (uint32_t *)(void *)to.values);
    for (size_t k = 0; k < depth; k++) {
        for (size_t j = 0; j < columns; j++) {
            const uint32_t lower = 2 * k < count && j < width ? source[2 * k * stride + j] : 0;
            const uint32_t upper = 2 * k + 1 < count && j < width ? source[(2 * k + 1) * stride + j] : 0;
            expect_true(c, units[k * columns + j] == (lower | upper << 16),
                        "packing pairs: a half is not where it belongs");
        }
    }
    guarded_end(c, &from, "packing pairs changed its rows");
    guarded_end(c, &to, "packing pairs wrote outside its panel");
}

void check_pack(check *c)
{
    static const size_t sizes[] = {1, 2, 3, 4, 7, 15, 16, 17, 31, 32};
    static const size_t depths[] = {1, 3, 16, 17, 31, 32, 50, 77, 256};
    for (size_t columns = CLIPC_BLOCK; columns <= CLIPC_TILE_COLUMNS_MAX; columns += CLIPC_BLOCK) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            for (size_t j = 0; j < sizeof depths / sizeof depths[0] && sizes[i] <= columns; j++) {
                check_units(c, sizes[i], depths[j], columns);
                check_pairs(c, depths[j], sizes[i], columns);
            }
        }
    }
}
