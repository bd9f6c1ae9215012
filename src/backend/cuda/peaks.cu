/* What every device can be measured by: mma.sync, reading, and nothing. */
#include "backend/cuda/launch.cuh"
#include "backend/cuda/peaks.cuh"
#include "backend/cuda/ptx.cuh"

namespace
{

constexpr int threads = 256;
constexpr int mma_blocks = 2;  /* on a multiprocessor: four warps for each of its tensor cores */
constexpr int chains = 8;      /* of sums in a warp that do not wait for one another */
constexpr int depth = 4;       /* instructions of a chain in one repeat, of both signs in turn */
constexpr int read_blocks = 8; /* on a multiprocessor */

/* What the chains multiply by, as values that the compiler does not know: else it might find out that all chains
 * compute the same, where an instruction is not the device's own but made of others, as e4m3 by mma.sync on Hopper. */
struct operands {
    uint32_t plus[chains];
    uint32_t minus[chains];
};

template <typename operand>
__global__ void __launch_bounds__(threads, mma_blocks)
    multiply_ones(int repeats, const __grid_constant__ operands by, float *sums)
{
    constexpr uint32_t plus = ones<operand>::plus;
    const uint32_t a[4] = {plus, plus, plus, plus};
    typename operand::sum sum[chains][4] = {};
    for (int repeat = 0; repeat < repeats; repeat++) {
#pragma unroll
        for (int k = 0; k < depth; k++)
#pragma unroll
            for (int i = 0; i < chains; i++) {
                const uint32_t b = k % 2 ? by.minus[i] : by.plus[i];
                operand::multiply(sum[i], a, b, b);
            }
    }
#pragma unroll
    for (int k = 0; k < depth; k++)
#pragma unroll
        for (int i = 0; i < chains; i++)
            operand::multiply(sum[i], a, by.plus[i], by.plus[i]);
    float least = (float)sum[0][0];
    for (int i = 1; i < chains; i++)
        least = fminf(least, (float)sum[i][0]);
    if (threadIdx.x == 0 && blockIdx.x % mma_blocks == 0)
        sums[blockIdx.x / mma_blocks] = least;
}

template <typename operand>
cudaError_t launch_mma(const clipc_cuda_peak *peak, cudaStream_t stream, double *operations)
{
    const int blocks = peak->multiprocessors * mma_blocks;
    operands by;
    for (int i = 0; i < chains; i++) {
        by.plus[i] = ones<operand>::plus;
        by.minus[i] = ones<operand>::minus;
    }
    *operations =
        2.0 * 16 * 8 * (32 / operand::bytes) * chains * depth * (peak->repeats + 1.0) * (threads / 32) * blocks;
    return launch_kernel(multiply_ones<operand>, dim3((unsigned)blocks), dim3(threads), 0, 1, stream, peak->repeats,
                         by, peak->sums);
}

/* Fewer threads fit a multiprocessor of these. */
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 860 || __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200)
constexpr int resident_blocks = 1536 / threads;
#else
constexpr int resident_blocks = read_blocks;
#endif

__global__ void __launch_bounds__(threads, resident_blocks) read_all(const uint4 *from, size_t count, float *sums)
{
    const size_t step = (size_t)gridDim.x * threads;
    size_t at = (size_t)blockIdx.x * threads + threadIdx.x;
    uint32_t bits = 0;
    for (; at + 3 * step < count; at += 4 * step) {
        uint4 values[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            values[i] = __ldcs(from + at + i * step);
#pragma unroll
        for (int i = 0; i < 4; i++)
            bits ^= values[i].x ^ values[i].y ^ values[i].z ^ values[i].w;
    }
    for (; at < count; at += step) {
        const uint4 value = __ldcs(from + at);
        bits ^= value.x ^ value.y ^ value.z ^ value.w;
    }
    if (bits == 1) /* of memory that is all zeros it is not; the compiler cannot know */
        *sums = 1;
}

__global__ void __launch_bounds__(threads) do_nothing()
{
    let_next_kernel_start();
    wait_for_previous_kernel();
}

} // namespace

extern "C" cudaError_t clipc_cuda_peak_mma(const clipc_cuda_peak *peak, cudaStream_t stream, double *operations)
{
#define LAUNCH(operand) launch_mma<operand>(peak, stream, operations)
    BY_TYPE(peak->type, LAUNCH)
#undef LAUNCH
}

extern "C" cudaError_t clipc_cuda_peak_read(const void *from, size_t bytes, int32_t multiprocessors, float *sums,
                                            cudaStream_t stream)
{
    return launch_kernel(read_all, dim3((unsigned)(multiprocessors * read_blocks)), dim3(threads), 0, 1, stream,
                         static_cast<const uint4 *>(from), bytes / sizeof(uint4), sums);
}

extern "C" cudaError_t clipc_cuda_peak_nothing(int32_t multiprocessors, cudaStream_t stream)
{
    return launch_kernel(do_nothing, dim3((unsigned)multiprocessors), dim3(threads), 0, 1, stream);
}
