#include "backend/cpu/kernels.h"

#define FILL(isa, isa_level)                                                                                          \
    kernels->level = (isa_level);                                                                                     \
    kernels->tile_rows = CLIPC_GEMM_ROWS__##isa;                                                                      \
    kernels->tile_columns = CLIPC_GEMM_COLUMNS__##isa;                                                                \
    kernels->gemm_tile = clipc_gemm_tile_f32__##isa;                                                                  \
    kernels->epilogue[CLIPC_EPILOGUE_BIAS] = clipc_bias_f32__##isa;                                                   \
    kernels->epilogue[CLIPC_EPILOGUE_RESIDUAL] = clipc_residual_f32__##isa;                                           \
    kernels->epilogue[CLIPC_EPILOGUE_RELU] = clipc_relu_f32__##isa;                                                   \
    kernels->epilogue[CLIPC_EPILOGUE_RESIDUAL_RELU] = clipc_residual_relu_f32__##isa;                                 \
    kernels->copy_lines = clipc_copy_lines_f32__##isa;                                                                \
    kernels->average = clipc_average_f32__##isa;                                                                      \
    kernels->epilogue[CLIPC_EPILOGUE_QUICK_GELU] = clipc_quick_gelu_f32__##isa;                                       \
    kernels->epilogue[CLIPC_EPILOGUE_GELU] = clipc_gelu_f32__##isa;                                                   \
    kernels->epilogue[CLIPC_EPILOGUE_GELU_TANH] = clipc_gelu_tanh_f32__##isa;                                         \
    kernels->layer_norm = clipc_layer_norm_f32__##isa;                                                                \
    kernels->softmax = clipc_softmax_f32__##isa

#define FILL_BF16(isa, isa_level)                                                                                     \
    kernels->bf16 = (clipc_bf16_kernels)                                                                              \
    {                                                                                                                 \
        .level = (isa_level), .tile_rows = CLIPC_GEMM_BF16_ROWS__##isa,                                               \
        .tile_columns = CLIPC_GEMM_BF16_COLUMNS__##isa, .gemm_tile = clipc_gemm_tile_bf16__##isa,                     \
        .epilogue = {[CLIPC_EPILOGUE_BIAS] = clipc_bias_bf16__##isa,                                                  \
                     [CLIPC_EPILOGUE_RELU] = clipc_relu_bf16__##isa,                                                  \
                     [CLIPC_EPILOGUE_RESIDUAL_RELU] = clipc_residual_relu_bf16__##isa,                                \
                     [CLIPC_EPILOGUE_QUICK_GELU] = clipc_quick_gelu_bf16__##isa,                                      \
                     [CLIPC_EPILOGUE_GELU] = clipc_gelu_bf16__##isa,                                                  \
                     [CLIPC_EPILOGUE_GELU_TANH] = clipc_gelu_tanh_bf16__##isa},                                       \
        .layer_norm = clipc_layer_norm_bf16__##isa, .softmax = clipc_softmax_bf16__##isa,                             \
        .scale = clipc_scale_bf16__##isa, .average = clipc_average_bf16__##isa                                        \
    }

/* Tiles, lines and epilogues have levels of their own. */
#define FILL_I8(tile_isa, lines_isa, epilogue_isa, isa_level)                                                         \
    kernels->i8 = (clipc_i8_kernels)                                                                                  \
    {                                                                                                                 \
        .level = (isa_level), .tile_rows = CLIPC_GEMM_I8_ROWS__##tile_isa,                                            \
        .tile_columns = CLIPC_GEMM_I8_COLUMNS__##tile_isa, .gemm_tile = clipc_gemm_tile_i8__##tile_isa,               \
        .layer_norm = clipc_layer_norm_i8__##lines_isa, .quantize = clipc_quantize_i8__##lines_isa,                   \
        .epilogue_f32 = {[CLIPC_EPILOGUE_BIAS] = clipc_bias_i8_f32__##epilogue_isa,                                   \
                         [CLIPC_EPILOGUE_RESIDUAL] = clipc_residual_i8_f32__##epilogue_isa},                          \
        .epilogue_bf16 = {                                                                                            \
            [CLIPC_EPILOGUE_BIAS] = clipc_bias_i8_bf16__##epilogue_isa,                                               \
            [CLIPC_EPILOGUE_QUICK_GELU] = clipc_quick_gelu_i8_bf16__##epilogue_isa,                                   \
            [CLIPC_EPILOGUE_GELU] = clipc_gelu_i8_bf16__##epilogue_isa,                                               \
            [CLIPC_EPILOGUE_GELU_TANH] = clipc_gelu_tanh_i8_bf16__##epilogue_isa                                      \
        }                                                                                                             \
    }

void clipc_kernels_fill(clipc_kernels *kernels, clipc_cpu_level level)
{
    *kernels = (clipc_kernels){0};
    FILL(c, CLIPC_CPU_C);
    FILL_BF16(c, CLIPC_CPU_C);
    FILL_I8(c, c, c, CLIPC_CPU_C);
    kernels->round_bf16 = clipc_round_bf16__c;
    kernels->pack_units = clipc_pack_units__c;
    kernels->pack_pairs = clipc_pack_pairs__c;
#if defined(__x86_64__)
    if (level < CLIPC_CPU_AVX2)
        return;
    FILL(avx2, CLIPC_CPU_AVX2);
    FILL_BF16(avx2, CLIPC_CPU_AVX2);
    FILL_I8(avx2, avx2, avx2, CLIPC_CPU_AVX2);
    kernels->round_bf16 = clipc_round_bf16__avx2;
    if (level < CLIPC_CPU_AVX512)
        return;
    FILL(avx512, CLIPC_CPU_AVX512);
    FILL_BF16(avx512, CLIPC_CPU_AVX512);
    FILL_I8(avx2, avx512, avx512, CLIPC_CPU_AVX512);
    kernels->pack_units = clipc_pack_units__avx512;
    kernels->pack_pairs = clipc_pack_pairs__avx512;
    if (level < CLIPC_CPU_AVX512_VNNI)
        return;
    FILL_I8(avx512_vnni, avx512, avx512, CLIPC_CPU_AVX512_VNNI);
    if (level < CLIPC_CPU_AVX512_BF16)
        return;
    FILL_BF16(avx512_bf16, CLIPC_CPU_AVX512_BF16);
    FILL_I8(avx512_vnni, avx512, avx512_bf16, CLIPC_CPU_AVX512_BF16);
#elif defined(__aarch64__)
    if (level < CLIPC_CPU_NEON)
        return;
    FILL(neon, CLIPC_CPU_NEON);
    FILL_BF16(neon, CLIPC_CPU_NEON);
    FILL_I8(neon, neon, neon, CLIPC_CPU_NEON);
    kernels->round_bf16 = clipc_round_bf16__neon;
    if (level < CLIPC_CPU_NEON_DOTPROD)
        return;
    FILL_I8(neon_dotprod, neon, neon, CLIPC_CPU_NEON_DOTPROD);
    if (level < CLIPC_CPU_NEON_I8MM)
        return;
    FILL_I8(neon_i8mm, neon, neon, CLIPC_CPU_NEON_I8MM);
    if (level < CLIPC_CPU_NEON_BF16)
        return;
    FILL_BF16(neon_bf16, CLIPC_CPU_NEON_BF16);
    FILL_I8(neon_i8mm, neon, neon_bf16, CLIPC_CPU_NEON_BF16);
#else
    (void)level;
#endif
}

clipc_cpu_level clipc_kernels_level(const clipc_kernels *kernels, clipc_precision precision)
{
    switch (precision) {
    case CLIPC_PRECISION_BF16: return kernels->bf16.level;
    case CLIPC_PRECISION_INT8:
        return kernels->i8.level > kernels->bf16.level ? kernels->i8.level : kernels->bf16.level;
    default: return kernels->level;
    }
}

bool clipc_kernels_have_bf16(const clipc_kernels *kernels)
{
#if defined(__x86_64__)
    return kernels->bf16.level == CLIPC_CPU_AVX512_BF16;
#elif defined(__aarch64__)
    return kernels->bf16.level == CLIPC_CPU_NEON_BF16;
#else
    (void)kernels;
    return false;
#endif
}

size_t clipc_kernels_tile_rows(const clipc_kernels *kernels, clipc_dtype dtype)
{
    switch (dtype) {
    case CLIPC_DTYPE_BF16: return kernels->bf16.tile_rows;
    case CLIPC_DTYPE_I8: return kernels->i8.tile_rows;
    default: return kernels->tile_rows;
    }
}

size_t clipc_kernels_tile_columns(const clipc_kernels *kernels, clipc_dtype dtype)
{
    switch (dtype) {
    case CLIPC_DTYPE_BF16: return kernels->bf16.tile_columns;
    case CLIPC_DTYPE_I8: return kernels->i8.tile_columns;
    default: return kernels->tile_columns;
    }
}

clipc_epilogue clipc_epilogue_of(clipc_activation activation)
{
    switch (activation) {
    case CLIPC_ACTIVATION_QUICK_GELU: return CLIPC_EPILOGUE_QUICK_GELU;
    case CLIPC_ACTIVATION_GELU: return CLIPC_EPILOGUE_GELU;
    case CLIPC_ACTIVATION_GELU_TANH: return CLIPC_EPILOGUE_GELU_TANH;
    }
    return CLIPC_EPILOGUE_GELU;
}
