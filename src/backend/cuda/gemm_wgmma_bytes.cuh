/* Products of bytes on Hopper: one warpgroup feeds tiles to shared memory through the copy engine, two compute them
 * with wgmma. The grid is persistent. With ping-pong each computing warpgroup has its own tile, so that the epilogue
 * of one hides behind the products of the other; without, both share one larger tile. Two blocks, a cluster, may share
 * the weights of their columns: each asks for half of them, for both.
 *
 * The tensor cores add products of e4m3 up with about 14 bits. Over the depths of CLIP's layers that is far below the
 * rounding of the operands (docs/performance-gpu.md has the figures), so sums stay in the tensor cores. */
#ifndef CLIPC_BACKEND_CUDA_GEMM_WGMMA_BYTES_CUH
#define CLIPC_BACKEND_CUDA_GEMM_WGMMA_BYTES_CUH

#include "backend/cuda/cluster.cuh"
#include "backend/cuda/epilogue_bytes.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/ring.cuh"
#include "backend/cuda/tensor_map.h"
#include "backend/cuda/wgmma.cuh"

#include <cuda.h>

namespace
{

constexpr int tile_depth = 128; /* bytes: one swizzled row */
constexpr int threads = 384;
constexpr int shared_limit = 232448;

template <int tile_rows, int tile_columns, bool ping_pong> struct tile {
    static constexpr int input_bytes = tile_rows * tile_depth;
    static constexpr int stage_bytes = input_bytes + tile_columns * tile_depth;
    static constexpr int blocks = (ping_pong ? tile_rows : tile_rows / 2) / 64; /* of 64 rows, for each warpgroup */
    static constexpr int terms_bytes = tile_columns * 8;                        /* for each warpgroup */
    static constexpr int rest = 2 * terms_bytes + 256;
    static constexpr int fitting = (shared_limit - 1024 - rest) / stage_bytes;
    static constexpr int stages = fitting < 12 ? fitting : 12;
    static constexpr int shared_bytes = 1024 + stages * stage_bytes + rest;
    /* The residual comes through the ring after the operands, in boxes of 64 columns, as many as a stage holds; where
     * warpgroups take turns it is asked for before the products, into registers. */
    static constexpr int box_bytes = tile_rows * tile_depth;
    static constexpr int stage_boxes = stage_bytes / box_bytes;
    static constexpr int boxes = (tile_columns + 63) / 64;
    static constexpr int residual_steps = ping_pong ? 0 : (boxes + stage_boxes - 1) / stage_boxes;
    static_assert(stages >= 3, "the pipeline");
};

/* What a block's warpgroups share. */
struct work {
    uint32_t base; /* of the ring */
    uint32_t full; /* barriers, 8 bytes a stage */
    uint32_t empty;
    int steps; /* of depth */
    int residual_steps;
    int column_tiles;
    int tiles; /* of the cluster: as many rows of tiles as it has blocks */
    int first; /* the cluster's */
    int stride;
    int rank; /* in the cluster */
};

/* The one thread that asks for operands. */
template <typename shape, int tile_rows, int tile_columns, int cluster>
__device__ __forceinline__ void feed(const CUtensorMap &input_map, const CUtensorMap &weight_map,
                                     const CUtensorMap &residual_map, const work &w)
{
#if __CUDA_ARCH__ >= 900
    constexpr int halves = tile_depth / 2; /* the maps count in halves */
    constexpr int share = tile_columns / cluster;
    auto load_weights = [&](int stage, int step, int column) {
        const uint32_t to = w.base + stage * shape::stage_bytes + shape::input_bytes + w.rank * share * tile_depth;
        barrier_expect_bytes(w.full + stage * 8, shape::stage_bytes);
        if (cluster == 1)
            copy_tensor_2d(to, &weight_map, w.full + stage * 8, step * halves, column);
        else
            copy_tensor_2d_to(to, &weight_map, w.full + stage * 8, step * halves, column + w.rank * share,
                              (1 << cluster) - 1);
    };
    /* The first weights are asked for while the previous kernel still runs: no kernel writes them. */
    const int primed = w.first < w.tiles ? min(w.steps, shape::stages) : 0;
    for (int step = 0; step < primed; step++)
        load_weights(step, step, w.first % w.column_tiles * tile_columns);
    wait_for_previous_kernel();
    position at = {0, 0};
    for (int index = w.first; index < w.tiles; index += w.stride) {
        const int row = (index / w.column_tiles * cluster + w.rank) * tile_rows;
        const int column = index % w.column_tiles * tile_columns;
        for (int step = 0; step < w.steps; step++) {
            const uint32_t input = w.base + at.stage * shape::stage_bytes;
            if (index != w.first || step >= primed) {
                barrier_wait(w.empty + at.stage * 8, at.parity ^ 1);
                load_weights(at.stage, step, column);
            }
            copy_tensor_2d(input, &input_map, w.full + at.stage * 8, step * halves, row);
            advance<shape::stages>(at);
        }
        for (int step = 0; step < w.residual_steps; step++) {
            const int from = step * shape::stage_boxes;
            const int boxes = min(shape::stage_boxes, shape::boxes - from);
            barrier_wait(w.empty + at.stage * 8, at.parity ^ 1);
            barrier_expect_bytes(w.full + at.stage * 8, boxes * shape::box_bytes);
            for (int box = 0; box < boxes; box++)
                copy_tensor_2d(w.base + at.stage * shape::stage_bytes + box * shape::box_bytes, &residual_map,
                               w.full + at.stage * 8, column + (from + box) * 64, row);
            advance<shape::stages>(at);
        }
    }
#endif
}

/* A warpgroup's products of one tile. */
template <typename operand, typename shape, int tile_columns, bool ping_pong, int cluster>
__device__ __forceinline__ void multiply_tile(typename operand::sum (&sums)[shape::blocks][tile_columns / 8][4],
                                              const work &w, position &at, int member)
{
#if __CUDA_ARCH__ >= 900
    int previous = 0;
    for (int step = 0; step < w.steps; step++) {
        barrier_wait(w.full + at.stage * 8, at.parity);
        if (ping_pong && step == w.steps - 1)
            turn_pass(2 - member, 256);
        const uint32_t stage = w.base + at.stage * shape::stage_bytes;
        const uint64_t a = wgmma_descriptor(stage + (ping_pong ? 0 : member * shape::blocks * 64 * tile_depth));
        const uint64_t b = wgmma_descriptor(stage + shape::input_bytes);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < tile_depth / 32; k++)
#pragma unroll
            for (int block = 0; block < shape::blocks; block++)
                wgmma<operand, tile_columns / 8>::run(sums[block], a + block * (64 * tile_depth >> 4) + k * 2,
                                                      b + k * 2, step | k);
        wgmma_commit();
        wgmma_wait<1>();
        if (step > 0)
            release_stage<cluster>(w.empty + previous * 8);
        previous = at.stage;
        advance<shape::stages>(at);
    }
    wgmma_wait<0>();
    release_stage<cluster>(w.empty + previous * 8);
    if (ping_pong)
        skip<shape::stages>(at, w.steps);
#endif
}

/* The residual of a warpgroup's rows out of the ring: what ask_residual gets from memory. `row`: of the tile. */
template <typename shape, int tile_columns, int cluster>
__device__ __forceinline__ void take_residual(const work &w, position &at, int row,
                                              uint4 (&residual)[shape::blocks][tile_columns / 32][2])
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int step = 0; step < shape::residual_steps; step++) {
        barrier_wait(w.full + at.stage * 8, at.parity);
        const uint32_t stage = w.base + at.stage * shape::stage_bytes;
#pragma unroll
        for (int box = 0; box < shape::stage_boxes; box++)
#pragma unroll
            for (int block = 0; block < shape::blocks; block++)
#pragma unroll
                for (int i = 0; i < 4; i++) { /* of two groups of 32 columns, the upper and the lower row */
                    const int group = (step * shape::stage_boxes + box) * 2 + i / 2;
                    const int line = row + block * 64 + lane / 4 + i % 2 * 8;
                    const int piece = (i / 2 * 4 + lane % 4) ^ (line & 7);
                    if (group < tile_columns / 32)
                        residual[block][group][i % 2] =
                            load_shared_x4(stage + box * shape::box_bytes + line * tile_depth + piece * 16);
                }
        async_fence();
        __syncwarp();
        release_stage<cluster>(w.empty + at.stage * 8);
        advance<shape::stages>(at);
    }
}

/* A computing warpgroup: products, then what follows them, tile by tile. */
template <typename operand, epilogue_kind kind, typename shape, int tile_rows, int tile_columns, bool ping_pong,
          int cluster>
__device__ __forceinline__ void compute(const clipc_cuda_gemm &gemm, const work &w, float *terms)
{
#if __CUDA_ARCH__ >= 900
    constexpr int blocks = shape::blocks;
    const int member = (int)threadIdx.x / 128 - 1;
    const int warp = threadIdx.x / 32 % 4;
    float *const own_terms = terms + member * (shape::terms_bytes / 4);
    typename operand::sum sums[blocks][tile_columns / 8][4];
    position at = {0, 0};
    int index = w.first;
    /* With ping-pong the warpgroups take turns: a stage's barrier has only two states, so a warpgroup may wait for a
     * stage only when the other has seen every stage before it. Barrier 1 + member says whose turn it is. */
    if (ping_pong && member == 1) {
        index += w.stride;
        skip<shape::stages>(at, w.steps);
        turn_pass(1, 256);
    }
    for (; index < w.tiles; index += ping_pong ? 2 * w.stride : w.stride) {
        const int row = (index / w.column_tiles * cluster + w.rank) * tile_rows +
                        (ping_pong ? 0 : member * blocks * 64) + warp * 16;
        const int column = index % w.column_tiles * tile_columns;
        /* Whatever the epilogue reads is asked for before the products, while the other warpgroup has its turn. */
        turn_wait(3 + member, 128); /* every warp has done with the last tile's terms */
        for (int i = threadIdx.x % 128; i < tile_columns / 2; i += 128)
            if (column + 2 * i < CLIPC_CUDA_PADDED_COLUMNS(gemm.columns))
                copy_async_16(shared_address(own_terms + 4 * i), gemm.terms + 2 * (column + 2 * i), true);
        copy_async_commit();
        uint4 residual[blocks][tile_columns / 32][2];
        row_steps steps[blocks];
#pragma unroll
        for (int block = 0; block < blocks; block++) {
            steps[block] = read_row_steps<operand>(gemm, row + block * 64);
            if (kind == EPILOGUE_RESIDUAL && w.residual_steps == 0)
                ask_residual<tile_columns / 8>(gemm, row + block * 64, column, residual[block]);
        }
        if (ping_pong)
            turn_wait(1 + member, 256);
        multiply_tile<operand, shape, tile_columns, ping_pong, cluster>(sums, w, at, member);
        if (kind == EPILOGUE_RESIDUAL && w.residual_steps > 0)
            take_residual<shape, tile_columns, cluster>(w, at, member * blocks * 64 + warp * 16, residual);
        copy_async_wait<0>();
        turn_wait(3 + member, 128);
#pragma unroll
        for (int block = 0; block < blocks; block++) {
            finish_bytes<operand, kind, tile_columns / 8>(gemm, sums[block], row + block * 64, column, own_terms,
                                                          steps[block], residual[block]);
        }
    }
#endif
}

template <typename operand, epilogue_kind kind, int tile_rows, int tile_columns, bool ping_pong, int cluster>
__global__ void __launch_bounds__(threads, 1)
    gemm_wgmma_bytes(const __grid_constant__ CUtensorMap input_map, const __grid_constant__ CUtensorMap weight_map,
                     const __grid_constant__ CUtensorMap residual_map, const __grid_constant__ clipc_cuda_gemm gemm)
{
#if __CUDA_ARCH__ >= 900
    using shape = tile<tile_rows, tile_columns, ping_pong>;
    constexpr int stages = shape::stages;
    extern __shared__ unsigned char raw[];
    work w;
    w.base = (shared_address(raw) + 1023) & ~1023u;
    float *const terms = reinterpret_cast<float *>(raw + (w.base - shared_address(raw)) + stages * shape::stage_bytes);
    w.full = shared_address(terms) + 2 * shape::terms_bytes;
    w.empty = w.full + stages * 8;
    w.steps = (gemm.depth + tile_depth - 1) / tile_depth;
    w.residual_steps = kind == EPILOGUE_RESIDUAL && !gemm.residual_row ? shape::residual_steps : 0;
    w.column_tiles = (gemm.columns + tile_columns - 1) / tile_columns;
    w.tiles = (gemm.rows + cluster * tile_rows - 1) / (cluster * tile_rows) * w.column_tiles;
    w.first = (int)blockIdx.x / cluster;
    w.stride = (int)gridDim.x / cluster;
    w.rank = cluster > 1 ? (int)cluster_rank() : 0;

    if (threadIdx.x == 0) {
        prefetch_tensor_map(&input_map);
        prefetch_tensor_map(&weight_map);
        for (int i = 0; i < stages; i++) {
            barrier_init(w.full + i * 8, 1);
            barrier_init(w.empty + i * 8, (ping_pong ? 4 : 8) * cluster);
        }
        barrier_init_fence();
    }
    sync_cluster<cluster>();
    let_next_kernel_start();
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
        if (threadIdx.x == 0)
            feed<shape, tile_rows, tile_columns, cluster>(input_map, weight_map, residual_map, w);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
        wait_for_previous_kernel();
        compute<operand, kind, shape, tile_rows, tile_columns, ping_pong, cluster>(gemm, w, terms);
    }
    if (cluster > 1) /* a block's memory stays until the others have done with it */
        sync_cluster<cluster>();
#endif
}

template <typename operand, int tile_rows, int tile_columns, bool ping_pong, int cluster>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    using shape = tile<tile_rows, tile_columns, ping_pong>;
    CUtensorMap input_map;
    CUtensorMap weight_map;
    CUtensorMap residual_map = {};
    /* Two bytes are as good as a half to the copy engine. */
    cudaError_t result = clipc_cuda_tensor_map(gemm->input, gemm->input_capacity, gemm->depth / 2,
                                               gemm->input_stride / 2, tile_rows, &input_map);
    if (result == cudaSuccess)
        result = clipc_cuda_tensor_map(gemm->weight, CLIPC_CUDA_PADDED_COLUMNS(gemm->columns), gemm->depth / 2,
                                       gemm->depth / 2, tile_columns / cluster, &weight_map);
    if (result == cudaSuccess && gemm->residual && !gemm->residual_row && shape::residual_steps > 0)
        result = clipc_cuda_tensor_map(gemm->residual, gemm->rows, gemm->columns, gemm->residual_stride, tile_rows,
                                       &residual_map);
    if (result != cudaSuccess)
        return result;
#define LAUNCH(kind, ...)                                                                                             \
    launch_kernel(gemm_wgmma_bytes<operand, kind, tile_rows, tile_columns, ping_pong, cluster>, __VA_ARGS__)
    const dim3 blocks((unsigned)plan->blocks);
    if constexpr (tile_columns % 64 == 0) {
        BY_BYTES_EPILOGUE(gemm, LAUNCH, blocks, dim3(threads), shape::shared_bytes, cluster, stream, input_map,
                          weight_map, residual_map, *gemm)
    } else {
        BY_HALVES_EPILOGUE(gemm, LAUNCH, blocks, dim3(threads), shape::shared_bytes, cluster, stream, input_map,
                           weight_map, residual_map, *gemm)
    }
#undef LAUNCH
}

template <typename operand>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    switch (plan->tile_rows * 100000 + plan->tile_columns * 100 + (plan->ping_pong ? 10 : 0) + plan->cluster) {
    case 12812811: return launch<operand, 128, 128, true, 1>(gemm, plan, stream);
    case 12812812: return launch<operand, 128, 128, true, 2>(gemm, plan, stream);
    case 6425611: return launch<operand, 64, 256, true, 1>(gemm, plan, stream);
    case 12825601: return launch<operand, 128, 256, false, 1>(gemm, plan, stream);
    case 12809601: return launch<operand, 128, 96, false, 1>(gemm, plan, stream);
    case 6412811: return launch<operand, 64, 128, true, 1>(gemm, plan, stream);
    case 6406411: return launch<operand, 64, 64, true, 1>(gemm, plan, stream);
    default: return cudaErrorInvalidConfiguration;
    }
}

} // namespace

#endif
