#include "backend/cuda/gemm_mma.cuh"

extern "C" cudaError_t clipc_cuda_gemm_mma_e4m3(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan,
                                                cudaStream_t stream)
{
    return launch<e4m3>(gemm, plan, stream);
}
