/* Rows on their way between blocks that run at the same time.
 *
 * Through L2 they travel as fragments: 16 rows × 16 columns are 512 bytes, 16 a lane, in the order in which
 * mma.m16n8k16 wants its first operand; the sums of a product over 8 columns are one half of that. A reader waits for
 * the data itself: a place is empty while its bits are all ones, a NaN that no conversion to fp16 gives. Every 8 bytes
 * are written and read at once, so nothing has to be ordered.
 *
 * Within a cluster partial sums go straight into the other block's shared memory, which counts the bytes. */
#ifndef CLIPC_BACKEND_CUDA_EXCHANGE_CUH
#define CLIPC_BACKEND_CUDA_EXCHANGE_CUH

#include "backend/cuda/operand.cuh"
#include "backend/cuda/ptx.cuh"

constexpr int fragment_bytes = 512;
/* Turns of a waiting loop, seconds of them, after which a block gives up: the launch ends with a fault. */
constexpr unsigned patience = 1u << 24;

/* Registers 0 and 1 of a fragment (rows g and g + 8 of its first 8 columns), and 2 and 3 (of the others). */
struct fragment {
    uint64_t low;
    uint64_t high;
};

static __device__ __forceinline__ void unpack(const fragment &from, uint32_t (&to)[4])
{
    to[0] = (uint32_t)from.low;
    to[1] = (uint32_t)(from.low >> 32);
    to[2] = (uint32_t)from.high;
    to[3] = (uint32_t)(from.high >> 32);
}

static __device__ __forceinline__ bool is_empty(uint64_t half)
{
    return (uint32_t)half == 0xFFFFFFFFu;
}

/* Asks for the 16 bytes at `from` if not all of them are here. They may be empty still. */
static __device__ __forceinline__ bool fetch_if_empty(fragment &to, const unsigned char *from)
{
    const bool wanted = is_empty(to.low) || is_empty(to.high);
    asm volatile("{\n"
                 ".reg .pred wanted;\n"
                 "setp.ne.b32 wanted, %3, 0;\n"
                 "@wanted ld.relaxed.gpu.global.v2.b64 {%0, %1}, [%2];\n"
                 "}"
                 : "+l"(to.low), "+l"(to.high)
                 : "l"(from), "r"((int)wanted)
                 : "memory");
    return wanted;
}

/* Waits for `steps` fragments side by side; `from` is this lane's 16 bytes of the first. Lanes that are not `active`
 * have no rows and get zeros. With them come `parts` more, as far apart as `part_step` says. */
template <int steps, int parts>
static __device__ __forceinline__ void receive(fragment (&to)[steps], const unsigned char *from,
                                               fragment (&to_parts)[parts], const unsigned char *from_parts,
                                               int part_step, bool active)
{
#pragma unroll
    for (int i = 0; i < steps; i++)
        to[i].low = to[i].high = active ? ~0ull : 0ull;
#pragma unroll
    for (int i = 0; i < parts; i++)
        to_parts[i].low = to_parts[i].high = active && part_step ? ~0ull : 0ull;
    bool missing = true;
    for (unsigned turn = 0; __any_sync(0xFFFFFFFF, missing); turn++) {
        missing = false;
#pragma unroll
        for (int i = 0; i < steps; i++)
            missing |= fetch_if_empty(to[i], from + i * fragment_bytes);
#pragma unroll
        for (int i = 0; i < parts; i++)
            missing |= fetch_if_empty(to_parts[i], from_parts + i * part_step);
        if (turn > patience)
            __trap();
    }
}

/* Two rows × two columns of this lane, as a product's sums have them, for columns 8 × group … of the tile at `to`. */
static __device__ __forceinline__ void publish(unsigned char *to, int group, const float (&value)[4], bool active)
{
    const uint32_t top = f16::pack(value[0], value[1]);
    const uint32_t bottom = f16::pack(value[2], value[3]);
    const uint64_t both = (uint64_t)bottom << 32 | top;
    unsigned char *place = to + (group / 2 * 32 + (int)threadIdx.x % 32) * 16 + group % 2 * 8;
    if (active)
        asm volatile("st.relaxed.gpu.global.b64 [%0], %1;" ::"l"(place), "l"(both) : "memory");
}

/* Waits for `parts` fragments, `part_step` bytes apart. */
template <int parts>
static __device__ __forceinline__ void receive_parts(fragment (&to)[parts], const unsigned char *from, int part_step,
                                                     bool active)
{
#pragma unroll
    for (int i = 0; i < parts; i++)
        to[i].low = to[i].high = active ? ~0ull : 0ull;
    bool missing = true;
    for (unsigned turn = 0; __any_sync(0xFFFFFFFF, missing); turn++) {
        missing = false;
#pragma unroll
        for (int i = 0; i < parts; i++)
            missing |= fetch_if_empty(to[i], from + i * part_step);
        if (turn > patience)
            __trap();
    }
}

static __device__ __forceinline__ uint64_t float_bits(float low, float high)
{
    return (uint64_t)__float_as_uint(high) << 32 | __float_as_uint(low);
}

static __device__ __forceinline__ float2 floats_of(uint64_t bits)
{
    return make_float2(__uint_as_float((uint32_t)bits), __uint_as_float((uint32_t)(bits >> 32)));
}

/* Σx and Σx² over the 8 columns of a group, of this quad's two rows; every lane of the warp takes part. Empty is a NaN
 * here too that no addition gives. */
static __device__ __forceinline__ void publish_statistics(unsigned char *to, int group, const float (&value)[4],
                                                          bool active)
{
    float sums[4] = {value[0] + value[1], value[0] * value[0] + value[1] * value[1], value[2] + value[3],
                     value[2] * value[2] + value[3] * value[3]};
#pragma unroll
    for (int distance = 1; distance < 4; distance *= 2)
#pragma unroll
        for (int i = 0; i < 4; i++)
            sums[i] += __shfl_xor_sync(0xFFFFFFFF, sums[i], distance);
    const int lane = (int)threadIdx.x % 32;
    if (active && lane % 4 == 0)
        asm volatile("st.relaxed.gpu.global.v2.b64 [%0], {%1, %2};" ::"l"(to + (group * 8 + lane / 4) * 16),
                     "l"(float_bits(sums[0], sums[1])), "l"(float_bits(sums[2], sums[3]))
                     : "memory");
}

/* The place in block `rank` of the cluster that `shared` is in ours. */
static __device__ __forceinline__ uint32_t cluster_address(uint32_t shared, uint32_t rank)
{
    uint32_t remote;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(shared), "r"(rank));
    return remote;
}

/* Both addresses are of the same block. */
static __device__ __forceinline__ void send_x4(uint32_t to, float a, float b, float c, float d, uint32_t barrier)
{
    asm volatile(
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to), "f"(a),
        "f"(b), "f"(c), "f"(d), "r"(barrier)
        : "memory");
}

/* As barrier_wait, with an end to patience. Block scope is enough also for what other blocks of the cluster sent: it
 * lies in shared memory, before which there is no cache. At cluster scope every wait would empty L1. */
static __device__ __forceinline__ void patient_barrier_wait(uint32_t barrier, uint32_t parity)
{
    uint32_t done = 0;
    for (unsigned turn = 0; !done; turn++) {
        asm volatile("{\n"
                     ".reg .pred done;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, done;\n"
                     "}"
                     : "=r"(done)
                     : "r"(barrier), "r"(parity)
                     : "memory");
        if (turn > patience)
            __trap();
    }
}

/* A weight box that is read once and should push nothing else out of L2. */
static __device__ __forceinline__ void copy_tensor_2d_once(uint32_t shared, const void *map, uint32_t barrier,
                                                           int column, int row, uint64_t policy)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
                 "[%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared),
                 "l"(map), "r"(barrier), "r"(column), "r"(row), "l"(policy)
                 : "memory");
}

static __device__ __forceinline__ uint64_t policy_of_once()
{
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

static __device__ __forceinline__ void store_bulk(void *global, uint32_t shared, uint32_t bytes)
{
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(global), "r"(shared), "r"(bytes)
                 : "memory");
}

static __device__ __forceinline__ void store_bulk_finish()
{
    asm volatile("cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;" ::: "memory");
}

/* What this thread wrote to shared memory may be read by the copy engine once others have passed a barrier. */
static __device__ __forceinline__ void copy_engine_fence()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

static __device__ __forceinline__ float4 load_constant_x4(const float *from)
{
    float4 value;
    asm volatile("ld.global.nc.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
                 : "l"(from));
    return value;
}

/* An 8 × 8 matrix of fp16, a row a quad of lanes, turned. */
static __device__ __forceinline__ uint32_t transpose_8x8(uint32_t value)
{
    uint32_t turned;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) : "r"(value));
    return turned;
}

#endif
