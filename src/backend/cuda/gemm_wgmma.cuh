/* Products on Hopper: one warpgroup feeds tiles to shared memory through the copy engine, two compute them with
 * wgmma. The grid is persistent. With ping-pong each computing warpgroup has its own tile, so that the epilogue of one
 * hides behind the products of the other; without, both share one larger tile. */
#ifndef CLIPC_BACKEND_CUDA_GEMM_WGMMA_CUH
#define CLIPC_BACKEND_CUDA_GEMM_WGMMA_CUH

#include "backend/cuda/epilogue.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/tensor_map.h"
#include "backend/cuda/wgmma.cuh"

#include <cuda.h>

namespace
{

constexpr int tile_depth = 64; /* 128 bytes: one swizzled row */
constexpr int threads = 384;
constexpr int shared_limit = 232448;

template <int tile_rows, int tile_columns, bool ping_pong> struct tile {
    static constexpr int input_bytes = tile_rows * tile_depth * 2;
    static constexpr int weight_bytes = tile_columns * tile_depth * 2;
    static constexpr int stage_bytes = input_bytes + weight_bytes;
    static constexpr int blocks = (ping_pong ? tile_rows : tile_rows / 2) / 64; /* of 64 rows, for each warpgroup */
    static constexpr int staging_bytes = 16 * staging_stride(tile_columns);     /* of 16 rows */
    static constexpr int terms_bytes = tile_columns * 8;                        /* for each warpgroup */
    static constexpr int rest = 8 * blocks * staging_bytes + 2 * terms_bytes + 256;
    static constexpr int fitting = (shared_limit - 1024 - rest) / stage_bytes;
    static constexpr int stages = fitting < 12 ? fitting : 12;
    static constexpr int shared_bytes = 1024 + stages * stage_bytes + rest;
    static_assert(stages >= 3, "the pipeline");
};

/* Where a warp is in the ring of stages. */
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

template <int stages> __device__ __forceinline__ void skip(position &at, int steps)
{
    const int to = at.stage + steps;
    at.parity ^= (uint32_t)(to / stages) & 1;
    at.stage = to % stages;
}

template <typename operand, epilogue_kind kind, int tile_rows, int tile_columns, bool ping_pong>
__global__ void __launch_bounds__(threads, 1)
    gemm_wgmma(const __grid_constant__ CUtensorMap input_map, const __grid_constant__ CUtensorMap weight_map,
               const __grid_constant__ clipc_cuda_gemm gemm)
{
#if __CUDA_ARCH__ >= 900
    using shape = tile<tile_rows, tile_columns, ping_pong>;
    constexpr int stages = shape::stages;
    extern __shared__ unsigned char raw[];
    const uint32_t base = (shared_address(raw) + 1023) & ~1023u;
    unsigned char *const staging = raw + (base - shared_address(raw)) + stages * shape::stage_bytes;
    float *const terms = reinterpret_cast<float *>(staging + 8 * shape::blocks * shape::staging_bytes);
    const uint32_t full = shared_address(terms) + 2 * shape::terms_bytes;
    const uint32_t empty = full + stages * 8;

    const int group = threadIdx.x / 128;
    const int steps = (gemm.depth + tile_depth - 1) / tile_depth;
    const int column_tiles = (gemm.columns + tile_columns - 1) / tile_columns;
    const int row_tiles = (gemm.rows + tile_rows - 1) / tile_rows;
    const int tiles = row_tiles * column_tiles;
    const int first = (int)blockIdx.x;
    const int stride = (int)gridDim.x;

    if (threadIdx.x == 0) {
        prefetch_tensor_map(&input_map);
        prefetch_tensor_map(&weight_map);
        for (int i = 0; i < stages; i++) {
            barrier_init(full + i * 8, 1);
            barrier_init(empty + i * 8, ping_pong ? 4 : 8);
        }
        barrier_init_fence();
    }
    __syncthreads();
    let_next_kernel_start();

    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
        if (threadIdx.x == 0) {
            /* The first weights are asked for while the previous kernel still runs: no kernel writes them. */
            const int primed = first < tiles ? min(steps, stages) : 0;
            for (int step = 0; step < primed; step++) {
                barrier_expect_bytes(full + step * 8, shape::stage_bytes);
                copy_tensor_2d(base + step * shape::stage_bytes + shape::input_bytes, &weight_map, full + step * 8,
                               step * tile_depth, first % column_tiles * tile_columns);
            }
            wait_for_previous_kernel();
            position at = {0, 0};
            for (int index = first; index < tiles; index += stride) {
                const int row = index / column_tiles * tile_rows;
                const int column = index % column_tiles * tile_columns;
                for (int step = 0; step < steps; step++) {
                    const uint32_t input = base + at.stage * shape::stage_bytes;
                    if (index != first || step >= primed) {
                        barrier_wait(empty + at.stage * 8, at.parity ^ 1);
                        barrier_expect_bytes(full + at.stage * 8, shape::stage_bytes);
                        copy_tensor_2d(input + shape::input_bytes, &weight_map, full + at.stage * 8, step * tile_depth,
                                       column);
                    }
                    copy_tensor_2d(input, &input_map, full + at.stage * 8, step * tile_depth, row);
                    advance<stages>(at);
                }
            }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
        wait_for_previous_kernel();
        constexpr int blocks = shape::blocks;
        const int member = group - 1;
        const int warp = threadIdx.x / 32 % 4;
        const int lane = threadIdx.x % 32;
        unsigned char *const own = staging + (member * 4 + warp) * blocks * shape::staging_bytes;
        float *const own_terms = terms + member * (shape::terms_bytes / 4);
        float sums[blocks][tile_columns / 8][4];
        position at = {0, 0};
        int index = first;
        /* With ping-pong the warpgroups take turns: a stage's barrier has only two states, so a warpgroup may wait for
         * a stage only when the other has seen every stage before it. Barrier 1 + member says whose turn it is. */
        if (ping_pong && member == 1) {
            index += stride;
            skip<stages>(at, steps);
            turn_pass(1, 256);
        }
        for (; index < tiles; index += ping_pong ? 2 * stride : stride) {
            const int row = index / column_tiles * tile_rows + (ping_pong ? 0 : member * blocks * 64) + warp * 16;
            const int column = index % column_tiles * tile_columns;
            /* Whatever the epilogue reads is asked for before the products, while the other warpgroup has its turn. */
            __syncwarp();
            if (kind == EPILOGUE_RESIDUAL)
#pragma unroll
                for (int block = 0; block < blocks; block++)
                    fetch_residual<tile_columns>(gemm, row + block * 64, column, own + block * shape::staging_bytes);
            turn_wait(3 + member, 128); /* every warp has done with the last tile's terms */
            for (int i = threadIdx.x % 128; i < tile_columns / 2; i += 128)
                copy_async_16(shared_address(own_terms + 4 * i),
                              gemm.terms + 2 * (column + 2 * i < gemm.columns ? column + 2 * i : 0),
                              column + 2 * i < gemm.columns);
            copy_async_commit();
            row_pair rows[blocks];
            read_row_pairs(gemm, row, 64, rows);
            int previous = 0;
            if (ping_pong)
                turn_wait(1 + member, 256);
            for (int step = 0; step < steps; step++) {
                barrier_wait(full + at.stage * 8, at.parity);
                if (ping_pong && step == steps - 1)
                    turn_pass(2 - member, 256);
                const uint32_t input =
                    base + at.stage * shape::stage_bytes + (ping_pong ? 0 : member * blocks * 64 * 128);
                const uint64_t a = wgmma_descriptor(input);
                const uint64_t b = wgmma_descriptor(base + at.stage * shape::stage_bytes + shape::input_bytes);
                wgmma_fence();
#pragma unroll
                for (int k = 0; k < tile_depth / 16; k++)
#pragma unroll
                    for (int block = 0; block < blocks; block++)
                        wgmma<operand, tile_columns / 8>::run(sums[block], a + block * (64 * 128 >> 4) + k * 2,
                                                              b + k * 2, step | k);
                wgmma_commit();
                wgmma_wait<1>();
                if (step > 0 && lane == 0)
                    barrier_arrive(empty + previous * 8);
                previous = at.stage;
                advance<stages>(at);
            }
            wgmma_wait<0>();
            if (lane == 0)
                barrier_arrive(empty + previous * 8);
            if (ping_pong)
                skip<stages>(at, steps);
            copy_async_wait<0>();
            turn_wait(3 + member, 128);
#pragma unroll
            for (int block = 0; block < blocks; block++)
                finish_rows<typename operand::row, kind, tile_columns / 8>(gemm, sums[block], row + block * 64, column,
                                                                           own_terms, rows[block],
                                                                           own + block * shape::staging_bytes);
        }
    }
#endif
}

template <typename operand, int tile_rows, int tile_columns, bool ping_pong>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    using shape = tile<tile_rows, tile_columns, ping_pong>;
    CUtensorMap input_map;
    CUtensorMap weight_map;
    cudaError_t result = clipc_cuda_tensor_map(gemm->input, gemm->input_capacity, gemm->depth, gemm->input_stride,
                                               tile_rows, &input_map);
    if (result == cudaSuccess)
        result =
            clipc_cuda_tensor_map(gemm->weight, gemm->columns, gemm->depth, gemm->depth, tile_columns, &weight_map);
    if (result != cudaSuccess)
        return result;
#define LAUNCH(kind, ...) launch_kernel(gemm_wgmma<operand, kind, tile_rows, tile_columns, ping_pong>, __VA_ARGS__)
    BY_EPILOGUE(gemm, LAUNCH, dim3((unsigned)plan->blocks), dim3(threads), shape::shared_bytes, 1, stream, input_map,
                weight_map, *gemm)
#undef LAUNCH
}

template <typename operand>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    switch (plan->tile_rows * 10000 + plan->tile_columns * 10 + (plan->ping_pong ? 1 : 0)) {
    case 1281281: return launch<operand, 128, 128, true>(gemm, plan, stream);
    case 1282560: return launch<operand, 128, 256, false>(gemm, plan, stream);
    case 1281280: return launch<operand, 128, 128, false>(gemm, plan, stream);
    case 641921: return launch<operand, 64, 192, true>(gemm, plan, stream);
    case 641281: return launch<operand, 64, 128, true>(gemm, plan, stream);
    case 640641: return launch<operand, 64, 64, true>(gemm, plan, stream);
    default: return cudaErrorInvalidConfiguration;
    }
}

} // namespace

#endif
