/* Weights become the operands of CUDA kernels in plain host code: it is tested where there is no GPU. */
#include "backend/cuda/weight_pack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after what it needs */
#include <cmocka.h>

static void every_half_survives(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x10000; half++) {
        if ((half & 0x7C00) != 0x7C00) {
            const float value = clipc_float_of_half(CLIPC_CUDA_F16, (uint16_t)half);
            assert_int_equal(clipc_half_of_float(CLIPC_CUDA_F16, value), half);
        }
        if ((half & 0x7F80) != 0x7F80) {
            const float value = clipc_float_of_half(CLIPC_CUDA_BF16, (uint16_t)half);
            assert_int_equal(clipc_half_of_float(CLIPC_CUDA_BF16, value), half);
        }
    }
}

static void halves_round_to_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_F16, 1.0F), 0x3C00);
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_F16, 1.0F + 0x1p-11F), 0x3C00);
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_F16, 1.0F + 0x1.8p-10F), 0x3C02);
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_F16, -65519.0F), 0xFBFF);
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_F16, 65520.0F), 0x7C00);
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_F16, 0x1p-25F), 0);
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_F16, 0x1.8p-24F), 2);
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_F16, NAN) & 0x7E00, 0x7E00);
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_BF16, 1.0F + 0x1p-8F), 0x3F80);
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_BF16, 1.0F + 0x1.8p-7F), 0x3F82);
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_BF16, 3.4e38F), 0x7F80);
    assert_int_equal(clipc_half_of_float(CLIPC_CUDA_BF16, NAN) & 0x7FC0, 0x7FC0);
}

static void sums_are_of_what_was_packed(void **state)
{
    (void)state;
    const float values[3] = {1.0F + 0x1p-12F, -0x1p-30F, 3.0F};
    uint16_t packed[3];
    assert_true(clipc_pack_halves(CLIPC_CUDA_F16, values, 3, packed) == 4.0);
    assert_int_equal(packed[0], 0x3C00);
    assert_int_equal(packed[1], 0x8000);
    assert_int_equal(packed[2], 0x4200);
}

/* OCP 2023: sign, four bits of exponent with bias 7, three of mantissa; S.1111.111 is NaN, there is no infinity. */
static double e4m3_value(uint32_t byte)
{
    const double magnitude =
        byte >> 3 & 15 ? ldexp(1 + (byte & 7) / 8.0, (int)(byte >> 3 & 15) - 7) : ldexp((byte & 7) / 8.0, -6);
    return byte & 0x80 ? -magnitude : magnitude;
}

static void every_e4m3_survives(void **state)
{
    (void)state;
    for (uint32_t byte = 0; byte < 256; byte++) {
        if ((byte & 0x7F) == 0x7F)
            continue;
        assert_true(clipc_float_of_e4m3((uint8_t)byte) == (float)e4m3_value(byte));
        assert_int_equal(clipc_e4m3_of_float((float)e4m3_value(byte)), byte);
    }
    assert_true(isnan(clipc_float_of_e4m3(0x7F)));
}

static void e4m3_rounds_to_nearest_even_and_saturates(void **state)
{
    (void)state;
    for (uint32_t byte = 0; byte < 0x7E; byte++) { /* between each two neighbours */
        const float low = (float)e4m3_value(byte);
        const float high = (float)e4m3_value(byte + 1);
        const float middle = (low + high) / 2;
        assert_int_equal(clipc_e4m3_of_float(middle), byte % 2 ? byte + 1 : byte);
        assert_int_equal(clipc_e4m3_of_float(nextafterf(middle, low)), byte);
        assert_int_equal(clipc_e4m3_of_float(-nextafterf(middle, high)), 0x80 | (byte + 1));
    }
    assert_int_equal(clipc_e4m3_of_float(449), 0x7E);
    assert_int_equal(clipc_e4m3_of_float(-INFINITY), 0xFE);
    assert_int_equal(clipc_e4m3_of_float(NAN) & 0x7F, 0x7F);
}

static void bytes_fill_their_range(void **state)
{
    (void)state;
    const float values[4] = {0.5F, -2.0F, 0.0F, 1.0F};
    uint8_t packed[4];
    const float step = clipc_pack_bytes(CLIPC_CUDA_S8, values, 4, packed);
    assert_true(step == 2.0F / 127);
    assert_int_equal((int8_t)packed[0], 32); /* 31.75 */
    assert_int_equal((int8_t)packed[1], -127);
    assert_int_equal((int8_t)packed[3], 64); /* 63.5, to even */
    assert_true(clipc_pack_bytes(CLIPC_CUDA_E4M3, values, 4, packed) == 2.0F / 448);
    assert_int_equal(packed[1], 0xFE);
    assert_true(clipc_float_of_e4m3(packed[0]) == 112);
    assert_int_equal(packed[2], 0);
}

static void zeros_stay_zeros(void **state)
{
    (void)state;
    const float values[3] = {0, -0.0F, 1e-40F};
    uint8_t packed[3];
    for (clipc_cuda_type type = CLIPC_CUDA_E4M3; type <= CLIPC_CUDA_S8; type++) {
        assert_true(clipc_pack_bytes(type, values, 3, packed) < 1e-40F);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(packed[i] & 0x7F, 0);
    }
}

/* Lane l of four holds columns 2l and 2l + 1 of each eight: what it holds, in order, is one run of the output. */
static void packed_columns_are_runs_of_lanes(void **state)
{
    (void)state;
    for (size_t value_bytes = 1; value_bytes <= 2; value_bytes++) {
        const size_t run = 16 / value_bytes;
        bool taken[256] = {false};
        for (size_t column = 0; column < 256; column++) {
            const size_t packed = clipc_packed_column(value_bytes, column);
            assert_true(packed < 256 && !taken[packed]);
            taken[packed] = true;
            assert_int_equal(packed / (4 * run), column / (4 * run));
            assert_int_equal(packed % 8 / 2, column / run % 4); /* the lane */
            assert_int_equal(packed % (4 * run) / 8 * 2 + packed % 2, column % run);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_survives),
        cmocka_unit_test(halves_round_to_nearest_even),
        cmocka_unit_test(sums_are_of_what_was_packed),
        cmocka_unit_test(every_e4m3_survives),
        cmocka_unit_test(e4m3_rounds_to_nearest_even_and_saturates),
        cmocka_unit_test(bytes_fill_their_range),
        cmocka_unit_test(zeros_stay_zeros),
        cmocka_unit_test(packed_columns_are_runs_of_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
