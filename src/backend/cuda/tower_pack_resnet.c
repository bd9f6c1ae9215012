#include "backend/cuda/tower_packer.h"

#include "backend/cuda/weight_pack.h"
#include "base/checked.h"

#include <math.h>
#include <string.h>

/* Values of a packed row, and of one of its taps; 0: the taps of a channel lie side by side, as in the file. */
static size_t packed_depth(const clipc_convolution *shape, size_t *tap_length)
{
    *tap_length = shape->role == CLIPC_CONVOLUTION_PIXELS ? 0 : clipc_round_up(shape->inputs, 8);
    return *tap_length ? shape->kernel * shape->kernel * *tap_length : CLIPC_CUDA_PIXEL_WINDOW;
}

size_t clipc_packer_resnet_row(const clipc_cuda_tower *tower)
{
    size_t longest = 0;
    for (int32_t i = 0; i < tower->convolution_count; i++) {
        size_t tap_length = 0;
        longest = clipc_max(longest, packed_depth(&tower->convolutions[i].shape, &tap_length));
    }
    return longest;
}

static void pack_convolution(clipc_tower_packer *packer, const clipc_model *model, int32_t index,
                             clipc_cuda_convolution *convolution)
{
    const clipc_convolution *shape = &convolution->shape;
    const clipc_convolution_weights *weights = &model->weights.image.convolutions[index];
    size_t tap_length = 0;
    const size_t depth = packed_depth(shape, &tap_length);
    const size_t columns = clipc_round_up(shape->outputs, 8);
    const size_t weight_bytes = columns * depth * sizeof(uint16_t);
    const size_t terms_bytes = columns * 2 * sizeof(float);
    clipc_cuda_matrix *matrix = &convolution->matrix;
    void *place = NULL;
    uint16_t *to = clipc_packer_begin_part(packer, weight_bytes, &matrix->weight);
    float *terms = clipc_packer_begin_part(packer, terms_bytes, &place);
    matrix->terms = place;
    matrix->type = packer->tower->type;
    matrix->columns = (int32_t)columns;
    matrix->depth = (int32_t)depth;
    matrix->output_scale = packer->tower->scales[packer->linear++];
    bool finite = true;
    if (to && terms)
        memset(packer->folded, 0, depth * sizeof *packer->folded);
    for (size_t i = 0; to && terms && i < shape->outputs; i++) {
        finite =
            clipc_resnet_fold(shape, weights, i, 1, tap_length, packer->row, packer->folded, &terms[2 * i]) && finite;
        clipc_pack_halves(matrix->type, packer->folded, depth, to + i * depth);
    }
    if (to && terms && packer->forget)
        clipc_model_forget_tensor(packer->forget, &weights->kernel);
    if (!finite && packer->status == CLIPC_OK)
        packer->status = clipc_fail(packer->error, CLIPC_ERROR_FORMAT, CLIPC_RESNET_NOT_FINITE,
                                    model->path[0] ? model->path : model->name);
    clipc_packer_end_part(packer, to, weight_bytes);
    clipc_packer_end_part(packer, terms, terms_bytes);
}

void clipc_packer_resnet(clipc_tower_packer *packer, const clipc_model *model, clipc_cuda_tower *tower)
{
    const clipc_weights *weights = &model->weights;
    const clipc_layer_weights *pooling = &weights->image.pooling;
    const size_t stride = (size_t)tower->stride;
    const size_t inner = (size_t)tower->inner;
    const size_t dimension = clipc_round_up(model->config.embedding_dimension, 8);
    const clipc_head_layout heads = {(size_t)(tower->width / tower->heads), (size_t)tower->head_stride};
    /* exp(x) is computed as 2^(x log₂e): both factors ride on the queries. */
    const float query_scale = (float)(1.4426950408889634 / sqrt((double)heads.head));
    for (int32_t i = 0; i < tower->convolution_count; i++)
        pack_convolution(packer, model, i, &tower->convolutions[i]);
    tower->position = clipc_packer_table(packer, &weights->image.position_embedding, (size_t)tower->width, stride);
    const clipc_matrix_source query = {
        &pooling->query_weight, &pooling->query_bias, NULL, NULL, &heads, NULL, query_scale, 0};
    clipc_packer_matrix(packer, &query, 1, &(clipc_matrix_shape){tower->type, inner, stride, 2, 1}, &tower->query);
    const clipc_matrix_source key_value[2] = {
        {&pooling->key_weight, &pooling->key_bias, NULL, NULL, &heads, NULL, 1, 0},
        {&pooling->value_weight, &pooling->value_bias, NULL, NULL, &heads, NULL, 1, inner},
    };
    clipc_packer_matrix(packer, key_value, 2, &(clipc_matrix_shape){tower->type, 2 * inner, stride, 2, 1},
                        &tower->key_value);
    const clipc_matrix_source projection = {
        &weights->image.projection, &weights->image.projection_bias, NULL, NULL, NULL, &heads, 1, 0};
    clipc_packer_matrix(packer, &projection, 1, &(clipc_matrix_shape){tower->type, dimension, inner, 2, 1},
                        &tower->projection);
}
