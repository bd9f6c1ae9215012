/* What a kernel of whole_tower_f16__sm90a.cu knows when it is compiled: products, shared memory, places. */
#ifndef CLIPC_BACKEND_CUDA_WHOLE_TOWER_SHAPE_CUH
#define CLIPC_BACKEND_CUDA_WHOLE_TOWER_SHAPE_CUH

#include "backend/cuda/exchange.cuh"
#include "backend/cuda/gemm.h"
#include "backend/cuda/whole_tower.h"

namespace whole_tower
{

constexpr int empty_bytes = 4096; /* of the pattern that stands for nothing */
constexpr int head_steps = CLIPC_WHOLE_HEAD / 16;
constexpr int patch_chunk = 6; /* steps whose pixels are under way at a time */

/* Of a row: the rows of its item, the item (−1: the row does not exist), and whether the item is read off it. */
struct __align__(8) row_place
{
    short begin;
    short end;
    short item;
    short pooled;
};

constexpr int at_least(int a, int b)
{
    return a > b ? a : b;
}

template <int width_, int row_groups, int blocks_> struct kernel_shape {
    static constexpr int width = width_;
    static constexpr int blocks = blocks_;
    static constexpr int rows = row_groups * 64;
    static constexpr int tiles = rows / 16; /* and warps that compute */
    static constexpr int threads = tiles * 32 + 32;
    static constexpr int row_bytes = width / 16 * fragment_bytes; /* places of a tile of rows */

    static constexpr int wide_split = clipc_whole_wide_split(width);
    static constexpr int narrow_split = clipc_whole_narrow_split(width);
    static constexpr int qkv_groups = clipc_whole_column_groups(blocks, 3 * width, wide_split);
    static constexpr int fc1_groups = clipc_whole_column_groups(blocks, 4 * width, wide_split);
    static constexpr int narrow_groups = clipc_whole_column_groups(blocks, width, narrow_split);
    static constexpr int wide_steps = clipc_whole_steps(width, wide_split);
    static constexpr int narrow_steps = clipc_whole_steps(width, narrow_split);
    static constexpr int fc2_steps = clipc_whole_steps(4 * width, narrow_split);
    static constexpr int patch_most_steps = clipc_whole_steps(3072, narrow_split);
    static constexpr int qkv_turns = (qkv_groups + wide_split - 1) / wide_split;
    static constexpr int fc1_turns = (fc1_groups + wide_split - 1) / wide_split;
    static constexpr int narrow_turns = (narrow_groups + narrow_split - 1) / narrow_split;
    static constexpr int projection_turns = (CLIPC_WHOLE_PROJECTION + narrow_split - 1) / narrow_split;
    static_assert(wide_steps % 2 == 0 && narrow_steps % 2 == 0, "weights come in boxes of two steps");

    /* Shared memory. The projection shares the place of qkv, the patch embedding that of fc2. */
    static constexpr int out_at = at_least(qkv_groups * wide_steps, CLIPC_WHOLE_PROJECTION *narrow_steps) * 256;
    static constexpr int fc1_at = out_at + narrow_groups * narrow_steps * 256;
    static constexpr int fc2_at = fc1_at + fc1_groups * wide_steps * 256;
    static constexpr int sums_at = fc2_at + narrow_groups * at_least(fc2_steps, patch_most_steps) * 256;
    static constexpr int sums_bytes = at_least(at_least(qkv_turns, fc1_turns) * wide_split,
                                               at_least(narrow_turns, projection_turns) * narrow_split) *
                                      tiles * fragment_bytes;
    static constexpr int statistics_at = sums_at + 2 * sums_bytes;
    static constexpr int statistics_bytes = narrow_split * tiles * 128;
    static constexpr int attention_at = statistics_at + 2 * statistics_bytes;
    static constexpr int maxima_at = attention_at + tiles * head_steps * 2 * fragment_bytes;
    static constexpr int key_sums_at = maxima_at + tiles * 64;
    static constexpr int empty_at = key_sums_at + tiles * 64;
    static constexpr int places_at = empty_at + empty_bytes;
    static constexpr int barriers_at = places_at + rows * (int)sizeof(row_place);
    static constexpr int state_at = barriers_at + (2 * CLIPC_WHOLE_MATRICES + 2 * tiles) * 8;
    static constexpr int shared_bytes = state_at + 16;
    static_assert(shared_bytes <= 227 * 1024, "more shared memory than a block can have");

    static __device__ __forceinline__ int buffer_at(int buffer)
    {
        switch (buffer) {
        case CLIPC_WHOLE_QKV: return 0;
        case CLIPC_WHOLE_OUT: return out_at;
        case CLIPC_WHOLE_FC1: return fc1_at;
        default: return fc2_at;
        }
    }

    static __device__ __forceinline__ uint32_t full_barrier(uint32_t shared, int buffer)
    {
        return shared + barriers_at + buffer * 8;
    }

    static __device__ __forceinline__ uint32_t empty_barrier(uint32_t shared, int buffer)
    {
        return shared + barriers_at + (CLIPC_WHOLE_MATRICES + buffer) * 8;
    }

    static __device__ __forceinline__ uint32_t sums_barrier(uint32_t shared, int parity, int tile)
    {
        return shared + barriers_at + (2 * CLIPC_WHOLE_MATRICES + parity * tiles + tile) * 8;
    }

    static __device__ void init_barriers(uint32_t shared)
    {
#if __CUDA_ARCH__ >= 900
        for (int i = 0; i < CLIPC_WHOLE_MATRICES; i++) {
            barrier_init(full_barrier(shared, i), 1);
            barrier_init(empty_barrier(shared, i), tiles);
        }
        for (int i = 0; i < 2 * tiles; i++)
            barrier_init(sums_barrier(shared, 0, i), 1);
        barrier_init_fence();
#endif
    }

    /* Where `part` of the depth leaves its sums for this tile: [turn][part][tile]. */
    static __device__ __forceinline__ uint32_t sums_place(uint32_t shared, int parity, int part, int tile)
    {
        return shared + sums_at + parity * sums_bytes + (part * tiles + tile) * fragment_bytes;
    }

    static __device__ __forceinline__ uint32_t statistics_place(uint32_t shared, int parity, int part, int tile)
    {
        return shared + statistics_at + parity * statistics_bytes + (part * tiles + tile) * 128;
    }

    static __device__ __forceinline__ row_place place(const unsigned char *memory, int row)
    {
        return reinterpret_cast<const row_place *>(memory + places_at)[row];
    }
};

/* Of one tile of rows, in one set, in halves of row_bytes: an image's rows before LayerNorm, of which only the
 * statistics are filled in, and the first layer's input, statistics behind each and half as large; then for each layer
 * q, k and v, context, the rows between its halves with statistics, the hidden ones (four times as wide), and its
 * output with statistics. */
constexpr int stream_halves = 3;
constexpr int context_halves = 6;
constexpr int middle_halves = 8;
constexpr int hidden_halves = 11;
constexpr int output_halves = 19;
constexpr int layer_halves = 22;

template <class shape> __device__ __forceinline__ size_t tile_bytes(const clipc_whole_tower &tower)
{
    return (size_t)(2 * stream_halves + layer_halves * tower.layers) * (shape::row_bytes / 2);
}

template <class shape> __device__ __forceinline__ int patch_steps(const clipc_whole_tower &tower)
{
    return 3 * tower.patch_size * tower.patch_size / 16 / shape::narrow_split;
}

} // namespace whole_tower

#endif
