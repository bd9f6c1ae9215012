/* Which towers go through in one launch is plain host code: it is tested where there is no GPU. */
#include "backend/cuda/whole_tower_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const clipc_whole_tower_shape image_b32 = {.architecture = 90,
                                                  .multiprocessors = 132,
                                                  .width = 768,
                                                  .heads = 12,
                                                  .head_stride = 64,
                                                  .mlp = 3072,
                                                  .dimension = 512,
                                                  .patch_size = 32,
                                                  .image_size = 224};
static const clipc_whole_tower_shape text_b32 = {.architecture = 90,
                                                 .multiprocessors = 132,
                                                 .width = 512,
                                                 .heads = 8,
                                                 .head_stride = 64,
                                                 .mlp = 2048,
                                                 .dimension = 512};

static void known_towers_fit(void **state)
{
    (void)state;
    assert_int_equal(clipc_whole_tower_rows(&image_b32), 64); /* one image: 50 rows */
    assert_int_equal(clipc_whole_tower_rows(&text_b32), 128); /* one caption: up to 77 */
    clipc_whole_tower_shape text_l14 = text_b32;
    text_l14.width = 768;
    text_l14.heads = 12;
    text_l14.mlp = 3072;
    text_l14.dimension = 768;
    assert_int_equal(clipc_whole_tower_rows(&text_l14), 64);
}

static void others_go_step_by_step(void **state)
{
    (void)state;
    clipc_whole_tower_shape shape = image_b32;
    shape.architecture = 80;
    assert_int_equal(clipc_whole_tower_rows(&shape), 0);
    shape = image_b32;
    shape.architecture = 100;
    assert_int_equal(clipc_whole_tower_rows(&shape), 0);
    shape = image_b32;
    shape.multiprocessors = 100;
    assert_int_equal(clipc_whole_tower_rows(&shape), 0);
    shape = image_b32;
    shape.patch_size = 14;
    assert_int_equal(clipc_whole_tower_rows(&shape), 0);
    shape = image_b32;
    shape.mlp = 2048;
    assert_int_equal(clipc_whole_tower_rows(&shape), 0);
    shape = image_b32;
    shape.heads = 8;
    shape.head_stride = 96;
    assert_int_equal(clipc_whole_tower_rows(&shape), 0);
    shape = image_b32;
    shape.width = 1024;
    shape.heads = 16;
    shape.mlp = 4096;
    assert_int_equal(clipc_whole_tower_rows(&shape), 0);
    shape = image_b32;
    shape.dimension = 8192;
    assert_int_equal(clipc_whole_tower_rows(&shape), 0);
}

/* Whatever the width, the blocks together have every column and all of the depth. */
static void blocks_share_out_all_of_a_product(void **state)
{
    (void)state;
    static const int32_t widths[] = {128, 256, 512, 768};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t i = 0; clipc_whole_tower_blocks(i) > 0; i++) {
            const int32_t blocks = clipc_whole_tower_blocks(i);
            const int32_t splits[] = {clipc_whole_wide_split(widths[w]), clipc_whole_narrow_split(widths[w])};
            for (int s = 0; s < 2; s++) {
                assert_int_equal(blocks % CLIPC_WHOLE_CLUSTER, 0);
                assert_int_equal(CLIPC_WHOLE_CLUSTER % splits[s], 0);
                assert_int_equal(clipc_whole_steps(widths[w], splits[s]) * splits[s] * 16, widths[w]);
                for (int32_t columns = widths[w]; columns <= 4 * widths[w]; columns += widths[w])
                    assert_true(clipc_whole_column_groups(blocks, columns, splits[s]) * 8 * (blocks / splits[s]) >=
                                columns);
            }
        }
}

static void rows_choose_the_kernel(void **state)
{
    (void)state;
    assert_int_equal(clipc_whole_tower_select(&text_b32, 1, 120).row_groups, 1);
    assert_int_equal(clipc_whole_tower_select(&text_b32, 64, 120).row_groups, 1);
    assert_int_equal(clipc_whole_tower_select(&text_b32, 65, 120).row_groups, 2);
    assert_int_equal(clipc_whole_tower_select(&text_b32, 65, 112).blocks, 112);
    /* 12 layers of 11 × 24 KiB, and 3 before them. */
    assert_int_equal(clipc_whole_tower_tile_bytes(768, 12), (12 * 11 + 3) * 24 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_towers_fit),
        cmocka_unit_test(others_go_step_by_step),
        cmocka_unit_test(blocks_share_out_all_of_a_product),
        cmocka_unit_test(rows_choose_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
