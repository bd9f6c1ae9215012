#include "backend/cuda/cuda_whole_tower.h"

#include "backend/cuda/cuda_status.h"
#include "backend/cuda/tensor_map.h"
#include "base/checked.h"
#include "base/memory.h"

#include <cuda.h>

#define STATE_BYTES 4096 /* of launches so far, for each block */

static clipc_whole_tower_shape shape_of(const clipc_config *config, bool image, const clipc_gemm_device *device,
                                        const clipc_cuda_tower *tower)
{
    return (clipc_whole_tower_shape){
        .architecture = device->architecture,
        .multiprocessors = device->multiprocessors,
        .width = tower->width,
        .heads = tower->heads,
        .head_stride = tower->head_stride,
        .mlp = tower->mlp_stride,
        .dimension = tower->projection.columns,
        .patch_size = image ? (int32_t)config->patch_size : 0,
        .image_size = image ? (int32_t)config->image_size : 0,
    };
}

static cudaError_t describe(const clipc_cuda_matrix *matrix, int32_t groups, CUtensorMap *map)
{
    return clipc_cuda_narrow_tensor_map(matrix->weight, matrix->columns, matrix->depth, matrix->depth, groups * 8,
                                        map);
}

/* In the order of whole_tower.h. */
static cudaError_t describe_all(const clipc_cuda_tower *tower, int32_t blocks, CUtensorMap *maps)
{
    const int32_t wide = clipc_whole_wide_split(tower->width);
    const int32_t narrow = clipc_whole_narrow_split(tower->width);
    const int32_t qkv = clipc_whole_column_groups(blocks, 3 * tower->width, wide);
    const int32_t fc1 = clipc_whole_column_groups(blocks, 4 * tower->width, wide);
    const int32_t own = clipc_whole_column_groups(blocks, tower->width, narrow);
    cudaError_t result = cudaSuccess;
    for (int32_t i = 0; i < tower->layer_count && result == cudaSuccess; i++) {
        const clipc_cuda_layer *layer = &tower->layers[i];
        CUtensorMap *to = maps + i * CLIPC_WHOLE_MATRICES;
        result = describe(&layer->qkv, qkv, &to[CLIPC_WHOLE_QKV]);
        if (result == cudaSuccess)
            result = describe(&layer->out, own, &to[CLIPC_WHOLE_OUT]);
        if (result == cudaSuccess)
            result = describe(&layer->fc1, fc1, &to[CLIPC_WHOLE_FC1]);
        if (result == cudaSuccess)
            result = describe(&layer->fc2, own, &to[CLIPC_WHOLE_FC2]);
    }
    CUtensorMap *rest = maps + tower->layer_count * CLIPC_WHOLE_MATRICES;
    if (result == cudaSuccess)
        result = describe(&tower->projection, CLIPC_WHOLE_PROJECTION, &rest[0]);
    if (result == cudaSuccess && tower->patch.weight)
        result = describe(&tower->patch, own, &rest[1]);
    return result;
}

static clipc_whole_tower base_of(const clipc_config *config, bool image, const clipc_cuda_tower *tower)
{
    const clipc_cuda_layer *first = &tower->layers[0];
    return (clipc_whole_tower){
        .terms = {first->qkv.terms, first->out.terms, first->fc1.terms, first->fc2.terms},
        /* Layers are packed alike, one after the other. */
        .layer_stride = tower->layer_count > 1 ? tower->layers[1].qkv.terms - first->qkv.terms : 0,
        .projection_terms = tower->projection.terms,
        .layers = tower->layer_count,
        .activation = tower->activation,
        .epsilon = tower->epsilon,
        .dimension = tower->projection.columns,
        .tokens = image ? (int32_t)config->image_tokens : 0,
        .position = tower->position,
        .image_size = image ? (int32_t)config->image_size : 0,
        .patch_size = image ? (int32_t)config->patch_size : 0,
        .class_row = tower->class_row,
        .norm_pre_weight = tower->norm_pre_weight,
        .norm_pre_bias = tower->norm_pre_bias,
        .embedding = tower->embedding,
    };
}

static clipc_status allocate(const clipc_cuda_tower *tower, clipc_cuda_whole_tower_state *state, clipc_error *error)
{
    const size_t tiles = ((size_t)state->rows + 15) / 16;
    const size_t set = tiles * clipc_whole_tower_tile_bytes(tower->width, tower->layer_count);
    const size_t map_count = (size_t)tower->layer_count * CLIPC_WHOLE_MATRICES + 2;
    const size_t maps = clipc_round_up(map_count * sizeof(CUtensorMap), 4096);
    clipc_status status = CLIPC_OK;
    state->bytes = maps + 2 * set + STATE_BYTES;
    CLIPC_TRY(clipc_cuda_allocate(state->bytes, "the rows of a tower in one launch", &state->memory, error));
    uint8_t *base = state->memory;
    state->base.maps = base;
    state->base.exchange = base + maps;
    state->base.exchange_bytes = (int64_t)set;
    state->base.state = (int32_t *)(void *)(base + maps + 2 * set);
    CUtensorMap *host = clipc_allocate(map_count, sizeof *host);
    if (!host)
        return clipc_fail_memory(error, map_count * sizeof *host, "descriptions of weights");
    CLIPC_CHECK(clipc_cuda_check(describe_all(tower, state->blocks, host), "describing weights", error));
    CLIPC_CHECK(clipc_cuda_check(cudaMemcpy(base, host, map_count * sizeof *host, cudaMemcpyHostToDevice),
                                 "copying descriptions of weights", error));
    CLIPC_CHECK(clipc_cuda_check(cudaMemset(base + maps, 0xFF, 2 * set), "emptying the rows' places", error));
    CLIPC_CHECK(
        clipc_cuda_check(cudaMemset(base + maps + 2 * set, 0, STATE_BYTES), "emptying the rows' places", error));
fail:
    clipc_free(host);
    return status;
}

clipc_status clipc_cuda_whole_tower_prepare(const clipc_model *model, bool image, const clipc_gemm_device *device,
                                            const clipc_cuda_tower *tower, int32_t most_rows,
                                            clipc_cuda_whole_tower_state *out, clipc_error *error)
{
    const clipc_config *config = &model->config;
    *out = (clipc_cuda_whole_tower_state){.shape = shape_of(config, image, device, tower)};
    int32_t rows = clipc_whole_tower_rows(&out->shape);
    rows = rows < most_rows ? rows : most_rows;
    if (rows <= 0 || (image && rows < (int32_t)config->image_tokens))
        return CLIPC_OK;
    int fits = 0;
    for (size_t i = 0; !fits && clipc_whole_tower_blocks(i) > 0; i++) {
        out->blocks = clipc_whole_tower_blocks(i);
        const clipc_whole_tower_plan plan = clipc_whole_tower_select(&out->shape, rows, out->blocks);
        CLIPC_CUDA_TRY(clipc_cuda_whole_tower_fits(&plan, &fits), "asking what fits the device");
    }
    if (!fits)
        return CLIPC_OK;
    out->base = base_of(config, image, tower);
    out->rows = rows;
    return allocate(tower, out, error);
}

void clipc_cuda_whole_tower_free(clipc_cuda_whole_tower_state *state)
{
    if (state->memory)
        (void)cudaFree(state->memory);
    *state = (clipc_cuda_whole_tower_state){0};
}

cudaError_t clipc_cuda_whole_tower_launch(const clipc_cuda_whole_tower_state *state, const clipc_whole_tower *tower,
                                          cudaStream_t stream)
{
    const clipc_whole_tower_plan plan = clipc_whole_tower_select(&state->shape, tower->rows, state->blocks);
    return clipc_cuda_whole_tower_f16(&plan, tower, stream);
}
