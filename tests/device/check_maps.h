/* The kernels of ResNets against plain C. */
#ifndef CLIPC_TESTS_CHECK_MAPS_H
#define CLIPC_TESTS_CHECK_MAPS_H

#include "backend/cuda/gemm_select.h"

/* Convolutions over windows by every tile, products that end in a ReLU, and the steps between maps, in fp16 or bf16.
 * Prints a line each; returns how many were wrong. */
int check_maps(const clipc_gemm_device *device, clipc_cuda_type type);

#endif
