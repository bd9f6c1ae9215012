/* Attention on Hopper over items of one length, heads of 64. A block goes through (item, head) pairs; one thread feeds
 * their queries, keys and values through the copy engine, a few pairs ahead, and warpgroups take 64 queries each:
 * scores with all keys by wgmma into registers, where they become weights, which are the operand of a second wgmma.
 * No running maximum: every row sees all its scores at once. */
#include "backend/cuda/boxes.cuh"
#include "backend/cuda/epilogue.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/steps.h"
#include "backend/cuda/tensor_map.h"
#include "backend/cuda/wgmma_rows.cuh"

#include <cuda.h>

namespace
{

constexpr int head = 64;
constexpr int line_bytes = 128; /* a row of a head, in shared memory: swizzled */
constexpr int shared_limit = 232448;
constexpr int members = 3; /* warpgroups that compute: few warps, so that each waits for its own chain of steps */
constexpr int threads = 128 + members * 128;
constexpr int feeder_registers = 32; /* of a thread, dealt out anew */
constexpr int registers = 160;

/* Of items of 8 (n8 − 1) + 1 … 8 n8 tokens. */
template <int n8> struct shape {
    static constexpr int lines = (n8 + 1) / 2 * 16; /* of queries, of keys and of values; zeros at the end */
    static constexpr int box_lines = lines > 256 ? lines / 2 : lines; /* that the copy engine moves at once */
    static constexpr int tiles = (n8 + 7) / 8;                        /* of 64 queries */
    static constexpr int part_bytes = lines * line_bytes;
    static constexpr int stage_bytes = 3 * part_bytes;
    static constexpr int fitting = (shared_limit - 1024 - 256) / stage_bytes;
    static constexpr int stages = fitting < 12 ? fitting : 12;
    static constexpr int shared_bytes = 1024 + stages * stage_bytes + 256;
    static_assert(stages >= 2 && box_lines % 8 == 0, "the pipeline");
};

struct position {
    int stage;
    uint32_t parity;
};

template <int stages> __device__ __forceinline__ void advance(position &at)
{
    if (++at.stage == stages) {
        at.stage = 0;
        at.parity ^= 1;
    }
}

/* Scores of 64 queries with the keys of score[begin … end), on their way until wgmma_wait. */
template <typename row, int begin, int end, int n8>
__device__ __forceinline__ void multiply_keys(float (&score)[n8][4], uint64_t queries, uint64_t keys)
{
    constexpr int count = end - begin;
    constexpr int even = count > 8 ? count / 2 * 2 : count;
    constexpr int eight_keys = 8 * line_bytes >> 4;
    if constexpr (count > 0) {
#pragma unroll
        for (int k = 0; k < 4; k++) {
            wgmma<row, even>::run(reinterpret_cast<float(&)[even][4]>(score[begin]), queries + k * 2,
                                  keys + begin * eight_keys + k * 2, k);
            if constexpr (even < count)
                wgmma<row, 1>::run(reinterpret_cast<float(&)[1][4]>(score[end - 1]), queries + k * 2,
                                   keys + (end - 1) * eight_keys + k * 2, k);
        }
    }
}

__device__ __forceinline__ float quad_maximum(float value)
{
    value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFF, value, 1));
    return fmaxf(value, __shfl_xor_sync(0xFFFFFFFF, value, 2));
}

/* Scores of a lane's two rows → weights, not yet divided by their sums. */
template <int n8> __device__ __forceinline__ void weigh(float (&score)[n8][4], int tokens, float (&sum)[2])
{
    const int column = (n8 - 1) * 8 + (int)threadIdx.x % 4 * 2; /* of the last eight, some may be no tokens */
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (column + i % 2 >= tokens)
            score[n8 - 1][i] = -INFINITY;
    float largest[4]; /* in two chains a row */
    float total[4] = {};
#pragma unroll
    for (int i = 0; i < 4; i++)
        largest[i] = score[0][i];
#pragma unroll
    for (int j = 1; j < n8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            largest[i] = fmaxf(largest[i], score[j][i]);
    const float base[2] = {quad_maximum(fmaxf(largest[0], largest[1])), quad_maximum(fmaxf(largest[2], largest[3]))};
#pragma unroll
    for (int j = 0; j < n8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            score[j][i] = exp2_fast(score[j][i] - base[i / 2]);
            total[i] += score[j][i];
        }
    sum[0] = quad_sum(total[0] + total[1]);
    sum[1] = quad_sum(total[2] + total[3]);
}

/* Weights × values. */
template <typename row, int n8>
__device__ __forceinline__ void multiply_values(float (&output)[8][4], const float (&weight)[n8][4], uint64_t values)
{
    constexpr int steps = (n8 + 1) / 2; /* of 16 keys */
    uint32_t operand[steps][4];
#pragma unroll
    for (int k = 0; k < steps; k++) {
        operand[k][0] = row::pack(weight[2 * k][0], weight[2 * k][1]);
        operand[k][1] = row::pack(weight[2 * k][2], weight[2 * k][3]);
        operand[k][2] = 0;
        operand[k][3] = 0;
        if (2 * k + 1 < n8) {
            operand[k][2] = row::pack(weight[2 * k + 1][0], weight[2 * k + 1][1]);
            operand[k][3] = row::pack(weight[2 * k + 1][2], weight[2 * k + 1][3]);
        }
    }
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < steps; k++)
        wgmma_rows_by_rows<row>::run(output, operand[k], values + k * (16 * line_bytes >> 4), k);
    wgmma_commit();
    wgmma_wait<0>();
}

/* Attention of 64 queries, of an item of `tokens` tokens; `active`: this warp's 16 rows are among them. */
template <typename row, int n8>
__device__ __forceinline__ void attend(float (&output)[8][4], float (&sum)[2], uint32_t queries, uint32_t keys,
                                       uint32_t values, bool active, int tokens)
{
    constexpr int half = n8 > 8 ? n8 / 4 * 2 : 0; /* one instruction could not have all sums */
    float score[n8][4];
    wgmma_fence();
    multiply_keys<row, 0, half>(score, wgmma_descriptor(queries), wgmma_descriptor(keys));
    multiply_keys<row, half, n8>(score, wgmma_descriptor(queries), wgmma_descriptor(keys));
    wgmma_commit();
    wgmma_wait<0>();
    if (active)
        weigh(score, tokens, sum);
    multiply_values<row>(output, score, wgmma_descriptor(values));
}

/* 16 rows of the head, out through the warp's own 2 KB. `count` of them exist. */
template <typename row, bool to_bytes>
__device__ __forceinline__ void store_head(const float (&output)[8][4], const float (&scale)[2], uint32_t own,
                                           unsigned char *to, size_t stride, int count)
{
    const int lane = threadIdx.x % 32;
    constexpr int narrow = 80; /* bytes apart lie the rows of e4m3 */
    __syncwarp();
#pragma unroll
    for (int j = 0; j < 8; j += 2) {
        if constexpr (to_bytes) {
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int i = 0; i < 2; i++)
                    store_shared_16(own + (lane / 4 + half * 8) * narrow + (j + i) * 8 + lane % 4 * 2,
                                    (uint16_t)e4m3_of_floats(output[j + i][half * 2] * scale[half],
                                                             output[j + i][half * 2 + 1] * scale[half]));
        } else {
            const uint32_t packed[4] = {row::pack(output[j][0] * scale[0], output[j][1] * scale[0]),
                                        row::pack(output[j][2] * scale[1], output[j][3] * scale[1]),
                                        row::pack(output[j + 1][0] * scale[0], output[j + 1][1] * scale[0]),
                                        row::pack(output[j + 1][2] * scale[1], output[j + 1][3] * scale[1])};
            store_matrix_x4(fragment_place(own, j / 2), packed);
        }
    }
    __syncwarp();
    constexpr int pieces = to_bytes ? 4 : 8; /* of 16 bytes */
#pragma unroll
    for (int i = 0; i < 16 * pieces / 32; i++) {
        const int line = i * (32 / pieces) + lane / pieces;
        const int piece = lane % pieces;
        const uint4 part = load_shared_x4(
            own + (to_bytes ? line * narrow + piece * 16 : line * line_bytes + ((piece ^ (line & 7)) << 4)));
        if (line < count)
            *reinterpret_cast<uint4 *>(to + line * stride + piece * 16) = part;
    }
}

template <typename row, bool to_bytes, int n8>
__global__ void __launch_bounds__(threads, 1)
    attention_wgmma(const __grid_constant__ CUtensorMap map, const __grid_constant__ clipc_cuda_attention attention)
{
#if __CUDA_ARCH__ >= 900
    using form = shape<n8>;
    extern __shared__ unsigned char memory[];
    const uint32_t ring = (shared_address(memory) + 1023) & ~1023u;
    const uint32_t full = ring + form::stages * form::stage_bytes;
    const uint32_t empty = full + form::stages * 8;
    const int pairs = attention.count * attention.heads;
    if (threadIdx.x == 0) {
        prefetch_tensor_map(&map);
        for (int i = 0; i < form::stages; i++) {
            barrier_init(full + i * 8, 1);
            barrier_init(empty + i * 8, form::tiles * 4);
        }
        barrier_init_fence();
    }
    __syncthreads();
    let_next_kernel_start();
    position at = {0, 0};
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(feeder_registers));
        if (threadIdx.x != 0)
            return;
        wait_for_previous_kernel();
        for (int pair = (int)blockIdx.x; pair < pairs; pair += (int)gridDim.x) {
            const int item = pair / attention.heads;
            const int index = pair % attention.heads;
            barrier_wait(empty + at.stage * 8, at.parity ^ 1);
            barrier_expect_bytes(full + at.stage * 8, form::stage_bytes);
#pragma unroll
            for (int part = 0; part < 3; part++)
#pragma unroll
                for (int line = 0; line < form::lines; line += form::box_lines)
                    copy_tensor_3d(ring + at.stage * form::stage_bytes + part * form::part_bytes + line * line_bytes,
                                   &map, full + at.stage * 8, (part * attention.heads + index) * head, line, item);
            advance<form::stages>(at);
        }
        return;
    }
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
    wait_for_previous_kernel();
    const int warp = (int)threadIdx.x / 32 - 4;
    const int member = warp / 4;
    const int value_bytes = to_bytes ? 1 : 2;
    const size_t stride = (size_t)attention.heads * head * value_bytes;
    int turn = member; /* tiles until this warpgroup's next */
    for (int pair = (int)blockIdx.x; pair < pairs; pair += (int)gridDim.x) {
        const uint32_t queries = ring + at.stage * form::stage_bytes;
        const uint32_t keys = queries + form::part_bytes;
        const uint32_t values = keys + form::part_bytes;
        const size_t begin = (size_t)(pair / attention.heads) * attention.tokens;
        unsigned char *const to = static_cast<unsigned char *>(attention.output) + begin * stride +
                                  pair % attention.heads * head * value_bytes;
        if (turn < form::tiles)
            barrier_wait(full + at.stage * 8, at.parity);
        for (; turn < form::tiles; turn += members) {
            const int row0 = turn * 64 + warp % 4 * 16;
            float output[8][4];
            float sum[2] = {1, 1};
            attend<row, n8>(output, sum, queries + turn * (64 * line_bytes), keys, values, row0 < attention.tokens,
                            attention.tokens);
            const float scale[2] = {1.0f / sum[0], 1.0f / sum[1]};
            /* On their way out rows go through where the queries were, which no warp reads any more. */
            turn_wait(1 + member, 128);
            if (row0 < attention.tokens)
                store_head<row, to_bytes>(output, scale, queries + row0 * line_bytes, to + row0 * stride, stride,
                                          attention.tokens - row0);
            async_fence();
            __syncwarp();
            if (threadIdx.x % 32 == 0)
                barrier_arrive(empty + at.stage * 8);
        }
        turn -= form::tiles;
        advance<form::stages>(at);
    }
#endif
}

template <typename row, bool to_bytes, int n8>
cudaError_t launch(const clipc_cuda_attention *attention, cudaStream_t stream)
{
    using form = shape<n8>;
    CUtensorMap map;
    const cudaError_t result = clipc_cuda_items_tensor_map(attention->qkv, attention->count, attention->tokens,
                                                           3 * attention->heads * head, form::box_lines, &map);
    if (result != cudaSuccess)
        return result;
    const int pairs = attention->count * attention->heads;
    const int blocks = pairs < attention->wgmma_blocks ? pairs : attention->wgmma_blocks;
    return launch_kernel(attention_wgmma<row, to_bytes, n8>, dim3((unsigned)blocks), dim3(threads), form::shared_bytes,
                         1, stream, map, *attention);
}

template <typename row, bool to_bytes>
cudaError_t launch_length(const clipc_cuda_attention *attention, cudaStream_t stream)
{
    switch ((attention->tokens + 7) / 8) {
    case 7: return launch<row, to_bytes, 7>(attention, stream);
    case 25: return launch<row, to_bytes, 25>(attention, stream);
    case 32: return launch<row, to_bytes, 32>(attention, stream);
    case 33: return launch<row, to_bytes, 33>(attention, stream);
    default: return cudaErrorInvalidValue;
    }
}

} // namespace

/* The lengths of image towers: 50, 197, 256 and 257 tokens, and those near them. */
extern "C" bool clipc_cuda_attention_has_wgmma(const clipc_cuda_attention *attention)
{
    const int groups = (attention->tokens + 7) / 8;
    return attention->wgmma_blocks > 0 && attention->head_stride == head && !attention->offsets &&
           !attention->causal && attention->only_row < 0 &&
           (groups == 7 || groups == 25 || groups == 32 || groups == 33);
}

extern "C" cudaError_t clipc_cuda_attention_wgmma(const clipc_cuda_attention *attention, cudaStream_t stream)
{
    if (attention->type == CLIPC_CUDA_BF16)
        return launch_length<bf16, false>(attention, stream);
    return attention->output_type == CLIPC_CUDA_E4M3 ? launch_length<f16, true>(attention, stream)
                                                     : launch_length<f16, false>(attention, stream);
}
