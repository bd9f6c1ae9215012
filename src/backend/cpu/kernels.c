#include "backend/cpu/kernels.h"

#define FILL(isa, isa_level)                                                                                          \
    *kernels = (clipc_kernels)                                                                                        \
    {                                                                                                                 \
        .level = (isa_level), .tile_rows = CLIPC_GEMM_ROWS__##isa, .tile_columns = CLIPC_GEMM_COLUMNS__##isa,         \
        .gemm_tile = clipc_gemm_tile_f32__##isa,                                                                      \
        .epilogue = {[CLIPC_EPILOGUE_BIAS] = clipc_bias_f32__##isa,                                                   \
                     [CLIPC_EPILOGUE_RESIDUAL] = clipc_residual_f32__##isa,                                           \
                     [CLIPC_EPILOGUE_QUICK_GELU] = clipc_quick_gelu_f32__##isa,                                       \
                     [CLIPC_EPILOGUE_GELU] = clipc_gelu_f32__##isa,                                                   \
                     [CLIPC_EPILOGUE_GELU_TANH] = clipc_gelu_tanh_f32__##isa},                                        \
        .layer_norm = clipc_layer_norm_f32__##isa, .softmax = clipc_softmax_f32__##isa                                \
    }

void clipc_kernels_fill(clipc_kernels *kernels, clipc_cpu_level level)
{
    FILL(c, CLIPC_CPU_C);
#if defined(__x86_64__)
    if (level < CLIPC_CPU_AVX2)
        return;
    FILL(avx2, CLIPC_CPU_AVX2);
    if (level < CLIPC_CPU_AVX512)
        return;
    FILL(avx512, CLIPC_CPU_AVX512);
#elif defined(__aarch64__)
    if (level < CLIPC_CPU_NEON)
        return;
    FILL(neon, CLIPC_CPU_NEON);
#else
    (void)level;
#endif
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
