/* Products on Hopper: one warpgroup feeds tiles to shared memory through the copy engine, the others compute 64 rows
 * of the tile each with wgmma, on a persistent grid. A tile's results are rounded when its products are done, but stay
 * in registers: they are stored while the next tile's are under way, whose tensor cores leave the lanes idle. Stored
 * at once, the tiles' results would queue for the L2 cache for as long as four steps of products take.
 *
 * Blocks of a cluster, whose tiles lie one below the other, share the weights of their columns: each asks for its part
 * of them, for all. */
#ifndef CLIPC_BACKEND_CUDA_GEMM_WGMMA_CUH
#define CLIPC_BACKEND_CUDA_GEMM_WGMMA_CUH

#include "backend/cuda/boxes.cuh"
#include "backend/cuda/cluster.cuh"
#include "backend/cuda/epilogue_wgmma.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/ring.cuh"
#include "backend/cuda/tensor_map.h"
#include "backend/cuda/wgmma.cuh"

#include <cuda.h>

namespace
{

constexpr int shared_limit = 232448;

/* `run`: columns that a lane has side by side (epilogue_wgmma.cuh); the matrix's columns are a multiple of 4 × run. */
template <int consumers_, int columns_, int run_, int cluster_> struct tile {
    static constexpr int consumers = consumers_;
    static constexpr int columns = columns_;
    static constexpr int run = run_;
    static constexpr int cluster = cluster_;
    static constexpr int rows = consumers * 64;
    static constexpr int n8 = columns / 8;
    static constexpr int threads = 128 + consumers * 128;
    static constexpr int input_bytes = rows * box_row_bytes; /* of a stage: 128 bytes of depth */
    static constexpr int stage_bytes = input_bytes + columns * box_row_bytes;
    /* The residual comes through the same ring after the operands, as many boxes of 64 columns as a stage holds. */
    static constexpr int stage_boxes = stage_bytes / input_bytes;
    static constexpr int residual_steps = (boxes_of(columns) + stage_boxes - 1) / stage_boxes;
    static constexpr int rows_bytes = rows * 8;
    static constexpr int terms_bytes = columns * 8;
    static constexpr int rest = rows_bytes + terms_bytes + 160;
    static constexpr int fitting = (shared_limit - rest) / stage_bytes;
    static constexpr int stages = fitting < 8 ? fitting : 8;
    static constexpr int shared_bytes = stages * stage_bytes + rest;
    static_assert(stages >= 3, "the pipeline");
    static_assert(columns % (cluster * 4 * run) == 0, "equal parts");
    /* Registers of a thread that feeds, and of one that computes: the block's share, dealt out anew. */
    static constexpr int feeder_registers = consumers == 2 ? 40 : 32;
    static constexpr int registers = consumers == 2 ? 232 : 112;
    static constexpr bool stores_late = consumers <= 2; /* else there are no registers for the results */
};

/* What the copy engine moves. */
struct traffic {
    CUtensorMap input;
    CUtensorMap weight;
    CUtensorMap residual;
};

/* A block's tiles: every so manieth of its cluster's, columns first. */
template <typename shape> struct schedule {
    int tiles; /* of clusters */
    int column_tiles;
    int stride;
    int row_step; /* the stride, in rows of tiles and columns of them */
    int column_step;
    int rank; /* in the cluster */

    __device__ __forceinline__ explicit schedule(const clipc_cuda_gemm &gemm)
    {
        constexpr int rows = shape::rows * shape::cluster;
        column_tiles = (gemm.columns + shape::columns - 1) / shape::columns;
        tiles = (gemm.rows + rows - 1) / rows * column_tiles;
        stride = (int)gridDim.x / shape::cluster;
        row_step = stride / column_tiles;
        column_step = stride % column_tiles;
        rank = shape::cluster > 1 ? (int)cluster_rank() : 0;
    }
};

/* A way through the tiles of a block, without divisions. */
template <typename shape> struct cursor {
    const schedule<shape> &plan;
    int index;
    int row_tile;
    int column_tile;

    __device__ __forceinline__ explicit cursor(const schedule<shape> &of) : plan(of)
    {
        index = (int)blockIdx.x / shape::cluster;
        row_tile = index / plan.column_tiles;
        column_tile = index % plan.column_tiles;
    }

    __device__ __forceinline__ bool is_tile() const
    {
        return index < plan.tiles;
    }

    __device__ __forceinline__ bool is_last() const
    {
        return index + plan.stride >= plan.tiles;
    }

    __device__ __forceinline__ void advance()
    {
        index += plan.stride;
        row_tile += plan.row_step;
        column_tile += plan.column_step;
        if (column_tile >= plan.column_tiles) {
            column_tile -= plan.column_tiles;
            row_tile++;
        }
    }

    __device__ __forceinline__ int row() const
    {
        return (row_tile * shape::cluster + plan.rank) * shape::rows;
    }

    __device__ __forceinline__ int column() const
    {
        return column_tile * shape::columns;
    }
};

/* The barriers, and what lies before them, as addresses of shared memory. */
template <typename shape> struct layout {
    uint32_t ring, rows, terms, full, empty, terms_full, terms_empty;

    __device__ __forceinline__ explicit layout(uint32_t base)
    {
        ring = base;
        rows = ring + shape::stages * shape::stage_bytes;
        terms = rows + shape::rows_bytes;
        full = terms + shape::terms_bytes;
        empty = full + shape::stages * 8;
        terms_full = empty + shape::stages * 8;
        terms_empty = terms_full + 8;
    }
};

/* This block's part of a stage's weights, for all that share them. `depth`: where the stage begins. */
template <typename shape>
__device__ __forceinline__ void load_weights(const traffic &moves, const layout<shape> &place, int rank, int stage,
                                             int depth, int column)
{
    constexpr int share = shape::columns / shape::cluster;
    const uint32_t full = place.full + stage * 8;
    const uint32_t to = place.ring + stage * shape::stage_bytes + shape::input_bytes + rank * share * box_row_bytes;
    const int group = (column + rank * share) / (4 * shape::run);
    barrier_expect_bytes(full, shape::stage_bytes);
    if (shape::cluster == 1)
        copy_weights(to, &moves.weight, full, depth, group);
    else
        copy_weights_to(to, &moves.weight, full, depth, group, (1 << shape::cluster) - 1);
}

/* One thread asks for the stages of all tiles in turn. */
template <epilogue_kind kind, typename shape>
__device__ __forceinline__ void feed(const traffic &moves, const clipc_cuda_gemm &gemm, const layout<shape> &place,
                                     int depth_step)
{
    const schedule<shape> plan(gemm);
    const int steps = (gemm.depth + depth_step - 1) / depth_step;
    const int residual_steps = adds_residual(kind) && !gemm.residual_row ? shape::residual_steps : 0;
    cursor<shape> tile(plan);
    /* The first weights are asked for while the previous kernel still runs: no kernel writes them. */
    int primed = tile.is_tile() ? min(steps, shape::stages) : 0;
    for (int step = 0; step < primed; step++)
        load_weights(moves, place, plan.rank, step, step * depth_step, tile.column());
    wait_for_previous_kernel();
    position at = {0, 0};
    for (; tile.is_tile(); tile.advance()) {
        const int row = tile.row();
        const int column = tile.column();
        for (int step = 0; step < steps; step++) {
            if (step >= primed) {
                barrier_wait(place.empty + at.stage * 8, at.parity ^ 1);
                load_weights(moves, place, plan.rank, at.stage, step * depth_step, column);
            }
            copy_tensor_2d(place.ring + at.stage * shape::stage_bytes, &moves.input, place.full + at.stage * 8,
                           step * depth_step, row);
            advance<shape::stages>(at);
        }
        primed = 0;
        for (int step = 0; step < residual_steps; step++) {
            const int from = step * shape::stage_boxes;
            const int boxes = min(shape::stage_boxes, boxes_of(shape::columns) - from);
            barrier_wait(place.empty + at.stage * 8, at.parity ^ 1);
            barrier_expect_bytes(place.full + at.stage * 8, boxes * shape::input_bytes);
            for (int box = 0; box < boxes; box++)
                copy_tensor_2d(place.ring + at.stage * shape::stage_bytes + box * shape::input_bytes, &moves.residual,
                               place.full + at.stage * 8, column + (from + box) * box_columns, row);
            advance<shape::stages>(at);
        }
    }
}

/* The other warps of that warpgroup fetch each tile's terms, and what LayerNorm needs of its rows. */
constexpr int term_threads = 96;

template <epilogue_kind kind, typename shape>
__device__ __forceinline__ void feed_terms(const clipc_cuda_gemm &gemm, const layout<shape> &place)
{
    const schedule<shape> plan(gemm);
    const int thread = (int)threadIdx.x - 32;
    uint32_t parity = 0;
    wait_for_previous_kernel();
    for (cursor<shape> tile(plan); tile.is_tile(); tile.advance()) {
        const int column = tile.column();
        const float4 *terms = reinterpret_cast<const float4 *>(gemm.terms + 2 * column);
        barrier_wait(place.terms_empty, parity ^ 1);
        parity ^= 1;
        for (int pair = thread; pair < shape::columns / 2; pair += term_threads)
            if (column + pair * 2 < gemm.columns)
                store_shared_x4f(place.terms + pair_terms_offset<shape::run>(pair), terms[pair]);
        if (!adds_residual(kind))
            for (int row = thread; row < shape::rows; row += term_threads) {
                float2 own = make_float2(1, 0);
                if (gemm.normalize.pairs)
                    own = row_terms(gemm.normalize, min(tile.row() + row, gemm.rows - 1));
                store_shared_x2f(place.rows + row * 8, own);
            }
        barrier_arrive(place.terms_full);
    }
}

/* The residual of a warp's 16 rows, out of the ring. */
template <typename shape>
__device__ __forceinline__ void take_residual(const layout<shape> &place, position &at, int row,
                                              row_values<shape::n8> &residual)
{
    constexpr int words = shape::run / 2;
    const int top = row + (int)threadIdx.x % 32 / 4;
    const int turn = top & 7; /* of the lower row, too */
#pragma unroll
    for (int step = 0; step < shape::residual_steps; step++) {
        barrier_wait(place.full + at.stage * 8, at.parity);
        const uint32_t stage = place.ring + at.stage * shape::stage_bytes + top * box_row_bytes;
#pragma unroll
        for (int j = step * shape::stage_boxes * 8; j < (step + 1) * shape::stage_boxes * 8 && j < shape::n8;
             j += words) {
            const int column = pair_column<shape::run>(j) - step * shape::stage_boxes * box_columns;
            const uint32_t from = stage + column / box_columns * shape::input_bytes +
                                  ((column % box_columns / 8 ^ turn) << 4) + column % 8 * 2;
            load_shared_words<words>(&residual.top[j], from);
            load_shared_words<words>(&residual.bottom[j], from + 8 * box_row_bytes);
        }
        async_fence();
        __syncwarp();
        release_stage<shape::cluster>(place.empty + at.stage * 8);
        advance<shape::stages>(at);
    }
}

/* Where a warpgroup is in the ring, and in its tile. */
struct progress {
    position at;
    int previous; /* the stage before */
};

/* Asks the tensor cores for a stage's products. `first`: of a tile. */
template <typename operand, bool first, typename shape>
__device__ __forceinline__ void multiply_stage(float (&sums)[shape::n8][4], const layout<shape> &place,
                                               const progress &now, int member)
{
    barrier_wait(place.full + now.at.stage * 8, now.at.parity);
    const uint32_t stage = place.ring + now.at.stage * shape::stage_bytes;
    const uint64_t a = wgmma_descriptor(stage + member * 64 * box_row_bytes);
    const uint64_t b = wgmma_descriptor(stage + shape::input_bytes);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; k++)
        if (first && k == 0)
            wgmma<operand, shape::n8>::start(sums, a, b);
        else
            wgmma<operand, shape::n8>::run(sums, a + k * 2, b + k * 2, 1);
    wgmma_commit();
}

/* The stage before is free once its products are done. */
template <typename shape>
__device__ __forceinline__ void pass_stage(const layout<shape> &place, progress &now, bool first)
{
    wgmma_wait<1>();
    if (!first)
        release_stage<shape::cluster>(place.empty + now.previous * 8);
    now.previous = now.at.stage;
    advance<shape::stages>(now.at);
}

/* A warpgroup's 64 rows of every tile. */
template <typename operand, epilogue_kind kind, typename shape>
__device__ __forceinline__ void compute(const clipc_cuda_gemm &gemm, const layout<shape> &place)
{
    constexpr int depth_step = box_row_bytes / operand::bytes;
    const schedule<shape> plan(gemm);
    const int steps = (gemm.depth + depth_step - 1) / depth_step;
    const int member = (int)threadIdx.x / 128 - 1;
    const int own_row = member * 64 + threadIdx.x / 32 % 4 * 16;
    float sums[shape::n8][4];
    results<shape::run, shape::n8> out; /* of the tile before */
    out.columns = 0;
    progress now = {{0, 0}, 0};
    uint32_t terms_parity = 0;
    wait_for_previous_kernel();
    for (cursor<shape> tile(plan); tile.is_tile(); tile.advance()) {
        const int row = tile.row() + own_row;
        const int column = tile.column();
        int step = 1;
        multiply_stage<operand, true>(sums, place, now, member);
        if (shape::stores_late)
            out.store(0);
        pass_stage(place, now, true);
        if (shape::stores_late) {
#pragma unroll
            for (; step < out.groups; step++) {
                if (step < steps)
                    multiply_stage<operand, false>(sums, place, now, member);
                out.store(step);
                if (step < steps)
                    pass_stage(place, now, false);
            }
        }
#pragma unroll 1
        for (; step < steps; step++) {
            multiply_stage<operand, false>(sums, place, now, member);
            pass_stage(place, now, false);
        }
        if (adds_residual(kind)) {
            if (gemm.residual_row)
                gather_residual<shape::run>(gemm, row, column, out.values);
            else
                take_residual(place, now.at, own_row, out.values);
        }
        wgmma_wait<0>();
        release_stage<shape::cluster>(place.empty + now.previous * 8);
        barrier_wait(place.terms_full, terms_parity);
        terms_parity ^= 1;
        const row_pair rows = share_rows(place.rows + own_row * 8);
        out.place(gemm, row, column);
        const bool store_now = !shape::stores_late || tile.is_last();
        finish_tile<typename operand::row, kind>(gemm, sums, row, column, place.terms, rows, out, store_now);
        barrier_arrive(place.terms_empty);
    }
}

template <typename operand, epilogue_kind kind, typename shape>
__global__ void __launch_bounds__(shape::threads, 1)
    gemm_wgmma(const __grid_constant__ traffic moves, const __grid_constant__ clipc_cuda_gemm gemm)
{
#if __CUDA_ARCH__ >= 900
    extern __shared__ __align__(1024) unsigned char memory[];
    const layout<shape> place(shared_address(memory));
    if (threadIdx.x == 0) {
        prefetch_tensor_map(&moves.input);
        prefetch_tensor_map(&moves.weight);
        for (int i = 0; i < shape::stages; i++) {
            barrier_init(place.full + i * 8, 1);
            barrier_init(place.empty + i * 8, shape::consumers * 4 * shape::cluster);
        }
        barrier_init(place.terms_full, term_threads);
        barrier_init(place.terms_empty, shape::consumers * 128);
        barrier_init_fence();
    }
    sync_cluster<shape::cluster>();
    let_next_kernel_start();
    if (threadIdx.x < 128) {
        if (shape::consumers > 1)
            asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(shape::feeder_registers));
        if (threadIdx.x == 0)
            feed<kind>(moves, gemm, place, box_row_bytes / operand::bytes);
        else if (threadIdx.x >= 32)
            feed_terms<kind>(gemm, place);
    } else {
        if (shape::consumers > 1)
            asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(shape::registers));
        compute<operand, kind>(gemm, place);
    }
    if (shape::cluster > 1) /* a block's memory stays until the others have done with it */
        sync_cluster<shape::cluster>();
#endif
}

template <typename operand, typename shape>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    static_assert(shape::consumers == 1 || shape::consumers == 2 || shape::consumers == 4,
                  "how registers are dealt out");
    traffic moves = {};
    cudaError_t result = clipc_cuda_tensor_map(gemm->input, gemm->input_capacity, gemm->depth, gemm->input_stride,
                                               shape::rows, &moves.input);
    if (result == cudaSuccess)
        result = clipc_cuda_weight_map(gemm->weight, gemm->columns, gemm->depth, shape::run,
                                       shape::columns / shape::cluster, &moves.weight);
    if (result == cudaSuccess && gemm->residual && !gemm->residual_row)
        result = clipc_cuda_tensor_map(gemm->residual, gemm->rows, gemm->columns, gemm->residual_stride, shape::rows,
                                       &moves.residual);
    if (result != cudaSuccess)
        return result;
#define LAUNCH(kind, ...) launch_kernel(gemm_wgmma<operand, kind, shape>, __VA_ARGS__)
    BY_EPILOGUE(gemm, LAUNCH, dim3((unsigned)plan->blocks), dim3(shape::threads), shape::shared_bytes, shape::cluster,
                stream, moves, *gemm)
#undef LAUNCH
}

/* Tiles of 32 columns at a time, for matrices that have so many. */
template <typename operand>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    switch (plan->tile_rows * 10000 + plan->tile_columns * 10 + plan->cluster) {
    case 1282562: return launch<operand, tile<2, 256, 8, 2>>(gemm, plan, stream);
    case 1282561: return launch<operand, tile<2, 256, 8, 1>>(gemm, plan, stream);
    case 1281921: return launch<operand, tile<2, 192, 8, 1>>(gemm, plan, stream);
    case 1281601: return launch<operand, tile<2, 160, 8, 1>>(gemm, plan, stream);
    case 1281281: return launch<operand, tile<2, 128, 8, 1>>(gemm, plan, stream);
    case 1280961: return launch<operand, tile<2, 96, 8, 1>>(gemm, plan, stream);
    case 2561281: return launch<operand, tile<4, 128, 8, 1>>(gemm, plan, stream);
    case 641281: return launch<operand, tile<1, 128, 8, 1>>(gemm, plan, stream);
    case 640641: return launch<operand, tile<1, 64, 8, 1>>(gemm, plan, stream);
    default: return cudaErrorInvalidConfiguration;
    }
}

/* The same of 8 columns at a time. */
template <typename operand>
cudaError_t launch_any_columns(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    switch (plan->tile_rows * 10000 + plan->tile_columns * 10 + plan->cluster) {
    case 1281281: return launch<operand, tile<2, 128, 2, 1>>(gemm, plan, stream);
    case 640641: return launch<operand, tile<1, 64, 2, 1>>(gemm, plan, stream);
    default: return cudaErrorInvalidConfiguration;
    }
}

} // namespace

#endif
