/* Products on Hopper: one warpgroup feeds tiles to shared memory through the copy engine, the others compute 64 rows
 * of the tile each with wgmma, on a persistent grid. The computing warpgroups are not in step: while one finishes its
 * rows the others multiply, as far ahead as the ring of stages allows. */
#ifndef CLIPC_BACKEND_CUDA_GEMM_WGMMA_CUH
#define CLIPC_BACKEND_CUDA_GEMM_WGMMA_CUH

#include "backend/cuda/epilogue_wgmma.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/ring.cuh"
#include "backend/cuda/tensor_map.h"
#include "backend/cuda/wgmma.cuh"

#include <cuda.h>

namespace
{

constexpr int shared_limit = 232448;

template <int consumers, int columns> struct tile {
    static constexpr int rows = consumers * 64;
    static constexpr int threads = 128 + consumers * 128;
    static constexpr int input_bytes = rows * box_row_bytes; /* of a stage: 128 bytes of depth */
    static constexpr int stage_bytes = input_bytes + columns * box_row_bytes;
    /* The residual comes through the same ring after the operands, as many boxes of 64 columns as a stage holds. */
    static constexpr int stage_boxes = stage_bytes / input_bytes;
    static constexpr int residual_steps = (boxes_of(columns) + stage_boxes - 1) / stage_boxes;
    static constexpr int boxes_bytes = consumers * 4 * warp_box_bytes;
    static constexpr int terms_bytes = columns * 8;
    static constexpr int rest = boxes_bytes + terms_bytes + 160;
    static constexpr int fitting = (shared_limit - rest) / stage_bytes;
    static constexpr int stages = fitting < 8 ? fitting : 8;
    static constexpr int shared_bytes = stages * stage_bytes + rest;
    static_assert(stages >= 3, "the pipeline");
    /* Registers of a thread that feeds, and of one that computes: the block's share, dealt out anew. */
    static constexpr int feeder_registers = consumers == 2 ? 40 : 32;
    static constexpr int registers = consumers == 2 ? 232 : 112;
};

/* What the copy engine moves. */
struct traffic {
    CUtensorMap input;
    CUtensorMap weight;
    CUtensorMap residual;
};

/* A block's tiles: every so manieth, columns first. */
template <int consumers, int columns> struct schedule {
    int tiles, column_tiles;

    __device__ __forceinline__ explicit schedule(const clipc_cuda_gemm &gemm)
    {
        column_tiles = (gemm.columns + columns - 1) / columns;
        tiles = (gemm.rows + consumers * 64 - 1) / (consumers * 64) * column_tiles;
    }

    __device__ __forceinline__ int row(int index) const
    {
        return index / column_tiles * consumers * 64;
    }

    __device__ __forceinline__ int column(int index) const
    {
        return index % column_tiles * columns;
    }
};

/* The barriers, and what lies before them, as addresses of shared memory. */
template <int consumers, int columns> struct layout {
    using shape = tile<consumers, columns>;
    uint32_t ring, boxes, terms, full, empty, terms_full, terms_empty;

    __device__ __forceinline__ explicit layout(uint32_t base)
    {
        ring = base;
        boxes = ring + shape::stages * shape::stage_bytes;
        terms = boxes + shape::boxes_bytes;
        full = terms + shape::terms_bytes;
        empty = full + shape::stages * 8;
        terms_full = empty + shape::stages * 8;
        terms_empty = terms_full + 8;
    }
};

/* One thread asks for the stages of all tiles in turn. */
template <epilogue_kind kind, int consumers, int columns>
__device__ __forceinline__ void feed(const traffic &moves, const clipc_cuda_gemm &gemm,
                                     const layout<consumers, columns> &place, int depth_step)
{
    using shape = tile<consumers, columns>;
    const schedule<consumers, columns> plan(gemm);
    const int steps = (gemm.depth + depth_step - 1) / depth_step;
    const int residual_steps = adds_residual(kind) && !gemm.residual_row ? shape::residual_steps : 0;
    const int first = (int)blockIdx.x;

    auto load_weights = [&](int stage, int step, int column) {
        barrier_expect_bytes(place.full + stage * 8, shape::stage_bytes);
        copy_tensor_2d(place.ring + stage * shape::stage_bytes + shape::input_bytes, &moves.weight,
                       place.full + stage * 8, step * depth_step, column);
    };
    /* The first weights are asked for while the previous kernel still runs: no kernel writes them. */
    const int primed = first < plan.tiles ? min(steps, shape::stages) : 0;
    for (int step = 0; step < primed; step++)
        load_weights(step, step, plan.column(first));
    wait_for_previous_kernel();
    position at = {0, 0};
    for (int index = first; index < plan.tiles; index += (int)gridDim.x) {
        const int row = plan.row(index);
        const int column = plan.column(index);
        for (int step = 0; step < steps; step++) {
            if (index != first || step >= primed) {
                barrier_wait(place.empty + at.stage * 8, at.parity ^ 1);
                load_weights(at.stage, step, column);
            }
            copy_tensor_2d(place.ring + at.stage * shape::stage_bytes, &moves.input, place.full + at.stage * 8,
                           step * depth_step, row);
            advance<shape::stages>(at);
        }
        for (int step = 0; step < residual_steps; step++) {
            const int from = step * shape::stage_boxes;
            const int boxes = min(shape::stage_boxes, boxes_of(columns) - from);
            barrier_wait(place.empty + at.stage * 8, at.parity ^ 1);
            barrier_expect_bytes(place.full + at.stage * 8, boxes * shape::input_bytes);
            for (int box = 0; box < boxes; box++)
                copy_tensor_2d(place.ring + at.stage * shape::stage_bytes + box * shape::input_bytes, &moves.residual,
                               place.full + at.stage * 8, column + (from + box) * box_columns, row);
            advance<shape::stages>(at);
        }
    }
}

/* The other warps of that warpgroup fetch each tile's terms, and what LayerNorm needs of its rows: into the boxes of
 * the warps whose rows they are, which lie idle until the products are done. */
constexpr int term_threads = 96;

template <epilogue_kind kind, int consumers, int columns>
__device__ __forceinline__ void feed_terms(const clipc_cuda_gemm &gemm, const layout<consumers, columns> &place)
{
    const schedule<consumers, columns> plan(gemm);
    const int thread = (int)threadIdx.x - 32;
    uint32_t parity = 0;
    wait_for_previous_kernel();
    for (int index = (int)blockIdx.x; index < plan.tiles; index += (int)gridDim.x) {
        const int column = plan.column(index);
        const int bytes = min(columns, gemm.columns - column) * 8;
        barrier_wait(place.terms_empty, parity ^ 1);
        parity ^= 1;
        if (thread == 0)
            copy_bulk(place.terms, gemm.terms + 2 * column, bytes, place.terms_full);
        if (!adds_residual(kind))
            for (int row = thread; row < consumers * 64; row += term_threads) {
                float2 terms = make_float2(1, 0);
                if (gemm.normalize.pairs)
                    terms = row_terms(gemm.normalize, min(plan.row(index) + row, gemm.rows - 1));
                store_shared_x2f(place.boxes + row / 16 * warp_box_bytes + row % 16 * 8, terms);
            }
        if (thread == 0)
            barrier_expect_bytes(place.terms_full, bytes);
        else
            barrier_arrive(place.terms_full);
    }
}

/* A stage is free once every warp has said so. */
template <int consumers, int columns>
__device__ __forceinline__ void release(const layout<consumers, columns> &place, int stage)
{
    if (threadIdx.x % 32 == 0)
        barrier_arrive(place.empty + stage * 8);
}

/* The residual of a warp's 16 rows, out of the ring. */
template <int consumers, int columns>
__device__ __forceinline__ void take_residual(const layout<consumers, columns> &place, position &at, int row,
                                              uint32_t (&residual)[columns / 8][2])
{
    using shape = tile<consumers, columns>;
#pragma unroll
    for (int step = 0; step < shape::residual_steps; step++) {
        barrier_wait(place.full + at.stage * 8, at.parity);
        const uint32_t stage = place.ring + at.stage * shape::stage_bytes + row * box_row_bytes;
#pragma unroll
        for (int box = 0; box < shape::stage_boxes; box++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int j = (step * shape::stage_boxes + box) * 8 + i * 2;
                if (j < columns / 8) {
                    uint32_t fragment[4];
                    load_matrix_x4(fragment, fragment_place(stage + box * shape::input_bytes, i));
                    residual[j][0] = fragment[0];
                    residual[j][1] = fragment[1];
                    residual[j + 1][0] = fragment[2];
                    residual[j + 1][1] = fragment[3];
                }
            }
        async_fence();
        __syncwarp();
        release(place, at.stage);
        advance<shape::stages>(at);
    }
}

/* A warpgroup's 64 rows of every tile. */
template <typename operand, epilogue_kind kind, int consumers, int columns>
__device__ __forceinline__ void compute(const clipc_cuda_gemm &gemm, const layout<consumers, columns> &place)
{
    using shape = tile<consumers, columns>;
    constexpr int depth_step = box_row_bytes / operand::bytes;
    const schedule<consumers, columns> plan(gemm);
    const int steps = (gemm.depth + depth_step - 1) / depth_step;
    const int member = (int)threadIdx.x / 128 - 1;
    const int warp = threadIdx.x / 32 % 4;
    const int own_row = member * 64 + warp * 16;
    const uint32_t box = place.boxes + (member * 4 + warp) * warp_box_bytes;
    float sums[columns / 8][4];
    position at = {0, 0};
    uint32_t terms_parity = 0;
    wait_for_previous_kernel();
    for (int index = (int)blockIdx.x; index < plan.tiles; index += (int)gridDim.x) {
        const int row = plan.row(index) + own_row;
        const int column = plan.column(index);
        int previous = 0;
#pragma unroll 1
        for (int step = 0; step < steps; step++) {
            barrier_wait(place.full + at.stage * 8, at.parity);
            const uint32_t stage = place.ring + at.stage * shape::stage_bytes;
            const uint64_t a = wgmma_descriptor(stage + member * 64 * box_row_bytes);
            const uint64_t b = wgmma_descriptor(stage + shape::input_bytes);
            wgmma_fence();
#pragma unroll
            for (int k = 0; k < 4; k++)
                wgmma<operand, columns / 8>::run(sums, a + k * 2, b + k * 2, step | k);
            wgmma_commit();
            wgmma_wait<1>();
            if (step > 0)
                release(place, previous);
            previous = at.stage;
            advance<shape::stages>(at);
        }
        uint32_t residual[columns / 8][2];
        if (adds_residual(kind)) {
            if (gemm.residual_row)
                gather_residual(gemm, row, column, residual);
            else
                take_residual(place, at, own_row, residual);
        }
        wgmma_wait<0>();
        release(place, previous);
        barrier_wait(place.terms_full, terms_parity);
        terms_parity ^= 1;
        const row_pair rows = share_rows(box);
        __syncwarp();
        if (row < gemm.rows)
            finish_tile<typename operand::row, kind>(gemm, sums, row, column, place.terms, rows, residual, box);
        barrier_arrive(place.terms_empty);
    }
}

template <typename operand, epilogue_kind kind, int consumers, int columns>
__global__ void __launch_bounds__(128 + consumers * 128, 1)
    gemm_wgmma(const __grid_constant__ traffic moves, const __grid_constant__ clipc_cuda_gemm gemm)
{
#if __CUDA_ARCH__ >= 900
    using shape = tile<consumers, columns>;
    extern __shared__ __align__(1024) unsigned char memory[];
    const layout<consumers, columns> place(shared_address(memory));
    if (threadIdx.x == 0) {
        prefetch_tensor_map(&moves.input);
        prefetch_tensor_map(&moves.weight);
        for (int i = 0; i < shape::stages; i++) {
            barrier_init(place.full + i * 8, 1);
            barrier_init(place.empty + i * 8, consumers * 4);
        }
        barrier_init(place.terms_full, term_threads);
        barrier_init(place.terms_empty, consumers * 128);
        barrier_init_fence();
    }
    __syncthreads();
    let_next_kernel_start();
    if (threadIdx.x < 128) {
        if (consumers > 1)
            asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(shape::feeder_registers));
        if (threadIdx.x == 0)
            feed<kind>(moves, gemm, place, box_row_bytes / operand::bytes);
        else if (threadIdx.x >= 32)
            feed_terms<kind>(gemm, place);
    } else {
        if (consumers > 1)
            asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(shape::registers));
        compute<operand, kind>(gemm, place);
    }
#endif
}

template <typename operand, int consumers, int columns>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    using shape = tile<consumers, columns>;
    static_assert(consumers == 1 || consumers == 2 || consumers == 4, "how registers are dealt out");
    traffic moves = {};
    cudaError_t result = clipc_cuda_tensor_map(gemm->input, gemm->input_capacity, gemm->depth, gemm->input_stride,
                                               shape::rows, &moves.input);
    if (result == cudaSuccess)
        result = clipc_cuda_tensor_map(gemm->weight, gemm->columns, gemm->depth, gemm->depth, columns, &moves.weight);
    if (result == cudaSuccess && gemm->residual && !gemm->residual_row)
        result = clipc_cuda_tensor_map(gemm->residual, gemm->rows, gemm->columns, gemm->residual_stride, shape::rows,
                                       &moves.residual);
    if (result != cudaSuccess)
        return result;
#define LAUNCH(kind, ...) launch_kernel(gemm_wgmma<operand, kind, consumers, columns>, __VA_ARGS__)
    BY_EPILOGUE(gemm, LAUNCH, dim3((unsigned)plan->blocks), dim3(shape::threads), shape::shared_bytes, 1, stream,
                moves, *gemm)
#undef LAUNCH
}

template <typename operand>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    switch (plan->tile_rows * 1000 + plan->tile_columns) {
    case 128256: return launch<operand, 2, 256>(gemm, plan, stream);
    case 128240: return launch<operand, 2, 240>(gemm, plan, stream);
    case 128192: return launch<operand, 2, 192>(gemm, plan, stream);
    case 128160: return launch<operand, 2, 160>(gemm, plan, stream);
    case 128128: return launch<operand, 2, 128>(gemm, plan, stream);
    case 128096: return launch<operand, 2, 96>(gemm, plan, stream);
    case 256128: return launch<operand, 4, 128>(gemm, plan, stream);
    case 64128: return launch<operand, 1, 128>(gemm, plan, stream);
    case 64064: return launch<operand, 1, 64>(gemm, plan, stream);
    default: return cudaErrorInvalidConfiguration;
    }
}

} // namespace

#endif
