/* wgmma: a warpgroup multiplies A[64 × k] by B[n × k]ᵀ, both in shared memory, into registers. PTX ISA
 * 8.x, 9.7.15. Thread t of the warpgroup holds, of row 16·(t/32) + (t%32)/4 (+ 8 for the second pair), columns 8j
 * + 2·(t%4) and the next in sum[j]: the layout of mma.m16n8. */
#ifndef CLIPC_BACKEND_CUDA_WGMMA_CUH
#define CLIPC_BACKEND_CUDA_WGMMA_CUH

#include "backend/cuda/operand.cuh"

static __device__ __forceinline__ void wgmma_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ __forceinline__ void wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int pending> static __device__ __forceinline__ void wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

/* A matrix whose rows are 128 bytes, 128-byte swizzled, from a 1024-byte border on: groups of 8 rows lie 1024 bytes
 * apart. Adding k × 2 moves 32 bytes along the row. */
static __device__ __forceinline__ uint64_t wgmma_descriptor(uint32_t shared)
{
    return (uint64_t)((shared & 0x3FFFF) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

/* The sums of n8 × 8 columns as operands of an instruction: their numbers, and the registers themselves. */
#define WGMMA_NUMBERS_1 "%0, %1, %2, %3"
#define WGMMA_NUMBERS_7                                                                                               \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, "                           \
    "%19, %20, %21, %22, %23, %24, %25, %26, %27"
#define WGMMA_NUMBERS_8                                                                                               \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, "                           \
    "%19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define WGMMA_NUMBERS_12                                                                                              \
    WGMMA_NUMBERS_8 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define WGMMA_NUMBERS_16                                                                                              \
    WGMMA_NUMBERS_12 ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define WGMMA_NUMBERS_20                                                                                              \
    WGMMA_NUMBERS_16 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define WGMMA_NUMBERS_24                                                                                              \
    WGMMA_NUMBERS_20 ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define WGMMA_NUMBERS_32                                                                                              \
    WGMMA_NUMBERS_24 ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, "       \
                     "%111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, "     \
                     "%126, %127"

#define WGMMA_BLOCK(kind, j)    kind(sum[j][0]), kind(sum[j][1]), kind(sum[j][2]), kind(sum[j][3])
#define WGMMA_BLOCKS_2(kind, j) WGMMA_BLOCK(kind, j), WGMMA_BLOCK(kind, j + 1)
#define WGMMA_BLOCKS_4(kind, j) WGMMA_BLOCKS_2(kind, j), WGMMA_BLOCKS_2(kind, j + 2)
#define WGMMA_SUMS_1(kind)      WGMMA_BLOCK(kind, 0)
#define WGMMA_SUMS_7(kind)      WGMMA_BLOCKS_4(kind, 0), WGMMA_BLOCKS_2(kind, 4), WGMMA_BLOCK(kind, 6)
#define WGMMA_SUMS_8(kind)      WGMMA_BLOCKS_4(kind, 0), WGMMA_BLOCKS_4(kind, 4)
#define WGMMA_SUMS_12(kind)     WGMMA_SUMS_8(kind), WGMMA_BLOCKS_4(kind, 8)
#define WGMMA_SUMS_16(kind)     WGMMA_SUMS_12(kind), WGMMA_BLOCKS_4(kind, 12)
#define WGMMA_SUMS_20(kind)     WGMMA_SUMS_16(kind), WGMMA_BLOCKS_4(kind, 16)
#define WGMMA_SUMS_24(kind)     WGMMA_SUMS_20(kind), WGMMA_BLOCKS_4(kind, 20)
#define WGMMA_SUMS_32(kind)     WGMMA_SUMS_24(kind), WGMMA_BLOCKS_4(kind, 24), WGMMA_BLOCKS_4(kind, 28)

/* One width of one type. The last three operands follow the sums: both descriptors, and whether to accumulate. */
#define WGMMA_WIDTH(operand, n8, columns, descriptors, predicate, shape, kind, fresh, tail)                           \
    template <> struct wgmma<operand, n8> {                                                                           \
        static __device__ __forceinline__ void run(operand::sum (&sum)[n8][4], uint64_t a, uint64_t b,                \
                                                   int accumulate)                                                    \
        {                                                                                                             \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " predicate ", 0;\n"                                       \
                         "wgmma.mma_async.sync.aligned.m64n" columns shape " {" WGMMA_NUMBERS_##n8 "}, " descriptors  \
                                                                                                   ", p" tail ";\n}"  \
                         : WGMMA_SUMS_##n8(kind)                                                                      \
                         : "l"(a), "l"(b), "r"(accumulate));                                                          \
        }                                                                                                             \
        static __device__ __forceinline__ void start(operand::sum (&sum)[n8][4], uint64_t a, uint64_t b)              \
        {                                                                                                             \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " predicate ", 0;\n"                                       \
                         "wgmma.mma_async.sync.aligned.m64n" columns shape " {" WGMMA_NUMBERS_##n8 "}, " descriptors  \
                                                                                                   ", p" tail ";\n}"  \
                         : WGMMA_SUMS_##n8(fresh)                                                                     \
                         : "l"(a), "l"(b), "n"(0));                                                                   \
        }                                                                                                             \
    };
#define WGMMA(operand, shape, kind, fresh, tail)                                                                      \
    WGMMA_WIDTH(operand, 1, "8", "%4, %5", "%6", shape, kind, fresh, tail)                                            \
    WGMMA_WIDTH(operand, 7, "56", "%28, %29", "%30", shape, kind, fresh, tail)                                        \
    WGMMA_WIDTH(operand, 8, "64", "%32, %33", "%34", shape, kind, fresh, tail)                                        \
    WGMMA_WIDTH(operand, 12, "96", "%48, %49", "%50", shape, kind, fresh, tail)                                       \
    WGMMA_WIDTH(operand, 16, "128", "%64, %65", "%66", shape, kind, fresh, tail)                                      \
    WGMMA_WIDTH(operand, 20, "160", "%80, %81", "%82", shape, kind, fresh, tail)                                      \
    WGMMA_WIDTH(operand, 24, "192", "%96, %97", "%98", shape, kind, fresh, tail)                                      \
    WGMMA_WIDTH(operand, 32, "256", "%128, %129", "%130", shape, kind, fresh, tail)

/* sum[64 × 8·n8] += a · bᵀ over 32 bytes of depth; `accumulate` 0, and start: sum is overwritten. After start the
 * compiler, too, knows that nothing is left of it. */
template <typename operand, int n8> struct wgmma;
WGMMA(f16, "k16.f32.f16.f16", "+f", "=f", ", 1, 1, 0, 0")
WGMMA(bf16, "k16.f32.bf16.bf16", "+f", "=f", ", 1, 1, 0, 0")
WGMMA(e4m3, "k32.f32.e4m3.e4m3", "+f", "=f", ", 1, 1")
WGMMA(s8, "k32.s32.s8.s8", "+r", "=r", "")

#endif
