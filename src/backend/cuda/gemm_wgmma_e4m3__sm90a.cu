#include "backend/cuda/gemm_wgmma_bytes.cuh"

extern "C" cudaError_t clipc_cuda_gemm_wgmma_e4m3(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan,
                                                  cudaStream_t stream)
{
    return launch<e4m3>(gemm, plan, stream);
}
