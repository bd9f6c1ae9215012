/* Pixels that come as bytes become the floats that the host would make of them: it sends the table. */
#include "backend/cuda/launch.cuh"
#include "backend/cuda/ptx.cuh"
#include "backend/cuda/steps.h"

namespace
{

constexpr int threads = 256;
constexpr int group = 4; /* pixels a thread: twelve bytes in, one 16-byte store to each channel */

__global__ void __launch_bounds__(threads)
    floats_of_bytes(const uint8_t *bytes, long long groups, int area, const float *values, float *pixels)
{
    __shared__ float table[3 * 256];
    for (int i = threadIdx.x; i < 3 * 256; i += threads)
        table[i] = values[i];
    __syncthreads();
    let_next_kernel_start();
    wait_for_previous_kernel();
    for (long long i = (long long)blockIdx.x * threads + threadIdx.x; i < groups;
         i += (long long)gridDim.x * threads) {
        const long long image = i * group / area; /* an area is a multiple of the group */
        const long long at = i * group % area;
        const uint32_t *from = reinterpret_cast<const uint32_t *>(bytes) + 3 * i;
        const uint32_t words[3] = {__ldcs(from), __ldcs(from + 1), __ldcs(from + 2)};
        float value[3 * group];
#pragma unroll
        for (int b = 0; b < 3 * group; b++)
            value[b] = table[b % 3 * 256 + (words[b / 4] >> b % 4 * 8 & 255)];
        float *to = pixels + image * 3 * area + at;
#pragma unroll
        for (int channel = 0; channel < 3; channel++)
            *reinterpret_cast<float4 *>(to + (long long)channel * area) =
                make_float4(value[channel], value[3 + channel], value[6 + channel], value[9 + channel]);
    }
}

/* The same of images whose area is no multiple of the group. */
__global__ void __launch_bounds__(threads)
    floats_of_single_bytes(const uint8_t *bytes, long long count, int area, const float *values, float *pixels)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    for (long long i = (long long)blockIdx.x * threads + threadIdx.x; i < count; i += (long long)gridDim.x * threads) {
        const long long pixel = i / 3;
        const int channel = (int)(i % 3);
        pixels[(pixel / area * 3 + channel) * area + pixel % area] = values[channel * 256 + bytes[i]];
    }
}

unsigned blocks_for(long long items)
{
    const long long blocks = (items + threads - 1) / threads;
    return (unsigned)(blocks < 4096 ? blocks : 4096);
}

} // namespace

extern "C" cudaError_t clipc_cuda_floats_of_bytes(const uint8_t *bytes, int32_t count, int32_t image_size,
                                                  const float *values, float *pixels, cudaStream_t stream)
{
    const int area = image_size * image_size;
    const long long all = 3LL * area * count;
    if (area % group == 0)
        return launch_kernel(floats_of_bytes, dim3(blocks_for(all / (3 * group))), dim3(threads), 0, 1, stream, bytes,
                             all / (3 * group), area, values, pixels);
    return launch_kernel(floats_of_single_bytes, dim3(blocks_for(all)), dim3(threads), 0, 1, stream, bytes, all, area,
                         values, pixels);
}
