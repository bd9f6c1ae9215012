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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_survives),
        cmocka_unit_test(halves_round_to_nearest_even),
        cmocka_unit_test(sums_are_of_what_was_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
