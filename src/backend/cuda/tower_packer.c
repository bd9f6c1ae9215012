#include "backend/cuda/tower_packer.h"

#include "backend/cuda/weight_pack.h"
#include "base/checked.h"
#include "base/memory.h"

#include <string.h>

#define ALIGNMENT ((size_t)256) /* of what follows one another in the block */

void *clipc_packer_begin_part(clipc_tower_packer *packer, size_t bytes, void **place)
{
    *place = (void *)((uintptr_t)packer->base + packer->used); /* not to be used before the block has a place */
    packer->used += clipc_round_up(bytes, ALIGNMENT);
    if (!packer->function || packer->status != CLIPC_OK)
        return NULL;
    void *part = clipc_allocate(clipc_round_up(bytes, ALIGNMENT), 1);
    if (!part)
        packer->status = clipc_fail_memory(packer->error, bytes, "a packed matrix");
    return part;
}

void clipc_packer_end_part(clipc_tower_packer *packer, void *part, size_t bytes)
{
    if (part && packer->status == CLIPC_OK)
        packer->status = packer->function(packer->context, part, clipc_round_up(bytes, ALIGNMENT), packer->error);
    clipc_free(part);
}

static size_t padded_index(const clipc_head_layout *layout, size_t index)
{
    return layout ? index / layout->head * layout->head_stride + index % layout->head : index;
}

double clipc_packer_fold_row(clipc_tower_packer *packer, const clipc_matrix_source *source, size_t r)
{
    const size_t in = source->weight->count / source->weight->shape[0];
    float bias = 0;
    if (source->bias)
        clipc_tensor_read(source->bias, r, 1, &bias);
    clipc_tensor_read(source->weight, r * in, in, packer->row);
    double offset = bias;
    for (size_t c = 0; c < in; c++) {
        const float value = packer->row[c];
        if (source->norm_bias)
            offset += (double)value * source->norm_bias[c];
        packer->folded[padded_index(source->columns_layout, c)] =
            (source->norm_weight ? value * source->norm_weight[c] : value) * source->scale;
    }
    return offset * source->scale;
}

static void pack_rows(clipc_tower_packer *packer, const clipc_matrix_source *source, const clipc_matrix_shape *shape,
                      uint8_t *weight, float *terms)
{
    memset(packer->folded, 0, shape->depth * sizeof *packer->folded);
    for (size_t r = 0; r < source->weight->shape[0]; r++) {
        const double bias = clipc_packer_fold_row(packer, source, r);
        size_t to = source->first + padded_index(source->rows_layout, r);
        if (clipc_cuda_is_bytes(shape->type)) {
            to = clipc_packed_column(shape->value_bytes, to);
            terms[2 * to + 1] =
                clipc_pack_bytes(shape->type, packer->folded, shape->depth, weight + to * shape->depth) /
                shape->input_scale;
        } else { /* the sum is that of what the products will see */
            const double sum = clipc_pack_halves(shape->type, packer->folded, shape->depth,
                                                 (uint16_t *)(void *)weight + to * shape->depth);
            terms[2 * to + 1] = source->norm_weight ? (float)sum : 0;
        }
        terms[2 * to] = (float)bias;
    }
    if (packer->forget)
        clipc_model_forget(packer->forget, source->weight->data,
                           source->weight->count * clipc_dtype_size(source->weight->dtype));
}

void clipc_packer_matrix(clipc_tower_packer *packer, const clipc_matrix_source *sources, size_t count,
                         const clipc_matrix_shape *shape, clipc_cuda_matrix *out)
{
    const bool bytes = clipc_cuda_is_bytes(shape->type);
    const size_t rows = bytes ? CLIPC_PACKED_ROWS(shape->columns) : shape->columns;
    const size_t weight_bytes = rows * shape->depth * (bytes ? 1 : 2);
    const size_t terms_bytes = rows * 2 * sizeof(float);
    void *place = NULL;
    uint8_t *weight = clipc_packer_begin_part(packer, weight_bytes, &out->weight);
    float *terms = clipc_packer_begin_part(packer, terms_bytes, &place);
    out->terms = place;
    out->type = shape->type;
    out->columns = (int32_t)shape->columns;
    out->depth = (int32_t)shape->depth;
    out->output_scale = packer->tower->scales[packer->linear++];
    for (size_t i = 0; weight && terms && i < count; i++)
        pack_rows(packer, &sources[i], shape, weight, terms);
    clipc_packer_end_part(packer, weight, weight_bytes);
    clipc_packer_end_part(packer, terms, terms_bytes);
}

void *clipc_packer_table(clipc_tower_packer *packer, const clipc_tensor *tensor, size_t width, size_t stride)
{
    const size_t rows = tensor->count / width;
    void *place = NULL;
    uint16_t *table = clipc_packer_begin_part(packer, rows * stride * 2, &place);
    for (size_t r = 0; table && r < rows; r++) {
        clipc_tensor_read(tensor, r * width, width, packer->row);
        clipc_pack_halves(packer->tower->type, packer->row, width, table + r * stride);
    }
    clipc_packer_end_part(packer, table, rows * stride * 2);
    return place;
}
