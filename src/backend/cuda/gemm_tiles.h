/* Tiles that were measured, one for each shape of a product, in place of what gemm_select.h would take: plain host
 * code. Only tiles of the same bits count: of the same kind of kernel, whose sums run over the depth in the same
 * order, and, where a product leaves row statistics, with parts as wide. */
#ifndef CLIPC_BACKEND_CUDA_GEMM_TILES_H
#define CLIPC_BACKEND_CUDA_GEMM_TILES_H

#include "backend/cuda/gemm_select.h"
#include "model/tuning.h"

typedef struct clipc_gemm_shape {
    clipc_cuda_type type;
    int32_t rows;
    int32_t columns;
    int32_t depth;
    bool residual;
    bool activation;
    bool leaves_statistics;
} clipc_gemm_shape;

typedef struct clipc_gemm_tile {
    clipc_gemm_shape shape;
    int32_t tile_rows;
    int32_t tile_columns;
    int32_t cluster;
} clipc_gemm_tile;

typedef struct clipc_gemm_tiles {
    clipc_gemm_tile *items;
    size_t count;
} clipc_gemm_tiles;

/* "tile.fp16.1600x768x3072.residual", and the tile as "128x192", or "128x256x2" in a cluster of two. */
void clipc_gemm_shape_name(const clipc_gemm_shape *shape, char name[CLIPC_CHOICE_NAME]);
void clipc_gemm_tile_value(const clipc_gemm_plan *plan, char value[CLIPC_CHOICE_VALUE]);

/* The index-th tile that computes the shape with the bits of `plan`, ready to run; false past the last. */
bool clipc_gemm_same_bits(const clipc_gemm_device *device, const clipc_gemm_shape *shape, const clipc_gemm_plan *plan,
                          size_t index, clipc_gemm_plan *out);

/* The choices of a set (NULL: none) that are tiles; what is no such choice is left alone. */
clipc_status clipc_gemm_tiles_read(const clipc_choice_set *set, clipc_gemm_tiles *out, clipc_error *error);
void clipc_gemm_tiles_free(clipc_gemm_tiles *tiles);
/* Puts the measured tile of the shape, if there is one, in place of *plan, which clipc_gemm_select made. */
void clipc_gemm_tiles_apply(const clipc_gemm_tiles *tiles, const clipc_gemm_device *device,
                            const clipc_gemm_shape *shape, clipc_gemm_plan *plan);

#endif
