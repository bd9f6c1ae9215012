/* A row is read once and stays in registers: its mean, then the deviations from it, then the result. A row belongs to
 * as many warps as keep it with at most 32 values a thread: one for up to 1024 values, eight for 8192. */
#include "backend/tensorrt/layer_norm.h"

#include "backend/cuda/ptx.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define WARP         32
#define ROWS_A_BLOCK 4  /* of a warp each; of more warps a row is a block */
#define MOST_VALUES  32 /* that a thread keeps */
#define LONGEST_GRID 0x7FFFFFFF

static __device__ __forceinline__ float to_float(float value)
{
    return value;
}

static __device__ __forceinline__ float to_float(__half value)
{
    return __half2float(value);
}

static __device__ __forceinline__ float to_float(__nv_bfloat16 value)
{
    return __bfloat162float(value);
}

static __device__ __forceinline__ void from_float(float value, float &to)
{
    to = value;
}

static __device__ __forceinline__ void from_float(float value, __half &to)
{
    to = __float2half_rn(value);
}

static __device__ __forceinline__ void from_float(float value, __nv_bfloat16 &to)
{
    to = __float2bfloat16_rn(value);
}

/* `count` neighbours that move in one instruction; a piece of a row. */
template <typename element, int count> struct alignas(sizeof(element) * count) piece {
    element value[count];
};

/* Parameters are read in pieces of their own size, 16 bytes at the most. */
template <typename parameter, int count>
static __device__ __forceinline__ void load_parameters(const parameter *from, float (&to)[count])
{
    constexpr int step = count * sizeof(parameter) > 16 ? 16 / sizeof(parameter) : count;
#pragma unroll
    for (int i = 0; i < count; i += step) {
        const piece<parameter, step> read = *reinterpret_cast<const piece<parameter, step> *>(from + i);
#pragma unroll
        for (int j = 0; j < step; j++)
            to[i + j] = to_float(read.value[j]);
    }
}

/* The sums of two numbers over all threads of a row, known to each of them. The order of additions is always the same.
 */
template <int warps> static __device__ __forceinline__ float2 row_sums(float2 sums, float2 *shared)
{
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2) {
        sums.x += __shfl_xor_sync(0xFFFFFFFFu, sums.x, step);
        sums.y += __shfl_xor_sync(0xFFFFFFFFu, sums.y, step);
    }
    if (warps == 1)
        return sums;
    if (threadIdx.x % WARP == 0)
        shared[threadIdx.x / WARP] = sums;
    __syncthreads();
    sums = make_float2(0, 0);
#pragma unroll
    for (int i = 0; i < warps; i++) {
        sums.x += shared[i].x;
        sums.y += shared[i].y;
    }
    return sums;
}

/* What a kernel is told; the same as clipc_layer_norm with types. */
template <typename element, typename parameter> struct arguments {
    const element *input;
    const element *residual;
    element *sum;
    const parameter *weight;
    const parameter *bias;
    element *output;
    int64_t rows;
    int32_t width;
    float epsilon;
};

template <typename element, typename parameter, int count, int pieces, int warps, bool residual>
static __global__ void __launch_bounds__(warps == 1 ? ROWS_A_BLOCK * WARP : warps * WARP)
    layer_norm_kernel(const arguments<element, parameter> in)
{
    __shared__ float2 shared[2][warps];
    constexpr int threads = warps * WARP;
    let_next_kernel_start();
    wait_for_previous_kernel();
    const int64_t row = warps == 1 ? (int64_t)blockIdx.x * ROWS_A_BLOCK + threadIdx.x / WARP : blockIdx.x;
    if (row >= in.rows) /* a whole warp */
        return;
    const int thread = warps == 1 ? threadIdx.x % WARP : threadIdx.x;
    const int64_t begin = row * in.width;
    float x[pieces][count];
    float total = 0;
#pragma unroll
    for (int i = 0; i < pieces; i++) {
        const int column = (i * threads + thread) * count;
        const bool inside = column < in.width;
        piece<element, count> read;
        piece<element, count> added;
        if (inside) {
            read = *reinterpret_cast<const piece<element, count> *>(in.input + begin + column);
            if (residual)
                added = *reinterpret_cast<const piece<element, count> *>(in.residual + begin + column);
        }
#pragma unroll
        for (int j = 0; j < count; j++) {
            if (residual && inside)
                from_float(to_float(read.value[j]) + to_float(added.value[j]), read.value[j]);
            x[i][j] = inside ? to_float(read.value[j]) : 0;
            total += x[i][j];
        }
        if (residual && inside && in.sum)
            *reinterpret_cast<piece<element, count> *>(in.sum + begin + column) = read;
    }
    const float size = (float)in.width;
    const float mean = row_sums<warps>(make_float2(total, 0), shared[0]).x / size;

    /* The mean is rounded: what it is off by shows in the sum of the deviations, and goes out of them again. */
    float2 sums = make_float2(0, 0);
#pragma unroll
    for (int i = 0; i < pieces; i++) {
        const bool inside = (i * threads + thread) * count < in.width;
#pragma unroll
        for (int j = 0; j < count; j++) {
            x[i][j] = inside ? x[i][j] - mean : 0;
            sums.x += x[i][j];
            sums.y += x[i][j] * x[i][j];
        }
    }
    sums = row_sums<warps>(sums, shared[1]);
    const float off = sums.x / size;
    const float factor = rsqrtf(fmaxf(sums.y / size - off * off, 0.0F) + in.epsilon);

#pragma unroll
    for (int i = 0; i < pieces; i++) {
        const int column = (i * threads + thread) * count;
        if (column >= in.width)
            continue;
        float weight[count];
        float bias[count];
        piece<element, count> result;
        load_parameters<parameter, count>(in.weight + column, weight);
        load_parameters<parameter, count>(in.bias + column, bias);
#pragma unroll
        for (int j = 0; j < count; j++)
            from_float((x[i][j] - off) * factor * weight[j] + bias[j], result.value[j]);
        *reinterpret_cast<piece<element, count> *>(in.output + begin + column) = result;
    }
}

/* ---- which kernel ---- */

/* Launches that overlap came with compute capability 9.0. */
static bool has_overlap()
{
    int device = 0;
    int major = 0;
    return cudaGetDevice(&device) == cudaSuccess &&
           cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major >= 9;
}

template <typename element, typename parameter, int count, int pieces, int warps>
static cudaError_t launch(const arguments<element, parameter> &in, cudaStream_t stream)
{
    const int64_t blocks = warps == 1 ? (in.rows + ROWS_A_BLOCK - 1) / ROWS_A_BLOCK : in.rows;
    const unsigned threads = (warps == 1 ? ROWS_A_BLOCK : warps) * WARP;
    if (blocks > LONGEST_GRID)
        return cudaErrorInvalidValue;
    /* The kernel before may still be running when this one's blocks arrive: they wait for it themselves. The split of
     * L1 and shared memory stays as it is: L1 holds weight and bias, and changing it costs up to 8 % of the time. */
    cudaLaunchAttribute overlap = {};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)blocks);
    config.blockDim = dim3(threads);
    config.stream = stream;
    config.attrs = &overlap;
    config.numAttrs = has_overlap() ? 1 : 0;
    if (in.residual)
        return cudaLaunchKernelEx(&config, layer_norm_kernel<element, parameter, count, pieces, warps, true>, in);
    return cudaLaunchKernelEx(&config, layer_norm_kernel<element, parameter, count, pieces, warps, false>, in);
}

/* As few pieces as hold the row, of 1, 2, 4 … that a thread may keep; beyond those, twice the warps. */
template <typename element, typename parameter, int count, int pieces, int warps>
static cudaError_t by_pieces(const arguments<element, parameter> &in, cudaStream_t stream)
{
    constexpr int held = pieces * count * warps * WARP;
    if constexpr (held < CLIPC_LAYER_NORM_MOST_WIDTH) {
        constexpr bool full = pieces * count >= MOST_VALUES;
        constexpr int more_pieces = full ? pieces : pieces * 2;
        constexpr int more_warps = full ? warps * 2 : warps;
        if (in.width > held)
            return by_pieces<element, parameter, count, more_pieces, more_warps>(in, stream);
    }
    return launch<element, parameter, count, pieces, warps>(in, stream);
}

static bool aligned(const void *pointer)
{
    return (uintptr_t)pointer % 16 == 0;
}

/* Sixteen bytes at a time where every row begins so; else single values. */
template <typename element, typename parameter>
static cudaError_t by_width(const clipc_layer_norm *norm, cudaStream_t stream)
{
    constexpr int count = 16 / sizeof(element);
    const arguments<element, parameter> in = {(const element *)norm->input,
                                              (const element *)norm->residual,
                                              (element *)norm->sum,
                                              (const parameter *)norm->weight,
                                              (const parameter *)norm->bias,
                                              (element *)norm->output,
                                              norm->rows,
                                              norm->width,
                                              norm->epsilon};
    const bool whole = norm->width % count == 0 && aligned(norm->input) && aligned(norm->residual) &&
                       aligned(norm->sum) && aligned(norm->output) && aligned(norm->weight) && aligned(norm->bias);
    return whole ? by_pieces<element, parameter, count, 1, 1>(in, stream)
                 : by_pieces<element, parameter, 1, MOST_VALUES, 1>(in, stream);
}

cudaError_t clipc_layer_norm_run(const clipc_layer_norm *norm, cudaStream_t stream)
{
    const bool fp32 = norm->parameter_type == CLIPC_LAYER_NORM_FP32;
    if (norm->width < CLIPC_LAYER_NORM_LEAST_WIDTH || norm->width > CLIPC_LAYER_NORM_MOST_WIDTH || norm->rows < 0 ||
        (!fp32 && norm->parameter_type != norm->type))
        return cudaErrorInvalidValue;
    if (norm->rows == 0)
        return cudaSuccess;
    switch (norm->type) {
    case CLIPC_LAYER_NORM_FP32: return by_width<float, float>(norm, stream);
    case CLIPC_LAYER_NORM_FP16:
        return fp32 ? by_width<__half, float>(norm, stream) : by_width<__half, __half>(norm, stream);
    case CLIPC_LAYER_NORM_BF16:
        return fp32 ? by_width<__nv_bfloat16, float>(norm, stream)
                    : by_width<__nv_bfloat16, __nv_bfloat16>(norm, stream);
    }
    return cudaErrorInvalidValue;
}
