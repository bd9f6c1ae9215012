/* The image tower of a ResNet CLIP on the device: convolutions as products, of 3 × 3 ones over windows that are
 * gathered while they are multiplied, and attention pooling. */
#ifndef CLIPC_BACKEND_CUDA_RESNET_H
#define CLIPC_BACKEND_CUDA_RESNET_H

#include "backend/cuda/cuda_engine.h"

/* Bytes that an item takes of each of engine->maps (sizes may be NULL), and their sum; 0 when the image tower is no
 * ResNet. */
size_t clipc_cuda_resnet_maps(const clipc_config *config, size_t sizes[CLIPC_CUDA_MAPS]);

/* As clipc_cuda_launch_image. */
cudaError_t clipc_cuda_launch_resnet(const clipc_cuda_engine *engine, int32_t count);

#endif
