#include "backend/cuda/gemm_wgmma_bytes.cuh"

extern "C" cudaError_t clipc_cuda_gemm_wgmma_s8(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan,
                                                cudaStream_t stream)
{
    return launch<s8>(gemm, plan, stream);
}
