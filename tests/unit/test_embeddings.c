#include "clipc/clipc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_similarities(void **state)
{
    (void)state;
    const float a[2][5] = {{1, 0, 0, 0, 0}, {0.5F, 0.5F, 0.5F, 0.5F, 2}};
    const float b[3][5] = {{1, 2, 3, 4, 5}, {-1, 0, 0, 0, 0}, {0, 0, 0, 0, 0}};
    float similarities[2][3];
    clipc_similarities(&a[0][0], 2, &b[0][0], 3, 5, &similarities[0][0]);
    const float expected[2][3] = {{1, -1, 0}, {15, -0.5F, 0}};
    assert_memory_equal(similarities, expected, sizeof expected);
}

static void test_scores_add_up_to_one(void **state)
{
    (void)state;
    float values[3] = {0.3F, 0.2F, -0.1F};
    clipc_scores(values, 3, 100, values);
    const double sum = 1 + exp(-10) + exp(-40);
    assert_true(fabs((double)values[0] - 1 / sum) < 1e-6);
    assert_true(fabs((double)values[1] - exp(-10) / sum) < 1e-9);
    assert_true(fabs((double)values[2] - exp(-40) / sum) < 1e-20);
}

static void test_scores_of_large_scale_do_not_overflow(void **state)
{
    (void)state;
    const float similarities[2] = {1, -1};
    float scores[2];
    clipc_scores(similarities, 2, 1e30F, scores);
    assert_true(scores[0] == 1 && scores[1] == 0);
    clipc_scores(similarities, 0, 100, scores);
    assert_true(scores[0] == 1);
}

/* 1 / (1 + exp(-x)) of each alone; at the ends exp itself would overflow. */
static void test_scores_by_sigmoid(void **state)
{
    (void)state;
    float values[4] = {1, 0.5F, -1, 0};
    clipc_scores_sigmoid(values, 4, 10, -5, values);
    assert_true(fabs((double)values[0] - 1 / (1 + exp(-5))) < 1e-7);
    assert_true(values[1] == 0.5F);
    assert_true(fabs((double)values[2] - exp(-15) / (1 + exp(-15))) < 1e-14);
    assert_true(fabs((double)values[3] - 1 / (1 + exp(5))) < 1e-8);
    values[0] = 1;
    values[1] = -1;
    clipc_scores_sigmoid(values, 2, 1e30F, 3, values);
    assert_true(values[0] == 1 && values[1] == 0);
}

static void test_average_has_unit_length(void **state)
{
    (void)state;
    const float rows[2][2] = {{1, 0}, {0, 1}};
    float average[2];
    clipc_embeddings_average(&rows[0][0], 2, 2, average);
    assert_true(fabs((double)average[0] - sqrt(0.5)) < 1e-7 && average[0] == average[1]);
}

static void test_average_without_direction_is_zero(void **state)
{
    (void)state;
    const float rows[2][2] = {{1, -2}, {-1, 2}};
    float average[2] = {7, 7};
    clipc_embeddings_average(&rows[0][0], 2, 2, average);
    assert_true(average[0] == 0 && average[1] == 0);
    average[0] = 7;
    clipc_embeddings_average(NULL, 0, 2, average);
    assert_true(average[0] == 0);
}

static void test_precision_names(void **state)
{
    (void)state;
    assert_string_equal(clipc_precision_name(CLIPC_PRECISION_AUTO), "auto");
    assert_string_equal(clipc_precision_name(CLIPC_PRECISION_FP32), "fp32");
    assert_string_equal(clipc_precision_name((clipc_precision)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_similarities),
        cmocka_unit_test(test_scores_add_up_to_one),
        cmocka_unit_test(test_scores_of_large_scale_do_not_overflow),
        cmocka_unit_test(test_scores_by_sigmoid),
        cmocka_unit_test(test_average_has_unit_length),
        cmocka_unit_test(test_average_without_direction_is_zero),
        cmocka_unit_test(test_precision_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
