/* A tower's weights in device memory. */
#ifndef CLIPC_BACKEND_CUDA_WEIGHTS_H
#define CLIPC_BACKEND_CUDA_WEIGHTS_H

#include "backend/cuda/tower_pack.h"

/* From the model, packed here, or from its engine file, as they lie there. `keep_precise` NULL: nothing. */
clipc_status clipc_cuda_tower_load(const clipc_model *model, bool image, const clipc_cuda_packing *packing,
                                   const char *keep_precise, clipc_cuda_tower *out, clipc_error *error);
void clipc_cuda_tower_free(clipc_cuda_tower *tower);

#endif
