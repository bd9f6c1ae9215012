/* Hopper's own products, at most: two warpgroups a multiprocessor, operands in shared memory, the widest
 * instruction. */
#include "backend/cuda/launch.cuh"
#include "backend/cuda/peaks.cuh"
#include "backend/cuda/ptx.cuh"
#include "backend/cuda/wgmma.cuh"

namespace
{

constexpr int groups = 2;
constexpr int threads = groups * 128;
constexpr int columns = 256;
constexpr int row_bytes = 128; /* a swizzled row: the depth of four instructions */
constexpr int depth = row_bytes / 32;
constexpr int pairs = 2; /* of such depths, of both signs, in one repeat */
constexpr int a_bytes = 64 * row_bytes;
constexpr int b_bytes = columns * row_bytes;
constexpr int shared_bytes = 1024 + a_bytes + 2 * b_bytes; /* tiles begin at a 1024-byte border */

template <typename operand>
__device__ __forceinline__ void multiply(typename operand::sum (&sum)[columns / 8][4], uint64_t a, uint64_t b)
{
#pragma unroll
    for (int k = 0; k < depth; k++)
        wgmma<operand, columns / 8>::run(sum, a + k * 2, b + k * 2, 1);
}

template <typename operand> __global__ void __launch_bounds__(threads, 1) multiply_ones(int repeats, float *sums)
{
#if __CUDA_ARCH__ >= 900
    extern __shared__ unsigned char raw[];
    const uint32_t base = (shared_address(raw) + 1023) & ~1023u;
    uint32_t *const words = reinterpret_cast<uint32_t *>(raw + (base - shared_address(raw)));
    for (int i = threadIdx.x; i < (a_bytes + 2 * b_bytes) / 4; i += threads)
        words[i] = i < (a_bytes + b_bytes) / 4 ? ones<operand>::plus : ones<operand>::minus;
    async_fence();
    __syncthreads();
    const uint64_t a = wgmma_descriptor(base);
    const uint64_t plus = wgmma_descriptor(base + a_bytes);
    const uint64_t minus = wgmma_descriptor(base + a_bytes + b_bytes);
    typename operand::sum sum[columns / 8][4] = {};
    for (int repeat = 0; repeat < repeats; repeat++) {
        wgmma_fence();
#pragma unroll
        for (int i = 0; i < pairs; i++) {
            multiply<operand>(sum, a, plus);
            multiply<operand>(sum, a, minus);
        }
        wgmma_commit();
        wgmma_wait<0>(); /* the other warpgroup's instructions are under way meanwhile */
    }
    wgmma_fence();
    multiply<operand>(sum, a, plus);
    wgmma_commit();
    wgmma_wait<0>();
    if (threadIdx.x == 0)
        sums[blockIdx.x] = (float)sum[0][0];
#endif
}

template <typename operand> cudaError_t launch(const clipc_cuda_peak *peak, cudaStream_t stream, double *operations)
{
    *operations = 2.0 * 64 * columns * (32 / operand::bytes) * depth * (2.0 * pairs * peak->repeats + 1) * groups *
                  peak->multiprocessors;
    return launch_kernel(multiply_ones<operand>, dim3((unsigned)peak->multiprocessors), dim3(threads), shared_bytes, 1,
                         stream, peak->repeats, peak->sums);
}

} // namespace

extern "C" cudaError_t clipc_cuda_peak_wgmma(const clipc_cuda_peak *peak, cudaStream_t stream, double *operations)
{
#define LAUNCH(operand) launch<operand>(peak, stream, operations)
    BY_TYPE(peak->type, LAUNCH)
#undef LAUNCH
}
