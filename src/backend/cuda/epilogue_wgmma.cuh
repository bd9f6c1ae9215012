/* What happens to a warpgroup's tile of sums on its way out, on Hopper: LayerNorm, bias, activation, residual,
 * rounding, whole lines to memory, and the statistics of the result. Each warp has 16 rows and works for itself. */
#ifndef CLIPC_BACKEND_CUDA_EPILOGUE_WGMMA_CUH
#define CLIPC_BACKEND_CUDA_EPILOGUE_WGMMA_CUH

#include "backend/cuda/epilogue.cuh"

/* Rows travel between registers and memory in boxes of 64 columns, 128 bytes a row, 128-byte swizzled. A warp has a
 * box of its 16 rows for the way out; stores by the copy engine would queue behind the loads of the tiles to come. */
constexpr int box_columns = 64;
constexpr int box_row_bytes = 128;
constexpr int warp_box_bytes = 16 * box_row_bytes;

__host__ __device__ constexpr int boxes_of(int columns)
{
    return (columns + box_columns - 1) / box_columns;
}

/* Where this lane's row of the index-th 16 columns lies in a box, for load_matrix_x4 and store_matrix_x4. `box` is the
 * address of the first of the warp's 16 rows. */
static __device__ __forceinline__ uint32_t fragment_place(uint32_t box, int index)
{
    const int lane = threadIdx.x % 32;
    return box + lane % 16 * box_row_bytes + (((index * 2 + lane / 16) ^ (lane & 7)) << 4);
}

/* What LayerNorm needs of a row: 1 / standard deviation, and −mean / standard deviation. */
static __device__ __forceinline__ float2 row_terms(const clipc_cuda_statistics &statistics, int row)
{
    const float2 pair = read_row_statistics<4>(statistics, row);
    return make_float2(pair.y, -pair.x * pair.y);
}

/* Of a lane's two rows, lane/4 and lane/4 + 8, out of shared memory. */
static __device__ __forceinline__ row_pair share_rows(uint32_t shared)
{
    const uint32_t top = shared + threadIdx.x % 32 / 4 * 8;
    return {load_shared_x2f(top), load_shared_x2f(top + 64)};
}

/* The residual of rows that a list names: a lane's own pairs of columns. */
template <int n8>
static __device__ __forceinline__ void gather_residual(const clipc_cuda_gemm &gemm, int row0, int column0,
                                                       uint32_t (&residual)[n8][2])
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = min(row0 + lane / 4 + half * 8, gemm.rows - 1);
        const uint16_t *from = static_cast<const uint16_t *>(gemm.residual) +
                               (size_t)gemm.residual_row[row] * gemm.residual_stride + column0 + lane % 4 * 2;
#pragma unroll
        for (int j = 0; j < n8; j++)
            residual[j][half] = column0 + j * 8 < gemm.columns ? *reinterpret_cast<const uint32_t *>(from + j * 8) : 0;
    }
}

/* Mean and squared differences of the tile's columns that the row has, for the lane's two rows. `whole`: all count. */
template <bool whole, int n8>
static __device__ __forceinline__ void leave_rows(const clipc_cuda_gemm &gemm, const float (&sums)[n8][4], int row0,
                                                  int column0, int count)
{
    const int lane = threadIdx.x % 32;
    const float scale = 1.0f / (float)count;
#pragma unroll
    for (int half = 0; half < 4; half += 2) {
        float total = 0;
#pragma unroll
        for (int j = 0; j < n8; j++) {
            const int column = j * 8 + lane % 4 * 2;
            total += (whole || column < count ? sums[j][half] : 0.0f) +
                     (whole || column + 1 < count ? sums[j][half + 1] : 0.0f);
        }
        const float mean = quad_sum(total) * scale;
        float squares = 0;
#pragma unroll
        for (int j = 0; j < n8; j++) {
            const int column = j * 8 + lane % 4 * 2;
            const float a = whole || column < count ? sums[j][half] - mean : 0.0f;
            const float b = whole || column + 1 < count ? sums[j][half + 1] - mean : 0.0f;
            squares += a * a + b * b;
        }
        squares = quad_sum(squares);
        const int row = row0 + lane / 4 + half * 4;
        if (lane % 4 == 0 && row < gemm.rows) {
            const int to = gemm.output_row ? gemm.output_row[row] : row;
            reinterpret_cast<float2 *>(gemm.leave.pairs)[(size_t)to * gemm.leave.parts + column0 / (n8 * 8)] =
                make_float2(mean, squares);
        }
    }
}

/* Where a lane's pieces of a box go: it has every fourth row, from lane/8 on, and of each the same eight columns. */
struct row_places {
    int offset[4]; /* in values; −1: there is no such row */
};

static __device__ __forceinline__ row_places find_rows(const clipc_cuda_gemm &gemm, int row0)
{
    row_places places;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = row0 + (int)threadIdx.x % 32 / 8 + i * 4;
        places.offset[i] = -1;
        if (row < gemm.rows)
            places.offset[i] = (gemm.output_row ? gemm.output_row[row] : row) * gemm.output_stride;
    }
    return places;
}

/* Writes a box's first `columns` columns. All are read before the first is written: a store holds its registers. */
template <int columns>
static __device__ __forceinline__ void store_box(const clipc_cuda_gemm &gemm, const row_places &places, int column0,
                                                 uint32_t box)
{
    const int lane = threadIdx.x % 32;
    uint4 piece[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = i * 4 + lane / 8;
        piece[i] = load_shared_x4(box + row * box_row_bytes + ((lane % 8 ^ (row & 7)) << 4));
    }
    const int column = column0 + lane % 8 * 8;
    uint16_t *output = static_cast<uint16_t *>(gemm.output) + column;
    if (column < gemm.columns && (columns == box_columns || lane % 8 * 8 < columns))
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (places.offset[i] >= 0)
                *reinterpret_cast<uint4 *>(output + places.offset[i]) = piece[i];
}

/* LayerNorm, bias, activation and residual of a lane's pair of columns in its two rows. `term`: (bias, Σw') of both.
 * Without LayerNorm the rows' scale is 1 and their shift 0. */
template <typename row_type, epilogue_kind kind>
static __device__ __forceinline__ void finish_pair(float (&sum)[4], const float4 &term, const row_pair &rows,
                                                   const uint32_t (&residual)[2])
{
    if (adds_residual(kind)) {
        const float2 top = row_type::unpack(residual[0]);
        const float2 bottom = row_type::unpack(residual[1]);
        sum[0] += term.x + top.x;
        sum[1] += term.z + top.y;
        sum[2] += term.x + bottom.x;
        sum[3] += term.z + bottom.y;
        if (kind == EPILOGUE_RESIDUAL_RELU)
#pragma unroll
            for (int i = 0; i < 4; i++)
                sum[i] = activate<EPILOGUE_RELU>(sum[i]);
    } else {
        sum[0] = activate<kind>(rows.top.x * sum[0] + (rows.top.y * term.y + term.x));
        sum[1] = activate<kind>(rows.top.x * sum[1] + (rows.top.y * term.w + term.z));
        sum[2] = activate<kind>(rows.bottom.x * sum[2] + (rows.bottom.y * term.y + term.x));
        sum[3] = activate<kind>(rows.bottom.x * sum[3] + (rows.bottom.y * term.w + term.z));
    }
}

/* Rounds a lane's pairs to what rows are kept in. `keep`: sum becomes the rounded values. */
template <typename row_type, bool keep>
static __device__ __forceinline__ void round_pairs(float (&sum)[4], uint32_t &top, uint32_t &bottom)
{
    top = row_type::pack(sum[0], sum[1]);
    bottom = row_type::pack(sum[2], sum[3]);
    if (keep) {
        const float2 a = row_type::unpack(top);
        const float2 b = row_type::unpack(bottom);
        sum[0] = a.x;
        sum[1] = a.y;
        sum[2] = b.x;
        sum[3] = b.y;
    }
}

static __device__ __forceinline__ void store_row_pair(const clipc_cuda_gemm &gemm, const float (&sum)[4], int row0,
                                                      int column0)
{
    const int lane = threadIdx.x % 32;
    const int column = column0 + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 4; half += 2) {
        const int row = row0 + lane / 4 + half * 4;
        if (row < gemm.rows && column < gemm.columns) {
            const int to = gemm.output_row ? gemm.output_row[row] : row;
            *reinterpret_cast<float2 *>(gemm.output_fp32 + (size_t)to * gemm.output_stride + column) =
                make_float2(sum[half], sum[half + 1]);
        }
    }
}

/* The whole epilogue of a warp's 16 rows and n8 × 8 columns from (row0, column0) on. `terms`: the tile's (bias, Σw').
 */
template <typename row_type, epilogue_kind kind, int n8>
static __device__ __forceinline__ void finish_tile(const clipc_cuda_gemm &gemm, float (&sums)[n8][4], int row0,
                                                   int column0, uint32_t terms, const row_pair &rows,
                                                   const uint32_t (&residual)[n8][2], uint32_t box)
{
    constexpr int together = n8 > 16 ? 4 : 2; /* terms asked for at once */
    const int lane = threadIdx.x % 32;
    float4 term[together];
    row_places places;
    if constexpr (kind != EPILOGUE_FP32)
        places = find_rows(gemm, row0);
#pragma unroll
    for (int j = 0; j < n8; j += 2) {
        const int column = column0 + j * 8;
        if (j % 8 == 0) {
            if (column >= gemm.columns)
                break;
            __syncwarp(); /* every lane has read the last box */
        }
        if (j % together == 0)
#pragma unroll
            for (int i = 0; i < together; i++)
                if (j + i < n8)
                    term[i] = load_shared_x4f(terms + (uint32_t)((j + i) * 8 + lane % 4 * 2) * 8);
        finish_pair<row_type, kind>(sums[j], term[j % together], rows, residual[j]);
        finish_pair<row_type, kind>(sums[j + 1], term[j % together + 1], rows, residual[j + 1]);
        if constexpr (kind == EPILOGUE_FP32) {
            store_row_pair(gemm, sums[j], row0, column);
            store_row_pair(gemm, sums[j + 1], row0, column + 8);
        } else {
            uint32_t packed[4];
            round_pairs<row_type, kind == EPILOGUE_RESIDUAL>(sums[j], packed[0], packed[1]);
            round_pairs<row_type, kind == EPILOGUE_RESIDUAL>(sums[j + 1], packed[2], packed[3]);
            store_matrix_x4(fragment_place(box, j % 8 / 2), packed);
            if (j % 8 == 6 || j == n8 - 2) {
                __syncwarp();
                if (j % 8 == 6)
                    store_box<box_columns>(gemm, places, column0 + j / 8 * box_columns, box);
                else
                    store_box<n8 % 8 * 8>(gemm, places, column0 + j / 8 * box_columns, box);
            }
        }
    }
    if (kind == EPILOGUE_RESIDUAL && gemm.leave.pairs) {
        const int count = min(n8 * 8, gemm.leave.columns - column0);
        if (count == n8 * 8)
            leave_rows<true>(gemm, sums, row0, column0, count);
        else if (count > 0)
            leave_rows<false>(gemm, sums, row0, column0, count);
    }
}

#endif
