#include "backend/cuda/cuda_tap.h"

#include "backend/cuda/try.h"
#include "backend/cuda/weight_pack.h"
#include "base/checked.h"
#include "base/memory.h"

#include <math.h>

#define PART_ROWS ((size_t)512)

void clipc_cuda_tap_free(clipc_cuda_tap *tap)
{
    clipc_free(tap->halves);
    clipc_free(tap->floats);
    clipc_free(tap->norms[0]);
    clipc_free(tap->norms[1]);
    *tap = (clipc_cuda_tap){0};
}

/* An engine file has them only as part of the projection. */
static clipc_status read_norm(const clipc_model *model, bool image, float **out, clipc_error *error)
{
    const clipc_tensor *weight =
        image ? &model->weights.image.norm_post_weight : &model->weights.text.norm_final_weight;
    const clipc_tensor *bias = image ? &model->weights.image.norm_post_bias : &model->weights.text.norm_final_bias;
    if (model->engine_file)
        return CLIPC_OK;
    *out = clipc_allocate(2 * weight->count, sizeof **out);
    if (!*out)
        return clipc_fail_memory(error, 2 * weight->count * sizeof **out, "a LayerNorm's weights");
    clipc_tensor_read(weight, 0, weight->count, *out);
    clipc_tensor_read(bias, 0, bias->count, *out + weight->count);
    return CLIPC_OK;
}

static clipc_status make(const clipc_model *model, const clipc_cuda_tower *image, const clipc_cuda_tower *text,
                         clipc_cuda_tap *tap, clipc_error *error)
{
    tap->stride = (size_t)(image->stride > text->stride ? image->stride : text->stride);
    tap->halves = clipc_allocate(PART_ROWS * tap->stride, sizeof *tap->halves);
    tap->floats = clipc_allocate(PART_ROWS * tap->stride, sizeof *tap->floats);
    if (!tap->halves || !tap->floats)
        return clipc_fail_memory(error, PART_ROWS * tap->stride * sizeof *tap->floats, "what a tap hands out");
    if (image->width && !image->pools_by_attention)
        CLIPC_TRY(read_norm(model, true, &tap->norms[1], error));
    if (text->width)
        CLIPC_TRY(read_norm(model, false, &tap->norms[0], error));
    return CLIPC_OK;
}

clipc_status clipc_cuda_tap_set(const clipc_model *model, const clipc_cuda_tower *image, const clipc_cuda_tower *text,
                                const clipc_tap_target *target, clipc_cuda_tap *tap, clipc_error *error)
{
    clipc_cuda_tap_free(tap);
    if (!target->function)
        return CLIPC_OK;
    const clipc_status status = make(model, image, text, tap, error);
    if (status != CLIPC_OK)
        clipc_cuda_tap_free(tap);
    else
        tap->target = *target;
    return status;
}

/* Rows `first` to first + count as fp32 in tap->floats. */
static cudaError_t fetch(const clipc_cuda_tap *tap, const clipc_cuda_tower *tower, const void *rows, size_t first,
                         size_t count, cudaStream_t stream)
{
    const size_t stride = (size_t)tower->stride;
    const uint16_t *from = (const uint16_t *)rows + first * stride;
    TRY(cudaMemcpyAsync(tap->halves, from, count * stride * sizeof *from, cudaMemcpyDeviceToHost, stream));
    TRY(cudaStreamSynchronize(stream));
    for (size_t i = 0; i < count * stride; i++)
        tap->floats[i] = clipc_float_of_half(tower->type, tap->halves[i]);
    return cudaSuccess;
}

static void give(const clipc_cuda_tap *tap, const clipc_cuda_tower *tower, bool image, clipc_tap_point point,
                 size_t layer, size_t count)
{
    clipc_tap_give(&tap->target, image, point, layer,
                   (clipc_tap_rows){tap->floats, count, (size_t)tower->width, (size_t)tower->stride});
}

cudaError_t clipc_cuda_tap_rows(const clipc_cuda_tap *tap, const clipc_cuda_tower *tower, bool image,
                                clipc_tap_point point, size_t layer, const void *rows, int32_t count,
                                cudaStream_t stream)
{
    for (size_t first = 0; tap->target.function && first < (size_t)count; first += PART_ROWS) {
        const size_t part = clipc_min(PART_ROWS, (size_t)count - first);
        TRY(fetch(tap, tower, rows, first, part, stream));
        give(tap, tower, image, point, layer, part);
    }
    return cudaSuccess;
}

static void normalize(const clipc_cuda_tower *tower, const float *norm, float *row)
{
    const size_t width = (size_t)tower->width;
    double mean = 0;
    double squares = 0;
    for (size_t i = 0; i < width; i++)
        mean += row[i];
    mean /= (double)width;
    for (size_t i = 0; i < width; i++)
        squares += (row[i] - mean) * (row[i] - mean);
    const double factor = 1 / sqrt(squares / (double)width + tower->epsilon);
    for (size_t i = 0; i < width; i++)
        row[i] = (float)((row[i] - mean) * factor * norm[i] + norm[width + i]);
}

cudaError_t clipc_cuda_tap_norm(const clipc_cuda_tap *tap, const clipc_cuda_tower *tower, bool image, const void *rows,
                                int32_t count, cudaStream_t stream)
{
    const float *norm = tap->norms[image];
    for (size_t first = 0; tap->target.function && norm && first < (size_t)count; first += PART_ROWS) {
        const size_t part = clipc_min(PART_ROWS, (size_t)count - first);
        TRY(fetch(tap, tower, rows, first, part, stream));
        for (size_t row = 0; row < part; row++)
            normalize(tower, norm, tap->floats + row * (size_t)tower->stride);
        give(tap, tower, image, CLIPC_TAP_NORM, 0, part);
    }
    return cudaSuccess;
}
