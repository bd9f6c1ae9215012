/* How rows lie in shared memory when the copy engine brings them: in boxes of 64 columns, 128 bytes a row, 128-byte
 * swizzled. */
#ifndef CLIPC_BACKEND_CUDA_BOXES_CUH
#define CLIPC_BACKEND_CUDA_BOXES_CUH

#include "backend/cuda/ptx.cuh"

constexpr int box_columns = 64;
constexpr int box_row_bytes = 128;

__host__ __device__ constexpr int boxes_of(int columns)
{
    return (columns + box_columns - 1) / box_columns;
}

/* Where this lane's row of the index-th 16 columns lies in a box, for load_matrix_x4 and store_matrix_x4. `box` is the
 * address of the first of the warp's 16 rows. */
static __device__ __forceinline__ uint32_t fragment_place(uint32_t box, int index)
{
    const int lane = threadIdx.x % 32;
    return box + lane % 16 * box_row_bytes + (((index * 2 + lane / 16) ^ (lane & 7)) << 4);
}

#endif
