/* What happens to a tile of sums on its way out: LayerNorm, bias, activation, residual, and the statistics of the
 * result. A warp has 16 rows × 64 columns in the register layout that mma.m16n8 and wgmma share. */
#ifndef CLIPC_BACKEND_CUDA_EPILOGUE_CUH
#define CLIPC_BACKEND_CUDA_EPILOGUE_CUH

#include "backend/cuda/gemm.h"
#include "backend/cuda/operand.cuh"
#include "backend/cuda/ptx.cuh"

/* A warp's staging area holds 16 rows of the tile at a time, or several times 16: the residual first, then the result
 * in its place. Rows are 16 bytes longer than they need, so that neither way of access meets a bank twice. */
__host__ __device__ constexpr int staging_stride(int columns)
{
    return columns * 2 + 16;
}

static __device__ __forceinline__ float quad_sum(float value)
{
    value += __shfl_xor_sync(0xFFFFFFFF, value, 1);
    return value + __shfl_xor_sync(0xFFFFFFFF, value, 2);
}

static __device__ __forceinline__ float part_columns(const clipc_cuda_statistics &statistics, int part)
{
    return (float)min(statistics.part_width, statistics.columns - part * statistics.part_width);
}

/* x: mean, y: 1 / standard deviation of a row. `batch` parts are asked for at once: one trip to memory, not one a
 * part. The means are joined relative to the first, so that a large common mean cancels nothing. */
template <int batch = 16>
static __device__ __forceinline__ float2 read_row_statistics(const clipc_cuda_statistics &statistics, int row)
{
    if (statistics.parts == 1) {
        const float2 pair = reinterpret_cast<const float2 *>(statistics.pairs)[row];
        return make_float2(pair.x, rsqrtf(pair.y / (float)statistics.columns + statistics.epsilon));
    }
    const float2 *pairs = reinterpret_cast<const float2 *>(statistics.pairs) + (size_t)row * statistics.parts;
    float base = 0;
    float sum = 0;
    float squares = 0;
    for (int first = 0; first < statistics.parts; first += batch) {
        float2 pair[batch];
#pragma unroll
        for (int i = 0; i < batch; i++)
            if (first + i < statistics.parts)
                pair[i] = pairs[first + i];
        if (first == 0)
            base = pair[0].x;
#pragma unroll
        for (int i = 0; i < batch; i++)
            if (first + i < statistics.parts) {
                const float count = part_columns(statistics, first + i);
                const float difference = pair[i].x - base;
                sum += count * difference;
                squares += pair[i].y + count * difference * difference;
            }
    }
    const float scale = 1.0f / (float)statistics.columns;
    const float mean = sum * scale;
    const float variance = fmaxf(squares * scale - mean * mean, 0.0f);
    return make_float2(base + mean, rsqrtf(variance + statistics.epsilon));
}

/* What an epilogue does is fixed when it is compiled: one that chose at run time would be larger than the
 * multiprocessor's instruction cache, and every tile would wait for its code. */
enum epilogue_kind {
    EPILOGUE_PLAIN,
    EPILOGUE_QUICK_GELU,
    EPILOGUE_GELU,
    EPILOGUE_GELU_TANH,
    EPILOGUE_RELU,
    EPILOGUE_RESIDUAL,
    EPILOGUE_RESIDUAL_RELU,
    EPILOGUE_FP32,
    EPILOGUE_NONE /* a combination that no kernel has */
};

__host__ __device__ constexpr bool adds_residual(epilogue_kind kind)
{
    return kind == EPILOGUE_RESIDUAL || kind == EPILOGUE_RESIDUAL_RELU;
}

static inline epilogue_kind epilogue_of(const clipc_cuda_gemm &gemm)
{
    if (gemm.residual && gemm.activation == CLIPC_CUDA_ACTIVATION_RELU && !gemm.output_fp32 && !gemm.leave.pairs)
        return EPILOGUE_RESIDUAL_RELU;
    const bool activates = gemm.activation != CLIPC_CUDA_ACTIVATION_NONE;
    if (activates + (gemm.residual != NULL) + (gemm.output_fp32 != NULL) > 1 || (gemm.leave.pairs && !gemm.residual))
        return EPILOGUE_NONE;
    if (gemm.residual)
        return EPILOGUE_RESIDUAL;
    if (gemm.output_fp32)
        return EPILOGUE_FP32;
    switch (gemm.activation) {
    case CLIPC_CUDA_ACTIVATION_NONE: return EPILOGUE_PLAIN;
    case CLIPC_CUDA_ACTIVATION_QUICK_GELU: return EPILOGUE_QUICK_GELU;
    case CLIPC_CUDA_ACTIVATION_GELU: return EPILOGUE_GELU;
    case CLIPC_CUDA_ACTIVATION_GELU_TANH: return EPILOGUE_GELU_TANH;
    case CLIPC_CUDA_ACTIVATION_RELU: return EPILOGUE_RELU;
    default: return EPILOGUE_NONE;
    }
}

/* Calls launch<…, kind>(…) with the product's epilogue. */
#define BY_EPILOGUE(gemm, launch, ...)                                                                                \
    switch (epilogue_of(*(gemm))) {                                                                                   \
    case EPILOGUE_PLAIN: return launch(EPILOGUE_PLAIN, __VA_ARGS__);                                                  \
    case EPILOGUE_QUICK_GELU: return launch(EPILOGUE_QUICK_GELU, __VA_ARGS__);                                        \
    case EPILOGUE_GELU: return launch(EPILOGUE_GELU, __VA_ARGS__);                                                    \
    case EPILOGUE_GELU_TANH: return launch(EPILOGUE_GELU_TANH, __VA_ARGS__);                                          \
    case EPILOGUE_RELU: return launch(EPILOGUE_RELU, __VA_ARGS__);                                                    \
    case EPILOGUE_RESIDUAL: return launch(EPILOGUE_RESIDUAL, __VA_ARGS__);                                            \
    case EPILOGUE_RESIDUAL_RELU: return launch(EPILOGUE_RESIDUAL_RELU, __VA_ARGS__);                                  \
    case EPILOGUE_FP32: return launch(EPILOGUE_FP32, __VA_ARGS__);                                                    \
    default: return cudaErrorInvalidValue;                                                                            \
    }

template <epilogue_kind kind> static __device__ __forceinline__ float activate(float x)
{
    if (kind == EPILOGUE_QUICK_GELU) { /* x · sigmoid(1.702 x) = h + h · tanh(1.702 h),  h = x / 2 */
        const float half = 0.5f * x;
        return half * tanh_fast(1.702f * half) + half;
    }
    if (kind == EPILOGUE_GELU)
        return 0.5f * x * (1.0f + erff(x * 0.7071067811865476f));
    if (kind == EPILOGUE_GELU_TANH) { /* x · sigmoid(2 inner), with 2 log₂e */
        const float inner = 0.7978845608028654f * (x + 0.044715f * x * x * x);
        return __fdividef(x, 1.0f + exp2_fast(-2.8853900817779268f * inner));
    }
    if (kind == EPILOGUE_RELU)
        return x < 0.0f ? 0.0f : x; /* and what is no number stays so */
    return x;
}

/* Asks for the residual of 16 rows × `columns`; it is there after copy_async_wait and __syncwarp. */
template <int columns>
static __device__ __forceinline__ void fetch_residual(const clipc_cuda_gemm &gemm, int row0, int column0,
                                                      unsigned char *staging)
{
    constexpr int pieces = columns / 8;
    const uint16_t *residual = static_cast<const uint16_t *>(gemm.residual);
#pragma unroll
    for (int i = 0; i < pieces / 2; i++) {
        const int at = i * 32 + (int)threadIdx.x % 32;
        const int row = row0 + at / pieces;
        const int column = column0 + at % pieces * 8;
        const bool valid = row < gemm.rows && column < gemm.columns;
        const int from = valid ? (gemm.residual_row ? gemm.residual_row[row] : row) : 0;
        copy_async_16(shared_address(staging + at / pieces * staging_stride(columns) + at % pieces * 16),
                      valid ? residual + (size_t)from * gemm.residual_stride + column : residual, valid);
    }
}

/* A lane's own places in the staging area: pairs of columns of rows lane/4 and lane/4 + 8. */
template <typename row, int columns>
static __device__ __forceinline__ void add_residual(const unsigned char *place, float (&sum)[8][4])
{
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const float2 a = row::unpack(*reinterpret_cast<const uint32_t *>(place + j * 16));
        const float2 b =
            row::unpack(*reinterpret_cast<const uint32_t *>(place + 8 * staging_stride(columns) + j * 16));
        sum[j][0] += a.x;
        sum[j][1] += a.y;
        sum[j][2] += b.x;
        sum[j][3] += b.y;
    }
}

/* Leaves mean and squared differences of 64 columns of the lane's two rows. `whole`: all of them count. */
template <bool whole>
static __device__ __forceinline__ void leave_part(const clipc_cuda_gemm &gemm, const float (&sum)[8][4], int row0,
                                                  int column0, int count)
{
    const int lane = threadIdx.x % 32;
    const float scale = whole ? 1.0f / CLIPC_CUDA_STATISTICS_WIDTH : 1.0f / (float)count;
#pragma unroll
    for (int half = 0; half < 4; half += 2) {
        float total = 0;
#pragma unroll
        for (int j = 0; j < 8; j++) /* columns beyond the row hold zeros */
            total += sum[j][half] + sum[j][half + 1];
        const float mean = quad_sum(total) * scale;
        float squares = 0;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const int column = j * 8 + lane % 4 * 2;
            const float a = whole || column < count ? sum[j][half] - mean : 0.0f;
            const float b = whole || column + 1 < count ? sum[j][half + 1] - mean : 0.0f;
            squares += a * a + b * b;
        }
        squares = quad_sum(squares);
        const int row = row0 + lane / 4 + half * 4;
        if (lane % 4 == 0 && row < gemm.rows) {
            const int to = gemm.output_row ? gemm.output_row[row] : row;
            float2 *pairs = reinterpret_cast<float2 *>(gemm.leave.pairs);
            pairs[(size_t)to * gemm.leave.parts + column0 / CLIPC_CUDA_STATISTICS_WIDTH] = make_float2(mean, squares);
        }
    }
}

static __device__ __forceinline__ void leave_statistics(const clipc_cuda_gemm &gemm, const float (&sum)[8][4],
                                                        int row0, int column0)
{
    const int count = gemm.leave.columns - column0;
    if (count >= CLIPC_CUDA_STATISTICS_WIDTH)
        leave_part<true>(gemm, sum, row0, column0, count);
    else if (count > 0)
        leave_part<false>(gemm, sum, row0, column0, count);
}

static __device__ __forceinline__ void store_fp32(const clipc_cuda_gemm &gemm, const float (&sum)[8][4], int row0,
                                                  int column0)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const int column = column0 + j * 8 + lane % 4 * 2;
#pragma unroll
        for (int half = 0; half < 4; half += 2) {
            const int row = row0 + lane / 4 + half * 4;
            if (row < gemm.rows && column < gemm.columns) {
                const int to = gemm.output_row ? gemm.output_row[row] : row;
                float *output = gemm.output_fp32 + (size_t)to * gemm.output_stride + column;
                *reinterpret_cast<float2 *>(output) = make_float2(sum[j][half], sum[j][half + 1]);
            }
        }
    }
}

/* Rounds to what rows are kept in; sum keeps the rounded values. */
template <typename row, int columns>
static __device__ __forceinline__ void stage_rows(unsigned char *place, float (&sum)[8][4])
{
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const uint32_t a = row::pack(sum[j][0], sum[j][1]);
        const uint32_t b = row::pack(sum[j][2], sum[j][3]);
        *reinterpret_cast<uint32_t *>(place + j * 16) = a;
        *reinterpret_cast<uint32_t *>(place + 8 * staging_stride(columns) + j * 16) = b;
        const float2 rounded_a = row::unpack(a);
        const float2 rounded_b = row::unpack(b);
        sum[j][0] = rounded_a.x;
        sum[j][1] = rounded_a.y;
        sum[j][2] = rounded_b.x;
        sum[j][3] = rounded_b.y;
    }
}

/* Writes the staged 16 rows, 16 bytes a lane. All are read before the first is written: a store holds its registers.
 */
template <int columns>
static __device__ __forceinline__ void store_staged(const clipc_cuda_gemm &gemm, int row0, int column0,
                                                    const unsigned char *staging)
{
    constexpr int pieces = columns / 8;
    uint4 part[pieces / 2];
#pragma unroll
    for (int i = 0; i < pieces / 2; i++) {
        const int at = i * 32 + (int)threadIdx.x % 32;
        part[i] = *reinterpret_cast<const uint4 *>(staging + at / pieces * staging_stride(columns) + at % pieces * 16);
    }
#pragma unroll
    for (int i = 0; i < pieces / 2; i++) {
        const int at = i * 32 + (int)threadIdx.x % 32;
        const int row = row0 + at / pieces;
        const int column = column0 + at % pieces * 8;
        if (row < gemm.rows && column < gemm.columns) {
            const int to = gemm.output_row ? gemm.output_row[row] : row;
            uint16_t *output = static_cast<uint16_t *>(gemm.output) + (size_t)to * gemm.output_stride + column;
            *reinterpret_cast<uint4 *>(output) = part[i];
        }
    }
}

/* What LayerNorm needs of a lane's two rows, lane/4 and lane/4 + 8: (mean, 1/deviation). */
struct row_pair {
    float2 top;
    float2 bottom;
};

/* Of blocks of 16 rows, `step` rows apart: each lane reads a row, and the lanes share them out. */
template <int blocks>
static __device__ __forceinline__ void read_row_pairs(const clipc_cuda_gemm &gemm, int row0, int step,
                                                      row_pair (&rows)[blocks])
{
    static_assert(blocks <= 2, "a lane has one row");
    const int lane = threadIdx.x % 32;
    float2 own = make_float2(0, 1);
    if (gemm.normalize.pairs) {
        const int row = row0 + (blocks > 1 ? lane / 16 * step : 0) + lane % 16;
        own = read_row_statistics(gemm.normalize, min(row, gemm.rows - 1));
    }
#pragma unroll
    for (int block = 0; block < blocks; block++) {
        const int top = block * 16 + lane / 4;
        rows[block].top.x = __shfl_sync(0xFFFFFFFF, own.x, top);
        rows[block].top.y = __shfl_sync(0xFFFFFFFF, own.y, top);
        rows[block].bottom.x = __shfl_sync(0xFFFFFFFF, own.x, top + 8);
        rows[block].bottom.y = __shfl_sync(0xFFFFFFFF, own.y, top + 8);
    }
}

/* LayerNorm, bias and activation of 64 columns; `terms` are the columns' (bias, Σw'). Without LayerNorm the rows' mean
 * is 0 and their deviation 1, which changes nothing. */
template <epilogue_kind kind>
static __device__ __forceinline__ void apply_terms(const clipc_cuda_gemm &gemm, float (&sum)[8][4], int column0,
                                                   const float *terms, const row_pair &rows)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const int column = j * 8 + lane % 4 * 2;
        float4 term = make_float4(0, 0, 0, 0); /* bias, Σw', bias, Σw' */
        if (column0 + column < gemm.columns)
            term = *reinterpret_cast<const float4 *>(terms + 2 * column);
        sum[j][0] = activate<kind>(rows.top.y * (sum[j][0] - rows.top.x * term.y) + term.x);
        sum[j][1] = activate<kind>(rows.top.y * (sum[j][1] - rows.top.x * term.w) + term.z);
        sum[j][2] = activate<kind>(rows.bottom.y * (sum[j][2] - rows.bottom.x * term.y) + term.x);
        sum[j][3] = activate<kind>(rows.bottom.y * (sum[j][3] - rows.bottom.x * term.w) + term.z);
    }
}

/* The whole epilogue of a warp's 16 rows: n8 × 8 columns (a multiple of 64) from (row0, column0) on. `terms` are the
 * tile's; the residual, if there is one, lies in `staging`. */
template <typename row, epilogue_kind kind, int n8>
static __device__ __forceinline__ void finish_rows(const clipc_cuda_gemm &gemm, float (&sums)[n8][4], int row0,
                                                   int column0, const float *terms, const row_pair &rows,
                                                   unsigned char *staging)
{
    constexpr int columns = n8 * 8;
    if (row0 >= gemm.rows)
        return;
    const int lane = threadIdx.x % 32;
    unsigned char *place = staging + lane / 4 * staging_stride(columns) + lane % 4 * 4;
#pragma unroll
    for (int chunk = 0; chunk < n8 / 8; chunk++) {
        const int column = column0 + chunk * 64;
        if (column >= gemm.columns)
            break;
        float(&sum)[8][4] = *reinterpret_cast<float(*)[8][4]>(&sums[chunk * 8]);
        apply_terms<kind>(gemm, sum, column, terms + chunk * 128, rows);
        if (adds_residual(kind))
            add_residual<row, columns>(place + chunk * 128, sum);
        if (kind == EPILOGUE_RESIDUAL_RELU)
#pragma unroll
            for (int i = 0; i < 32; i++)
                sum[i / 4][i % 4] = activate<EPILOGUE_RELU>(sum[i / 4][i % 4]);
        if (kind == EPILOGUE_FP32)
            store_fp32(gemm, sum, row0, column);
        else
            stage_rows<row, columns>(place + chunk * 128, sum);
        if (kind == EPILOGUE_RESIDUAL && gemm.leave.pairs)
            leave_statistics(gemm, sum, row0, column);
    }
    if (kind != EPILOGUE_FP32) {
        __syncwarp();
        store_staged<columns>(gemm, row0, column0, staging);
    }
}

#endif
