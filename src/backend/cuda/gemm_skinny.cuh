/* Products of few rows, where reading the weights is all there is, from sm_90 on. A cluster of blocks has 64
 * columns and shares out the depth; every block asks the copy engine for the whole of its part of the operands at
 * once, weights before the previous kernel has ended. Its warps share out the block's part again. The partial sums are
 * joined in a fixed order, each block of the cluster finishing some of the rows. */
#ifndef CLIPC_BACKEND_CUDA_GEMM_SKINNY_CUH
#define CLIPC_BACKEND_CUDA_GEMM_SKINNY_CUH

#include "backend/cuda/epilogue.cuh"
#include "backend/cuda/launch.cuh"

namespace
{

constexpr int threads = 256;
constexpr int tile_columns = 64;
constexpr int sum_stride = tile_columns + 4; /* floats */

/* Bytes of one operand row of `depth` halves, an odd number of 16-byte pieces. */
__host__ __device__ constexpr int row_bytes(int depth)
{
    return depth * 2 + 16;
}

__device__ __forceinline__ void add_to(float4 &sum, const float4 &more)
{
    sum.x += more.x;
    sum.y += more.y;
    sum.z += more.z;
    sum.w += more.w;
}

__device__ __forceinline__ float half_warp_sum(float value)
{
    for (int distance = 8; distance; distance /= 2)
        value += __shfl_xor_sync(0xFFFFFFFF, value, distance);
    return value;
}

/* Mean and 1/deviation of a row, asked for by 16 lanes together. */
__device__ __forceinline__ float2 half_warp_statistics(const clipc_cuda_statistics &statistics, int row)
{
    const float2 *pairs = reinterpret_cast<const float2 *>(statistics.pairs) + (size_t)row * statistics.parts;
    const float scale = 1.0f / (float)statistics.columns;
    float sum = 0;
    for (int part = threadIdx.x % 16; part < statistics.parts; part += 16)
        sum += pairs[part].x * part_columns(statistics, part);
    const float mean = half_warp_sum(sum) * scale;
    float squares = 0;
    for (int part = threadIdx.x % 16; part < statistics.parts; part += 16) {
        const float difference = pairs[part].x - mean;
        squares += pairs[part].y + part_columns(statistics, part) * difference * difference;
    }
    return make_float2(mean, rsqrtf(half_warp_sum(squares) * scale + statistics.epsilon));
}

/* What finishing four columns of a row takes from memory: asked for early, while the products are computed. */
struct quarter {
    int row; /* of the product; −1: this lane has none */
    int column;
    bool inside;
    float4 terms[2]; /* bias, Σw' of columns 0 and 1, 2 and 3 */
    float2 statistics;
    uint2 residual;
};

/* The part that no earlier kernel writes. */
__device__ __forceinline__ quarter begin_quarter(const clipc_cuda_gemm &gemm, int row, int column0)
{
    quarter q;
    q.row = row;
    q.column = column0 + (int)threadIdx.x % 16 * 4;
    q.inside = row >= 0 && q.column < gemm.columns; /* columns are a multiple of 8 */
    q.terms[0] = q.terms[1] = make_float4(0, 0, 0, 0);
    q.statistics = make_float2(0, 1);
    q.residual = make_uint2(0, 0);
    if (q.inside) {
        const float4 *terms = reinterpret_cast<const float4 *>(gemm.terms + 2 * (size_t)q.column);
        q.terms[0] = __ldg(terms);
        q.terms[1] = __ldg(terms + 1);
    }
    return q;
}

template <epilogue_kind kind> __device__ __forceinline__ void fetch_quarter(const clipc_cuda_gemm &gemm, quarter &q)
{
    if (adds_residual(kind) && q.inside) {
        const int from = gemm.residual_row ? gemm.residual_row[q.row] : q.row;
        const uint16_t *residual = static_cast<const uint16_t *>(gemm.residual);
        q.residual = *reinterpret_cast<const uint2 *>(residual + (size_t)from * gemm.residual_stride + q.column);
    }
    if (gemm.normalize.pairs)
        q.statistics = half_warp_statistics(gemm.normalize, q.row >= 0 ? q.row : 0);
}

template <typename row, epilogue_kind kind>
__device__ __forceinline__ void finish_quarter(const clipc_cuda_gemm &gemm, const quarter &q, float4 sums, int column0)
{
    const int lane = threadIdx.x % 16;
    const float2 s = q.statistics;
    float value[4] = {
        s.y * (sums.x - s.x * q.terms[0].y) + q.terms[0].x, s.y * (sums.y - s.x * q.terms[0].w) + q.terms[0].z,
        s.y * (sums.z - s.x * q.terms[1].y) + q.terms[1].x, s.y * (sums.w - s.x * q.terms[1].w) + q.terms[1].z};
    const float2 low = row::unpack(q.residual.x);
    const float2 high = row::unpack(q.residual.y);
    const float residual[4] = {low.x, low.y, high.x, high.y};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        value[i] = activate<kind>(value[i]) + residual[i];
        if (kind == EPILOGUE_RESIDUAL_RELU)
            value[i] = activate<EPILOGUE_RELU>(value[i]);
    }
    const int to = q.inside && gemm.output_row ? gemm.output_row[q.row] : q.row;
    if (kind == EPILOGUE_FP32 && q.inside) {
        *reinterpret_cast<float4 *>(gemm.output_fp32 + (size_t)to * gemm.output_stride + q.column) =
            make_float4(value[0], value[1], value[2], value[3]);
    } else if (q.inside) {
        const uint2 pair = make_uint2(row::pack(value[0], value[1]), row::pack(value[2], value[3]));
        uint16_t *output = static_cast<uint16_t *>(gemm.output) + (size_t)to * gemm.output_stride + q.column;
        *reinterpret_cast<uint2 *>(output) = pair;
        const float2 rounded_low = row::unpack(pair.x);
        const float2 rounded_high = row::unpack(pair.y);
        value[0] = rounded_low.x;
        value[1] = rounded_low.y;
        value[2] = rounded_high.x;
        value[3] = rounded_high.y;
    }
    const int count = min(CLIPC_CUDA_STATISTICS_WIDTH, gemm.leave.columns - column0);
    if (kind == EPILOGUE_RESIDUAL && gemm.leave.pairs && count > 0) {
        float total = 0;
#pragma unroll
        for (int i = 0; i < 4; i++)
            total += q.inside && lane * 4 + i < count ? value[i] : 0.0f;
        const float mean = half_warp_sum(total) / (float)count;
        float squares = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float difference = q.inside && lane * 4 + i < count ? value[i] - mean : 0.0f;
            squares += difference * difference;
        }
        squares = half_warp_sum(squares);
        if (q.row >= 0 && lane == 0)
            reinterpret_cast<float2 *>(
                gemm.leave.pairs)[(size_t)to * gemm.leave.parts + column0 / CLIPC_CUDA_STATISTICS_WIDTH] =
                make_float2(mean, squares);
    }
}

/* Asks for `rows` operand rows of `depth` halves from (row0, depth0) on, a row a thread, from `first` on. Rows that do
 * not exist are left as they are: what comes of them is never stored. */
__device__ __forceinline__ void fetch_operand(uint32_t shared, const void *matrix, int rows, int row0,
                                              size_t matrix_stride, int depth0, int depth, int stride, int first,
                                              uint32_t barrier)
{
#if __CUDA_ARCH__ >= 900
    const int row = (int)threadIdx.x - first;
    if (row >= 0 && row < rows && depth > 0)
        copy_bulk(shared + row * stride, static_cast<const uint16_t *>(matrix) + (row0 + row) * matrix_stride + depth0,
                  (uint32_t)depth * 2, barrier);
#endif
}

template <typename operand>
__device__ __forceinline__ void multiply_share(float (&sum)[8][4], uint32_t inputs, uint32_t weights, int stride,
                                               int row, int part, int parts, int depth)
{
    const int lane = threadIdx.x % 32;
#pragma unroll 2
    for (int k = part; k < (depth + 15) / 16; k += parts) {
        uint32_t a[4];
        load_matrix_x4(a, inputs + (row + lane % 16) * stride + (k * 2 + lane / 16) * 16);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t b[4];
            load_matrix_x4(b, weights + (i * 16 + lane / 16 * 8 + lane % 8) * stride + (k * 2 + lane / 8 % 2) * 16);
            operand::multiply(sum[i * 2], a, b[0], b[1]);
            operand::multiply(sum[i * 2 + 1], a, b[2], b[3]);
        }
    }
}

/* blocks: of 16 rows. `share` is the depth of one block of the cluster, a multiple of 16. */
template <typename operand, epilogue_kind kind, int blocks, int cluster>
__global__ void __launch_bounds__(threads) gemm_skinny(const __grid_constant__ clipc_cuda_gemm gemm, int share)
{
#if __CUDA_ARCH__ >= 900
    constexpr int row_warps = blocks == 3 ? 4 : blocks; /* warps that have different rows; the others, other depths */
    constexpr int depth_warps = threads / 32 / row_warps;
    constexpr int rows = blocks * 16;
    constexpr int own_rows = (rows + cluster - 1) / cluster; /* that each block of the cluster finishes */
    extern __shared__ __align__(128) unsigned char memory[];
    __shared__ __align__(8) uint64_t arrival;
    const int rank = cluster > 1 ? (int)cluster_rank() : 0;
    const int column0 = (int)(blockIdx.x / (unsigned)cluster) * tile_columns;
    const int row0 = (int)blockIdx.y * rows;
    const int depth0 = rank * share;
    const int depth = max(0, min(share, gemm.depth - depth0));
    const int stride = row_bytes(share);
    const uint32_t weights = shared_address(memory);
    const uint32_t inputs = weights + tile_columns * stride;
    const uint32_t barrier = shared_address(&arrival);
    const int weight_rows = min(tile_columns, gemm.columns - column0);
    const int input_rows = min(rows, gemm.rows - row0);

    let_next_kernel_start();
    if (threadIdx.x == 0) {
        barrier_init(barrier, 1);
        barrier_init_fence();
        barrier_expect_bytes(barrier, (uint32_t)((weight_rows + input_rows) * depth * 2));
    }
    if (depth % 16 && threadIdx.x < tile_columns + rows) { /* half a step has no values: zeros, which add nothing */
        *reinterpret_cast<uint4 *>(memory + threadIdx.x * stride + depth * 2) = make_uint4(0, 0, 0, 0);
    }
    __syncthreads();
    fetch_operand(weights, gemm.weight, weight_rows, column0, gemm.depth, depth0, depth, stride, 0, barrier);
    const int own_row = rank * own_rows + (int)threadIdx.x / 16;
    const bool has_row = (int)threadIdx.x / 16 < own_rows && own_row < input_rows;
    quarter own = begin_quarter(gemm, has_row ? row0 + own_row : -1, column0);
    wait_for_previous_kernel();
    fetch_operand(inputs, gemm.input, input_rows, row0, gemm.input_stride, depth0, depth, stride, 128, barrier);
    fetch_quarter<kind>(gemm, own);
    barrier_wait(barrier, 0);

    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    const int block = warp % row_warps;
    const int part = warp / row_warps;
    float sum[8][4] = {};
    if (block < blocks)
        multiply_share<operand>(sum, inputs, weights, stride, block * 16, part, depth_warps, depth);
    __syncthreads();
    float *sums = reinterpret_cast<float *>(memory); /* [depth_warps][rows][sum_stride] over the operands */
    if (block < blocks) {
#pragma unroll
        for (int j = 0; j < 8; j++) {
            float *to = sums + (part * rows + block * 16 + lane / 4) * sum_stride + j * 8 + lane % 4 * 2;
            *reinterpret_cast<float2 *>(to) = make_float2(sum[j][0], sum[j][1]);
            *reinterpret_cast<float2 *>(to + 8 * sum_stride) = make_float2(sum[j][2], sum[j][3]);
        }
    }
    __syncthreads();
    if (depth_warps > 1) {
#pragma unroll
        for (int i = threadIdx.x; i < rows * tile_columns / 4; i += threads) {
            float4 *at = reinterpret_cast<float4 *>(sums + i / 16 * sum_stride + i % 16 * 4);
            float4 total = *at;
#pragma unroll
            for (int p = 1; p < depth_warps; p++)
                add_to(total, at[p * rows * sum_stride / 4]);
            *at = total;
        }
        __syncthreads();
    }
    if (cluster > 1) {
        cluster_arrive();
        cluster_wait();
    }
    for (int at = threadIdx.x / 16; at < (own_rows + 15) / 16 * 16; at += threads / 16) {
        const int row = min(rank * own_rows + at, rows - 1);
        if (at >= threads / 16) {
            const bool valid = at < own_rows && rank * own_rows + at < input_rows;
            own = begin_quarter(gemm, valid ? row0 + row : -1, column0);
            fetch_quarter<kind>(gemm, own);
        }
        const float *place = sums + row * sum_stride + (int)threadIdx.x % 16 * 4;
        float4 total;
        if (cluster == 1) {
            total = *reinterpret_cast<const float4 *>(place);
        } else {
            float4 parts[cluster]; /* all asked for before the first is needed */
#pragma unroll
            for (int other = 0; other < cluster; other++)
                parts[other] = load_cluster_x4(shared_address(place), (uint32_t)other);
            total = parts[0];
#pragma unroll
            for (int other = 1; other < cluster; other++)
                add_to(total, parts[other]);
        }
        finish_quarter<typename operand::row, kind>(gemm, own, total, column0);
    }
    if (cluster > 1) { /* no block leaves while another may still read its sums */
        cluster_arrive();
        cluster_wait();
    }
#endif
}

template <typename operand, int blocks, int cluster>
cudaError_t launch(const clipc_cuda_gemm *gemm, cudaStream_t stream)
{
    const int share = ((gemm->depth + cluster - 1) / cluster + 15) / 16 * 16;
    constexpr int rows = blocks * 16;
    constexpr int depth_warps = threads / 32 / (blocks == 3 ? 4 : blocks);
    const int operands = (tile_columns + rows) * row_bytes(share);
    const int sums = depth_warps * rows * sum_stride * 4;
    const unsigned column_tiles = (unsigned)(gemm->columns + tile_columns - 1) / tile_columns;
    const unsigned row_tiles = (unsigned)(gemm->rows + rows - 1) / rows;
    const dim3 grid(column_tiles * cluster, row_tiles);
    const size_t shared_bytes = (size_t)(operands > sums ? operands : sums);
#define LAUNCH(kind, ...) launch_kernel(gemm_skinny<operand, kind, blocks, cluster>, __VA_ARGS__)
    BY_EPILOGUE(gemm, LAUNCH, grid, dim3(threads), shared_bytes, cluster, stream, *gemm, share)
#undef LAUNCH
}

template <typename operand, int blocks>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    switch (plan->cluster) {
    case 1: return launch<operand, blocks, 1>(gemm, stream);
    case 2: return launch<operand, blocks, 2>(gemm, stream);
    case 4: return launch<operand, blocks, 4>(gemm, stream);
    case 8: return launch<operand, blocks, 8>(gemm, stream);
    default: return cudaErrorInvalidConfiguration;
    }
}

template <typename operand>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    switch (plan->tile_rows) {
    case 16: return launch<operand, 1>(gemm, plan, stream);
    case 32: return launch<operand, 2>(gemm, plan, stream);
    case 48: return launch<operand, 3>(gemm, plan, stream);
    case 64: return launch<operand, 4>(gemm, plan, stream);
    default: return cudaErrorInvalidConfiguration;
    }
}

} // namespace

#endif
