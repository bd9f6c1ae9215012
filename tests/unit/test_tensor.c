/* Number formats of weights: every fp16 and bf16 bit pattern, unaligned bytes, and the search for NaN. */
#include "base/cpu_features.h"
#include "io/read_f16.h"
#include "io/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATTERNS ((size_t)65536)

/* The value of a binary16 pattern by its definition (IEEE 754, 3.4). */
static double half_value(unsigned pattern)
{
    const unsigned exponent = pattern >> 10 & 0x1F;
    const unsigned fraction = pattern & 0x3FF;
    const double sign = pattern & 0x8000 ? -1.0 : 1.0;
    if (exponent == 31)
        return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1024.0 + fraction, (int)exponent - 25) : ldexp(fraction, -24));
}

/* All patterns, one byte off alignment. */
static clipc_tensor all_patterns(uint8_t *bytes, clipc_dtype dtype)
{
    for (size_t i = 0; i < PATTERNS; i++) {
        bytes[1 + 2 * i] = (uint8_t)(i & 0xFF);
        bytes[2 + 2 * i] = (uint8_t)(i >> 8);
    }
    return (clipc_tensor){
        .name = "t", .data = bytes + 1, .dtype = dtype, .rank = 1, .shape = {PATTERNS}, .count = PATTERNS};
}

static void reads_every_half(void **state)
{
    (void)state;
    uint8_t *bytes = malloc(2 * PATTERNS + 1);
    float *values = malloc(PATTERNS * sizeof *values);
    assert_non_null(bytes);
    assert_non_null(values);
    const clipc_tensor tensor = all_patterns(bytes, CLIPC_DTYPE_F16);
    clipc_tensor_read(&tensor, 0, PATTERNS, values);
    for (size_t i = 0; i < PATTERNS; i++) {
        const float expected = (float)half_value((unsigned)i);
        assert_true(isnan(expected) ? isnan(values[i]) : memcmp(&expected, &values[i], sizeof expected) == 0);
    }
    clipc_tensor_read(&tensor, 0x3C00, 2, values);
    assert_true(values[0] == 1.0F && values[1] == 1.0F + 1.0F / 1024.0F);
    free(bytes);
    free(values);
}

/* Bit for bit, NaN included, and nothing beyond the last. */
static void reads_halves_alike_at_every_level(void **state)
{
    (void)state;
#if defined(__x86_64__)
    clipc_cpu_level level = CLIPC_CPU_C;
    if (clipc_cpu_level_detect(&level, NULL) != CLIPC_OK || level < CLIPC_CPU_AVX2)
        skip();
    uint8_t *bytes = malloc(2 * PATTERNS + 1);
    float *plain = malloc(2 * PATTERNS * sizeof *plain);
    assert_non_null(bytes);
    assert_non_null(plain);
    float *vector = plain + PATTERNS;
    all_patterns(bytes, CLIPC_DTYPE_F16);
    clipc_read_f16__c(bytes + 1, PATTERNS, plain);
    clipc_read_f16__avx2(bytes + 1, PATTERNS, vector);
    assert_memory_equal(plain, vector, PATTERNS * sizeof *plain);
    for (size_t count = 0; count < 20; count++) {
        memset(vector, 0xAB, 32 * sizeof *vector);
        clipc_read_f16__avx2(bytes + 1 + 2 * 0x7C00, count, vector);
        assert_memory_equal(plain + 0x7C00, vector, count * sizeof *plain);
        for (size_t i = count * sizeof *vector; i < 32 * sizeof *vector; i++)
            assert_int_equal(((const uint8_t *)vector)[i], 0xAB);
    }
    free(bytes);
    free(plain);
#else
    skip();
#endif
}

static void reads_every_bfloat(void **state)
{
    (void)state;
    uint8_t *bytes = malloc(2 * PATTERNS + 1);
    float *values = malloc(PATTERNS * sizeof *values);
    assert_non_null(bytes);
    assert_non_null(values);
    const clipc_tensor tensor = all_patterns(bytes, CLIPC_DTYPE_BF16);
    clipc_tensor_read(&tensor, 0, PATTERNS, values);
    for (size_t i = 0; i < PATTERNS; i++) {
        uint32_t bits = 0;
        memcpy(&bits, &values[i], sizeof bits);
        assert_int_equal(bits, i << 16);
    }
    free(bytes);
    free(values);
}

static void reads_parts_of_floats(void **state)
{
    (void)state;
    const float floats[] = {1, 2, 3, 4};
    const double doubles[] = {1.5, -2.25, 1e300};
    float out[4] = {0};
    clipc_tensor tensor = {.data = floats, .dtype = CLIPC_DTYPE_F32, .count = 4};
    clipc_tensor_read(&tensor, 1, 2, out);
    assert_true(out[0] == 2 && out[1] == 3 && out[2] == 0);
    tensor = (clipc_tensor){.data = doubles, .dtype = CLIPC_DTYPE_F64, .count = 3};
    clipc_tensor_read(&tensor, 0, 3, out);
    assert_true(out[0] == 1.5F && out[1] == -2.25F && isinf(out[2]));
}

static void lends_only_aligned_floats(void **state)
{
    (void)state;
    const float floats[] = {1, 2, 3, 4};
    const clipc_tensor aligned = {.data = floats, .dtype = CLIPC_DTYPE_F32, .count = 4};
    const clipc_tensor unaligned = {.data = (const uint8_t *)floats + 1, .dtype = CLIPC_DTYPE_F32, .count = 3};
    const clipc_tensor halves = {.data = floats, .dtype = CLIPC_DTYPE_BF16, .count = 8};
    assert_ptr_equal(clipc_tensor_floats(&aligned, 3), floats + 3);
    assert_null(clipc_tensor_floats(&unaligned, 0));
    assert_null(clipc_tensor_floats(&halves, 0));
}

static void put(uint8_t *bytes, clipc_dtype dtype, size_t index, float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t high = (uint16_t)(bits >> 16);
    const uint16_t half = value != value ? 0x7E01 : isinf(value) ? 0xFC00 : 0x7BFF; /* NaN, -inf, 65504 */
    if (dtype == CLIPC_DTYPE_F32)
        memcpy(bytes + 4 * index, &bits, 4);
    else
        memcpy(bytes + 2 * index, dtype == CLIPC_DTYPE_BF16 ? &high : &half, 2);
}

static void finds_the_first_that_is_not_finite(void **state)
{
    (void)state;
    const clipc_dtype dtypes[] = {CLIPC_DTYPE_F32, CLIPC_DTYPE_F16, CLIPC_DTYPE_BF16};
    const size_t places[] = {0, 1, 4095, 4096, 9998};
    static uint8_t bytes[4 * 9999];
    for (size_t d = 0; d < 3; d++) {
        const clipc_tensor tensor = {.data = bytes, .dtype = dtypes[d], .count = 9999};
        for (size_t i = 0; i < tensor.count; i++)
            put(bytes, dtypes[d], i, 3e38F); /* exponents next to the special one */
        assert_true(clipc_tensor_first_not_finite(&tensor) == SIZE_MAX);
        for (size_t p = sizeof places / sizeof places[0]; p-- > 0;) {
            put(bytes, dtypes[d], places[p], p % 2 ? NAN : -INFINITY);
            assert_int_equal(clipc_tensor_first_not_finite(&tensor), places[p]);
        }
    }
}

static void writes_shapes(void **state)
{
    (void)state;
    char text[CLIPC_SHAPE_TEXT];
    const size_t shape[] = {512, 768};
    assert_string_equal(clipc_shape_text(shape, 2, text), "[512,768]");
    assert_string_equal(clipc_shape_text(shape, 0, text), "[]");
    const size_t large[] = {SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    assert_int_equal(strlen(clipc_shape_text(large, 8, text)), 8 * 20 + 7 + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_half),
        cmocka_unit_test(reads_halves_alike_at_every_level),
        cmocka_unit_test(reads_every_bfloat),
        cmocka_unit_test(reads_parts_of_floats),
        cmocka_unit_test(lends_only_aligned_floats),
        cmocka_unit_test(finds_the_first_that_is_not_finite),
        cmocka_unit_test(writes_shapes),
    };
    return cmocka_run_group_tests_name("tensor", tests, NULL, NULL);
}
