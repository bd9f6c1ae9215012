#include "backend/cuda/cuda_weights.h"

#include "backend/cuda/cuda_status.h"
#include "backend/cuda/gemm.h"
#include "backend/cuda/tower_file.h"
#include "backend/cuda/weight_pack.h"

_Static_assert(CLIPC_PACKED_ROWS(1000) == CLIPC_CUDA_PADDED_COLUMNS(1000) && CLIPC_PACKED_ROWS(1024) == 1024,
               "weights of bytes have the rows that their kernels read");

static int32_t activation_of(clipc_activation activation)
{
    switch (activation) {
    case CLIPC_ACTIVATION_QUICK_GELU: return CLIPC_CUDA_ACTIVATION_QUICK_GELU;
    case CLIPC_ACTIVATION_GELU: return CLIPC_CUDA_ACTIVATION_GELU;
    case CLIPC_ACTIVATION_GELU_TANH: return CLIPC_CUDA_ACTIVATION_GELU_TANH;
    }
    return CLIPC_CUDA_ACTIVATION_NONE;
}

/* Where the next part of the block goes. */
struct upload {
    uint8_t *to;
};

static clipc_status upload_part(void *context, const void *bytes, size_t size, clipc_error *error)
{
    struct upload *upload = context;
    CLIPC_CUDA_TRY(cudaMemcpy(upload->to, bytes, size, cudaMemcpyHostToDevice), "copying weights to the device");
    upload->to += size;
    return CLIPC_OK;
}

static clipc_status fill(const clipc_model *model, bool image, clipc_cuda_tower *tower, clipc_error *error)
{
    void *memory = NULL;
    clipc_cuda_tower_place(model, image, NULL, tower);
    CLIPC_TRY(clipc_cuda_allocate(tower->bytes, image ? "the image tower" : "the text tower", &memory, error));
    clipc_cuda_tower_place(model, image, memory, tower);
    struct upload upload = {memory};
    if (!model->engine_file)
        return clipc_cuda_tower_pack(model, image, false, tower, upload_part, &upload, error);
    return upload_part(&upload, model->blocks[image].weights->bytes, tower->bytes, error);
}

clipc_status clipc_cuda_tower_load(const clipc_model *model, bool image, const clipc_cuda_packing *packing,
                                   const char *keep_precise, clipc_cuda_tower *out, clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    if (model->engine_file) {
        CLIPC_CHECK(clipc_cuda_tower_open(model, image, packing, out, error));
    } else {
        CLIPC_CHECK(clipc_cuda_tower_create(model, image, packing, out, error));
        clipc_cuda_tower_keep(model, image, keep_precise, out);
    }
    out->activation = activation_of(image ? model->config.image.activation : model->config.text.activation);
    CLIPC_CHECK(fill(model, image, out, error));
    return CLIPC_OK;
fail:
    clipc_cuda_tower_free(out);
    return status;
}

void clipc_cuda_tower_free(clipc_cuda_tower *tower)
{
    if (tower->memory)
        (void)cudaFree(tower->memory);
    clipc_cuda_tower_destroy(tower);
    *tower = (clipc_cuda_tower){0};
}
