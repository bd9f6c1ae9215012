/* Patches out of pixels, rows out of patches and token ids. A warp has a row. */
#include "backend/cuda/rows.cuh"
#include "backend/cuda/steps.h"

namespace
{

constexpr int threads = 256;
constexpr int warps = threads / 32;

/* Eight neighbours of a patch for each thread: one 16-byte store. */
template <typename half>
__global__ void __launch_bounds__(threads) patches_of_pixels(const float *pixels, long long pieces, int image_size,
                                                             int patch_size, uint16_t *patches, int stride)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    const int grid = image_size / patch_size;
    const int area = patch_size * patch_size;
    const int row_pieces = stride / 8;
    const long long piece = (long long)blockIdx.x * threads + threadIdx.x;
    if (piece >= pieces)
        return;
    const long long patch = piece / row_pieces;
    const int first = (int)(piece % row_pieces) * 8;
    const int item = (int)(patch / (grid * grid));
    const int at = (int)(patch % (grid * grid));
    const float *corner = pixels + (size_t)item * 3 * image_size * image_size +
                          (size_t)(at / grid) * patch_size * image_size + at % grid * patch_size;
    float value[8];
    if (patch_size % 8 == 0) { /* the eight lie side by side */
        const int inside = first % area;
        const float *from = corner + (size_t)(first / area) * image_size * image_size +
                            (size_t)(inside / patch_size) * image_size + inside % patch_size;
        if (image_size % 4 == 0) {
            const float4 low = __ldcs(reinterpret_cast<const float4 *>(from));
            const float4 high = __ldcs(reinterpret_cast<const float4 *>(from) + 1);
            value[0] = low.x, value[1] = low.y, value[2] = low.z, value[3] = low.w;
            value[4] = high.x, value[5] = high.y, value[6] = high.z, value[7] = high.w;
        } else {
#pragma unroll
            for (int i = 0; i < 8; i++)
                value[i] = __ldcs(from + i);
        }
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const int element = first + i;
            const int inside = element % area;
            value[i] = element < 3 * area ? corner[(size_t)(element / area) * image_size * image_size +
                                                   (size_t)(inside / patch_size) * image_size + inside % patch_size]
                                          : 0.0f;
        }
    }
    reinterpret_cast<uint4 *>(patches)[piece] =
        make_uint4(half::pack(value[0], value[1]), half::pack(value[2], value[3]), half::pack(value[4], value[5]),
                   half::pack(value[6], value[7]));
}

template <typename half, int steps>
__global__ void __launch_bounds__(threads)
    image_rows(uint16_t *rows, int count, int tokens, int width, int stride, const float *class_row,
               const float *weight, const float *bias, float epsilon, float2 *statistics)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    const int index = (int)blockIdx.x * warps + (int)threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (index >= count * tokens)
        return;
    row_values<steps> row;
    uint16_t *place = rows + (size_t)index * stride;
    if (index % tokens == 0) {
#pragma unroll
        for (int i = 0; i < steps; i++)
            load_vector(class_row, i * 256 + lane * 8, stride, row.value[i]);
    } else {
        load_row<half>(place, stride, row);
    }
    const float2 before = measure(row, width);
    const float scale = rsqrtf(before.y / (float)width + epsilon);
#pragma unroll
    for (int i = 0; i < steps && weight; i++) {
        float factor[8];
        float offset[8];
        load_vector(weight, i * 256 + lane * 8, stride, factor);
        load_vector(bias, i * 256 + lane * 8, stride, offset);
#pragma unroll
        for (int j = 0; j < 8; j++)
            row.value[i][j] = (row.value[i][j] - before.x) * scale * factor[j] + offset[j];
    }
    store_row<half>(place, stride, row);
    const float2 after = measure(row, width);
    if (lane == 0)
        statistics[index] = after;
}

/* A block has an item, whose rows from `first` on its warps take in turn. */
template <typename half, int steps>
__global__ void __launch_bounds__(threads)
    average_rows(const uint16_t *rows, int tokens, int first, int width, int stride, int normalize, float epsilon,
                 uint16_t *to, float2 *statistics)
{
    extern __shared__ float sums[]; /* [warps][steps × 256] */
    let_next_kernel_start();
    wait_for_previous_kernel();
    const int lane = threadIdx.x % 32;
    row_values<steps> total = {};
    for (int token = first + (int)threadIdx.x / 32; token < tokens; token += warps) {
        row_values<steps> row;
        load_row<half>(rows + ((size_t)blockIdx.x * tokens + token) * stride, stride, row);
        const float2 pair = normalize ? measure(row, width) : make_float2(0, 0);
        const float scale = normalize ? rsqrtf(pair.y / (float)width + epsilon) : 1.0f;
#pragma unroll
        for (int i = 0; i < steps; i++)
#pragma unroll
            for (int j = 0; j < 8; j++)
                total.value[i][j] += i * 256 + lane * 8 + j < width ? (row.value[i][j] - pair.x) * scale : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < steps; i++)
#pragma unroll
        for (int j = 0; j < 8; j++)
            sums[((int)threadIdx.x / 32 * steps + i) * 256 + j * 32 + lane] = total.value[i][j];
    __syncthreads();
    if (threadIdx.x >= 32)
        return;
#pragma unroll
    for (int i = 0; i < steps; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) {
            for (int warp = 1; warp < warps; warp++)
                total.value[i][j] += sums[(warp * steps + i) * 256 + j * 32 + lane];
            total.value[i][j] /= (float)(tokens - first);
        }
    store_row<half>(to + (size_t)blockIdx.x * stride, stride, total);
    const float2 pair = measure(total, width);
    if (lane == 0)
        statistics[blockIdx.x] = pair;
}

template <typename half>
__global__ void __launch_bounds__(threads) widen_pairs(const uint32_t *halves, long long pairs, float2 *to)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    const long long pair = (long long)blockIdx.x * threads + threadIdx.x;
    if (pair < pairs)
        to[pair] = half::unpack(halves[pair]);
}

template <typename half, int steps>
__global__ void __launch_bounds__(threads)
    text_rows(const int *ids, const int *offsets, const uint16_t *embedding, const uint16_t *position, int places,
              int width, int stride, uint16_t *rows, float2 *statistics)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    const int begin = offsets[blockIdx.y];
    const int token = (int)blockIdx.x * warps + (int)threadIdx.x / 32;
    if (begin + token >= offsets[blockIdx.y + 1])
        return;
    row_values<steps> row;
    row_values<steps> place;
    const int id = ids[begin + token];
    load_row<half>(embedding + (size_t)(places ? id % places : id) * stride, stride, row);
    load_row<half>(position + (size_t)(places ? id / places : token) * stride, stride, place);
#pragma unroll
    for (int i = 0; i < steps; i++)
#pragma unroll
        for (int j = 0; j < 8; j++)
            row.value[i][j] += place.value[i][j];
    store_row<half>(rows + (size_t)(begin + token) * stride, stride, row);
    const float2 pair = measure(row, width);
    if (threadIdx.x % 32 == 0)
        statistics[begin + token] = pair;
}

/* A thread joins a row's parts. */
__global__ void __launch_bounds__(threads)
    join_statistics_f32(const float2 *from, int rows, int parts, int part_width, int columns, float2 *to)
{
    let_next_kernel_start();
    wait_for_previous_kernel();
    const int row = (int)blockIdx.x * threads + (int)threadIdx.x;
    if (row >= rows)
        return;
    const float2 *pairs = from + (size_t)row * parts;
    const float base = pairs[0].x;
    float sum = 0;
    float squares = 0;
#pragma unroll 8
    for (int part = 0; part < parts; part++) {
        const float count = (float)min(part_width, columns - part * part_width);
        const float difference = pairs[part].x - base;
        sum += count * difference;
        squares += pairs[part].y + count * difference * difference;
    }
    const float mean = sum / (float)columns;
    to[row] = make_float2(base + mean, fmaxf(squares - sum * mean, 0.0f));
}

} // namespace

#define BY_TYPE(type, ...)                                                                                            \
    if ((type) == CLIPC_CUDA_BF16)                                                                                    \
        RETURN_BY_STEPS(bf16, __VA_ARGS__)                                                                                   \
    RETURN_BY_STEPS(f16, __VA_ARGS__)

extern "C" cudaError_t clipc_cuda_patches(clipc_cuda_type type, const float *pixels, int32_t count, int32_t image_size,
                                          int32_t patch_size, void *patches, int32_t stride, cudaStream_t stream)
{
    const long long grid = image_size / patch_size;
    const long long pieces = (long long)count * grid * grid * (stride / 8);
    const auto kernel = type == CLIPC_CUDA_BF16 ? patches_of_pixels<bf16> : patches_of_pixels<f16>;
    return launch_kernel(kernel, dim3((unsigned)((pieces + threads - 1) / threads)), dim3(threads), 0, 1, stream,
                         pixels, pieces, image_size, patch_size, (uint16_t *)patches, stride);
}

extern "C" cudaError_t clipc_cuda_image_rows(clipc_cuda_type type, void *rows, int32_t count, int32_t tokens,
                                             int32_t width, int32_t stride, const float *class_row,
                                             const float *weight, const float *bias, float epsilon, float *statistics,
                                             cudaStream_t stream)
{
    const unsigned blocks = (unsigned)((count * tokens + warps - 1) / warps);
    BY_TYPE(type, stride, image_rows, dim3(blocks), dim3(threads), 0, 1, stream, (uint16_t *)rows, count, tokens,
            width, stride, class_row, weight, bias, epsilon, (float2 *)statistics);
}

extern "C" cudaError_t clipc_cuda_text_rows(clipc_cuda_type type, const int32_t *ids, const int32_t *offsets,
                                            int32_t count, int32_t longest, const void *embedding,
                                            const void *position, int32_t places, int32_t width, int32_t stride,
                                            void *rows, float *statistics, cudaStream_t stream)
{
    const unsigned blocks = (unsigned)((longest + warps - 1) / warps);
    BY_TYPE(type, stride, text_rows, dim3(blocks, (unsigned)count), dim3(threads), 0, 1, stream, ids, offsets,
            (const uint16_t *)embedding, (const uint16_t *)position, places, width, stride, (uint16_t *)rows,
            (float2 *)statistics);
}

extern "C" cudaError_t clipc_cuda_average_rows(clipc_cuda_type type, const void *rows, int32_t count, int32_t tokens,
                                               int32_t first, int32_t width, int32_t stride, int32_t normalize,
                                               float epsilon, void *to, float *statistics, cudaStream_t stream)
{
    const size_t shared_bytes = (size_t)warps * (size_t)((stride + 255) / 256 * 256) * sizeof(float);
    BY_TYPE(type, stride, average_rows, dim3((unsigned)count), dim3(threads), shared_bytes, 1, stream,
            (const uint16_t *)rows, tokens, first, width, stride, normalize, epsilon, (uint16_t *)to,
            (float2 *)statistics);
}

extern "C" cudaError_t clipc_cuda_widen_rows(clipc_cuda_type type, const void *rows, int32_t count, int32_t columns,
                                             float *to, cudaStream_t stream)
{
    const long long pairs = (long long)count * columns / 2;
    const auto kernel = type == CLIPC_CUDA_BF16 ? widen_pairs<bf16> : widen_pairs<f16>;
    return launch_kernel(kernel, dim3((unsigned)((pairs + threads - 1) / threads)), dim3(threads), 0, 1, stream,
                         (const uint32_t *)rows, pairs, (float2 *)to);
}

extern "C" cudaError_t clipc_cuda_join_statistics(const float *from, int32_t rows, int32_t parts, int32_t part_width,
                                                  int32_t columns, float *to, cudaStream_t stream)
{
    const unsigned blocks = (unsigned)((rows + threads - 1) / threads);
    return launch_kernel(join_statistics_f32, dim3(blocks), dim3(threads), 0, 1, stream, (const float2 *)from, rows,
                         parts, part_width, columns, (float2 *)to);
}
