/* The kernel of one launch on an engine's towers: what it needs in device memory, and its launch. */
#ifndef CLIPC_BACKEND_CUDA_CUDA_WHOLE_TOWER_H
#define CLIPC_BACKEND_CUDA_CUDA_WHOLE_TOWER_H

#include "backend/cuda/cuda_weights.h"
#include "backend/cuda/gemm_select.h"
#include "backend/cuda/whole_tower.h"

typedef struct clipc_cuda_whole_tower_state {
    int32_t rows; /* that it takes at most; 0: this tower goes step by step */
    int32_t blocks;
    clipc_whole_tower_shape shape;
    clipc_whole_tower base; /* of every launch; items, rows and their places are filled in */
    void *memory;
    size_t bytes;
} clipc_cuda_whole_tower_state;

/* Leaves rows 0 where the device or the tower does not suit. `most_rows`: of an item. */
clipc_status clipc_cuda_whole_tower_prepare(const clipc_model *model, bool image, const clipc_gemm_device *device,
                                            const clipc_cuda_tower *tower, int32_t most_rows,
                                            clipc_cuda_whole_tower_state *out, clipc_error *error);
void clipc_cuda_whole_tower_free(clipc_cuda_whole_tower_state *state);

/* `tower` is state->base with items, rows (at most state->rows) and their places filled in. */
cudaError_t clipc_cuda_whole_tower_launch(const clipc_cuda_whole_tower_state *state, const clipc_whole_tower *tower,
                                          cudaStream_t stream);

#endif
