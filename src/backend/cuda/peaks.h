/* Loops that show what a device can do at most: the very instructions that products are made of, reading of memory,
 * and a kernel that does nothing. */
#ifndef CLIPC_BACKEND_CUDA_PEAKS_H
#define CLIPC_BACKEND_CUDA_PEAKS_H

#include "backend/cuda/gemm_select.h"

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A launch on every multiprocessor, `repeats` times the same products of ones and minus ones. sums [multiprocessors],
 * device memory: an element of what each block has in the end, CLIPC_CUDA_PEAK_SUM of it. */
typedef struct clipc_cuda_peak {
    clipc_cuda_type type;
    int32_t multiprocessors;
    int32_t repeats;
    float *sums;
} clipc_cuda_peak;

/* Ones multiplied over the depth of four instructions, of 32 bytes each; what comes before them adds up to nothing. */
#define CLIPC_CUDA_PEAK_SUM(type) (clipc_cuda_is_bytes(type) ? 128.0F : 64.0F)

/* By mma.sync, on every device; e4m3 needs 8.9. *operations: of the launch, two for each product. */
cudaError_t clipc_cuda_peak_mma(const clipc_cuda_peak *peak, cudaStream_t stream, double *operations);
/* By wgmma: Hopper. */
cudaError_t clipc_cuda_peak_wgmma(const clipc_cuda_peak *peak, cudaStream_t stream, double *operations);

/* Reads `bytes` bytes, a multiple of 16, once; what `sums` [1] gets is of no interest. */
cudaError_t clipc_cuda_peak_read(const void *from, size_t bytes, int32_t multiprocessors, float *sums,
                                 cudaStream_t stream);
/* One block on every multiprocessor, with nothing to do, launched as the steps of a tower are. */
cudaError_t clipc_cuda_peak_nothing(int32_t multiprocessors, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
