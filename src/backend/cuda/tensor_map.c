#include "backend/cuda/tensor_map.h"

#include <cuda.h>

typedef CUresult (*encode_tiled)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                                 const cuuint64_t *, const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave,
                                 CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* `items` matrices, one after the other; 0: one matrix, without that dimension. */
static cudaError_t describe(const void *matrix, int32_t items, int32_t rows, int32_t columns, int32_t stride,
                            int32_t box_rows, int32_t box_columns, CUtensorMapSwizzle swizzle, void *map)
{
    /* The driver is found at run time: the program must start where there is none. */
    void *entry = NULL;
    enum cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    const cudaError_t result =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &found);
    if (result != cudaSuccess)
        return result;
    if (found != cudaDriverEntryPointSuccess)
        return cudaErrorCallRequiresNewerDriver;
    const encode_tiled encode = (encode_tiled)entry;

    const cuuint32_t dimensions = items > 0 ? 3 : 2;
    const cuuint64_t extent[3] = {(cuuint64_t)columns, (cuuint64_t)rows, (cuuint64_t)items};
    const cuuint64_t row_bytes[2] = {(cuuint64_t)stride * 2, (cuuint64_t)rows * (cuuint64_t)stride * 2};
    const cuuint32_t box[3] = {(cuuint32_t)box_columns, (cuuint32_t)box_rows, 1};
    const cuuint32_t step[3] = {1, 1, 1};
    const CUresult encoded =
        encode((CUtensorMap *)map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, dimensions, (void *)(uintptr_t)matrix, extent,
               row_bytes, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return encoded == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t clipc_cuda_tensor_map(const void *matrix, int32_t rows, int32_t columns, int32_t stride, int32_t box_rows,
                                  void *map)
{
    return describe(matrix, 0, rows, columns, stride, box_rows, 64, CU_TENSOR_MAP_SWIZZLE_128B, map);
}

cudaError_t clipc_cuda_narrow_tensor_map(const void *matrix, int32_t rows, int32_t columns, int32_t stride,
                                         int32_t box_rows, void *map)
{
    return describe(matrix, 0, rows, columns, stride, box_rows, 32, CU_TENSOR_MAP_SWIZZLE_64B, map);
}

cudaError_t clipc_cuda_items_tensor_map(const void *matrices, int32_t items, int32_t rows, int32_t columns,
                                        int32_t box_rows, void *map)
{
    return describe(matrices, items, rows, columns, columns, box_rows, 64, CU_TENSOR_MAP_SWIZZLE_128B, map);
}
