/* The steps of a tower, in order, as a warp of whole_tower_f16__sm90a.cu goes through them. */
#ifndef CLIPC_BACKEND_CUDA_WHOLE_TOWER_CHAIN_CUH
#define CLIPC_BACKEND_CUDA_WHOLE_TOWER_CHAIN_CUH

#include "backend/cuda/whole_tower_attention.cuh"

namespace whole_tower
{

/* The first pixel of a row's patch; NULL: it has none. */
__device__ __forceinline__ const float *patch_corner(const clipc_whole_tower &tower, const row_place &place, int row)
{
    const int patch = row - place.begin - 1;
    const int grid = tower.image_size / tower.patch_size;
    if (place.item < 0 || patch < 0)
        return nullptr;
    return tower.pixels + (size_t)place.item * 3 * tower.image_size * tower.image_size +
           (size_t)(patch / grid) * tower.patch_size * tower.image_size + patch % grid * tower.patch_size;
}

__device__ __forceinline__ float2 pixel_pair(const float *corner, size_t at)
{
    return corner ? __ldg(reinterpret_cast<const float2 *>(corner + at)) : make_float2(0, 0);
}

/* Fragments of patches from column `depth` on: 16 of them lie side by side in a line of pixels. */
__device__ __forceinline__ void gather_pixels(const clipc_whole_tower &tower, const float *top, const float *bottom,
                                              int depth, uint32_t (&rows)[patch_chunk][4])
{
    const int area = tower.patch_size * tower.patch_size;
    float2 pixels[patch_chunk][4];
#pragma unroll
    for (int i = 0; i < patch_chunk; i++) {
        const int first = depth + i * 16;
        const int inside = first % area;
        const size_t at = (size_t)(first / area) * tower.image_size * tower.image_size +
                          (size_t)(inside / tower.patch_size) * tower.image_size + inside % tower.patch_size +
                          threadIdx.x % 4 * 2;
        pixels[i][0] = pixel_pair(top, at);
        pixels[i][1] = pixel_pair(bottom, at);
        pixels[i][2] = pixel_pair(top, at + 8);
        pixels[i][3] = pixel_pair(bottom, at + 8);
    }
#pragma unroll
    for (int i = 0; i < patch_chunk; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            rows[i][j] = f16::pack(pixels[i][j].x, pixels[i][j].y);
}

/* What an image's row has beside its patch: its position, or the class. */
template <class shape>
__device__ __forceinline__ float2 image_place(const clipc_whole_tower &tower, const row_place &place, int row,
                                              int column)
{
    const int position = row - place.begin;
    if (position == 0)
        return *reinterpret_cast<const float2 *>(tower.class_row + column);
    return f16::unpack(__ldg(reinterpret_cast<const uint32_t *>(static_cast<const __half *>(tower.position) +
                                                                (size_t)position * shape::width + column)));
}

/* Patch embedding, class and positions into the residual, and the rows to their first place. */
template <class shape> __device__ __forceinline__ void embed_patches(worker<shape> &w)
{
    constexpr int groups = shape::narrow_groups;
    constexpr int split = shape::narrow_split;
    const bool active = w.valid();
    const int row = w.tile * 16 + w.lane / 4;
    const float *top = patch_corner(w.tower, w.top, row);
    const float *bottom = patch_corner(w.tower, w.bottom, row + 8);
    const int steps = patch_steps<shape>(w.tower);
    if ((int)blockIdx.x / split * groups * 8 < shape::width) {
        const bool receives = w.template expect<groups, split, false>(active);
        float sum[groups][4] = {};
        for (int step = 0; step < steps; step += patch_chunk) {
            uint32_t rows[patch_chunk][4];
            gather_pixels(w.tower, top, bottom, ((int)blockIdx.x % split * steps + step) * 16, rows);
            if (step == 0)
                w.await_weights(CLIPC_WHOLE_FC2);
            w.multiply(sum, rows, CLIPC_WHOLE_FC2, step);
            wgmma_wait<0>();
        }
        w.release_weights(CLIPC_WHOLE_FC2);
        w.template finish_product<groups, split, false>(
            sum, shape::width, active, receives, [&](int turn, int group, const float(&total)[4], const float4 &) {
                const int column = group * 8 + w.lane % 4 * 2;
                const float2 above = image_place<shape>(w.tower, w.top, row, column);
                const float2 below = image_place<shape>(w.tower, w.bottom, row + 8, column);
                w.residual[turn][0] = total[0] + above.x;
                w.residual[turn][1] = total[1] + above.y;
                w.residual[turn][2] = total[2] + below.x;
                w.residual[turn][3] = total[3] + below.y;
                publish_statistics(w.place(-2 * stream_halves) + shape::row_bytes, group, w.residual[turn], active);
            });
    } else {
        w.parity ^= 1;
    }
}

/* Rows of the residual stream, for others to read. */
template <class shape>
__device__ __forceinline__ void publish_stream(unsigned char *to, int group, const float (&value)[4], bool active)
{
    publish(to, group, value, active);
    publish_statistics(to + shape::row_bytes, group, value, active);
}

/* LayerNorm of the rows before the first layer. */
template <class shape> __device__ __forceinline__ void normalize_images(worker<shape> &w)
{
    constexpr int split = shape::narrow_split;
    constexpr int parts = shape::width / 32; /* a lane has every fourth group of 8 columns */
    const bool active = w.valid();
    fragment sums[parts];
    const unsigned char *rows = w.place(-2 * stream_halves);
    receive_parts(sums, w.statistics_of(rows, 0), 4 * 128, active);
    float2 top = make_float2(0, 0);
    float2 bottom = make_float2(0, 0);
    w.add_statistics(sums, top, bottom);
    const float4 norm = w.norm_of(make_float4(top.x, top.y, bottom.x, bottom.y));
#pragma unroll
    for (int turn = 0; turn < shape::narrow_turns; turn++) {
        const int group = w.template column_group<shape::narrow_groups, split>(turn, shape::width);
        if (group < 0)
            continue;
        const int column = group * 8 + w.lane % 4 * 2;
        const float2 weight = *reinterpret_cast<const float2 *>(w.tower.norm_pre_weight + column);
        const float2 bias = *reinterpret_cast<const float2 *>(w.tower.norm_pre_bias + column);
        float(&value)[4] = w.residual[turn];
        value[0] = (value[0] - norm.x) * norm.y * weight.x + bias.x;
        value[1] = (value[1] - norm.x) * norm.y * weight.y + bias.y;
        value[2] = (value[2] - norm.z) * norm.w * weight.x + bias.x;
        value[3] = (value[3] - norm.z) * norm.w * weight.y + bias.y;
        publish_stream<shape>(w.place(-stream_halves), group, value, active);
    }
}

template <class shape>
__device__ __forceinline__ float2 text_place(const clipc_whole_tower &tower, const row_place &place, int row,
                                             int column)
{
    if (place.item < 0)
        return make_float2(0, 0);
    const __half *embedding = static_cast<const __half *>(tower.embedding) + (size_t)tower.ids[row] * shape::width;
    const __half *position = static_cast<const __half *>(tower.position) + (size_t)(row - place.begin) * shape::width;
    const float2 a = f16::unpack(__ldg(reinterpret_cast<const uint32_t *>(embedding + column)));
    const float2 b = f16::unpack(__ldg(reinterpret_cast<const uint32_t *>(position + column)));
    return make_float2(a.x + b.x, a.y + b.y);
}

template <class shape> __device__ __forceinline__ void embed_texts(worker<shape> &w)
{
    const int row = w.tile * 16 + w.lane / 4;
#pragma unroll
    for (int turn = 0; turn < shape::narrow_turns; turn++) {
        const int group = w.template column_group<shape::narrow_groups, shape::narrow_split>(turn, shape::width);
        if (group < 0)
            continue;
        const int column = group * 8 + w.lane % 4 * 2;
        const float2 above = text_place<shape>(w.tower, w.top, row, column);
        const float2 below = text_place<shape>(w.tower, w.bottom, row + 8, column);
        w.residual[turn][0] = above.x;
        w.residual[turn][1] = above.y;
        w.residual[turn][2] = below.x;
        w.residual[turn][3] = below.y;
        publish_stream<shape>(w.place(-stream_halves), group, w.residual[turn], w.valid());
    }
}

/* The activation of a tower is known at run time only. Two of the three are x · sigmoid(a x + b x³), the third is kept
 * out of the way: code that is stepped over must be fetched too. */
struct activation {
    float linear; /* −a log₂e */
    float cubic;
    bool exact;

    __device__ explicit activation(int kind)
        : linear(kind == CLIPC_CUDA_ACTIVATION_QUICK_GELU ? -2.4554669595930156f : -2.302208198094f),
          cubic(kind == CLIPC_CUDA_ACTIVATION_QUICK_GELU ? 0.0f : -0.102943245f),
          exact(kind == CLIPC_CUDA_ACTIVATION_GELU)
    {
    }

    static __device__ __noinline__ float4 apply_exact(float4 x)
    {
        return make_float4(activate<EPILOGUE_GELU>(x.x), activate<EPILOGUE_GELU>(x.y), activate<EPILOGUE_GELU>(x.z),
                           activate<EPILOGUE_GELU>(x.w));
    }

    __device__ __forceinline__ void apply(float (&value)[4]) const
    {
        if (exact) {
            const float4 result = apply_exact(make_float4(value[0], value[1], value[2], value[3]));
            value[0] = result.x;
            value[1] = result.y;
            value[2] = result.z;
            value[3] = result.w;
            return;
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
            value[i] = __fdividef(value[i], 1.0f + exp2_fast(value[i] * (linear + cubic * value[i] * value[i])));
    }
};

/* residual += rows × weights + bias, and the sum to `to`. */
template <int steps, class shape>
__device__ __forceinline__ void into_residual(worker<shape> &w, int buffer, const unsigned char *input,
                                              const float *terms, bool active, unsigned char *to)
{
    constexpr int groups = shape::narrow_groups;
    constexpr int split = shape::narrow_split;
    float4 term[shape::narrow_turns];
    w.template ask_for_terms<groups, split>(terms, shape::width, term);
    w.template product<groups, steps, split, false>(buffer, input, shape::width, active,
                                                    [&](int turn, int group, const float(&total)[4], const float4 &) {
                                                        w.residual[turn][0] += total[0] + term[turn].x;
                                                        w.residual[turn][1] += total[1] + term[turn].z;
                                                        w.residual[turn][2] += total[2] + term[turn].x;
                                                        w.residual[turn][3] += total[3] + term[turn].z;
                                                        publish_stream<shape>(to, group, w.residual[turn], active);
                                                    });
}

template <class shape> __device__ __forceinline__ void encoder_layer(worker<shape> &w, int layer)
{
    const clipc_whole_tower &tower = w.tower;
    const size_t terms = (size_t)layer * tower.layer_stride;
    const bool last = layer == tower.layers - 1;
    {
        float4 term[shape::qkv_turns];
        w.template ask_for_terms<shape::qkv_groups, shape::wide_split>(tower.terms[CLIPC_WHOLE_QKV] + terms,
                                                                       3 * shape::width, term);
        w.template product<shape::qkv_groups, shape::wide_steps, shape::wide_split, true>(
            CLIPC_WHOLE_QKV, w.place(-stream_halves), 3 * shape::width, w.valid(),
            [&](int turn, int group, float(&total)[4], const float4 &norm) {
                w.apply_terms(total, norm, term[turn]);
                publish(w.own, group, total, w.valid());
            });
    }
    attend(w, last);
    /* After the last layer only these rows are read. */
    const bool active = last ? w.pooled() : w.valid();
    into_residual<shape::narrow_steps>(w, CLIPC_WHOLE_OUT, w.place(context_halves),
                                       tower.terms[CLIPC_WHOLE_OUT] + terms, active, w.place(middle_halves));
    {
        const activation activate_all(tower.activation);
        float4 term[shape::fc1_turns];
        w.template ask_for_terms<shape::fc1_groups, shape::wide_split>(tower.terms[CLIPC_WHOLE_FC1] + terms,
                                                                       4 * shape::width, term);
        w.template product<shape::fc1_groups, shape::wide_steps, shape::wide_split, true>(
            CLIPC_WHOLE_FC1, w.place(middle_halves), 4 * shape::width, active,
            [&](int turn, int group, float(&total)[4], const float4 &norm) {
                w.apply_terms(total, norm, term[turn]);
                activate_all.apply(total);
                publish(w.place(hidden_halves), group, total, active);
            });
    }
    into_residual<shape::fc2_steps>(w, CLIPC_WHOLE_FC2, w.place(hidden_halves), tower.terms[CLIPC_WHOLE_FC2] + terms,
                                    active, w.place(output_halves));
    w.own = w.place(layer_halves);
}

template <class shape> __device__ __forceinline__ void project(worker<shape> &w)
{
    constexpr int groups = CLIPC_WHOLE_PROJECTION;
    constexpr int split = shape::narrow_split;
    const clipc_whole_tower &tower = w.tower;
    float4 term[shape::projection_turns];
    w.template ask_for_terms<groups, split>(tower.projection_terms, tower.dimension, term);
    w.template product<groups, shape::narrow_steps, split, true>(
        CLIPC_WHOLE_QKV, w.place(-stream_halves), tower.dimension, w.pooled(),
        [&](int turn, int group, float(&total)[4], const float4 &norm) {
            w.apply_terms(total, norm, term[turn]);
            float *to = tower.embeddings + group * 8 + w.lane % 4 * 2;
            if (w.top.pooled)
                *reinterpret_cast<float2 *>(to + (size_t)w.top.item * tower.dimension) =
                    make_float2(total[0], total[1]);
            if (w.bottom.pooled)
                *reinterpret_cast<float2 *>(to + (size_t)w.bottom.item * tower.dimension) =
                    make_float2(total[2], total[3]);
        });
}

template <class shape> __device__ __forceinline__ void run_chain(worker<shape> &w)
{
    if (w.tower.tokens) {
        embed_patches(w);
        normalize_images(w);
    } else {
        embed_texts(w);
    }
    for (int layer = 0; layer < w.tower.layers; layer++)
        encoder_layer(w, layer);
    project(w);
}

} // namespace whole_tower

#endif
