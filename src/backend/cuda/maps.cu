/* A thread has eight channels of a pixel: 16 bytes. */
#include "backend/cuda/launch.cuh"
#include "backend/cuda/maps.h"
#include "backend/cuda/operand.cuh"
#include "backend/cuda/ptx.cuh"

namespace
{

constexpr int threads = 256;
constexpr int window_length = 32; /* CLIPC_CUDA_PIXEL_WINDOW */

template <typename half> __device__ __forceinline__ void unpack_piece(uint4 piece, float (&value)[8])
{
    const uint32_t pairs[4] = {piece.x, piece.y, piece.z, piece.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 pair = half::unpack(pairs[i]);
        value[2 * i] = pair.x;
        value[2 * i + 1] = pair.y;
    }
}

template <typename half> __device__ __forceinline__ uint4 pack_piece(const float (&value)[8])
{
    return make_uint4(half::pack(value[0], value[1]), half::pack(value[2], value[3]), half::pack(value[4], value[5]),
                      half::pack(value[6], value[7]));
}

template <typename half>
__global__ void __launch_bounds__(threads)
    pixel_windows(const float *pixels, long long pieces, int image_size, uint4 *windows)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    constexpr int window_pieces = window_length / 8;
    const long long piece = (long long)blockIdx.x * threads + threadIdx.x;
    if (piece >= pieces)
        return;
    const int side = image_size / 2;
    const long long window = piece / window_pieces;
    const long long item = window / (side * side);
    const int inside = (int)(window % (side * side));
    const float *image = pixels + (size_t)item * 3 * image_size * image_size;
    float value[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int element = (int)(piece % window_pieces) * 8 + i;
        const int y = inside / side * 2 + element % 9 / 3 - 1;
        const int x = inside % side * 2 + element % 3 - 1;
        value[i] = 0;
        if (element < 27 && (unsigned)y < (unsigned)image_size && (unsigned)x < (unsigned)image_size)
            value[i] = image[((size_t)(element / 9) * image_size + y) * image_size + x];
    }
    windows[piece] = pack_piece<half>(value);
}

template <typename half>
__global__ void __launch_bounds__(threads)
    average_maps(const uint4 *map, long long pieces, int side, int pixel_pieces, uint4 *to)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    const long long piece = (long long)blockIdx.x * threads + threadIdx.x;
    if (piece >= pieces)
        return;
    const long long pixel = piece / pixel_pieces;
    const int part = (int)(piece % pixel_pieces);
    const long long row = pixel / side; /* of all items */
    const long long first = 4 * row * side + 2 * (pixel % side);
    float value[4][8];
#pragma unroll
    for (int i = 0; i < 4; i++)
        unpack_piece<half>(map[(first + i / 2 * 2 * side + i % 2) * pixel_pieces + part], value[i]);
#pragma unroll
    for (int i = 0; i < 8; i++)
        value[0][i] = (value[0][i] + value[1][i] + value[2][i] + value[3][i]) * 0.25f;
    to[piece] = pack_piece<half>(value[0]);
}

template <typename half>
__global__ void __launch_bounds__(threads)
    map_tokens(const uint4 *map, int count, int pixels, int pixel_pieces, const uint4 *position, uint4 *rows)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    const int index = (int)blockIdx.x * threads + (int)threadIdx.x;
    const int item = index / pixel_pieces;
    const int part = index % pixel_pieces;
    if (item >= count)
        return;
    const uint4 *from = map + (size_t)item * pixels * pixel_pieces + part;
    uint4 *to = rows + (size_t)item * (pixels + 1) * pixel_pieces + part;
    float sum[8] = {};
    float value[8];
    float place[8];
#pragma unroll 4
    for (int pixel = 0; pixel < pixels; pixel++) {
        unpack_piece<half>(from[(size_t)pixel * pixel_pieces], value);
        unpack_piece<half>(__ldg(position + (size_t)(pixel + 1) * pixel_pieces + part), place);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            sum[i] += value[i];
            value[i] += place[i];
        }
        to[(size_t)(pixel + 1) * pixel_pieces] = pack_piece<half>(value);
    }
    unpack_piece<half>(__ldg(position + part), place);
#pragma unroll
    for (int i = 0; i < 8; i++)
        sum[i] = sum[i] / (float)pixels + place[i];
    to[0] = pack_piece<half>(sum);
}

unsigned blocks_for(long long work)
{
    return (unsigned)((work + threads - 1) / threads);
}

} // namespace

extern "C" cudaError_t clipc_cuda_pixel_windows(clipc_cuda_type type, const float *pixels, int32_t count,
                                                int32_t image_size, void *windows, cudaStream_t stream)
{
    const long long pieces = (long long)count * (image_size / 2) * (image_size / 2) * (window_length / 8);
    const auto kernel = type == CLIPC_CUDA_BF16 ? pixel_windows<bf16> : pixel_windows<f16>;
    return launch_kernel(kernel, dim3(blocks_for(pieces)), dim3(threads), 0, 1, stream, pixels, pieces, image_size,
                         (uint4 *)windows);
}

extern "C" cudaError_t clipc_cuda_average_maps(clipc_cuda_type type, const void *map, int32_t count, int32_t side,
                                               int32_t channels, void *to, cudaStream_t stream)
{
    const long long pieces = (long long)count * side * side * (channels / 8);
    const auto kernel = type == CLIPC_CUDA_BF16 ? average_maps<bf16> : average_maps<f16>;
    return launch_kernel(kernel, dim3(blocks_for(pieces)), dim3(threads), 0, 1, stream, (const uint4 *)map, pieces,
                         side, channels / 8, (uint4 *)to);
}

extern "C" cudaError_t clipc_cuda_map_tokens(clipc_cuda_type type, const void *map, int32_t count, int32_t pixels,
                                             int32_t channels, const void *position, void *rows, cudaStream_t stream)
{
    const auto kernel = type == CLIPC_CUDA_BF16 ? map_tokens<bf16> : map_tokens<f16>;
    return launch_kernel(kernel, dim3(blocks_for((long long)count * (channels / 8))), dim3(threads), 0, 1, stream,
                         (const uint4 *)map, count, pixels, channels / 8, (const uint4 *)position, (uint4 *)rows);
}
