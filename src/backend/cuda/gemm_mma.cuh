/* Products with mma.sync and cp.async: every card from sm_80 on. A block computes one tile; operands go through a
 * ring of stages of 64 columns, the 16-byte pieces of each 128-byte row exchanged by the row's number so that neither
 * filling nor ldmatrix meets a bank twice. */
#ifndef CLIPC_BACKEND_CUDA_GEMM_MMA_CUH
#define CLIPC_BACKEND_CUDA_GEMM_MMA_CUH

#include "backend/cuda/epilogue_bytes.cuh"
#include "backend/cuda/launch.cuh"

namespace
{

constexpr int tile_depth = 64; /* halves, or pairs of bytes: 128 bytes */

template <int rows, int threads>
__device__ __forceinline__ void fetch_tile(uint32_t shared, const uint16_t *matrix, int row0, int row_limit,
                                           int stride, int depth0, int depth)
{
#pragma unroll
    for (int i = 0; i < rows * 8 / threads; i++) {
        const int piece = i * threads + (int)threadIdx.x;
        const int row = piece / 8;
        const int part = piece % 8;
        const int column = depth0 + part * 8;
        const bool valid = row0 + row < row_limit && column < depth;
        const uint16_t *from = valid ? matrix + (size_t)(row0 + row) * stride + column : matrix;
        copy_async_16(shared + row * 128 + ((part ^ (row & 7)) << 4), from, valid);
    }
}

/* Where a tile's rows of the input come from: rows of a matrix, as they are. */
template <int rows, int threads> struct matrix_rows {
    const uint16_t *input;
    int row0;
    int row_limit;
    int stride;
    int depth;

    __device__ __forceinline__ matrix_rows(const clipc_cuda_gemm &gemm, int first, int stride_halves, int depth_halves)
        : input(static_cast<const uint16_t *>(gemm.input)), row0(first), row_limit(gemm.rows), stride(stride_halves),
          depth(depth_halves)
    {
    }

    __device__ __forceinline__ void fetch(uint32_t shared, int depth0) const
    {
        fetch_tile<rows, threads>(shared, input, row0, row_limit, stride, depth0, depth);
    }
};

/* Or windows of 3 × 3 pixels of a map, [tap][channel]: each thread has the same 8 channels of one tap of some rows. */
template <int rows, int threads> struct window_rows {
    static constexpr int pieces = rows * 8 / threads;
    const uint16_t *input;
    int side;
    int channels;
    int depth;
    int pixel[pieces]; /* in the map */
    int y[pieces];     /* beyond every edge where the tile has more rows than there are pixels */
    int x[pieces];

    __device__ __forceinline__ window_rows(const clipc_cuda_gemm &gemm, int first, int stride_halves, int depth_halves)
        : input(static_cast<const uint16_t *>(gemm.input)), side(gemm.window_side), channels(stride_halves),
          depth(depth_halves)
    {
#pragma unroll
        for (int i = 0; i < pieces; i++) {
            pixel[i] = first + (i * threads + (int)threadIdx.x) / 8;
            const int inside = pixel[i] % (side * side);
            y[i] = pixel[i] < gemm.rows ? inside / side : -2;
            x[i] = inside % side;
        }
    }

    __device__ __forceinline__ void fetch(uint32_t shared, int depth0) const
    {
        const int part = threadIdx.x % 8;
        const int column = depth0 + part * 8;
        const int tap = column / channels;
        const int down = tap / 3 - 1;
        const int right = tap % 3 - 1;
        const uint16_t *from = input + (long long)(down * side + right) * channels + (column - tap * channels);
#pragma unroll
        for (int i = 0; i < pieces; i++) {
            const int row = (i * threads + (int)threadIdx.x) / 8;
            const bool valid = column < depth && (unsigned)(y[i] + down) < (unsigned)side &&
                               (unsigned)(x[i] + right) < (unsigned)side;
            copy_async_16(shared + row * 128 + ((part ^ (row & 7)) << 4),
                          valid ? from + (long long)pixel[i] * channels : input, valid);
        }
    }
};

constexpr int staging_bytes = 16 * staging_stride(64);

/* What follows the products of a warp's tile of 16 × blocks rows and 64 columns. */
template <typename operand, epilogue_kind kind, int blocks>
__device__ __forceinline__ void finish_warp(const clipc_cuda_gemm &gemm, float (&sums)[blocks][8][4], int row0,
                                            int column0, unsigned char *staging)
{
    if (adds_residual(kind))
#pragma unroll
        for (int i = 0; i < blocks; i++)
            fetch_residual<64>(gemm, row0 + i * 16, column0, staging + i * staging_bytes);
    copy_async_commit();
    row_pair rows[blocks];
    read_row_pairs(gemm, row0, 16, rows);
    copy_async_wait<0>();
    __syncwarp();
#pragma unroll
    for (int i = 0; i < blocks; i++)
        finish_rows<typename operand::row, kind, 8>(gemm, sums[i], row0 + i * 16, column0, gemm.terms + 2 * column0,
                                                    rows[i], staging + i * staging_bytes);
}

template <typename operand, epilogue_kind kind, int blocks>
__device__ __forceinline__ void finish_warp_bytes(const clipc_cuda_gemm &gemm,
                                                  const typename operand::sum (&sums)[blocks][8][4], int row0,
                                                  int column0)
{
#pragma unroll
    for (int i = 0; i < blocks; i++) {
        uint4 residual[2][2];
        if (kind == EPILOGUE_RESIDUAL)
            ask_residual<8>(gemm, row0 + i * 16, column0, residual);
        finish_bytes<operand, kind, 8>(gemm, sums[i], row0 + i * 16, column0, gemm.terms + 2 * column0,
                                       read_row_steps<operand>(gemm, row0 + i * 16), residual);
    }
}

/* warp_rows × 64 of the tile for each warp. */
template <typename operand, template <int, int> class source, epilogue_kind kind, int tile_rows, int tile_columns,
          int warp_rows, int stages>
__global__ void __launch_bounds__(tile_rows / warp_rows * tile_columns / 64 * 32)
    gemm_mma(const __grid_constant__ clipc_cuda_gemm gemm)
{
    constexpr int row_warps = tile_rows / warp_rows;
    constexpr int threads = row_warps * (tile_columns / 64) * 32;
    constexpr int stage_bytes = (tile_rows + tile_columns) * 128;
    constexpr int blocks = warp_rows / 16;
    static_assert(stages * stage_bytes >= threads / 32 * blocks * staging_bytes, "staging lies over the ring");
    extern __shared__ __align__(128) unsigned char ring[];
    const uint32_t base = shared_address(ring);
    const int column_tiles = (gemm.columns + tile_columns - 1) / tile_columns;
    const int row0 = (int)blockIdx.x / column_tiles * tile_rows;
    const int column0 = (int)blockIdx.x % column_tiles * tile_columns;
    const int depth = gemm.depth * operand::bytes / 2; /* in halves, as everything here */
    const int input_stride = gemm.input_stride * operand::bytes / 2;
    const int weight_rows = operand::bytes == 1 ? CLIPC_CUDA_PADDED_COLUMNS(gemm.columns) : gemm.columns;
    const int steps = (depth + tile_depth - 1) / tile_depth;
    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    const int warp_row = warp % row_warps * warp_rows;
    const int warp_column = warp / row_warps * 64;
    const source<tile_rows, threads> input(gemm, row0, input_stride, depth);
    const uint16_t *weight = static_cast<const uint16_t *>(gemm.weight);

    let_next_kernel_start();
    wait_for_previous_kernel();
    for (int i = 0; i < stages - 1; i++) {
        if (i < steps) {
            input.fetch(base + i * stage_bytes, i * tile_depth);
            fetch_tile<tile_columns, threads>(base + i * stage_bytes + tile_rows * 128, weight, column0, weight_rows,
                                              depth, i * tile_depth, depth);
        }
        copy_async_commit();
    }

    typename operand::sum sums[blocks][8][4] = {};
    for (int step = 0; step < steps; step++) {
        copy_async_wait<stages - 2>();
        __syncthreads();
        const int ahead = step + stages - 1;
        if (ahead < steps) {
            const uint32_t stage = base + ahead % stages * stage_bytes;
            input.fetch(stage, ahead * tile_depth);
            fetch_tile<tile_columns, threads>(stage + tile_rows * 128, weight, column0, weight_rows, depth,
                                              ahead * tile_depth, depth);
        }
        copy_async_commit();
        const uint32_t a_base = base + step % stages * stage_bytes;
        const uint32_t b_base = a_base + tile_rows * 128;
#pragma unroll
        for (int k = 0; k < tile_depth / 16; k++) {
            uint32_t a[blocks][4];
            uint32_t b[4][4];
#pragma unroll
            for (int i = 0; i < blocks; i++) {
                const int row = warp_row + i * 16 + lane % 16;
                load_matrix_x4(a[i], a_base + row * 128 + (((k * 2 + lane / 16) ^ (row & 7)) << 4));
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = warp_column + i * 16 + lane / 16 * 8 + lane % 8;
                load_matrix_x4(b[i], b_base + row * 128 + (((k * 2 + lane / 8 % 2) ^ (row & 7)) << 4));
            }
#pragma unroll
            for (int i = 0; i < blocks; i++)
#pragma unroll
                for (int j = 0; j < 8; j++)
                    operand::multiply(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
        }
    }
    copy_async_wait<0>();
    __syncthreads();
    if constexpr (operand::bytes == 1)
        finish_warp_bytes<operand, kind>(gemm, sums, row0 + warp_row, column0 + warp_column);
    else
        finish_warp<operand, kind>(gemm, sums, row0 + warp_row, column0 + warp_column,
                                   ring + warp * blocks * staging_bytes);
}

template <typename operand, int tile_rows, int tile_columns, int warp_rows, int stages>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    constexpr unsigned threads = tile_rows / warp_rows * tile_columns / 64 * 32;
    constexpr size_t shared_bytes = stages * (tile_rows + tile_columns) * 128;
#define LAUNCH(kind, ...)                                                                                             \
    launch_kernel(gemm_mma<operand, matrix_rows, kind, tile_rows, tile_columns, warp_rows, stages>, __VA_ARGS__)
    if constexpr (operand::bytes == 1) {
        BY_BYTES_EPILOGUE(gemm, LAUNCH, dim3((unsigned)plan->blocks), dim3(threads), shared_bytes, 1, stream, *gemm)
    } else {
        if (gemm->window_side)
            return epilogue_of(*gemm) == EPILOGUE_RELU
                       ? launch_kernel(
                             gemm_mma<operand, window_rows, EPILOGUE_RELU, tile_rows, tile_columns, warp_rows, stages>,
                             dim3((unsigned)plan->blocks), dim3(threads), shared_bytes, 1, stream, *gemm)
                       : cudaErrorInvalidValue;
        BY_EPILOGUE(gemm, LAUNCH, dim3((unsigned)plan->blocks), dim3(threads), shared_bytes, 1, stream, *gemm)
    }
#undef LAUNCH
}

template <typename operand>
cudaError_t launch(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    switch (plan->tile_rows * 1000 + plan->tile_columns) {
    case 128128: return launch<operand, 128, 128, 32, 3>(gemm, plan, stream);
    case 64128: return launch<operand, 64, 128, 32, 3>(gemm, plan, stream);
    case 64064: return launch<operand, 64, 64, 16, 4>(gemm, plan, stream);
    case 32064: return launch<operand, 32, 64, 16, 5>(gemm, plan, stream);
    default: return cudaErrorInvalidConfiguration;
    }
}

} // namespace

#endif
