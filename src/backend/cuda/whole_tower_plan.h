/* Which towers the kernel of one launch takes, and how it shares them out: plain host code, tested with no GPU. */
#ifndef CLIPC_BACKEND_CUDA_WHOLE_TOWER_PLAN_H
#define CLIPC_BACKEND_CUDA_WHOLE_TOWER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define CLIPC_WHOLE_FUNCTION static constexpr
#else
#define CLIPC_WHOLE_FUNCTION static inline
#endif

#define CLIPC_WHOLE_CLUSTER    8
#define CLIPC_WHOLE_HEAD       64 /* values of a head */
#define CLIPC_WHOLE_PROJECTION 8  /* groups of 8 columns that blocks have of the projection */

/* Blocks that share out the depth of a product: of the wide ones (qkv, fc1), and of those that end in the residual
 * stream (patch embedding, out, fc2) and the projection. Few for a wide product, whose partial sums are many. */
CLIPC_WHOLE_FUNCTION int32_t clipc_whole_wide_split(int32_t width)
{
    return width >= 256 ? 4 : 2;
}

CLIPC_WHOLE_FUNCTION int32_t clipc_whole_narrow_split(int32_t width)
{
    return width >= 256 ? 8 : 4;
}

/* Groups of 8 columns that each of `blocks` has. */
CLIPC_WHOLE_FUNCTION int32_t clipc_whole_column_groups(int32_t blocks, int32_t columns, int32_t split)
{
    return (columns / 8 + blocks / split - 1) / (blocks / split);
}

/* Steps of 16 columns of depth that a block has. */
CLIPC_WHOLE_FUNCTION int32_t clipc_whole_steps(int32_t depth, int32_t split)
{
    return depth / 16 / split;
}

typedef struct clipc_whole_tower_plan {
    int32_t width;
    int32_t row_groups; /* of 64 rows: a warpgroup each */
    int32_t blocks;
} clipc_whole_tower_plan;

typedef struct clipc_whole_tower_shape {
    int32_t architecture;
    int32_t multiprocessors;
    int32_t width;
    int32_t heads;
    int32_t head_stride;
    int32_t mlp;
    int32_t dimension;
    int32_t patch_size; /* 0: text */
    int32_t image_size;
} clipc_whole_tower_shape;

/* Rows that such a tower's kernel takes at most; 0: it has none. */
int32_t clipc_whole_tower_rows(const clipc_whole_tower_shape *shape);
/* The index-th number of blocks that kernels are made for, the most first; 0 past the last. How many can be there at
 * once differs from card to card: clusters of eight leave some multiprocessors over. */
int32_t clipc_whole_tower_blocks(size_t index);
/* For at most that many rows. */
clipc_whole_tower_plan clipc_whole_tower_select(const clipc_whole_tower_shape *shape, int32_t rows, int32_t blocks);
/* Bytes of one set of places for rows to travel through, for each tile of 16 rows. */
size_t clipc_whole_tower_tile_bytes(int32_t width, int32_t layers);

#ifdef __cplusplus
}
#endif

#endif
