#include "backend/ref/ref_operations.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_close(float value, double expected)
{
    if (!(fabs((double)value - expected) <= 1e-6 * fmax(1, fabs(expected))))
        fail_msg("%.9g is not %.9g", (double)value, expected);
}

static void test_layer_norm(void **state)
{
    (void)state;
    /* Mean 3, variance 2: (1 − 3) / √2 … */
    const float input[5] = {1, 2, 3, 4, 5};
    const float weight[5] = {1, 1, 1, 1, 2};
    const float bias[5] = {0, 0, 10, 0, -1};
    float output[5];
    clipc_ref_layer_norm(input, 1, 5, weight, bias, 0, output);
    assert_close(output[0], -sqrt(2));
    assert_close(output[1], -sqrt(0.5));
    assert_close(output[2], 10);
    assert_close(output[4], 2 * sqrt(2) - 1);
}

static void test_layer_norm_of_a_constant_row_is_its_bias(void **state)
{
    (void)state;
    float rows[6] = {7, 7, 7, -2, -2, -2};
    const float weight[3] = {1, 2, 3};
    const float bias[3] = {0.5F, 0.25F, 0};
    clipc_ref_layer_norm(rows, 2, 3, weight, bias, 1e-5F, rows);
    for (size_t i = 0; i < 6; i++)
        assert_close(rows[i], (double)bias[i % 3]);
}

static void test_linear(void **state)
{
    (void)state;
    const float input[2][5] = {{1, 2, 3, 4, 5}, {0, 0, 0, 0, 1}};
    const float weight[3][5] = {{1, 1, 1, 1, 1}, {1, 0, -1, 0, 2}, {0, 0, 0, 0, 0}};
    const float bias[3] = {0.5F, 0, -1};
    float output[2][3];
    clipc_ref_linear(&input[0][0], 2, 5, &weight[0][0], bias, 3, &output[0][0]);
    assert_close(output[0][0], 15.5);
    assert_close(output[0][1], 8);
    assert_close(output[0][2], -1);
    assert_close(output[1][0], 1.5);
    assert_close(output[1][1], 2);
    clipc_ref_linear(&input[0][0], 2, 5, &weight[0][0], NULL, 3, &output[0][0]);
    assert_close(output[0][0], 15);
    assert_close(output[1][2], 0);
}

/* A sum that fp32 would lose: 2²⁴ + 1 − 2²⁴. */
static void test_linear_adds_up_in_double(void **state)
{
    (void)state;
    const float input[3] = {16777216, 1, -16777216};
    const float weight[3] = {1, 1, 1};
    float output = 0;
    clipc_ref_linear(input, 1, 3, weight, NULL, 1, &output);
    assert_close(output, 1);
}

static void test_attention_of_equal_keys_is_the_mean(void **state)
{
    (void)state;
    const float query[3][2] = {{1, 2}, {3, 4}, {-5, 6}};
    const float key[3][2] = {{1, 1}, {1, 1}, {1, 1}};
    const float value[3][2] = {{3, 0}, {0, 6}, {6, 3}};
    double scores[3];
    float output[3][2];
    clipc_ref_attention(&query[0][0], &key[0][0], &value[0][0], 3, 2, 1, false, false, scores, &output[0][0]);
    for (size_t token = 0; token < 3; token++) {
        assert_close(output[token][0], 3);
        assert_close(output[token][1], 3);
    }
    clipc_ref_attention(&query[0][0], &key[0][0], &value[0][0], 3, 2, 1, true, false, scores, &output[0][0]);
    assert_close(output[0][0], 3);
    assert_close(output[0][1], 0);
    assert_close(output[1][0], 1.5);
    assert_close(output[1][1], 3);
    assert_close(output[2][0], 3);
}

/* Two heads of one column each see only their own columns; scores 1 and 0, scale 1. */
static void test_attention_heads_are_apart(void **state)
{
    (void)state;
    const float query[2][2] = {{1, 0}, {1, 0}};
    const float key[2][2] = {{1, 5}, {0, -5}};
    const float value[2][2] = {{1, 2}, {0, 4}};
    double scores[2];
    float output[2][2];
    clipc_ref_attention(&query[0][0], &key[0][0], &value[0][0], 2, 2, 2, false, false, scores, &output[0][0]);
    assert_close(output[0][0], exp(1) / (exp(1) + 1));
    assert_close(output[0][1], 3);
}

static void test_attention_survives_large_scores(void **state)
{
    (void)state;
    const float query[2] = {1000, -1000};
    const float key[2] = {1000, -1000};
    const float value[2] = {1, 2};
    double scores[2];
    float output[2];
    clipc_ref_attention(query, key, value, 2, 1, 1, false, false, scores, output);
    assert_close(output[0], 1);
    assert_close(output[1], 2);
}

/* Values from the definitions, in 30 digits. */
static void test_activations(void **state)
{
    (void)state;
    float values[4] = {1, -1, 0, 30};
    clipc_ref_activation(CLIPC_ACTIVATION_QUICK_GELU, values, 4);
    assert_close(values[0], 0.845795765932862);
    assert_close(values[1], -0.154204234067138);
    assert_close(values[2], 0);
    assert_close(values[3], 30);
    float exact[2] = {1, -1};
    clipc_ref_activation(CLIPC_ACTIVATION_GELU, exact, 2);
    assert_close(exact[0], 0.841344746068543);
    assert_close(exact[1], -0.158655253931457);
    float approximate[2] = {1, -1};
    clipc_ref_activation(CLIPC_ACTIVATION_GELU_TANH, approximate, 2);
    assert_close(approximate[0], 0.841191990608276);
    assert_close(approximate[1], -0.158808009391724);
}

static void test_activations_are_finite_far_out(void **state)
{
    (void)state;
    for (clipc_activation activation = CLIPC_ACTIVATION_QUICK_GELU; activation <= CLIPC_ACTIVATION_GELU_TANH;
         activation++) {
        float values[2] = {-1e6F, 1e6F};
        clipc_ref_activation(activation, values, 2);
        assert_close(values[0], 0);
        assert_close(values[1], 1e6);
    }
}

/* A 5 × 5 image of patches of 2: a 2 × 2 grid, the last row and column left out. */
static void test_patch_embedding(void **state)
{
    (void)state;
    float pixels[3][5][5];
    for (size_t channel = 0; channel < 3; channel++)
        for (size_t y = 0; y < 5; y++)
            for (size_t x = 0; x < 5; x++)
                pixels[channel][y][x] = (float)(100 * channel + 10 * y + x);
    float weight[2][3][2][2] = {{{{0}}}};
    weight[0][1][1][0] = 1; /* channel 1, lower left */
    weight[1][2][0][1] = 1; /* channel 2, upper right */
    float patch[12];
    float output[4][2];
    clipc_ref_patch_embedding(&pixels[0][0][0], 5, 2, &weight[0][0][0][0], 2, patch, &output[0][0]);
    assert_close(output[0][0], 110);
    assert_close(output[0][1], 201);
    assert_close(output[1][0], 112);
    assert_close(output[2][0], 130);
    assert_close(output[3][0], 132);
    assert_close(output[3][1], 223);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_layer_norm_of_a_constant_row_is_its_bias),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_linear_adds_up_in_double),
        cmocka_unit_test(test_attention_of_equal_keys_is_the_mean),
        cmocka_unit_test(test_attention_heads_are_apart),
        cmocka_unit_test(test_attention_survives_large_scores),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_activations_are_finite_far_out),
        cmocka_unit_test(test_patch_embedding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
