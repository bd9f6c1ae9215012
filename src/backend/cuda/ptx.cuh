/* The machine instructions that CUDA C++ has no word for, one small function each. PTX ISA 8.x, chapter 9. */
#ifndef CLIPC_BACKEND_CUDA_PTX_CUH
#define CLIPC_BACKEND_CUDA_PTX_CUH

#include <cuda_fp16.h>
#include <stdint.h>

/* ---- programmatic dependent launch: a kernel may start while the one before it ends; what that one wrote may be read
 * only after the wait. ---- */

static __device__ __forceinline__ void wait_for_previous_kernel()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

static __device__ __forceinline__ void let_next_kernel_start()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

static __device__ __forceinline__ uint32_t shared_address(const void *pointer)
{
    return (uint32_t)__cvta_generic_to_shared(pointer);
}

static __device__ __forceinline__ uint4 load_shared_x4(uint32_t shared)
{
    uint4 value;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "r"(shared)
                 : "memory");
    return value;
}

static __device__ __forceinline__ float4 load_shared_x4f(uint32_t shared)
{
    float4 value;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
                 : "r"(shared)
                 : "memory");
    return value;
}

static __device__ __forceinline__ float2 load_shared_x2f(uint32_t shared)
{
    float2 value;
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(value.x), "=f"(value.y) : "r"(shared) : "memory");
    return value;
}

/* 1, 2 or 4 words. */
template <int count> static __device__ __forceinline__ void load_shared_words(uint32_t *to, uint32_t shared)
{
    if constexpr (count == 4)
        asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(shared)
                     : "memory");
    else if constexpr (count == 2)
        asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];" : "=r"(to[0]), "=r"(to[1]) : "r"(shared) : "memory");
    else
        asm volatile("ld.shared.b32 %0, [%1];" : "=r"(to[0]) : "r"(shared) : "memory");
}

static __device__ __forceinline__ void store_shared_x2f(uint32_t shared, float2 value)
{
    asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(shared), "f"(value.x), "f"(value.y) : "memory");
}

static __device__ __forceinline__ void store_shared_x4f(uint32_t shared, float4 value)
{
    asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(shared), "f"(value.x), "f"(value.y), "f"(value.z),
                 "f"(value.w)
                 : "memory");
}

static __device__ __forceinline__ void store_shared_16(uint32_t shared, uint16_t value)
{
    asm volatile("st.shared.u16 [%0], %1;" ::"r"(shared), "h"(value) : "memory");
}

/* ---- asynchronous copies, sm_80 ---- */

/* 16 bytes from global to shared memory; `valid` false: zeros, and nothing is read. */
static __device__ __forceinline__ void copy_async_16(uint32_t shared, const void *global, bool valid)
{
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes) : "memory");
}

static __device__ __forceinline__ void copy_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int pending> static __device__ __forceinline__ void copy_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

/* ---- matrix fragments, sm_80 ---- */

static __device__ __forceinline__ void load_matrix_x4(uint32_t (&fragment)[4], uint32_t shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
                 : "r"(shared)
                 : "memory");
}

static __device__ __forceinline__ void load_matrix_x4_transposed(uint32_t (&fragment)[4], uint32_t shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
                 : "r"(shared)
                 : "memory");
}

/* ---- fast functions ---- */

static __device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

static __device__ __forceinline__ __half2 tanh_halves(__half2 x)
{
    uint32_t y;
    asm("tanh.approx.f16x2 %0, %1;" : "=r"(y) : "r"(*reinterpret_cast<const uint32_t *>(&x)));
    return *reinterpret_cast<const __half2 *>(&y);
}

/* Relative error 2⁻¹¹, the rounding of fp16: half the special-function work of an exponential and a division. */
static __device__ __forceinline__ float tanh_fast(float x)
{
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* ---- barriers and bulk copies, sm_90 ---- */

static __device__ __forceinline__ void barrier_init(uint32_t barrier, uint32_t arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

static __device__ __forceinline__ void barrier_init_fence()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

static __device__ __forceinline__ void barrier_expect_bytes(uint32_t barrier, uint32_t bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

static __device__ __forceinline__ void barrier_arrive(uint32_t barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

static __device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t parity)
{
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again;\n"
                 "}" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

/* What this thread read or wrote in shared memory comes before what the copy engine writes there later. */
static __device__ __forceinline__ void async_fence()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* `bytes` (a multiple of 16) from global to shared memory, both 16-byte aligned. */
static __device__ __forceinline__ void copy_bulk(uint32_t shared, const void *global, uint32_t bytes, uint32_t barrier)
{
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared),
        "l"(global), "r"(bytes), "r"(barrier)
        : "memory");
}

/* Barriers among `threads` threads of a block, by number: one side waits, the other only announces itself. */
static __device__ __forceinline__ void turn_wait(int number, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

static __device__ __forceinline__ void turn_pass(int number, int threads)
{
    asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

/* A box of a two-dimensional tensor to shared memory; `column` and `row` are the box's origin. */
static __device__ __forceinline__ void copy_tensor_2d(uint32_t shared, const void *map, uint32_t barrier, int column,
                                                      int row)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
            "r"(shared),
        "l"(map), "r"(barrier), "r"(column), "r"(row)
        : "memory");
}

/* A box that arrives at the same place in every block of the cluster that `blocks` has a bit for, and is announced at
 * the same barrier of each. */
static __device__ __forceinline__ void copy_tensor_2d_to(uint32_t shared, const void *map, uint32_t barrier,
                                                         int column, int row, uint16_t blocks)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
                 "[%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared),
                 "l"(map), "r"(barrier), "r"(column), "r"(row), "h"(blocks)
                 : "memory");
}

/* The same of a tensor of weights as clipc_cuda_weight_map describes it: `group` is the first group of columns. */
static __device__ __forceinline__ void copy_weights(uint32_t shared, const void *map, uint32_t barrier, int depth,
                                                    int group)
{
    asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %5, %5, %5, %4}], [%2];" ::"r"(shared),
                 "l"(map), "r"(barrier), "r"(depth), "r"(group), "r"(0)
                 : "memory");
}

static __device__ __forceinline__ void copy_weights_to(uint32_t shared, const void *map, uint32_t barrier, int depth,
                                                       int group, uint16_t blocks)
{
    asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
                 "[%0], [%1, {%3, %5, %5, %5, %4}], [%2], %6;" ::"r"(shared),
                 "l"(map), "r"(barrier), "r"(depth), "r"(group), "r"(0), "h"(blocks)
                 : "memory");
}

/* Arrives at the barrier that a block of the cluster has at this address. */
static __device__ __forceinline__ void barrier_arrive_at(uint32_t barrier, uint32_t rank)
{
    asm volatile("{\n"
                 ".reg .b32 remote;\n"
                 "mapa.shared::cluster.u32 remote, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [remote];\n"
                 "}" ::"r"(barrier),
                 "r"(rank)
                 : "memory");
}

/* The same of a three-dimensional one. */
static __device__ __forceinline__ void copy_tensor_3d(uint32_t shared, const void *map, uint32_t barrier, int column,
                                                      int row, int item)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
                 "%5}], [%2];" ::"r"(shared),
                 "l"(map), "r"(barrier), "r"(column), "r"(row), "r"(item)
                 : "memory");
}

/* Four 8×8 matrices of fragments to shared memory: the way back of load_matrix_x4. */
static __device__ __forceinline__ void store_matrix_x4(uint32_t shared, const uint32_t (&fragment)[4])
{
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared), "r"(fragment[0]),
                 "r"(fragment[1]), "r"(fragment[2]), "r"(fragment[3])
                 : "memory");
}

static __device__ __forceinline__ void prefetch_tensor_map(const void *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

static __device__ __forceinline__ uint32_t cluster_rank()
{
    uint32_t rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

static __device__ __forceinline__ void cluster_arrive()
{
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}

static __device__ __forceinline__ void cluster_wait()
{
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/* Four floats of another block's shared memory, at the address that ours have. */
static __device__ __forceinline__ float4 load_cluster_x4(uint32_t shared, uint32_t rank)
{
    float4 value;
    asm volatile("{\n"
                 ".reg .b32 remote;\n"
                 "mapa.shared::cluster.u32 remote, %4, %5;\n"
                 "ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [remote];\n"
                 "}"
                 : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
                 : "r"(shared), "r"(rank));
    return value;
}

#endif
