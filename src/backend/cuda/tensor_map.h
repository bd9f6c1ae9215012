/* Descriptions of matrices for Hopper's copy engine. */
#ifndef CLIPC_BACKEND_CUDA_TENSOR_MAP_H
#define CLIPC_BACKEND_CUDA_TENSOR_MAP_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Describes fp16 [rows, columns] with `stride` elements a row, to be moved in boxes of box_rows × 64, 128-byte
 * swizzled; what lies outside reads as zero. `map` is a CUtensorMap. */
cudaError_t clipc_cuda_tensor_map(const void *matrix, int32_t rows, int32_t columns, int32_t stride, int32_t box_rows,
                                  void *map);
/* The same of weights [columns, depth], whose columns are moved in groups of 4 × run in another order, in which
 * wgmma's lanes hold `run` neighbours each: place (i, lane, pair) of a group, with its last index fastest, holds
 * column lane × run + 2 i + pair. `columns` is a multiple of a group, a box has box_columns of them × 64. */
cudaError_t clipc_cuda_weight_map(const void *matrix, int32_t columns, int32_t depth, int32_t run, int32_t box_columns,
                                  void *map);
/* The same as clipc_cuda_tensor_map in boxes of box_rows × 32, 64-byte swizzled. */
cudaError_t clipc_cuda_narrow_tensor_map(const void *matrix, int32_t rows, int32_t columns, int32_t stride,
                                         int32_t box_rows, void *map);
/* Describes fp16 [items, rows, columns], to be moved in boxes of box_rows × 64 of one item, 128-byte swizzled; what
 * lies outside of the item reads as zero. */
cudaError_t clipc_cuda_items_tensor_map(const void *matrices, int32_t items, int32_t rows, int32_t columns,
                                        int32_t box_rows, void *map);

#ifdef __cplusplus
}
#endif

#endif
