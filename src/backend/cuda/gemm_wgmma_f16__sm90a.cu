#include "backend/cuda/gemm_wgmma.cuh"

extern "C" cudaError_t clipc_cuda_gemm_wgmma_f16(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan,
                                                 cudaStream_t stream)
{
    return gemm->columns % 32 == 0 ? launch<f16>(gemm, plan, stream) : launch_any_columns<f16>(gemm, plan, stream);
}
