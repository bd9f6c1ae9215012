#include "backend/cuda/gemm_skinny.cuh"

extern "C" cudaError_t clipc_cuda_gemm_skinny_bf16(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan,
                                                   cudaStream_t stream)
{
    return launch<bf16>(gemm, plan, stream);
}
