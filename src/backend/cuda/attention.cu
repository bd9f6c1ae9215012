/* Attention over short sequences. A block has one head of one item: keys and values lie in shared memory once, each
 * warp takes 16 queries at a time, and scores never leave its registers. Keys come in blocks of 64 with the running
 * maximum of Milakov & Gimelshein 2018, so that any length fits; one block is enough for ViT-B/32. */
#include "backend/cuda/epilogue.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/steps.h"

namespace
{

/* Rows of a head in shared memory: an odd number of 16-byte pieces apart. */
__host__ __device__ constexpr int row_bytes(int head)
{
    return head * 2 + 16;
}

template <int head>
__device__ __forceinline__ void fetch_rows(uint32_t shared, const uint16_t *from, size_t stride, int rows, int padded,
                                           int first, int step)
{
    constexpr int pieces = head / 8;
    for (int i = first; i < padded * pieces; i += step) {
        const int line = i / pieces;
        const bool valid = line < rows;
        copy_async_16(shared + line * row_bytes(head) + i % pieces * 16,
                      valid ? from + line * stride + i % pieces * 8 : from, valid);
    }
}

/* One block of 64 keys for 16 queries. `whole`: every query sees all 64; else `limit0/1` are the keys that this lane's
 * two rows may see, and only the first `groups` of 16 keys are looked at. */
template <typename row, int head, bool whole>
__device__ __forceinline__ void attend(uint32_t queries, uint32_t keys, uint32_t values, int key0, int limit0,
                                       int limit1, int groups, float (&output)[head / 8][4], float (&maximum)[2],
                                       float (&sum)[2])
{
    const int lane = threadIdx.x % 32;
    float score[8][4] = {};
#pragma unroll
    for (int k = 0; k < head / 16; k++) {
        uint32_t a[4]; /* read anew each time: registers are what limits how many warps there are */
        load_matrix_x4(a, queries + lane % 16 * row_bytes(head) + (k * 2 + lane / 16) * 16);
#pragma unroll
        for (int j = 0; j < 4; j++)
            if (whole || j < groups) {
                uint32_t b[4];
                load_matrix_x4(b, keys + (key0 + j * 16 + lane / 16 * 8 + lane % 8) * row_bytes(head) +
                                      (k * 2 + lane / 8 % 2) * 16);
                row::multiply(score[j * 2], a, b[0], b[1]);
                row::multiply(score[j * 2 + 1], a, b[2], b[3]);
            }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int limit = (half ? limit1 : limit0) - key0 - lane % 4 * 2;
        float largest = maximum[half];
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float &value = score[j][half * 2 + i];
                if (!whole && j * 8 + i >= limit)
                    value = -INFINITY;
                largest = fmaxf(largest, value);
            }
        largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFF, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFF, largest, 2));
        /* A row that may see nothing (one beyond the item) keeps −∞; its result is never stored. */
        const float base = !whole && largest == -INFINITY ? 0.0f : largest;
        const float shrink = exp2_fast(maximum[half] - base);
        maximum[half] = largest;
        sum[half] *= shrink;
#pragma unroll
        for (int j = 0; j < head / 8; j++) {
            output[j][half * 2] *= shrink;
            output[j][half * 2 + 1] *= shrink;
        }
#pragma unroll
        for (int j = 0; j < 8; j++)
            if (whole || j < 2 * groups)
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    float &value = score[j][half * 2 + i];
                    value = exp2_fast(value - base);
                    sum[half] += value;
                }
    }
#pragma unroll
    for (int k = 0; k < 4; k++)
        if (whole || k < groups) {
            const uint32_t a[4] = {row::pack(score[k * 2][0], score[k * 2][1]),
                                   row::pack(score[k * 2][2], score[k * 2][3]),
                                   row::pack(score[k * 2 + 1][0], score[k * 2 + 1][1]),
                                   row::pack(score[k * 2 + 1][2], score[k * 2 + 1][3])};
#pragma unroll
            for (int j = 0; j < head / 16; j++) {
                uint32_t b[4];
                load_matrix_x4_transposed(b, values + (key0 + k * 16 + lane % 16) * row_bytes(head) +
                                                 (j * 2 + lane / 16) * 16);
                row::multiply(output[j * 2], a, b[0], b[1]);
                row::multiply(output[j * 2 + 1], a, b[2], b[3]);
            }
        }
}

template <typename row, bool to_bytes>
__device__ __forceinline__ void stage_pair(unsigned char *place, float low, float high)
{
    if (to_bytes)
        *reinterpret_cast<uint16_t *>(place) = (uint16_t)e4m3_of_floats(low, high);
    else
        *reinterpret_cast<uint32_t *>(place) = row::pack(low, high);
}

/* Blocks that a multiprocessor should have side by side, at the price of registers: waiting is what takes time. */
constexpr int blocks_wanted(int most)
{
    return most == 1 ? 1 : most <= 4 ? 4 : 2;
}

/* `most`: warps a block may have. `to_bytes`: the output is e4m3. */
template <typename row, bool to_bytes, int head, int most>
__global__ void __launch_bounds__(most * 32, blocks_wanted(most))
    attention_rows(const __grid_constant__ clipc_cuda_attention attention)
{
    extern __shared__ __align__(128) unsigned char memory[];
    let_next_kernel_start();
    wait_for_previous_kernel();
    const int item = (int)blockIdx.x / attention.heads;
    const int index = (int)blockIdx.x % attention.heads;
    const int begin = attention.offsets ? attention.offsets[item] : item * attention.tokens;
    const int tokens = attention.offsets ? attention.offsets[item + 1] - begin : attention.tokens;
    const int padded = (tokens + 15) / 16 * 16;
    const int stride = 3 * attention.heads * head;
    const uint16_t *query = static_cast<const uint16_t *>(attention.qkv) + (size_t)begin * stride + index * head;
    const uint16_t *key = query + attention.heads * head;
    const uint16_t *value = key + attention.heads * head;
    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    const int warps = (int)blockDim.x / 32;

    const uint32_t keys = shared_address(memory);
    const uint32_t values = keys + padded * row_bytes(head);
    unsigned char *const own = memory + 2 * padded * row_bytes(head) + warp * 16 * row_bytes(head);
    const bool single = attention.only_row >= 0;
    const int only = attention.only_row == 1 ? tokens - 1 : 0;
    const int queries = single ? 1 : tokens;
    if (single)
        query += (size_t)only * stride;

    fetch_rows<head>(keys, key, stride, tokens, padded, threadIdx.x, blockDim.x);
    copy_async_commit();
    fetch_rows<head>(values, value, stride, tokens, padded, threadIdx.x, blockDim.x);
    for (int tile = warp * 16; tile < queries || tile == warp * 16; tile += warps * 16) {
        __syncwarp();
        fetch_rows<head>(shared_address(own), query + (size_t)(tile < queries ? tile : 0) * stride, stride,
                         queries - tile, 16, lane, 32);
        copy_async_commit();
        copy_async_wait<0>();
        if (tile == warp * 16)
            __syncthreads();
        __syncwarp();
        if (tile >= queries)
            break;
        float output[head / 8][4] = {};
        float maximum[2] = {-INFINITY, -INFINITY};
        float sum[2] = {};
        const int top = tile + lane / 4;
        const bool causal = attention.causal && !single;
        const int limit0 = causal ? min(top + 1, tokens) : tokens;
        const int limit1 = causal ? min(top + 9, tokens) : tokens;
        const int end = causal ? min(tile + 16, tokens) : tokens;
        const int seen_by_all = causal ? min(tile + 1, tokens) : tokens;
        int key0 = 0;
        for (; key0 + 64 <= seen_by_all; key0 += 64)
            attend<row, head, true>(shared_address(own), keys, values, key0, 0, 0, 4, output, maximum, sum);
        for (; key0 < end; key0 += 64)
            attend<row, head, false>(shared_address(own), keys, values, key0, limit0, limit1,
                                     min(4, (end - key0 + 15) / 16), output, maximum, sum);
        const float scale0 = 1.0f / quad_sum(sum[0]);
        const float scale1 = 1.0f / quad_sum(sum[1]);
        __syncwarp();
        constexpr int value_bytes = to_bytes ? 1 : 2;
#pragma unroll
        for (int j = 0; j < head / 8; j++) {
            unsigned char *place = own + lane / 4 * row_bytes(head) + (j * 8 + lane % 4 * 2) * value_bytes;
            stage_pair<row, to_bytes>(place, output[j][0] * scale0, output[j][1] * scale0);
            stage_pair<row, to_bytes>(place + 8 * row_bytes(head), output[j][2] * scale1, output[j][3] * scale1);
        }
        __syncwarp();
        constexpr int pieces = head * value_bytes / 16;
        const size_t row_stride = (size_t)attention.heads * head * value_bytes;
        unsigned char *out = static_cast<unsigned char *>(attention.output) +
                             (single ? item : begin + tile) * row_stride + index * head * value_bytes;
        for (int i = lane; i < min(16, queries - tile) * pieces; i += 32)
            *reinterpret_cast<uint4 *>(out + i / pieces * row_stride + i % pieces * 16) =
                *reinterpret_cast<const uint4 *>(own + i / pieces * row_bytes(head) + i % pieces * 16);
    }
}

/* Warps that finish `tokens` queries in as few rounds as 9 warps would. */
int warps_for(int tokens)
{
    const int tiles = (tokens + 15) / 16;
    const int rounds = (tiles + 8) / 9;
    return (tiles + rounds - 1) / rounds;
}

template <typename row, bool to_bytes, int head>
cudaError_t launch(const clipc_cuda_attention *attention, cudaStream_t stream)
{
    const int warps = attention->only_row >= 0 ? 1 : warps_for(attention->tokens);
    const dim3 grid((unsigned)(attention->count * attention->heads));
    const size_t shared_bytes = (size_t)(2 * ((attention->tokens + 15) / 16 * 16) + warps * 16) * row_bytes(head);
    if (warps == 1)
        return launch_kernel(attention_rows<row, to_bytes, head, 1>, grid, dim3(32), shared_bytes, 1, stream,
                             *attention);
    if (warps <= 4)
        return launch_kernel(attention_rows<row, to_bytes, head, 4>, grid, dim3((unsigned)warps * 32), shared_bytes, 1,
                             stream, *attention);
    return launch_kernel(attention_rows<row, to_bytes, head, 9>, grid, dim3((unsigned)warps * 32), shared_bytes, 1,
                         stream, *attention);
}

template <typename row, bool to_bytes>
cudaError_t launch_head(const clipc_cuda_attention *attention, cudaStream_t stream)
{
    switch (attention->head_stride) {
    case 16: return launch<row, to_bytes, 16>(attention, stream);
    case 32: return launch<row, to_bytes, 32>(attention, stream);
    case 48: return launch<row, to_bytes, 48>(attention, stream);
    case 64: return launch<row, to_bytes, 64>(attention, stream);
    case 80: return launch<row, to_bytes, 80>(attention, stream);
    case 96: return launch<row, to_bytes, 96>(attention, stream);
    case 112: return launch<row, to_bytes, 112>(attention, stream);
    case 128: return launch<row, to_bytes, 128>(attention, stream);
    default: return cudaErrorInvalidValue;
    }
}

} // namespace

extern "C" int32_t clipc_cuda_attention_shared_bytes(int32_t tokens, int32_t head_stride)
{
    return (2 * ((tokens + 15) / 16 * 16) + warps_for(tokens) * 16) * row_bytes(head_stride);
}

extern "C" cudaError_t clipc_cuda_attention_run(const clipc_cuda_attention *attention, cudaStream_t stream)
{
    if (clipc_cuda_attention_has_wgmma(attention))
        return clipc_cuda_attention_wgmma(attention, stream);
    if (attention->type == CLIPC_CUDA_BF16)
        return launch_head<bf16, false>(attention, stream);
    return attention->output_type == CLIPC_CUDA_E4M3 ? launch_head<f16, true>(attention, stream)
                                                     : launch_head<f16, false>(attention, stream);
}
