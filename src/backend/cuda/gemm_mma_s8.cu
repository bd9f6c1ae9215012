#include "backend/cuda/gemm_mma.cuh"

extern "C" cudaError_t clipc_cuda_gemm_mma_s8(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan,
                                              cudaStream_t stream)
{
    return launch<s8>(gemm, plan, stream);
}
