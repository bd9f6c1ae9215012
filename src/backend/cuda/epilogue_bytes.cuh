/* The way out of a product of bytes: scales, bias, activation or residual, from a lane's registers to memory and back
 * without a stop. The weights' rows are packed in the order (weight_pack.h) in which the columns that a lane holds lie
 * side by side in memory, 16 bytes of them: 32 columns of a tile are a group of fp16, 64 a group of e4m3. */
#ifndef CLIPC_BACKEND_CUDA_EPILOGUE_BYTES_CUH
#define CLIPC_BACKEND_CUDA_EPILOGUE_BYTES_CUH

#include "backend/cuda/epilogue.cuh"

/* What one step of the input is worth in a lane's two rows, lane/4 and lane/4 + 8. */
struct row_steps {
    float top;
    float bottom;
};

template <typename operand>
static __device__ __forceinline__ row_steps read_row_steps(const clipc_cuda_gemm &gemm, int row0)
{
    row_steps steps = {1, 1};
    if (operand::row_scaled) {
        const int row = row0 + (int)threadIdx.x % 32 / 4;
        steps.top = gemm.row_scale[min(row, gemm.rows - 1)];
        steps.bottom = gemm.row_scale[min(row + 8, gemm.rows - 1)];
    }
    return steps;
}

/* The residual of 16 rows × n8 × 8 columns, as a lane needs it: [group of 32 columns][row]. */
template <int n8>
static __device__ __forceinline__ void ask_residual(const clipc_cuda_gemm &gemm, int row0, int column0,
                                                    uint4 (&residual)[n8 / 4][2])
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = row0 + lane / 4 + half * 8;
        const int from = row < gemm.rows ? (gemm.residual_row ? gemm.residual_row[row] : row) : 0;
        const uint16_t *line = static_cast<const uint16_t *>(gemm.residual) + (size_t)from * gemm.residual_stride;
#pragma unroll
        for (int group = 0; group < n8 / 4; group++) {
            const int column = column0 + group * 32 + lane % 4 * 8;
            residual[group][half] = make_uint4(0, 0, 0, 0);
            if (row < gemm.rows && column < gemm.columns)
                residual[group][half] = *reinterpret_cast<const uint4 *>(line + column);
        }
    }
}

/* Two neighbours: sums × scales + bias, with the columns' terms (bias, scale, bias, scale). */
template <typename operand>
static __device__ __forceinline__ float2 scale_pair(typename operand::sum low, typename operand::sum high,
                                                    const float4 &term, float step)
{
    float2 pair = make_float2((float)low, (float)high);
    if (operand::row_scaled) {
        pair.x *= step;
        pair.y *= step;
    }
    return make_float2(fmaf(pair.x, term.y, term.x), fmaf(pair.y, term.w, term.z));
}

/* x · sigmoid(1.702 x) = x/2 · (1 + tanh(0.851 x)), two at a time; times `scale`. Its error, 2⁻¹¹, is far below what
 * e4m3 keeps. */
static __device__ __forceinline__ uint32_t quick_gelu_halves(float2 x, float scale)
{
    const __half2 pair = __floats2half2_rn(x.x, x.y);
    const __half2 half = __hmul2(pair, __float2half2_rn(0.5f * scale));
    const __half2 result = __hfma2(half, tanh_halves(__hmul2(pair, __float2half2_rn(0.851f))), half);
    return *reinterpret_cast<const uint32_t *>(&result);
}

/* Two neighbours as the next product's operands. */
template <epilogue_kind kind> static __device__ __forceinline__ uint32_t activated_bytes(float2 x, float scale)
{
    if (kind == EPILOGUE_QUICK_GELU)
        return e4m3_of_halves(quick_gelu_halves(x, scale));
    return e4m3_of_floats(activate<kind>(x.x) * scale, activate<kind>(x.y) * scale);
}

static __device__ __forceinline__ void store_words(const clipc_cuda_gemm &gemm, int value_bytes, int row, int column,
                                                   const uint32_t (&word)[4])
{
    if (row < gemm.rows && column < gemm.columns)
        *reinterpret_cast<uint4 *>(static_cast<uint8_t *>(gemm.output) +
                                   ((size_t)row * gemm.output_stride + column) * value_bytes) =
            make_uint4(word[0], word[1], word[2], word[3]);
}

/* The whole epilogue of a warp's 16 rows: n8 × 8 columns (a multiple of 64) from (row0, column0) on. `terms` are the
 * tile's (bias, scale). A lane fills 16 bytes of each of its two rows at a time. */
template <typename operand, epilogue_kind kind, int n8>
static __device__ __forceinline__ void
finish_bytes(const clipc_cuda_gemm &gemm, const typename operand::sum (&sums)[n8][4], int row0, int column0,
             const float *terms, const row_steps &steps, const uint4 (&residual)[n8 / 4][2])
{
    constexpr bool to_bytes = operand::activates_to_bytes && kind != EPILOGUE_PLAIN && kind != EPILOGUE_RESIDUAL;
    constexpr int group = to_bytes ? 8 : 4; /* of 8 columns */
    const int lane = threadIdx.x % 32;
    const float4 *term = reinterpret_cast<const float4 *>(terms) + lane % 4;
#pragma unroll
    for (int first = 0; first < n8; first += group) {
        uint32_t top[4];
        uint32_t bottom[4];
#pragma unroll
        for (int i = 0; i < group; i++) {
            const typename operand::sum(&sum)[4] = sums[first + i];
            const float4 own = term[(first + i) * 4];
            float2 high = scale_pair<operand>(sum[0], sum[1], own, steps.top);
            float2 low = scale_pair<operand>(sum[2], sum[3], own, steps.bottom);
            if (to_bytes) {
                const uint32_t shift = i % 2 * 16;
                const uint32_t above = activated_bytes<kind>(high, gemm.output_scale) << shift;
                const uint32_t below = activated_bytes<kind>(low, gemm.output_scale) << shift;
                top[i / 2] = shift ? top[i / 2] | above : above;
                bottom[i / 2] = shift ? bottom[i / 2] | below : below;
                continue;
            }
            high = make_float2(activate<kind>(high.x), activate<kind>(high.y));
            low = make_float2(activate<kind>(low.x), activate<kind>(low.y));
            if (kind == EPILOGUE_RESIDUAL) {
                const float2 more_high =
                    f16::unpack(reinterpret_cast<const uint32_t *>(&residual[first / 4][0])[i % 4]);
                const float2 more_low =
                    f16::unpack(reinterpret_cast<const uint32_t *>(&residual[first / 4][1])[i % 4]);
                high = make_float2(high.x + more_high.x, high.y + more_high.y);
                low = make_float2(low.x + more_low.x, low.y + more_low.y);
            }
            top[i % 4] = f16::pack(high.x, high.y);
            bottom[i % 4] = f16::pack(low.x, low.y);
        }
        const int column = column0 + first * 8 + lane % 4 * (to_bytes ? 16 : 8);
        store_words(gemm, to_bytes ? 1 : 2, row0 + lane / 4, column, top);
        store_words(gemm, to_bytes ? 1 : 2, row0 + lane / 4 + 8, column, bottom);
    }
}

/* Calls launch(kind, …) with the epilogue that a product of bytes has. */
#define BY_BYTES_EPILOGUE(gemm, launch, ...)                                                                          \
    switch (epilogue_of(*(gemm))) {                                                                                   \
    case EPILOGUE_PLAIN: return launch(EPILOGUE_PLAIN, __VA_ARGS__);                                                  \
    case EPILOGUE_QUICK_GELU: return launch(EPILOGUE_QUICK_GELU, __VA_ARGS__);                                        \
    case EPILOGUE_GELU: return launch(EPILOGUE_GELU, __VA_ARGS__);                                                    \
    case EPILOGUE_GELU_TANH: return launch(EPILOGUE_GELU_TANH, __VA_ARGS__);                                          \
    case EPILOGUE_RESIDUAL: return launch(EPILOGUE_RESIDUAL, __VA_ARGS__);                                            \
    default: return cudaErrorInvalidValue;                                                                            \
    }

/* The same of those whose output is halves for every operand. */
#define BY_HALVES_EPILOGUE(gemm, launch, ...)                                                                         \
    switch (epilogue_of(*(gemm))) {                                                                                   \
    case EPILOGUE_PLAIN: return launch(EPILOGUE_PLAIN, __VA_ARGS__);                                                  \
    case EPILOGUE_RESIDUAL: return launch(EPILOGUE_RESIDUAL, __VA_ARGS__);                                            \
    default: return cudaErrorInvalidValue;                                                                            \
    }

#endif
