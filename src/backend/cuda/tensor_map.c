#include "backend/cuda/tensor_map.h"

#include <cuda.h>

typedef CUresult (*encode_tiled)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                                 const cuuint64_t *, const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave,
                                 CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* A tensor of halves, to be moved in boxes; its first dimension is the innermost, strides are those of the others. */
typedef struct tensor_shape {
    cuuint32_t dimensions;
    cuuint64_t extent[5];
    cuuint64_t stride_bytes[4];
    cuuint32_t box[5];
    CUtensorMapSwizzle swizzle;
} tensor_shape;

static cudaError_t encode(const void *values, const tensor_shape *tensor, void *map)
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
    static const cuuint32_t step[5] = {1, 1, 1, 1, 1};
    const CUresult encoded = ((encode_tiled)entry)(
        (CUtensorMap *)map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, tensor->dimensions, (void *)(uintptr_t)values,
        tensor->extent, tensor->stride_bytes, tensor->box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, tensor->swizzle,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return encoded == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

/* `items` matrices, one after the other; 0: one matrix, without that dimension. */
static cudaError_t describe(const void *matrix, int32_t items, int32_t rows, int32_t columns, int32_t stride,
                            int32_t box_rows, int32_t box_columns, CUtensorMapSwizzle swizzle, void *map)
{
    const tensor_shape tensor = {
        .dimensions = items > 0 ? 3 : 2,
        .extent = {(cuuint64_t)columns, (cuuint64_t)rows, (cuuint64_t)items},
        .stride_bytes = {(cuuint64_t)stride * 2, (cuuint64_t)rows * (cuuint64_t)stride * 2},
        .box = {(cuuint32_t)box_columns, (cuuint32_t)box_rows, 1},
        .swizzle = swizzle,
    };
    return encode(matrix, &tensor, map);
}

cudaError_t clipc_cuda_weight_map(const void *matrix, int32_t columns, int32_t depth, int32_t run, int32_t box_columns,
                                  void *map)
{
    const cuuint64_t row = (cuuint64_t)depth * 2;
    const cuuint32_t pairs = (cuuint32_t)run / 2;
    const cuuint32_t group = (cuuint32_t)run * 4;
    const tensor_shape tensor = {
        .dimensions = 5,
        .extent = {(cuuint64_t)depth, 2, 4, pairs, (cuuint64_t)columns / group},
        .stride_bytes = {row, row * (cuuint64_t)run, row * 2, row * group},
        .box = {64, 2, 4, pairs, (cuuint32_t)box_columns / group},
        .swizzle = CU_TENSOR_MAP_SWIZZLE_128B,
    };
    return encode(matrix, &tensor, map);
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
