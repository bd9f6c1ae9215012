/* Rows on their way, handed out while somebody asks for them: copied to host memory as they are, and made fp32 there.
 */
#ifndef CLIPC_BACKEND_CUDA_TAP_H
#define CLIPC_BACKEND_CUDA_TAP_H

#include "backend/cuda/cuda_weights.h"
#include "backend/tap.h"

#include <cuda_runtime_api.h>

typedef struct clipc_cuda_tap {
    clipc_tap_target target;
    uint16_t *halves; /* [rows of a part, stride] */
    float *floats;    /* the same */
    size_t stride;    /* of the wider tower */
    float *norms[2];  /* [text, image][2, width]: weight and bias of the last LayerNorm; NULL: the tower has none that
                         is not part of other weights */
} clipc_cuda_tap;

/* Of towers that may be zeroed. With a target without a function nothing is allocated, and what was is freed. */
clipc_status clipc_cuda_tap_set(const clipc_model *model, const clipc_cuda_tower *image, const clipc_cuda_tower *text,
                                const clipc_tap_target *target, clipc_cuda_tap *tap, clipc_error *error);
void clipc_cuda_tap_free(clipc_cuda_tap *tap);

/* These wait for the stream, and do nothing while nobody asks. */
/* `rows`: halves in device memory, [count, tower->stride]. */
cudaError_t clipc_cuda_tap_rows(const clipc_cuda_tap *tap, const clipc_cuda_tower *tower, bool image,
                                clipc_tap_point point, size_t layer, const void *rows, int32_t count,
                                cudaStream_t stream);
/* The pooled rows after the last LayerNorm, which the device never has: it is part of the projection. */
cudaError_t clipc_cuda_tap_norm(const clipc_cuda_tap *tap, const clipc_cuda_tower *tower, bool image, const void *rows,
                                int32_t count, cudaStream_t stream);

#endif
