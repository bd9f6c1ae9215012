/* Whole rows in a warp's registers. */
#ifndef CLIPC_BACKEND_CUDA_ROWS_CUH
#define CLIPC_BACKEND_CUDA_ROWS_CUH

#include "backend/cuda/launch.cuh"
#include "backend/cuda/operand.cuh"
#include "backend/cuda/ptx.cuh"

static __device__ __forceinline__ float warp_sum(float value)
{
#pragma unroll
    for (int distance = 16; distance; distance /= 2)
        value += __shfl_xor_sync(0xFFFFFFFF, value, distance);
    return value;
}

/* A row in registers, eight values a lane and step: up to steps × 256 of them. */
template <int steps> struct row_values {
    float value[steps][8];
};

/* Mean and squared differences over the first `width` of the row's values; those beyond must be zero. */
template <int steps> static __device__ __forceinline__ float2 measure(const row_values<steps> &row, int width)
{
    const int lane = threadIdx.x % 32;
    float total = 0;
#pragma unroll
    for (int i = 0; i < steps; i++)
#pragma unroll
        for (int j = 0; j < 8; j++)
            total += row.value[i][j];
    const float mean = warp_sum(total) / (float)width;
    float squares = 0;
#pragma unroll
    for (int i = 0; i < steps; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const float difference = i * 256 + lane * 8 + j < width ? row.value[i][j] - mean : 0.0f;
            squares += difference * difference;
        }
    return make_float2(mean, warp_sum(squares));
}

template <typename half, int steps>
static __device__ __forceinline__ void load_row(const uint16_t *from, int stride, row_values<steps> &row)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < steps; i++) {
        const int column = i * 256 + lane * 8;
        uint4 piece = make_uint4(0, 0, 0, 0);
        if (column < stride)
            piece = *reinterpret_cast<const uint4 *>(from + column);
        const uint32_t pairs[4] = {piece.x, piece.y, piece.z, piece.w};
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float2 pair = half::unpack(pairs[j]);
            row.value[i][2 * j] = pair.x;
            row.value[i][2 * j + 1] = pair.y;
        }
    }
}

/* Eight floats of a vector that never changes; vectors are padded with zeros to a multiple of eight. */
static __device__ __forceinline__ void load_vector(const float *from, int column, int stride, float (&value)[8])
{
    float4 low = make_float4(0, 0, 0, 0);
    float4 high = low;
    if (column < stride) {
        low = __ldg(reinterpret_cast<const float4 *>(from + column));
        high = __ldg(reinterpret_cast<const float4 *>(from + column) + 1);
    }
    value[0] = low.x, value[1] = low.y, value[2] = low.z, value[3] = low.w;
    value[4] = high.x, value[5] = high.y, value[6] = high.z, value[7] = high.w;
}

/* Rounds the row to what it is kept in, in registers too, and stores it. */
template <typename half, int steps>
static __device__ __forceinline__ void store_row(uint16_t *to, int stride, row_values<steps> &row)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < steps; i++) {
        const int column = i * 256 + lane * 8;
        uint32_t pairs[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            pairs[j] = half::pack(row.value[i][2 * j], row.value[i][2 * j + 1]);
            const float2 rounded = half::unpack(pairs[j]);
            row.value[i][2 * j] = rounded.x;
            row.value[i][2 * j + 1] = rounded.y;
        }
        if (column < stride)
            *reinterpret_cast<uint4 *>(to + column) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    }
}

/* Returns, from the function around it, what the launch of kernel<half, steps> returns, with as many steps as a row of
 * `stride` needs. */
#define RETURN_BY_STEPS(half, stride, kernel, ...)                                                                    \
    switch (((stride) + 255) / 256) {                                                                                 \
    case 1: return launch_kernel(kernel<half, 1>, __VA_ARGS__);                                                       \
    case 2: return launch_kernel(kernel<half, 2>, __VA_ARGS__);                                                       \
    case 3: return launch_kernel(kernel<half, 3>, __VA_ARGS__);                                                       \
    case 4: return launch_kernel(kernel<half, 4>, __VA_ARGS__);                                                       \
    case 5: return launch_kernel(kernel<half, 5>, __VA_ARGS__);                                                       \
    case 6: return launch_kernel(kernel<half, 6>, __VA_ARGS__);                                                       \
    case 7: return launch_kernel(kernel<half, 7>, __VA_ARGS__);                                                       \
    case 8: return launch_kernel(kernel<half, 8>, __VA_ARGS__);                                                       \
    default: return cudaErrorInvalidValue;                                                                            \
    }

#endif
