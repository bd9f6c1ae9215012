/* What the processor can do, as bundles ("levels"), each including those before it. This file and its .c are compiled
 * without instruction-set flags. */
#ifndef CLIPC_BASE_CPU_FEATURES_H
#define CLIPC_BASE_CPU_FEATURES_H

#include "base/error.h"

/* Those of the machine that this is compiled for. */
typedef enum clipc_cpu_level {
    CLIPC_CPU_C, /* whatever the compiler's baseline is */
#if defined(__x86_64__)
    CLIPC_CPU_AVX2,        /* AVX2 + FMA + F16C + BMI2 */
    CLIPC_CPU_AVX512,      /* F, BW, DQ, VL, CD */
    CLIPC_CPU_AVX512_VNNI, /* + VNNI */
    CLIPC_CPU_AVX512_BF16, /* + BF16 */
#elif defined(__aarch64__)
    CLIPC_CPU_NEON,         /* Advanced SIMD, which Armv8-A includes */
    CLIPC_CPU_NEON_DOTPROD, /* + dot products of bytes of one sign: FEAT_DotProd, Armv8.2-A */
    CLIPC_CPU_NEON_I8MM,    /* + of bytes of mixed signs: FEAT_I8MM, in Armv8.6-A */
    CLIPC_CPU_NEON_BF16,    /* + FEAT_BF16, in Armv8.6-A */
#endif
    CLIPC_CPU_LEVELS
} clipc_cpu_level;

/* The highest level that both the processor and the operating system (XCR0, AT_HWCAP and AT_HWCAP2) support, lowered
 * to the one the environment variable CLIPC_CPU names, if any. An unknown name there is CLIPC_ERROR_ARGUMENT. */
clipc_status clipc_cpu_level_detect(clipc_cpu_level *out, clipc_error *error);
/* "c"; "avx2", "avx512", "avx512_vnni", "avx512_bf16" on x86-64; "neon", "neon_dotprod", "neon_i8mm", "neon_bf16" on
 * aarch64. */
const char *clipc_cpu_level_name(clipc_cpu_level level);
clipc_status clipc_cpu_level_parse(const char *name, clipc_cpu_level *out, clipc_error *error);
/* What the processor calls itself, without spaces around; "processor" where it does not say. */
void clipc_cpu_name(char *name, size_t size);

#endif
