/* Measuring tiles on the device: the products of a pass, each with every tile that gives the same bits. */
#ifndef CLIPC_BACKEND_CUDA_TUNE_H
#define CLIPC_BACKEND_CUDA_TUNE_H

#include "backend/backend.h"
#include "backend/cuda/gemm.h"
#include "backend/cuda/gemm_tiles.h"

typedef struct clipc_cuda_tuner clipc_cuda_tuner;

/* `bytes`: of the largest output of a product, with the statistics that it leaves. */
clipc_status clipc_cuda_tuner_create(const clipc_tune_request *request, const clipc_gemm_device *device, size_t bytes,
                                     clipc_cuda_tuner **out, clipc_error *error);
void clipc_cuda_tuner_destroy(clipc_cuda_tuner **tuner);

/* Before the product is computed, whose operands are in place: measures, unless the shape has its choice, and leaves
 * the output as it was. A failure that is none of CUDA's is kept in the tuner. */
cudaError_t clipc_cuda_tuner_product(clipc_cuda_tuner *tuner, const clipc_cuda_gemm *gemm,
                                     const clipc_gemm_shape *shape, const clipc_gemm_plan *plan, cudaStream_t stream);
/* What failed, or CLIPC_OK. */
clipc_status clipc_cuda_tuner_status(const clipc_cuda_tuner *tuner, clipc_error *error);

#endif
