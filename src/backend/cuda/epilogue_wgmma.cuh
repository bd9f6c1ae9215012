/* What happens to a warpgroup's tile of sums on its way out, on Hopper: LayerNorm, bias, activation, residual,
 * rounding, and the statistics of the result. Each warp has 16 rows and works for itself.
 *
 * The weights' rows come into shared memory in an order (clipc_cuda_weight_map) in which a lane's sums are `run`
 * neighbours of each of its rows, lane/4 and lane/4 + 8: it stores them without another lane's help. n8 × 8 columns
 * are groups of 4 × run, of which lane%4 = q has columns q × run on. Sums 2i and 2i + 1 of a group's j-th eight
 * columns are a pair of them. */
#ifndef CLIPC_BACKEND_CUDA_EPILOGUE_WGMMA_CUH
#define CLIPC_BACKEND_CUDA_EPILOGUE_WGMMA_CUH

#include "backend/cuda/epilogue.cuh"

/* The column, in its tile, of the first of the lane's j-th pair. */
template <int run> static __device__ __forceinline__ int pair_column(int j)
{
    return j / (run / 2) * 4 * run + (int)threadIdx.x % 4 * run + j % (run / 2) * 2;
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

/* The terms (bias, Σw', bias, Σw') of a tile's pair of columns lie where the four lanes that want them at a time find
 * them side by side. */
template <int run> static __device__ __forceinline__ uint32_t pair_terms_offset(int pair)
{
    const int j = pair / (2 * run) * (run / 2) + pair % (run / 2);
    return (uint32_t)(j * 64 + pair % (2 * run) / (run / 2) * 16);
}

/* `count` words, 1, 2 or 4, of which the memory is as aligned as they are long. */
template <int count> static __device__ __forceinline__ void read_words(uint32_t *to, const void *from)
{
    if constexpr (count == 4) {
        const uint4 words = *static_cast<const uint4 *>(from);
        to[0] = words.x, to[1] = words.y, to[2] = words.z, to[3] = words.w;
    } else if constexpr (count == 2) {
        const uint2 words = *static_cast<const uint2 *>(from);
        to[0] = words.x, to[1] = words.y;
    } else {
        to[0] = *static_cast<const uint32_t *>(from);
    }
}

template <int count> static __device__ __forceinline__ void write_words(void *to, const uint32_t *from)
{
    if constexpr (count == 4)
        *static_cast<uint4 *>(to) = make_uint4(from[0], from[1], from[2], from[3]);
    else if constexpr (count == 2)
        *static_cast<uint2 *>(to) = make_uint2(from[0], from[1]);
    else
        *static_cast<uint32_t *>(to) = from[0];
}

/* A lane's values of its two rows, in pairs of neighbours. */
template <int n8> struct row_values {
    uint32_t top[n8];
    uint32_t bottom[n8];
};

/* The residual of rows that a list names. */
template <int run, int n8>
static __device__ __forceinline__ void gather_residual(const clipc_cuda_gemm &gemm, int row0, int column0,
                                                       row_values<n8> &residual)
{
    constexpr int words = run / 2;
    const int top = min(row0 + (int)threadIdx.x % 32 / 4, gemm.rows - 1);
    const int bottom = min(row0 + (int)threadIdx.x % 32 / 4 + 8, gemm.rows - 1);
    const uint16_t *from = static_cast<const uint16_t *>(gemm.residual);
    const uint16_t *from_top = from + (size_t)gemm.residual_row[top] * gemm.residual_stride;
    const uint16_t *from_bottom = from + (size_t)gemm.residual_row[bottom] * gemm.residual_stride;
#pragma unroll
    for (int j = 0; j < n8; j += words) {
        const int column = column0 + pair_column<run>(j);
        if (column >= gemm.columns)
            break;
        read_words<words>(&residual.top[j], from_top + column);
        read_words<words>(&residual.bottom[j], from_bottom + column);
    }
}

/* LayerNorm, bias, activation and residual of a lane's pair of columns in its two rows. `term`: (bias, Σw') of both.
 * Without LayerNorm the rows' scale is 1 and their shift 0. */
template <typename row_type, epilogue_kind kind>
static __device__ __forceinline__ void finish_pair(const float (&sum)[4], const float4 &term, const row_pair &rows,
                                                   uint32_t residual_top, uint32_t residual_bottom, float (&to)[4])
{
    if (adds_residual(kind)) {
        const float2 top = row_type::unpack(residual_top);
        const float2 bottom = row_type::unpack(residual_bottom);
        to[0] = sum[0] + (term.x + top.x);
        to[1] = sum[1] + (term.z + top.y);
        to[2] = sum[2] + (term.x + bottom.x);
        to[3] = sum[3] + (term.z + bottom.y);
        if (kind == EPILOGUE_RESIDUAL_RELU)
#pragma unroll
            for (int i = 0; i < 4; i++)
                to[i] = activate<EPILOGUE_RELU>(to[i]);
    } else {
        to[0] = activate<kind>(rows.top.x * sum[0] + (rows.top.y * term.y + term.x));
        to[1] = activate<kind>(rows.top.x * sum[1] + (rows.top.y * term.w + term.z));
        to[2] = activate<kind>(rows.bottom.x * sum[2] + (rows.bottom.y * term.y + term.x));
        to[3] = activate<kind>(rows.bottom.x * sum[3] + (rows.bottom.y * term.w + term.z));
    }
}

/* Mean and squared differences of one of the lane's rows, of the tile's columns that the row has, `count`. `whole`:
 * all count. */
template <typename row_type, bool whole, int run, int n8>
static __device__ __forceinline__ float2 row_statistics(const uint32_t (&values)[n8], int count)
{
    float total = 0;
#pragma unroll
    for (int j = 0; j < n8; j++) {
        const float2 pair = row_type::unpack(values[j]);
        total += (whole || pair_column<run>(j) < count ? pair.x : 0.0f) +
                 (whole || pair_column<run>(j) + 1 < count ? pair.y : 0.0f);
    }
    const float mean = quad_sum(total) * (1.0f / (float)count);
    float squares = 0;
#pragma unroll
    for (int j = 0; j < n8; j++) {
        const float2 pair = row_type::unpack(values[j]);
        const float a = whole || pair_column<run>(j) < count ? pair.x - mean : 0.0f;
        const float b = whole || pair_column<run>(j) + 1 < count ? pair.y - mean : 0.0f;
        squares += a * a + b * b;
    }
    return make_float2(mean, quad_sum(squares));
}

/* Leaves them of both rows. */
template <typename row_type, bool whole, int run, int n8>
static __device__ __forceinline__ void leave_rows(const clipc_cuda_gemm &gemm, const row_values<n8> &values, int row0,
                                                  int column0, int count)
{
    const float2 top = row_statistics<row_type, whole, run>(values.top, count);
    const float2 bottom = row_statistics<row_type, whole, run>(values.bottom, count);
    float2 *const pairs = reinterpret_cast<float2 *>(gemm.leave.pairs) + column0 / (n8 * 8);
    const int row = row0 + (int)threadIdx.x % 32 / 4;
    if (threadIdx.x % 4 == 0 && row < gemm.rows)
        pairs[(size_t)(gemm.output_row ? gemm.output_row[row] : row) * gemm.leave.parts] = top;
    if (threadIdx.x % 4 == 0 && row + 8 < gemm.rows)
        pairs[(size_t)(gemm.output_row ? gemm.output_row[row + 8] : row + 8) * gemm.leave.parts] = bottom;
}

/* Rounded results of a tile on their way out, `run` columns of a lane's two rows at a time. */
template <int run, int n8> struct results {
    static constexpr int words = run / 2;
    static constexpr int groups = n8 / words;
    row_values<n8> values;
    uint16_t *top; /* where the first go; NULL: there is no such row */
    uint16_t *bottom;
    int columns; /* from the tile's first on, that the matrix has */

    /* The next results will be those of the warp's 16 rows at row0. */
    __device__ __forceinline__ void place(const clipc_cuda_gemm &gemm, int row0, int column0)
    {
        const int row = row0 + (int)threadIdx.x % 32 / 4;
        const bool has_top = row < gemm.rows;
        const bool has_bottom = row + 8 < gemm.rows;
        int to_top = row;
        int to_bottom = row + 8;
        if (gemm.output_row) {
            to_top = has_top ? gemm.output_row[row] : 0;
            to_bottom = has_bottom ? gemm.output_row[row + 8] : 0;
        }
        uint16_t *const output = static_cast<uint16_t *>(gemm.output) + column0 + threadIdx.x % 4 * run;
        top = has_top ? output + (size_t)to_top * gemm.output_stride : NULL;
        bottom = has_bottom ? output + (size_t)to_bottom * gemm.output_stride : NULL;
        columns = gemm.columns - column0;
    }

    __device__ __forceinline__ void store(int group) const
    {
        if (group * 4 * run >= columns)
            return;
        if (top)
            write_words<words>(top + group * 4 * run, &values.top[group * words]);
        if (bottom)
            write_words<words>(bottom + group * 4 * run, &values.bottom[group * words]);
    }
};

static __device__ __forceinline__ void store_row_pair(const clipc_cuda_gemm &gemm, const float (&sum)[4], int row0,
                                                      int column)
{
#pragma unroll
    for (int half = 0; half < 4; half += 2) {
        const int row = row0 + (int)threadIdx.x % 32 / 4 + half * 4;
        if (row < gemm.rows && column < gemm.columns) {
            const int to = gemm.output_row ? gemm.output_row[row] : row;
            *reinterpret_cast<float2 *>(gemm.output_fp32 + (size_t)to * gemm.output_stride + column) =
                make_float2(sum[half], sum[half + 1]);
        }
    }
}

/* The whole epilogue of a warp's 16 rows and n8 × 8 columns from (row0, column0) on, but for the stores unless
 * `store_now`. `terms`: the tile's, as pair_terms_offset says. The residual is in `out`, where the results go. */
template <typename row_type, epilogue_kind kind, int run, int n8>
static __device__ __forceinline__ void finish_tile(const clipc_cuda_gemm &gemm, const float (&sums)[n8][4], int row0,
                                                   int column0, uint32_t terms, const row_pair &rows,
                                                   results<run, n8> &out, bool store_now)
{
    constexpr int words = run / 2;
    const uint32_t own_terms = terms + threadIdx.x % 4 * 16;
#pragma unroll
    for (int j = 0; j < n8; j++) {
        float finished[4];
        finish_pair<row_type, kind>(sums[j], load_shared_x4f(own_terms + (uint32_t)j * 64), rows, out.values.top[j],
                                    out.values.bottom[j], finished);
        if constexpr (kind == EPILOGUE_FP32) {
            store_row_pair(gemm, finished, row0, column0 + pair_column<run>(j));
        } else {
            out.values.top[j] = row_type::pack(finished[0], finished[1]);
            out.values.bottom[j] = row_type::pack(finished[2], finished[3]);
            if (store_now && j % words == words - 1)
                out.store(j / words);
        }
    }
    if (kind == EPILOGUE_RESIDUAL && gemm.leave.pairs) {
        const int count = min(n8 * 8, gemm.leave.columns - column0);
        if (count == n8 * 8)
            leave_rows<row_type, true, run>(gemm, out.values, row0, column0, count);
        else if (count > 0)
            leave_rows<row_type, false, run>(gemm, out.values, row0, column0, count);
    }
}

#endif
