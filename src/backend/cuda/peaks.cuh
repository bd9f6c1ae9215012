/* One and minus one, in each type that a product's operands may be of, over and over in 32 bits. Loops that multiply
 * by both in turn carry their sums from one repeat to the next, so that no repeat can be left out, and the sums stay
 * small enough to be exact in every type. */
#ifndef CLIPC_BACKEND_CUDA_PEAKS_CUH
#define CLIPC_BACKEND_CUDA_PEAKS_CUH

#include "backend/cuda/operand.cuh"
#include "backend/cuda/peaks.h"

template <typename operand> struct ones;
template <> struct ones<f16> {
    static constexpr uint32_t plus = 0x3C003C00u;
    static constexpr uint32_t minus = 0xBC00BC00u;
};
template <> struct ones<bf16> {
    static constexpr uint32_t plus = 0x3F803F80u;
    static constexpr uint32_t minus = 0xBF80BF80u;
};
template <> struct ones<e4m3> {
    static constexpr uint32_t plus = 0x38383838u;
    static constexpr uint32_t minus = 0xB8B8B8B8u;
};
template <> struct ones<s8> {
    static constexpr uint32_t plus = 0x01010101u;
    static constexpr uint32_t minus = 0xFFFFFFFFu;
};

#define BY_TYPE(type, LAUNCH)                                                                                         \
    switch (type) {                                                                                                   \
    case CLIPC_CUDA_F16: return LAUNCH(f16);                                                                          \
    case CLIPC_CUDA_BF16: return LAUNCH(bf16);                                                                        \
    case CLIPC_CUDA_E4M3: return LAUNCH(e4m3);                                                                        \
    case CLIPC_CUDA_S8: return LAUNCH(s8);                                                                            \
    default: return cudaErrorInvalidValue;                                                                            \
    }

#endif
