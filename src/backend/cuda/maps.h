/* The steps of a ResNet that are not products. A map is pixels row by row, [items, side, side, channels], channels a
 * multiple of 8 and zeros beyond the model's, in fp16 or bf16 (`type`); arithmetic is fp32. */
#ifndef CLIPC_BACKEND_CUDA_MAPS_H
#define CLIPC_BACKEND_CUDA_MAPS_H

#include "backend/cuda/gemm_select.h"

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pixels [count, 3, image_size, image_size] → the windows about every second pixel of every second row, [count,
 * image_size / 2, image_size / 2, 32], each [channel][3][3] and zeros; what is beyond the image
 * is 0. image_size is even. */
cudaError_t clipc_cuda_pixel_windows(clipc_cuda_type type, const float *pixels, int32_t count, int32_t image_size,
                                     void *windows, cudaStream_t stream);

/* A map of 2 × side → the means of 2 × 2 pixels, a map of `side`. */
cudaError_t clipc_cuda_average_maps(clipc_cuda_type type, const void *map, int32_t count, int32_t side,
                                    int32_t channels, void *to, cudaStream_t stream);

/* A map of `pixels` pixels an item → rows [count, 1 + pixels, channels]: their mean, then the pixels, plus `position`
 * [1 + pixels, channels]. */
cudaError_t clipc_cuda_map_tokens(clipc_cuda_type type, const void *map, int32_t count, int32_t pixels,
                                  int32_t channels, const void *position, void *rows, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
