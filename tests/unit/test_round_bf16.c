/* Rounding to bf16, and the NaN that packing must find, at every level. */
#include "backend/cpu/pack.h"
#include "io/bf16.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after what it needs */
#include <cmocka.h>

enum { COUNT = 37 };

static float float_of(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Bits of every exponent and sign, with low halves on both sides of the middle. */
static float sample(uint32_t index)
{
    static const uint32_t lows[] = {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
    return float_of(index / 6 << 16 | lows[index % 6]);
}

static void rounds_as_the_scalar_does(void **state)
{
    (void)state;
    clipc_cpu_level best = CLIPC_CPU_C;
    assert_int_equal(clipc_cpu_level_detect(&best, NULL), CLIPC_OK);
    for (int level = 0; level <= (int)best; level++) {
        clipc_kernels kernels;
        clipc_kernels_fill(&kernels, (clipc_cpu_level)level);
        for (uint32_t first = 0; first < 6u << 16; first += COUNT) {
            float from[COUNT];
            uint16_t to[COUNT];
            bool finite = true;
            for (uint32_t i = 0; i < COUNT; i++) {
                from[i] = sample((first + i) % (6u << 16));
                finite &= isfinite(from[i]) != 0;
            }
            assert_int_equal(kernels.round_bf16(from, COUNT, to), finite);
            for (size_t i = 0; i < COUNT; i++)
                assert_int_equal(to[i], clipc_bf16_of_float(from[i]));
        }
    }
}

static void packing_finds_what_is_not_finite(void **state)
{
    (void)state;
    static const clipc_dtype dtypes[] = {CLIPC_DTYPE_F32, CLIPC_DTYPE_BF16, CLIPC_DTYPE_I8};
    enum { OUTPUTS = 3, INNER = 150 };
    float values[OUTPUTS * INNER] = {0};
    float biases[OUTPUTS] = {0};
    _Alignas(64) float block[32 * 320];
    const clipc_tensor weight = {.data = values, .dtype = CLIPC_DTYPE_F32};
    const clipc_tensor bias = {.data = biases, .dtype = CLIPC_DTYPE_F32};
    clipc_kernels kernels;
    clipc_kernels_fill(&kernels, CLIPC_CPU_C);
    for (size_t d = 0; d < 3; d++) {
        const clipc_packed_layout layout =
            clipc_packed_layout_make(dtypes[d], clipc_kernels_tile_columns(&kernels, dtypes[d]), 1, OUTPUTS, INNER);
        size_t bytes = 0;
        assert_true(clipc_packed_bytes(&layout, &bytes) && bytes <= sizeof block);
        const clipc_packed_weights packed = clipc_packed_weights_at(&layout, block);
        assert_true(clipc_pack_panel(&kernels, &packed, 0, &weight, &bias, 0, OUTPUTS, INNER));
        for (size_t at = 0; at < OUTPUTS * INNER; at += 7) {
            values[at] = at % 2 ? NAN : -INFINITY;
            assert_false(clipc_pack_panel(&kernels, &packed, 0, &weight, &bias, 0, OUTPUTS, INNER));
            values[at] = 0;
        }
        biases[2] = NAN;
        assert_false(clipc_pack_panel(&kernels, &packed, 0, &weight, &bias, 0, OUTPUTS, INNER));
        biases[2] = 0;
    }
}

/* Weights that lie at an odd address are converted first, others are read in place: the same panels. */
static void packing_reads_unaligned_weights(void **state)
{
    (void)state;
    static const clipc_dtype dtypes[] = {CLIPC_DTYPE_F32, CLIPC_DTYPE_BF16, CLIPC_DTYPE_I8};
    enum { OUTPUTS = 17, INNER = 1111, UNITS = 32 * 1123 };
    static float values[OUTPUTS * INNER];
    static uint8_t bytes[sizeof values + 1];
    static _Alignas(64) float blocks[2][UNITS];
    for (size_t i = 0; i < OUTPUTS * INNER; i++)
        values[i] = (float)((i * 7919) % 1009) / 1009.0F - 0.5F;
    memcpy(bytes + 1, values, sizeof values);
    const clipc_tensor aligned = {.data = values, .dtype = CLIPC_DTYPE_F32};
    const clipc_tensor unaligned = {.data = bytes + 1, .dtype = CLIPC_DTYPE_F32};
    clipc_cpu_level level = CLIPC_CPU_C;
    clipc_kernels kernels;
    assert_int_equal(clipc_cpu_level_detect(&level, NULL), CLIPC_OK);
    clipc_kernels_fill(&kernels, level);
    for (size_t d = 0; d < 3; d++) {
        const size_t columns = clipc_kernels_tile_columns(&kernels, dtypes[d]);
        const clipc_packed_layout layout = clipc_packed_layout_make(dtypes[d], columns, 1, OUTPUTS, INNER);
        size_t size = 0;
        assert_true(clipc_packed_bytes(&layout, &size) && size <= sizeof blocks[0]);
        for (size_t i = 0; i < 2; i++) {
            const clipc_packed_weights packed = clipc_packed_weights_at(&layout, blocks[i]);
            for (size_t panel = 0; panel < layout.panel_count; panel++) {
                const size_t first = panel * columns;
                const size_t count = first < OUTPUTS ? clipc_min(columns, OUTPUTS - first) : 0;
                assert_true(
                    clipc_pack_panel(&kernels, &packed, panel, i ? &unaligned : &aligned, NULL, first, count, INNER));
            }
        }
        assert_memory_equal(blocks[0], blocks[1], size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_as_the_scalar_does),
        cmocka_unit_test(packing_finds_what_is_not_finite),
        cmocka_unit_test(packing_reads_unaligned_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
