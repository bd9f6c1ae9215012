#include "backend/cuda/whole_tower_plan.h"

/* Widths that kernels are made for, and the most groups of 64 rows whose parts fit a block's shared memory. */
static const struct {
    int32_t width;
    int32_t row_groups;
} kernels[] = {{128, 2}, {256, 2}, {512, 2}, {768, 1}};
#define KERNEL_COUNT (sizeof kernels / sizeof *kernels)

static const int32_t blocks[] = {120, 112};
#define BLOCKS_COUNT (sizeof blocks / sizeof *blocks)

int32_t clipc_whole_tower_blocks(size_t index)
{
    return index < BLOCKS_COUNT ? blocks[index] : 0;
}

static bool patches_fit(const clipc_whole_tower_shape *shape)
{
    if (shape->patch_size == 0)
        return true;
    /* Fragments are gathered from pixels side by side, six steps at a time. */
    const int32_t depth = 3 * shape->patch_size * shape->patch_size;
    return shape->patch_size % 16 == 0 && shape->image_size % shape->patch_size == 0 && depth <= 3072 &&
           depth % (clipc_whole_narrow_split(shape->width) * 96) == 0;
}

int32_t clipc_whole_tower_rows(const clipc_whole_tower_shape *shape)
{
    if (shape->architecture != 90 || shape->multiprocessors < blocks[BLOCKS_COUNT - 1])
        return 0;
    if (shape->head_stride != CLIPC_WHOLE_HEAD || shape->heads * CLIPC_WHOLE_HEAD != shape->width ||
        shape->mlp != 4 * shape->width || !patches_fit(shape))
        return 0;
    const int32_t dimensions =
        blocks[BLOCKS_COUNT - 1] / clipc_whole_narrow_split(shape->width) * CLIPC_WHOLE_PROJECTION * 8;
    if (shape->dimension % 8 != 0 || shape->dimension > dimensions)
        return 0;
    for (size_t i = 0; i < KERNEL_COUNT; i++)
        if (kernels[i].width == shape->width)
            return kernels[i].row_groups * 64;
    return 0;
}

clipc_whole_tower_plan clipc_whole_tower_select(const clipc_whole_tower_shape *shape, int32_t rows, int32_t count)
{
    return (clipc_whole_tower_plan){.width = shape->width, .row_groups = (rows + 63) / 64, .blocks = count};
}

size_t clipc_whole_tower_tile_bytes(int32_t width, int32_t layers)
{
    /* Rows before LayerNorm and the first layer's input, with their statistics, half as large; then for each layer q,
     * k and v, context, the rows between its halves with statistics, the hidden ones, and its output with statistics.
     * 512 bytes hold 16 rows × 16 columns. */
    const size_t row = (size_t)width / 16 * 512;
    return 3 * row + (size_t)layers * 11 * row;
}
