/* wgmma with its rows in registers: a warpgroup multiplies A[64 × 16], which each warp holds as the fragment of an
 * mma.m16n8k16, by B[8 n8 × 16]ᵀ in shared memory. PTX ISA 8.x, 9.7.15. The sums lie as in wgmma.cuh. */
#ifndef CLIPC_BACKEND_CUDA_WGMMA_ROWS_CUH
#define CLIPC_BACKEND_CUDA_WGMMA_ROWS_CUH

#include "backend/cuda/wgmma.cuh"

/* A matrix whose rows are 64 bytes, 64-byte swizzled, from a 512-byte border on: groups of 8 rows lie 512 bytes apart.
 * Adding 2 moves 32 bytes along the row. */
static __device__ __forceinline__ uint64_t wgmma_narrow_descriptor(uint32_t shared)
{
    return (uint64_t)((shared & 0x3FFFF) >> 4) | (uint64_t)1 << 16 | (uint64_t)(512 >> 4) << 32 | (uint64_t)2 << 62;
}

/* The sums of n8 × 8 columns as operands of an instruction: their numbers, and the registers themselves. */
#define ROWS_NUMBERS_1  "%0, %1, %2, %3"
#define ROWS_NUMBERS_2  ROWS_NUMBERS_1 ", %4, %5, %6, %7"
#define ROWS_NUMBERS_3  ROWS_NUMBERS_2 ", %8, %9, %10, %11"
#define ROWS_NUMBERS_4  ROWS_NUMBERS_3 ", %12, %13, %14, %15"
#define ROWS_NUMBERS_5  ROWS_NUMBERS_4 ", %16, %17, %18, %19"
#define ROWS_NUMBERS_6  ROWS_NUMBERS_5 ", %20, %21, %22, %23"
#define ROWS_NUMBERS_7  ROWS_NUMBERS_6 ", %24, %25, %26, %27"
#define ROWS_NUMBERS_8  ROWS_NUMBERS_7 ", %28, %29, %30, %31"
#define ROWS_NUMBERS_9  ROWS_NUMBERS_8 ", %32, %33, %34, %35"
#define ROWS_NUMBERS_10 ROWS_NUMBERS_9 ", %36, %37, %38, %39"
#define ROWS_NUMBERS_11 ROWS_NUMBERS_10 ", %40, %41, %42, %43"
#define ROWS_NUMBERS_12 ROWS_NUMBERS_11 ", %44, %45, %46, %47"
#define ROWS_NUMBERS_13 ROWS_NUMBERS_12 ", %48, %49, %50, %51"
#define ROWS_NUMBERS_14 ROWS_NUMBERS_13 ", %52, %53, %54, %55"
#define ROWS_SUMS(j)    "+f"(sum[j][0]), "+f"(sum[j][1]), "+f"(sum[j][2]), "+f"(sum[j][3])
#define ROWS_SUMS_1     ROWS_SUMS(0)
#define ROWS_SUMS_2     ROWS_SUMS_1, ROWS_SUMS(1)
#define ROWS_SUMS_3     ROWS_SUMS_2, ROWS_SUMS(2)
#define ROWS_SUMS_4     ROWS_SUMS_3, ROWS_SUMS(3)
#define ROWS_SUMS_5     ROWS_SUMS_4, ROWS_SUMS(4)
#define ROWS_SUMS_6     ROWS_SUMS_5, ROWS_SUMS(5)
#define ROWS_SUMS_7     ROWS_SUMS_6, ROWS_SUMS(6)
#define ROWS_SUMS_8     ROWS_SUMS_7, ROWS_SUMS(7)
#define ROWS_SUMS_9     ROWS_SUMS_8, ROWS_SUMS(8)
#define ROWS_SUMS_10    ROWS_SUMS_9, ROWS_SUMS(9)
#define ROWS_SUMS_11    ROWS_SUMS_10, ROWS_SUMS(10)
#define ROWS_SUMS_12    ROWS_SUMS_11, ROWS_SUMS(11)
#define ROWS_SUMS_13    ROWS_SUMS_12, ROWS_SUMS(12)
#define ROWS_SUMS_14    ROWS_SUMS_13, ROWS_SUMS(13)

/* `accumulate` 0: sum is overwritten. */
template <int n8> struct wgmma_rows_f16;

#define WGMMA_ROWS(n8, columns, a0, a1, a2, a3, at, flag)                                                             \
    template <> struct wgmma_rows_f16<n8> {                                                                           \
        static __device__ __forceinline__ void run(float (&sum)[n8][4], const uint32_t (&a)[4], uint64_t b,           \
                                                   int accumulate)                                                    \
        {                                                                                                             \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #flag ", 0;\n"                                          \
                         "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32.f16.f16 {" ROWS_NUMBERS_##n8           \
                         "}, {%" #a0 ", %" #a1 ", %" #a2 ", %" #a3 "}, %" #at ", p, 1, 1, 0;\n}"                      \
                         : ROWS_SUMS_##n8                                                                             \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));                      \
        }                                                                                                             \
    };
WGMMA_ROWS(1, 8, 4, 5, 6, 7, 8, 9)
WGMMA_ROWS(2, 16, 8, 9, 10, 11, 12, 13)
WGMMA_ROWS(3, 24, 12, 13, 14, 15, 16, 17)
WGMMA_ROWS(4, 32, 16, 17, 18, 19, 20, 21)
WGMMA_ROWS(5, 40, 20, 21, 22, 23, 24, 25)
WGMMA_ROWS(6, 48, 24, 25, 26, 27, 28, 29)
WGMMA_ROWS(7, 56, 28, 29, 30, 31, 32, 33)
WGMMA_ROWS(8, 64, 32, 33, 34, 35, 36, 37)
WGMMA_ROWS(9, 72, 36, 37, 38, 39, 40, 41)
WGMMA_ROWS(10, 80, 40, 41, 42, 43, 44, 45)
WGMMA_ROWS(11, 88, 44, 45, 46, 47, 48, 49)
WGMMA_ROWS(12, 96, 48, 49, 50, 51, 52, 53)
WGMMA_ROWS(13, 104, 52, 53, 54, 55, 56, 57)
WGMMA_ROWS(14, 112, 56, 57, 58, 59, 60, 61)

#undef WGMMA_ROWS

/* sum[64 × 64] += a[64 × 16] · b[16 × 64], whose rows lie in shared memory as wgmma_descriptor says. 16 rows on are
 * 128 more. */
template <typename operand> struct wgmma_rows_by_rows;

#define WGMMA_ROWS_BY_ROWS(operand, type)                                                                             \
    template <> struct wgmma_rows_by_rows<operand> {                                                                  \
        static __device__ __forceinline__ void run(float (&sum)[8][4], const uint32_t (&a)[4], uint64_t b,            \
                                                   int accumulate)                                                    \
        {                                                                                                             \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"                                                 \
                         "wgmma.mma_async.sync.aligned.m64n64k16.f32." type " {" ROWS_NUMBERS_8                       \
                         "}, {%32, %33, %34, %35}, %36, p, 1, 1, 1;\n}"                                               \
                         : ROWS_SUMS_8                                                                                \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));                      \
        }                                                                                                             \
    };
WGMMA_ROWS_BY_ROWS(f16, "f16.f16")
WGMMA_ROWS_BY_ROWS(bf16, "bf16.bf16")

#undef WGMMA_ROWS_BY_ROWS

#endif
