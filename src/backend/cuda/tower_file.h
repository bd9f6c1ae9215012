/* Towers in engine files: the block of tower_pack.h as it lies in device memory, so that loading is one copy. Host
 * code, built where the cuda backend is not, too: such a file is made without a GPU. */
#ifndef CLIPC_BACKEND_CUDA_TOWER_FILE_H
#define CLIPC_BACKEND_CUDA_TOWER_FILE_H

#include "backend/cuda/tower_pack.h"

/* What the products of a precision multiply. */
clipc_cuda_packing clipc_cuda_packing_of(clipc_precision precision);
/* The precision whose name a type of values has. */
clipc_precision clipc_cuda_type_precision(clipc_cuda_type type);
/* Whether backend cuda has that precision: clipc_backend's supports_precision, on some device. */
bool clipc_cuda_supports_precision(clipc_precision precision);

/* The tower of an engine file of backend cuda, without a place: its shapes are the config's, its types and scales were
 * checked, and its block has the bytes that they need. To be freed with clipc_cuda_tower_destroy, also when it fails.
 */
clipc_status clipc_cuda_tower_open(const clipc_model *model, bool image, const clipc_cuda_packing *packing,
                                   clipc_cuda_tower *out, clipc_error *error);

/* For clipc_model_get_linear: what the linear layer is stored as, and its bytes in the block. */
clipc_status clipc_cuda_linear_describe(const clipc_model *model, bool image, size_t linear, clipc_precision *stored,
                                        uint64_t *bytes, clipc_error *error);

#endif
