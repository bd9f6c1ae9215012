#include "backend/cuda/gemm_wgmma.cuh"

extern "C" cudaError_t clipc_cuda_gemm_wgmma_bf16(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan,
                                                  cudaStream_t stream)
{
    return gemm->columns % 32 == 0 ? launch<bf16>(gemm, plan, stream) : launch_any_columns<bf16>(gemm, plan, stream);
}
