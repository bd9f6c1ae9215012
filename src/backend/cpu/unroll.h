/* Loops of a constant length that must disappear, so that arrays of accumulators become registers. */
#ifndef CLIPC_BACKEND_CPU_UNROLL_H
#define CLIPC_BACKEND_CPU_UNROLL_H

#if defined(__clang__)
#define CLIPC_UNROLL   _Pragma("clang loop unroll(full)")
#define CLIPC_UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define CLIPC_UNROLL   _Pragma("GCC unroll 32")
#define CLIPC_UNROLL_4 _Pragma("GCC unroll 4")
#endif

#define CLIPC_ALWAYS_INLINE static inline __attribute__((always_inline))

#endif
