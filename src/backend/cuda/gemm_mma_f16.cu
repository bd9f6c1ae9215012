#include "backend/cuda/gemm_mma.cuh"

extern "C" cudaError_t clipc_cuda_gemm_mma_f16(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan,
                                               cudaStream_t stream)
{
    return launch<f16>(gemm, plan, stream);
}
