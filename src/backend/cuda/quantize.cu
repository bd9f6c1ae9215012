/* Rows of halves → the operands of products of bytes. A warp has a row. */
#include "backend/cuda/rows.cuh"
#include "backend/cuda/steps.h"

namespace
{

constexpr int threads = 256;
constexpr int warps = threads / 32;

/* The larger size as bits, which order as the numbers do with NaN above infinity: fmaxf would drop a NaN, the row
 * become zeros, and nobody learn of it. */
__device__ __forceinline__ uint32_t larger_size(uint32_t size, float value)
{
    return max(size, __float_as_uint(fabsf(value)));
}

__device__ __forceinline__ float warp_largest(uint32_t size)
{
    return __uint_as_float(__reduce_max_sync(0xFFFFFFFF, size));
}

/* What bytes are multiplied by, that `largest` becomes 127. A row that is not finite gets zeros; its scale, which is
 * not finite either, makes NaN of their products. */
__device__ __forceinline__ float s8_scale(float largest)
{
    return largest > 0 ? 127.0f / largest : 0.0f;
}

__device__ __forceinline__ uint32_t s8_of_floats(float a, float b, float c, float d)
{
    const uint32_t bytes[4] = {(uint32_t)__float2int_rn(a), (uint32_t)__float2int_rn(b), (uint32_t)__float2int_rn(c),
                               (uint32_t)__float2int_rn(d)};
    return __byte_perm(__byte_perm(bytes[0], bytes[1], 0x0040), __byte_perm(bytes[2], bytes[3], 0x0040), 0x5410);
}

/* Eight neighbours, times `scale`. */
template <typename operand> __device__ __forceinline__ uint2 bytes_of(const float (&value)[8], float scale)
{
    float v[8];
#pragma unroll
    for (int i = 0; i < 8; i++)
        v[i] = value[i] * scale;
    if (operand::row_scaled)
        return make_uint2(s8_of_floats(v[0], v[1], v[2], v[3]), s8_of_floats(v[4], v[5], v[6], v[7]));
    return make_uint2(e4m3_of_floats(v[0], v[1]) | e4m3_of_floats(v[2], v[3]) << 16,
                      e4m3_of_floats(v[4], v[5]) | e4m3_of_floats(v[6], v[7]) << 16);
}

/* (x − mean) / deviation as bytes: of e4m3 times `scale`, of s8 with the row's largest at ±127. */
template <typename operand, int steps>
__global__ void __launch_bounds__(threads)
    normalize_rows(const uint16_t *rows, int count, int width, int stride, float epsilon, float scale, uint8_t *to,
                   int to_stride, float *row_scale)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    const int index = (int)blockIdx.x * warps + (int)threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (index >= count)
        return;
    row_values<steps> row;
    load_row<f16>(rows + (size_t)index * stride, stride, row);
    const float2 pair = measure(row, width);
    const float deviation = rsqrtf(pair.y / (float)width + epsilon);
    uint32_t size = 0;
#pragma unroll
    for (int i = 0; i < steps; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) {
            row.value[i][j] = i * 256 + lane * 8 + j < width ? (row.value[i][j] - pair.x) * deviation : 0.0f;
            size = larger_size(size, row.value[i][j]);
        }
    if (operand::row_scaled) {
        const float largest = warp_largest(size);
        scale = s8_scale(largest);
        if (lane == 0)
            row_scale[index] = largest / 127.0f;
    }
#pragma unroll
    for (int i = 0; i < steps; i++)
        if (i * 256 + lane * 8 < to_stride)
            *reinterpret_cast<uint2 *>(to + (size_t)index * to_stride + i * 256 + lane * 8) =
                bytes_of<operand>(row.value[i], scale);
}

/* A row as it is, of any width: read for its largest, and again from the cache. */
__global__ void __launch_bounds__(threads)
    quantize_rows_s8(const uint16_t *rows, int count, int stride, uint8_t *to, int to_stride, float *row_scale)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    const int index = (int)blockIdx.x * warps + (int)threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (index >= count)
        return;
    const uint16_t *from = rows + (size_t)index * stride;
    uint32_t size = 0;
    row_values<1> part;
    for (int column = 0; column < stride; column += 256) {
        load_row<f16>(from + column, stride - column, part);
#pragma unroll
        for (int j = 0; j < 8; j++)
            size = larger_size(size, part.value[0][j]);
    }
    const float largest = warp_largest(size);
    const float scale = s8_scale(largest);
    if (lane == 0)
        row_scale[index] = largest / 127.0f;
    for (int column = 0; column < to_stride; column += 256) {
        load_row<f16>(from + column, stride - column, part);
        if (column + lane * 8 < to_stride)
            *reinterpret_cast<uint2 *>(to + (size_t)index * to_stride + column + lane * 8) =
                bytes_of<s8>(part.value[0], scale);
    }
}

template <typename half, int steps>
__global__ void __launch_bounds__(threads)
    measure_rows(const uint16_t *rows, int count, int width, int stride, float2 *statistics)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    const int index = (int)blockIdx.x * warps + (int)threadIdx.x / 32;
    if (index >= count)
        return;
    row_values<steps> row;
    load_row<half>(rows + (size_t)index * stride, stride, row);
    const float2 pair = measure(row, width);
    if (threadIdx.x % 32 == 0)
        statistics[index] = pair;
}

dim3 blocks_of(int32_t count)
{
    return dim3((unsigned)((count + warps - 1) / warps));
}

} // namespace

extern "C" cudaError_t clipc_cuda_normalize_rows(const clipc_cuda_normalize *step, cudaStream_t stream)
{
    if (step->type == CLIPC_CUDA_S8)
        RETURN_BY_STEPS(s8, step->to_stride, normalize_rows, blocks_of(step->count), dim3(threads), 0, 1, stream,
                 (const uint16_t *)step->rows, step->count, step->width, step->stride, step->epsilon, step->scale,
                 (uint8_t *)step->to, step->to_stride, step->row_scale)
    RETURN_BY_STEPS(e4m3, step->to_stride, normalize_rows, blocks_of(step->count), dim3(threads), 0, 1, stream,
             (const uint16_t *)step->rows, step->count, step->width, step->stride, step->epsilon, step->scale,
             (uint8_t *)step->to, step->to_stride, step->row_scale)
}

extern "C" cudaError_t clipc_cuda_quantize_rows(const void *rows, int32_t count, int32_t stride, void *to,
                                                int32_t to_stride, float *row_scale, cudaStream_t stream)
{
    return launch_kernel(quantize_rows_s8, blocks_of(count), dim3(threads), 0, 1, stream, (const uint16_t *)rows,
                         count, stride, (uint8_t *)to, to_stride, row_scale);
}

extern "C" cudaError_t clipc_cuda_measure_rows(const void *rows, int32_t count, int32_t width, int32_t stride,
                                               float *statistics, cudaStream_t stream)
{
    RETURN_BY_STEPS(f16, stride, measure_rows, blocks_of(count), dim3(threads), 0, 1, stream, (const uint16_t *)rows, count,
             width, stride, (float2 *)statistics)
}
