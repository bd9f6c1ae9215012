/* What a product's operands are kept in, as types that its kernels are templates over. `sum` is what products add up
 * in, `row` what the rows around them are kept in: the residual, and what the next step reads. */
#ifndef CLIPC_BACKEND_CUDA_OPERAND_CUH
#define CLIPC_BACKEND_CUDA_OPERAND_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

/* sum[16×8] += a[16 × 32 bytes] · b[8 × 32 bytes]ᵀ, as one instruction. */
#define MULTIPLY(instruction, kind)                                                                                   \
    asm volatile(instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                       \
                 : kind(sum[0]), kind(sum[1]), kind(sum[2]), kind(sum[3])                                             \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))

struct f16 {
    using sum = float;
    using row = f16;
    static constexpr int bytes = 2;

    static __device__ __forceinline__ void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
    {
        MULTIPLY("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "+f");
    }

    static __device__ __forceinline__ uint32_t pack(float low, float high)
    {
        const __half2 pair = __floats2half2_rn(low, high);
        return *reinterpret_cast<const uint32_t *>(&pair);
    }

    static __device__ __forceinline__ float2 unpack(uint32_t pair)
    {
        return __half22float2(*reinterpret_cast<const __half2 *>(&pair));
    }
};

struct bf16 {
    using sum = float;
    using row = bf16;
    static constexpr int bytes = 2;

    static __device__ __forceinline__ void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
    {
        MULTIPLY("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "+f");
    }

    static __device__ __forceinline__ uint32_t pack(float low, float high)
    {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
        return *reinterpret_cast<const uint32_t *>(&pair);
    }

    static __device__ __forceinline__ float2 unpack(uint32_t pair)
    {
        return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xFFFF0000u));
    }
};

struct e4m3 {
    using sum = float;
    using row = f16;
    static constexpr int bytes = 1;
    static constexpr bool row_scaled = false;        /* one scale serves all rows of the input */
    static constexpr bool activates_to_bytes = true; /* an activation's result is the next product's operand */

    static __device__ __forceinline__ void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
    {
#if __CUDA_ARCH__ >= 890
        MULTIPLY("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32", "+f");
#endif
    }
};

/* Two values as e4m3, the nearest, at most ±448; the first is the low byte. */
static __device__ __forceinline__ uint32_t e4m3_of_floats(float low, float high)
{
    uint16_t pair = 0;
#if __CUDA_ARCH__ >= 890
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
#endif
    return pair;
}

static __device__ __forceinline__ uint32_t e4m3_of_halves(uint32_t halves)
{
    uint16_t pair = 0;
#if __CUDA_ARCH__ >= 890
    asm("cvt.rn.satfinite.e4m3x2.f16x2 %0, %1;" : "=h"(pair) : "r"(halves));
#endif
    return pair;
}

struct s8 {
    using sum = int;
    using row = f16;
    static constexpr int bytes = 1;
    static constexpr bool row_scaled = true;
    static constexpr bool activates_to_bytes = false;

    static __device__ __forceinline__ void multiply(int (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
    {
        MULTIPLY("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", "+r");
    }
};

#endif
