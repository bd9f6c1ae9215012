/* How a warp of whole_tower_f16__sm90a.cu takes part in a product. */
#ifndef CLIPC_BACKEND_CUDA_WHOLE_TOWER_PRODUCT_CUH
#define CLIPC_BACKEND_CUDA_WHOLE_TOWER_PRODUCT_CUH

#include "backend/cuda/epilogue.cuh"
#include "backend/cuda/wgmma_rows.cuh"
#include "backend/cuda/whole_tower_shape.cuh"

namespace whole_tower
{

template <int steps>
__device__ __forceinline__ void unpack_all(const fragment (&from)[steps], uint32_t (&to)[steps][4])
{
#pragma unroll
    for (int i = 0; i < steps; i++)
        unpack(from[i], to[i]);
}

/* One warp's state along the chain of products. */
template <class shape> struct worker {
    const clipc_whole_tower &tower;
    unsigned char *const memory;
    const uint32_t shared;
    const int tile; /* of 16 rows: the warp's number */
    const int lane;
    unsigned char *set;     /* of exchange places */
    const size_t tile_step; /* bytes from a tile's places to the next one's */
    unsigned char *own;     /* places of the layer at hand, of our tile */
    const row_place top;    /* of row lane / 4 of the tile */
    const row_place bottom; /* of row lane / 4 + 8 */
    uint32_t used = 0;      /* bit b: parity of the uses of weight buffer b; bit 8 + p: of partial sums of parity p */
    uint32_t parity = 0;    /* of products */
    float residual[shape::narrow_turns][4];

    __device__ worker(const clipc_whole_tower &t, unsigned char *m, int launch)
        : tower(t), memory(m), shared(shared_address(m)), tile((int)threadIdx.x / 32), lane((int)threadIdx.x % 32),
          tile_step(tile_bytes<shape>(t)), top(shape::place(m, tile * 16 + lane / 4)),
          bottom(shape::place(m, tile * 16 + lane / 4 + 8))
    {
        set = static_cast<unsigned char *>(t.exchange) + (launch & 1 ? t.exchange_bytes : 0);
        own = set + tile * tile_step + 3 * shape::row_bytes;
    }

    /* A place of the layer at hand, in halves of row_bytes from its beginning. */
    __device__ __forceinline__ unsigned char *place(int halves) const
    {
        return own + halves * (shape::row_bytes / 2);
    }

    __device__ __forceinline__ bool valid() const
    {
        return top.item >= 0 || bottom.item >= 0;
    }

    __device__ __forceinline__ bool pooled() const
    {
        return top.pooled || bottom.pooled;
    }

    /* Which columns, of 8, this block finishes in its turn-th turn; −1: none. */
    template <int groups, int split> __device__ __forceinline__ int column_group(int turn, int columns) const
    {
        const int in_block = turn * split + (int)blockIdx.x % split;
        const int group = (int)blockIdx.x / split * groups + in_block;
        return in_block < groups && group * 8 < columns ? group : -1;
    }

    /* (bias, Σw') of this lane's two columns. */
    template <int groups, int split, int turns>
    __device__ __forceinline__ void ask_for_terms(const float *terms, int columns, float4 (&to)[turns]) const
    {
#pragma unroll
        for (int turn = 0; turn < turns; turn++) {
            const int group = column_group<groups, split>(turn, columns);
            to[turn] = group < 0 ? make_float4(0, 0, 0, 0) : load_constant_x4(terms + 2 * (group * 8 + lane % 4 * 2));
        }
    }

    __device__ __forceinline__ uint32_t sums_barrier() const
    {
        return shape::sums_barrier(shared, (int)parity, tile);
    }

    /* Announces what the other blocks of our group will send to this warp. */
    template <int groups, int split, bool statistics> __device__ __forceinline__ bool expect(bool active) const
    {
        const int part = (int)blockIdx.x % split;
        const int turns = part < groups ? (groups - part + split - 1) / split : 0;
        const int lanes = __popc(__ballot_sync(0xFFFFFFFF, active));
        const bool any = turns > 0 && lanes > 0;
        if (any && lane == 0)
            barrier_expect_bytes(sums_barrier(),
                                 (uint32_t)((split - 1) * (turns * lanes * 16 + (statistics ? lanes * 4 : 0))));
        return any;
    }

    /* Sums over this block's part of each row, to every block of the group that finishes something. */
    template <int groups, int split, int parts>
    __device__ __forceinline__ void send_statistics(const fragment (&sums)[parts], bool active) const
    {
        float2 top = make_float2(0, 0);
        float2 bottom = make_float2(0, 0);
        add_statistics(sums, top, bottom);
        if (active && lane % 4 == 0) {
            const int part = (int)blockIdx.x % split;
            const uint32_t place = shape::statistics_place(shared, (int)parity, part, tile) + lane / 4 * 16;
            const int first = (int)blockIdx.x % CLIPC_WHOLE_CLUSTER - part;
            constexpr int receivers = groups > split ? split : groups;
#pragma unroll
            for (int i = 0; i < receivers; i++)
                if (i == part)
                    *reinterpret_cast<float4 *>(memory + (place - shared)) =
                        make_float4(top.x, top.y, bottom.x, bottom.y);
                else
                    send_x4(cluster_address(place, first + i), top.x, top.y, bottom.x, bottom.y,
                            cluster_address(sums_barrier(), first + i));
        }
    }

    /* Of a quad's lanes together, which have different groups of columns. */
    template <int parts>
    static __device__ __forceinline__ void add_statistics(const fragment (&sums)[parts], float2 &top, float2 &bottom)
    {
#pragma unroll
        for (int i = 0; i < parts; i++) {
            const float2 low = floats_of(sums[i].low);
            const float2 high = floats_of(sums[i].high);
            top.x += low.x;
            top.y += low.y;
            bottom.x += high.x;
            bottom.y += high.y;
        }
        top.x = quad_sum(top.x);
        top.y = quad_sum(top.y);
        bottom.x = quad_sum(bottom.x);
        bottom.y = quad_sum(bottom.y);
    }

    /* This lane's place among the sums of a row's groups of 8 columns, which `group` is the first of. */
    __device__ __forceinline__ const unsigned char *statistics_of(const unsigned char *rows, int group) const
    {
        return rows + shape::row_bytes + ((group + lane % 4) * 8 + lane / 4) * 16;
    }

    /* x, y: mean and 1 / deviation of the top row, z, w: of the bottom row. */
    template <int split> __device__ __forceinline__ float4 read_statistics() const
    {
        float4 all = make_float4(0, 0, 0, 0);
#pragma unroll
        for (int part = 0; part < split; part++) {
            const float4 more = *reinterpret_cast<const float4 *>(
                memory + (shape::statistics_place(shared, (int)parity, part, tile) - shared) + lane / 4 * 16);
            all.x += more.x;
            all.y += more.y;
            all.z += more.z;
            all.w += more.w;
        }
        return norm_of(all);
    }

    /* Of Σx and Σx² over whole rows. With 11 bits in and 24 in the sums, nothing cancels that was there. */
    __device__ __forceinline__ float4 norm_of(const float4 &all) const
    {
        constexpr float scale = 1.0f / shape::width;
        const float top_mean = all.x * scale;
        const float bottom_mean = all.z * scale;
        return make_float4(top_mean, rsqrtf(fmaxf(all.y * scale - top_mean * top_mean, 0.0f) + tower.epsilon),
                           bottom_mean,
                           rsqrtf(fmaxf(all.w * scale - bottom_mean * bottom_mean, 0.0f) + tower.epsilon));
    }

    template <int groups, int split>
    __device__ __forceinline__ void send_sums(const float (&sum)[groups][4], bool active) const
    {
        const int part = (int)blockIdx.x % split;
        const int first = (int)blockIdx.x % CLIPC_WHOLE_CLUSTER - part;
        const uint32_t own_place = shape::sums_place(shared, (int)parity, part, tile) + lane * 16;
        uint32_t place[split];
        uint32_t barrier[split];
#pragma unroll
        for (int i = 0; i < split; i++) {
            place[i] = cluster_address(own_place, first + i);
            barrier[i] = cluster_address(sums_barrier(), first + i);
        }
        if (active)
#pragma unroll
            for (int j = 0; j < groups; j++) {
                const int turn = j / split * split * shape::tiles * fragment_bytes;
                if (j % split == part)
                    *reinterpret_cast<float4 *>(memory + (own_place - shared) + turn) =
                        make_float4(sum[j][0], sum[j][1], sum[j][2], sum[j][3]);
                else
                    send_x4(place[j % split] + turn, sum[j][0], sum[j][1], sum[j][2], sum[j][3], barrier[j % split]);
            }
    }

    __device__ __forceinline__ void wait_for_sums()
    {
        __syncwarp(); /* our own part of the statistics */
        patient_barrier_wait(sums_barrier(), used >> (8 + parity) & 1);
        used ^= 1u << (8 + parity);
    }

    /* In the order of depth. */
    template <int split> __device__ __forceinline__ void add_sums(int turn, float (&total)[4]) const
    {
        const unsigned char *place = memory + (shape::sums_place(shared, (int)parity, 0, tile) - shared) +
                                     turn * split * shape::tiles * fragment_bytes + lane * 16;
        total[0] = total[1] = total[2] = total[3] = 0.0f;
#pragma unroll
        for (int part = 0; part < split; part++) {
            const float4 more = *reinterpret_cast<const float4 *>(place + part * shape::tiles * fragment_bytes);
            total[0] += more.x;
            total[1] += more.y;
            total[2] += more.z;
            total[3] += more.w;
        }
    }

    /* Waits for the weights of a product. */
    __device__ __forceinline__ void await_weights(int buffer)
    {
        patient_barrier_wait(shape::full_barrier(shared, buffer), used >> buffer & 1);
        used ^= 1u << buffer;
    }

    __device__ __forceinline__ void release_weights(int buffer) const
    {
        if (lane == 0)
            barrier_arrive(shape::empty_barrier(shared, buffer));
    }

    /* sum (+)= rows × weights from step `step0` of the buffer on: begins it, as one group of instructions. */
    template <int groups, int steps>
    __device__ __forceinline__ void multiply(float (&sum)[groups][4], const uint32_t (&rows)[steps][4], int buffer,
                                             int step0) const
    {
        const uint32_t weights = shared + shape::buffer_at(buffer) + step0 / 2 * groups * 512;
        wgmma_fence();
#pragma unroll
        for (int i = 0; i < steps; i++)
            wgmma_rows_f16<groups>::run(
                sum, rows[i], wgmma_narrow_descriptor(weights + i / 2 * groups * 512) + i % 2 * 2, i > 0 || step0 > 0);
        wgmma_commit();
    }

    /* One product over rows that lie at `input` (this tile's places); then `finish(turn, column group, sums, mean and
     * deviation)` for each group of columns that this warp finishes. */
    template <int groups, int steps, int split, bool statistics, class finisher>
    __device__ __forceinline__ void product(int buffer, const unsigned char *input, int columns, bool active,
                                            finisher finish)
    {
        if ((int)blockIdx.x / split * groups * 8 >= columns) {
            parity ^= 1;
            return;
        }
        const bool receives = expect<groups, split, statistics>(active);
        float sum[groups][4] = {};
        {
            const int part = (int)blockIdx.x % split;
            fragment places[steps];
            fragment sums[statistics ? steps / 2 : 1];
            receive(places, input + (part * steps * 32 + lane) * 16, sums, statistics_of(input, part * steps * 2),
                    statistics ? 4 * 128 : 0, active);
            uint32_t rows[steps][4];
            unpack_all(places, rows);
            await_weights(buffer);
            multiply(sum, rows, buffer, 0);
            if (statistics)
                send_statistics<groups, split>(sums, active);
            wgmma_wait<0>();
            release_weights(buffer);
        }
        finish_product<groups, split, statistics>(sum, columns, active, receives, finish);
    }

    template <int groups, int split, bool statistics, class finisher>
    __device__ __forceinline__ void finish_product(const float (&sum)[groups][4], int columns, bool active,
                                                   bool receives, finisher finish)
    {
        send_sums<groups, split>(sum, active);
        if (receives) {
            wait_for_sums();
            float4 norm = make_float4(0, 1, 0, 1);
            if (statistics)
                norm = read_statistics<split>();
#pragma unroll
            for (int turn = 0; turn < (groups + split - 1) / split; turn++) {
                const int group = column_group<groups, split>(turn, columns);
                if (group >= 0) {
                    float total[4];
                    add_sums<split>(turn, total);
                    finish(turn, group, total, norm);
                }
            }
        }
        parity ^= 1;
    }

    static __device__ __forceinline__ void apply_terms(float (&value)[4], const float4 &norm, const float4 &terms)
    {
        value[0] = norm.y * (value[0] - norm.x * terms.y) + terms.x;
        value[1] = norm.y * (value[1] - norm.x * terms.w) + terms.z;
        value[2] = norm.w * (value[2] - norm.z * terms.y) + terms.x;
        value[3] = norm.w * (value[3] - norm.z * terms.w) + terms.z;
    }
};

} // namespace whole_tower

#endif
