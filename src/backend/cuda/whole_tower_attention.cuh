/* Attention in the kernel of one launch: a block has one head and 16 queries, each of its warps 16 keys. */
#ifndef CLIPC_BACKEND_CUDA_WHOLE_TOWER_ATTENTION_CUH
#define CLIPC_BACKEND_CUDA_WHOLE_TOWER_ATTENTION_CUH

#include "backend/cuda/epilogue.cuh"
#include "backend/cuda/whole_tower_product.cuh"

namespace whole_tower
{

__device__ __forceinline__ bool sees(const row_place &query, int row, bool causal, int key)
{
    return key >= query.begin && key < (causal ? min(row + 1, (int)query.end) : (int)query.end);
}

/* The block's warps that compute. */
template <class shape> __device__ __forceinline__ void meet()
{
    turn_wait(1, shape::tiles * 32);
}

/* Largest score of each query over all warps, 0 when it sees nothing. */
template <class shape> __device__ __forceinline__ float2 join_maxima(const float *maxima, int row)
{
    float top = -INFINITY;
    float bottom = -INFINITY;
#pragma unroll
    for (int warp = 0; warp < shape::tiles; warp++) {
        top = fmaxf(top, maxima[warp * 16 + row]);
        bottom = fmaxf(bottom, maxima[warp * 16 + row + 8]);
    }
    return make_float2(top == -INFINITY ? 0.0f : top, bottom == -INFINITY ? 0.0f : bottom);
}

/* Scores of 16 queries and 16 keys; those that a query must not see are −∞. */
__device__ __forceinline__ void score_keys(const fragment *query, const fragment *key, const row_place &top,
                                           const row_place &bottom, int row, int key0, bool causal,
                                           float (&score)[2][4])
{
#pragma unroll
    for (int i = 0; i < head_steps; i++) {
        uint32_t q[4];
        uint32_t k[4];
        unpack(query[i], q);
        unpack(key[i], k);
        f16::multiply(score[0], q, k[0], k[2]);
        f16::multiply(score[1], q, k[1], k[3]);
    }
#pragma unroll
    for (int j = 0; j < 2; j++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int at = key0 + j * 8 + (int)threadIdx.x % 4 * 2 + i;
            if (!sees(top, row, causal, at))
                score[j][i] = -INFINITY;
            if (!sees(bottom, row + 8, causal, at))
                score[j][2 + i] = -INFINITY;
        }
}

/* output[16 × 64] = weights[16 × 16] × values. */
__device__ __forceinline__ void weigh_values(const float (&weight)[2][4], const fragment *value,
                                             float (&output)[2 * head_steps][4])
{
    const uint32_t a[4] = {f16::pack(weight[0][0], weight[0][1]), f16::pack(weight[0][2], weight[0][3]),
                           f16::pack(weight[1][0], weight[1][1]), f16::pack(weight[1][2], weight[1][3])};
#pragma unroll
    for (int i = 0; i < head_steps; i++) {
        uint32_t v[4];
        unpack(value[i], v);
        f16::multiply(output[2 * i], a, transpose_8x8(v[0]), transpose_8x8(v[1]));
        f16::multiply(output[2 * i + 1], a, transpose_8x8(v[2]), transpose_8x8(v[3]));
    }
}

/* Queries, keys and values, all asked for at once. */
__device__ __forceinline__ void receive_attention(fragment (&query)[head_steps], const unsigned char *query_from,
                                                  bool query_active, fragment (&key)[2][head_steps],
                                                  const unsigned char *key_from, size_t value_offset, bool key_active)
{
    bool missing = true;
#pragma unroll
    for (int i = 0; i < head_steps; i++) {
        query[i].low = query[i].high = query_active ? ~0ull : 0ull;
        key[0][i].low = key[0][i].high = key[1][i].low = key[1][i].high = key_active ? ~0ull : 0ull;
    }
    for (unsigned turn = 0; __any_sync(0xFFFFFFFF, missing); turn++) {
        missing = false;
#pragma unroll
        for (int i = 0; i < head_steps; i++) {
            missing |= fetch_if_empty(query[i], query_from + i * fragment_bytes);
            missing |= fetch_if_empty(key[0][i], key_from + i * fragment_bytes);
            missing |= fetch_if_empty(key[1][i], key_from + value_offset + i * fragment_bytes);
        }
        if (turn > patience)
            __trap();
    }
}

/* Adds up the warps' outputs, in the order of keys; each warp finishes some of the columns. */
template <class shape>
__device__ __forceinline__ void leave_context(const worker<shape> &w, unsigned char *to, int head, bool active)
{
    const float *key_sums = reinterpret_cast<const float *>(w.memory + shape::key_sums_at);
    const float4 *outputs = reinterpret_cast<const float4 *>(w.memory + shape::attention_at);
    float top = 0;
    float bottom = 0;
#pragma unroll
    for (int warp = 0; warp < shape::tiles; warp++) {
        top += key_sums[warp * 16 + w.lane / 4];
        bottom += key_sums[warp * 16 + w.lane / 4 + 8];
    }
    /* Rows that do not exist see nothing; they must stay numbers, for their neighbours' sake. */
    top = top > 0 ? 1.0f / top : 0.0f;
    bottom = bottom > 0 ? 1.0f / bottom : 0.0f;
    constexpr int turns = 2 * head_steps / shape::tiles;
#pragma unroll
    for (int turn = 0; turn < turns; turn++) {
        const int j = w.tile * turns + turn;
        float total[4] = {};
#pragma unroll
        for (int warp = 0; warp < shape::tiles; warp++) {
            const float4 more = outputs[(warp * 2 * head_steps + j) * 32 + w.lane];
            total[0] += more.x;
            total[1] += more.y;
            total[2] += more.z;
            total[3] += more.w;
        }
        const float value[4] = {total[0] * top, total[1] * top, total[2] * bottom, total[3] * bottom};
        publish(to, head * 2 * head_steps + j, value, active);
    }
}

/* `last`: only for the rows that items are read off. */
template <class shape> __device__ __forceinline__ void attend(worker<shape> &w, bool last)
{
    const int heads = shape::width / CLIPC_WHOLE_HEAD;
    const int head = (int)blockIdx.x % heads;
    const int query_tile = (int)blockIdx.x / heads;
    const int lane = w.lane;
    const int row = query_tile * 16 + lane / 4;
    if (query_tile * 16 >= w.tower.rows)
        return;
    const row_place top = shape::place(w.memory, row);
    const row_place bottom = shape::place(w.memory, row + 8);
    const bool valid = top.item >= 0 || bottom.item >= 0;
    const bool active = last ? top.pooled || bottom.pooled : valid;
    if (!__any_sync(0xFFFFFFFF, active))
        return;
    const bool causal = w.tower.tokens == 0;
    const int key0 = w.tile * 16;
    unsigned char *const layer = w.set + (w.own - (w.set + w.tile * w.tile_step));
    const unsigned char *query = layer + query_tile * w.tile_step + (head * head_steps * 32 + lane) * 16;
    const unsigned char *key = w.own + shape::row_bytes + (head * head_steps * 32 + lane) * 16;
    const bool mine = (key0 < top.end && key0 + 16 > top.begin) || (key0 < bottom.end && key0 + 16 > bottom.begin);
    const bool looks = __any_sync(0xFFFFFFFF, mine && valid) && (!causal || w.tile <= query_tile);

    float output[2 * head_steps][4] = {};
    float score[2][4] = {};
    float *const maxima = reinterpret_cast<float *>(w.memory + shape::maxima_at);
    float *const key_sums = reinterpret_cast<float *>(w.memory + shape::key_sums_at);
    fragment queries[head_steps];
    fragment keys[2][head_steps]; /* and values */
    if (looks) {
        receive_attention(queries, query, valid, keys, key, shape::row_bytes, w.valid());
        score_keys(queries, keys[0], top, bottom, row, key0, causal, score);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++)
            score[i / 4][i % 4] = -INFINITY;
    }
#pragma unroll
    for (int half = 0; half < 4; half += 2) {
        float largest = fmaxf(fmaxf(score[0][half], score[0][half + 1]), fmaxf(score[1][half], score[1][half + 1]));
        largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFF, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFF, largest, 2));
        if (lane % 4 == 0)
            maxima[w.tile * 16 + lane / 4 + half * 4] = largest;
    }
    meet<shape>();
    const float2 base = join_maxima<shape>(maxima, lane / 4);
#pragma unroll
    for (int i = 0; i < 8; i++)
        score[i / 4][i % 4] = exp2_fast(score[i / 4][i % 4] - (i % 4 < 2 ? base.x : base.y));
#pragma unroll
    for (int half = 0; half < 4; half += 2) {
        const float sum = quad_sum(score[0][half] + score[0][half + 1] + score[1][half] + score[1][half + 1]);
        if (lane % 4 == 0)
            key_sums[w.tile * 16 + lane / 4 + half * 4] = sum;
    }
    if (looks)
        weigh_values(score, keys[1], output);
    float4 *const outputs = reinterpret_cast<float4 *>(w.memory + shape::attention_at);
#pragma unroll
    for (int j = 0; j < 2 * head_steps; j++)
        outputs[(w.tile * 2 * head_steps + j) * 32 + lane] =
            make_float4(output[j][0], output[j][1], output[j][2], output[j][3]);
    meet<shape>();
    leave_context<shape>(w, layer + query_tile * w.tile_step + 3 * shape::row_bytes, head, active);
}

} // namespace whole_tower

#endif
