#include "backend/cpu/kernel_names.h"

#include <stddef.h>

#define TEXT(value)                     #value
#define TILE(dtype, isa, rows, columns) "gemm_tile_" #dtype "__" #isa " " TEXT(rows) " × " TEXT(columns)

#define GEMM_F32(isa)  TILE(f32, isa, CLIPC_GEMM_ROWS__##isa, CLIPC_GEMM_COLUMNS__##isa)
#define GEMM_BF16(isa) TILE(bf16, isa, CLIPC_GEMM_BF16_ROWS__##isa, CLIPC_GEMM_BF16_COLUMNS__##isa)
#define GEMM_I8(isa)   TILE(i8, isa, CLIPC_GEMM_I8_ROWS__##isa, CLIPC_GEMM_I8_COLUMNS__##isa)

/* Of the levels that bring a kernel of that kind. */
typedef struct names {
    const char *gemm;
    const char *layer_norm;
    const char *quantize; /* bytes only */
} names;

static const names names_f32[CLIPC_CPU_LEVELS] = {
    [CLIPC_CPU_C] = {GEMM_F32(c), "layer_norm_f32__c", NULL},
#if defined(__x86_64__)
    [CLIPC_CPU_AVX2] = {GEMM_F32(avx2), "layer_norm_f32__avx2", NULL},
    [CLIPC_CPU_AVX512] = {GEMM_F32(avx512), "layer_norm_f32__avx512", NULL},
#elif defined(__aarch64__)
    [CLIPC_CPU_NEON] = {GEMM_F32(neon), "layer_norm_f32__neon", NULL},
#endif
};

static const names names_bf16[CLIPC_CPU_LEVELS] = {
    [CLIPC_CPU_C] = {GEMM_BF16(c), "layer_norm_bf16__c", NULL},
#if defined(__x86_64__)
    [CLIPC_CPU_AVX2] = {GEMM_BF16(avx2), "layer_norm_bf16__avx2", NULL},
    [CLIPC_CPU_AVX512] = {GEMM_BF16(avx512), "layer_norm_bf16__avx512", NULL},
    [CLIPC_CPU_AVX512_BF16] = {GEMM_BF16(avx512_bf16), "layer_norm_bf16__avx512_bf16", NULL},
#elif defined(__aarch64__)
    [CLIPC_CPU_NEON] = {GEMM_BF16(neon), "layer_norm_bf16__neon", NULL},
    [CLIPC_CPU_NEON_BF16] = {GEMM_BF16(neon_bf16), "layer_norm_bf16__neon_bf16", NULL},
#endif
};

/* As in clipc_kernels_fill, tiles and lines have levels of their own. */
static const names names_i8[CLIPC_CPU_LEVELS] = {
    [CLIPC_CPU_C] = {GEMM_I8(c), "layer_norm_i8__c", "quantize_i8__c"},
#if defined(__x86_64__)
    [CLIPC_CPU_AVX2] = {GEMM_I8(avx2), "layer_norm_i8__avx2", "quantize_i8__avx2"},
    [CLIPC_CPU_AVX512] = {GEMM_I8(avx2), "layer_norm_i8__avx512", "quantize_i8__avx512"},
    [CLIPC_CPU_AVX512_VNNI] = {GEMM_I8(avx512_vnni), "layer_norm_i8__avx512", "quantize_i8__avx512"},
    [CLIPC_CPU_AVX512_BF16] = {GEMM_I8(avx512_vnni), "layer_norm_i8__avx512", "quantize_i8__avx512"},
#elif defined(__aarch64__)
    [CLIPC_CPU_NEON] = {GEMM_I8(neon), "layer_norm_i8__neon", "quantize_i8__neon"},
    [CLIPC_CPU_NEON_DOTPROD] = {GEMM_I8(neon_dotprod), "layer_norm_i8__neon", "quantize_i8__neon"},
    [CLIPC_CPU_NEON_I8MM] = {GEMM_I8(neon_i8mm), "layer_norm_i8__neon", "quantize_i8__neon"},
    [CLIPC_CPU_NEON_BF16] = {GEMM_I8(neon_i8mm), "layer_norm_i8__neon", "quantize_i8__neon"},
#endif
};

static const names *names_of(const clipc_kernels *kernels, clipc_dtype dtype)
{
    switch (dtype) {
    case CLIPC_DTYPE_BF16: return &names_bf16[kernels->bf16.level];
    case CLIPC_DTYPE_I8: return &names_i8[kernels->i8.level];
    default: return &names_f32[kernels->level];
    }
}

const char *clipc_gemm_name(const clipc_kernels *kernels, clipc_dtype dtype)
{
    return names_of(kernels, dtype)->gemm;
}

const char *clipc_layer_norm_name(const clipc_kernels *kernels, clipc_dtype dtype)
{
    return names_of(kernels, dtype)->layer_norm;
}

const char *clipc_quantize_name(const clipc_kernels *kernels)
{
    return names_of(kernels, CLIPC_DTYPE_I8)->quantize;
}
