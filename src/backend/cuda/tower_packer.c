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
        clipc_model_forget_tensor(packer->forget, source->weight);
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

/* Values of a table that are converted at a time, as it may be the model's largest tensor by far. */
#define TABLE_PIECE ((size_t)1 << 19)

/* Rows first … first + count - 1, and zeros up to the alignment after the last. */
static void pack_table_rows(clipc_tower_packer *packer, const clipc_tensor *tensor, size_t width, size_t stride,
                            size_t first, size_t count, uint16_t *piece)
{
    const size_t rows = tensor->count / width;
    const size_t bytes = count * stride * 2;
    const size_t padding =
        first + count == rows ? clipc_round_up(rows * stride * 2, ALIGNMENT) - rows * stride * 2 : 0;
    memset(piece, 0, bytes + padding);
    for (size_t r = 0; r < count; r++) {
        clipc_tensor_read(tensor, (first + r) * width, width, packer->row);
        clipc_pack_halves(packer->tower->type, packer->row, width, piece + r * stride);
    }
    packer->status = packer->function(packer->context, piece, bytes + padding, packer->error);
    if (packer->forget && !tensor->pitch) {
        const size_t size = clipc_dtype_size(tensor->dtype);
        clipc_model_forget(packer->forget, (const uint8_t *)tensor->data + first * width * size, count * width * size);
    }
}

void *clipc_packer_table(clipc_tower_packer *packer, const clipc_tensor *tensor, size_t width, size_t stride)
{
    const size_t rows = tensor->count / width;
    const size_t at_once = clipc_max(TABLE_PIECE / stride, 1);
    void *place = (void *)((uintptr_t)packer->base + packer->used); /* as in clipc_packer_begin_part */
    packer->used += clipc_round_up(rows * stride * 2, ALIGNMENT);
    if (!packer->function || packer->status != CLIPC_OK)
        return place;
    uint16_t *piece = clipc_allocate(at_once * stride + ALIGNMENT, sizeof *piece);
    if (!piece)
        packer->status = clipc_fail_memory(packer->error, at_once * stride * sizeof *piece, "a table");
    for (size_t first = 0; first < rows && packer->status == CLIPC_OK; first += at_once)
        pack_table_rows(packer, tensor, width, stride, first, clipc_min(at_once, rows - first), piece);
    clipc_free(piece);
    return place;
}
