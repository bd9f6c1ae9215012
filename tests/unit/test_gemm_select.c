/* The choice of product kernels is plain host code: it is tested where there is no GPU. */
#include "backend/cuda/gemm_select_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static const clipc_gemm_device h200 = {.multiprocessors = 132, .architecture = 90};
static const clipc_gemm_device a100 = {.multiprocessors = 108, .architecture = 80};
static const clipc_gemm_device b200 = {.multiprocessors = 148, .architecture = 100};

static bool is_variant(const clipc_gemm_plan *plan)
{
    clipc_gemm_plan variant;
    for (size_t i = 0; clipc_gemm_variant(i, &variant); i++)
        if (variant.kind == plan->kind && variant.tile_rows == plan->tile_rows &&
            variant.tile_columns == plan->tile_columns &&
            (variant.cluster == plan->cluster || plan->kind == CLIPC_GEMM_SKINNY))
            return true;
    return false;
}

static void every_shape_has_a_kernel(void **state)
{
    (void)state;
    static const int32_t rows[] = {1, 12, 50, 64, 65, 257, 1600, 12800, 51200, 65792, 81920};
    static const int32_t sides[] = {8, 72, 512, 768, 1024, 2304, 3072, 4096, 6656};
    const clipc_gemm_device *devices[] = {&h200, &a100, &b200};
    for (size_t d = 0; d < 3; d++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t c = 0; c < sizeof sides / sizeof *sides; c++)
                for (size_t k = 0; k < sizeof sides / sizeof *sides; k++)
                    for (int residual = 0; residual < 2; residual++) {
                        const clipc_gemm_plan plan =
                            clipc_gemm_select(devices[d], rows[r], sides[c], sides[k], residual != 0);
                        assert_true(is_variant(&plan));
                        assert_true(plan.blocks >= 1 && plan.cluster >= 1 && plan.cluster <= 8);
                        assert_true(plan.blocks % plan.cluster == 0 && clipc_gemm_takes(&plan, sides[c]));
                        if (plan.kind == CLIPC_GEMM_SM90)
                            assert_true(plan.blocks <= devices[d]->multiprocessors);
                        else
                            assert_true((int64_t)plan.blocks * plan.tile_rows * plan.tile_columns >=
                                        (int64_t)rows[r] * sides[c]);
                    }
}

static void only_hopper_has_hopper_kernels(void **state)
{
    (void)state;
    assert_int_equal(clipc_gemm_select(&h200, 51200, 2304, 768, false).kind, CLIPC_GEMM_SM90);
    assert_int_equal(clipc_gemm_select(&a100, 51200, 2304, 768, false).kind, CLIPC_GEMM_SM80);
    assert_int_equal(clipc_gemm_select(&b200, 51200, 2304, 768, false).kind, CLIPC_GEMM_SM80);
    assert_int_equal(clipc_gemm_select(&a100, 50, 768, 3072, true).kind, CLIPC_GEMM_SM80);
}

static void few_rows_over_a_long_depth_share_it_out(void **state)
{
    (void)state;
    const clipc_gemm_plan plan = clipc_gemm_select(&h200, 50, 768, 3072, true);
    assert_int_equal(plan.kind, CLIPC_GEMM_SKINNY);
    assert_int_equal(plan.tile_rows, 64);
    assert_int_equal(plan.cluster, 4);
    assert_int_equal(clipc_gemm_select(&h200, 12, 512, 2048, true).tile_rows, 16);
    assert_int_equal(clipc_gemm_select(&h200, 50, 2304, 768, false).kind, CLIPC_GEMM_SM90);
}

static void waves_decide(void **state)
{
    (void)state;
    /* 13 × 8 tiles of 128 × 96 are one wave of 132; 13 × 12 of 128 × 64 would be two. */
    const clipc_gemm_plan one_wave = clipc_gemm_select(&h200, 1600, 768, 3072, true);
    assert_int_equal(one_wave.tile_columns, 96);
    assert_int_equal(one_wave.blocks, 104);
    /* 13 × 20 tiles of 128 × 160 are two waves, as 13 × 12 of 128 × 256 would be. */
    assert_int_equal(clipc_gemm_select(&h200, 1600, 3072, 768, false).tile_columns, 160);
    const clipc_gemm_plan many = clipc_gemm_select(&h200, 51200, 2304, 768, false);
    assert_int_equal(many.tile_columns, 256);
    assert_int_equal(many.cluster, 2);
    assert_int_equal(many.blocks, 132);
    assert_int_equal(clipc_gemm_select(&h200, 51200, 768, 768, true).tile_columns, 256);
    /* Few tiles start sooner alone, and columns that are no 32s have tiles of their own. */
    assert_int_equal(clipc_gemm_select(&h200, 1600, 2304, 768, false).cluster, 1);
    const clipc_gemm_plan odd = clipc_gemm_select(&h200, 51200, 2312, 768, false);
    assert_true(odd.tile_columns == 128 && odd.cluster == 1);
    const clipc_gemm_plan wide = {.kind = CLIPC_GEMM_SM90, .tile_rows = 128, .tile_columns = 256, .cluster = 2};
    assert_true(clipc_gemm_takes(&wide, 2304) && !clipc_gemm_takes(&wide, 2312));
}

static void bytes_have_tiles_of_their_own(void **state)
{
    (void)state;
    static const int32_t rows[] = {1, 50, 257, 1600, 51200, 81920};
    static const int32_t sides[] = {16, 72, 768, 1024, 3072, 6656};
    const clipc_gemm_device *devices[] = {&h200, &a100, &b200};
    for (size_t d = 0; d < 3; d++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t c = 0; c < sizeof sides / sizeof *sides; c++)
                for (int residual = 0; residual < 2; residual++) {
                    const clipc_gemm_plan plan =
                        clipc_gemm_select_bytes(devices[d], rows[r], sides[c], 768, residual != 0, residual == 0);
                    assert_int_equal(plan.kind, devices[d] == &h200 ? CLIPC_GEMM_SM90 : CLIPC_GEMM_SM80);
                    assert_true(plan.blocks >= plan.cluster && plan.blocks % plan.cluster == 0);
                    assert_true(plan.blocks <= devices[d]->multiprocessors || plan.kind == CLIPC_GEMM_SM80);
                    bool known = false;
                    clipc_gemm_plan variant;
                    for (size_t i = 0; clipc_gemm_variant_bytes(i, &variant); i++)
                        known |= variant.kind == plan.kind && variant.tile_rows == plan.tile_rows &&
                                 variant.tile_columns == plan.tile_columns && variant.ping_pong == plan.ping_pong &&
                                 variant.cluster == plan.cluster;
                    assert_true(known);
                }
    assert_true(clipc_gemm_select_bytes(&h200, 50, 768, 768, true, false).tile_rows == 64);
    assert_true(clipc_gemm_select_bytes(&h200, 51200, 3072, 768, false, true).tile_rows >= 128);
    /* Many tiles hide their epilogues behind each other and share their weights; a residual comes through the ring of
     * larger ones; few tiles start sooner alone. */
    clipc_gemm_plan many = clipc_gemm_select_bytes(&h200, 65792, 3072, 1024, false, false);
    assert_true(many.ping_pong && many.cluster == 2 && many.blocks == 132);
    assert_true(clipc_gemm_select_bytes(&h200, 65792, 1024, 4096, true, false).tile_columns == 256);
    const clipc_gemm_plan few = clipc_gemm_select_bytes(&h200, 1600, 2304, 768, false, false);
    assert_true(few.tile_columns == 128 && few.cluster == 1);
    /* An odd row of tiles has a partner that stores nothing; an odd multiprocessor rests. */
    const clipc_gemm_device odd = {133, 90, true};
    clipc_gemm_fit(&many, &odd, 3 * 128, 128, 1024);
    assert_int_equal(many.blocks, 4);
    clipc_gemm_fit(&many, &odd, 65792, 3072, 1024);
    assert_int_equal(many.blocks, 132);
}

static void statistics_come_in_parts_as_wide_as_tiles(void **state)
{
    (void)state;
    const clipc_gemm_plan hopper = clipc_gemm_select(&h200, 51200, 768, 3072, true);
    assert_int_equal(clipc_gemm_part_width(&hopper), hopper.tile_columns);
    const clipc_gemm_plan portable = clipc_gemm_select(&a100, 51200, 768, 3072, true);
    assert_int_equal(clipc_gemm_part_width(&portable), 64);
    const clipc_gemm_plan skinny = clipc_gemm_select(&h200, 50, 768, 3072, true);
    assert_int_equal(clipc_gemm_part_width(&skinny), 64);
}

static void plans_have_words(void **state)
{
    (void)state;
    const clipc_gemm_plan plan = clipc_gemm_select(&h200, 51200, 2304, 768, false);
    char text[64];
    clipc_gemm_plan_text(&plan, text, sizeof text);
    assert_string_equal(text, "sm90 128x256, cluster 2, 132 blocks");
    char small[5];
    clipc_gemm_plan_text(&plan, small, sizeof small);
    assert_string_equal(small, "sm90");
    clipc_gemm_plan unused;
    assert_false(clipc_gemm_variant(1000, &unused));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_has_a_kernel),
        cmocka_unit_test(only_hopper_has_hopper_kernels),
        cmocka_unit_test(few_rows_over_a_long_depth_share_it_out),
        cmocka_unit_test(waves_decide),
        cmocka_unit_test(bytes_have_tiles_of_their_own),
        cmocka_unit_test(statistics_come_in_parts_as_wide_as_tiles),
        cmocka_unit_test(plans_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
