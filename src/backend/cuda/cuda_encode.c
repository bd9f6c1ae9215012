/* Encoding on one stream: inputs travel, the tower runs, embeddings come back. */
#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/cuda_status.h"
#include "backend/cuda/steps.h"
#include "base/checked.h"

#include <string.h>

/* Whether the pass computes on what the one before it has left on the device. */
static bool stays(const clipc_cuda_engine *engine, const clipc_cuda_inputs *inputs)
{
    const clipc_cuda_inputs *there = &engine->inputs;
    return (engine->measure & CLIPC_MEASURE_NO_TRANSFERS) && there->image == inputs->image &&
           there->as_bytes == inputs->as_bytes && there->count == inputs->count && there->rows == inputs->rows &&
           there->longest == inputs->longest;
}

static clipc_status mark(const clipc_cuda_engine *engine, clipc_cuda_moment moment, clipc_error *error)
{
    return clipc_cuda_check(clipc_cuda_parts_mark(engine->parts, moment, engine->stream), "timing", error);
}

/* Ends a pass of so many items. */
static clipc_status download(clipc_cuda_engine *engine, int32_t count, bool stay, float *embeddings,
                             clipc_error *error)
{
    const size_t dimension = engine->model->config.embedding_dimension;
    const size_t row = dimension * sizeof *embeddings;
    CLIPC_TRY(mark(engine, CLIPC_CUDA_MOMENT_COMPUTED, error));
    if (!stay)
        CLIPC_CUDA_TRY(cudaMemcpy2DAsync(embeddings, row, engine->embeddings,
                                         (size_t)engine->dimension * sizeof(float), row, (size_t)count,
                                         cudaMemcpyDeviceToHost, engine->stream),
                       "copying from the device");
    CLIPC_TRY(mark(engine, CLIPC_CUDA_MOMENT_DOWNLOADED, error));
    CLIPC_CUDA_TRY(cudaStreamSynchronize(engine->stream), "encoding");
    if (!stay)
        clipc_tap_give(&engine->tap.target, engine->inputs.image, CLIPC_TAP_PROJECTION, 0,
                       (clipc_tap_rows){embeddings, (size_t)count, dimension, dimension});
    CLIPC_CUDA_TRY(clipc_cuda_parts_collect(engine->parts), "timing");
    return clipc_cuda_check(clipc_cuda_steps_collect(engine->steps), "timing", error);
}

/* Where they do not stay from the pass before. */
static clipc_status upload_pixels(clipc_cuda_engine *engine, const void *pixels, bool stay, size_t values,
                                  const clipc_cuda_inputs *inputs, clipc_error *error)
{
    void *to = inputs->as_bytes ? (void *)engine->byte_pixels : engine->pixels;
    engine->inputs = (clipc_cuda_inputs){0};
    if (!stay)
        CLIPC_TRY(clipc_cuda_upload(engine, pixels, values * (inputs->as_bytes ? 1 : sizeof(float)), to, error));
    CLIPC_TRY(mark(engine, CLIPC_CUDA_MOMENT_UPLOADED, error));
    if (inputs->as_bytes)
        CLIPC_CUDA_TRY(clipc_cuda_floats_of_bytes(engine->byte_pixels, inputs->count,
                                                  (int32_t)engine->model->config.image_size, engine->byte_values,
                                                  engine->pixels, engine->stream),
                       "starting a kernel");
    engine->inputs = *inputs;
    return CLIPC_OK;
}

clipc_status clipc_cuda_encode_images(clipc_cuda_engine *engine, const void *pixels, bool as_bytes, size_t count,
                                      float *embeddings, clipc_error *error)
{
    const clipc_config *config = &engine->model->config;
    const size_t image = 3 * config->image_size * config->image_size;
    const uint8_t *from = pixels;
    for (size_t done = 0; done < count;) {
        const size_t part = clipc_min(count - done, (size_t)engine->batch);
        const size_t first = done * image * (as_bytes ? 1 : sizeof(float));
        const clipc_cuda_inputs inputs = {.image = true, .as_bytes = as_bytes, .count = (int32_t)part};
        const bool stay = stays(engine, &inputs);
        CLIPC_TRY(mark(engine, CLIPC_CUDA_MOMENT_BEGIN, error));
        CLIPC_TRY(upload_pixels(engine, from + first, stay, part * image, &inputs, error));
        const double begin = clipc_cuda_parts_clock(engine->parts);
        CLIPC_TRY(clipc_cuda_image_tower(engine, (int32_t)part, error));
        clipc_cuda_parts_enqueued(engine->parts, begin);
        CLIPC_TRY(download(engine, (int32_t)part, stay, embeddings + done * config->embedding_dimension, error));
        done += part;
    }
    return CLIPC_OK;
}

/* Texts from `first` on that fit one pass, as offsets and pooled rows in the second staging area's place. */
static size_t gather_texts(const clipc_cuda_engine *engine, const size_t *offsets, size_t first, size_t count,
                           int32_t *starts, int32_t *pooled, int32_t *longest)
{
    size_t items = 0;
    *longest = 0;
    while (first + items < count && items < (size_t)engine->batch) {
        const size_t end = offsets[first + items + 1] - offsets[first];
        if (end > (size_t)engine->capacity)
            break;
        const int32_t length = (int32_t)(offsets[first + items + 1] - offsets[first + items]);
        *longest = length > *longest ? length : *longest;
        starts[items] = (int32_t)(offsets[first + items] - offsets[first]);
        pooled[items] = (int32_t)end - 1;
        items++;
    }
    starts[items] = items ? pooled[items - 1] + 1 : 0;
    return items;
}

static clipc_status upload_texts(clipc_cuda_engine *engine, const int32_t *ids, const int32_t *starts,
                                 const int32_t *pooled, const clipc_cuda_inputs *inputs, clipc_error *error)
{
    const size_t items = (size_t)inputs->count;
    engine->inputs = (clipc_cuda_inputs){0};
    CLIPC_CUDA_TRY(
        cudaMemcpyAsync(engine->offsets, starts, (items + 1) * sizeof *starts, cudaMemcpyHostToDevice, engine->stream),
        "copying to the device");
    CLIPC_CUDA_TRY(
        cudaMemcpyAsync(engine->pooled_row, pooled, items * sizeof *pooled, cudaMemcpyHostToDevice, engine->stream),
        "copying to the device");
    CLIPC_CUDA_TRY(
        cudaMemcpyAsync(engine->ids, ids, (size_t)inputs->rows * sizeof *ids, cudaMemcpyHostToDevice, engine->stream),
        "copying to the device");
    engine->inputs = *inputs;
    return CLIPC_OK;
}

static clipc_status encode_texts(clipc_cuda_engine *engine, const int32_t *ids, const size_t *offsets, size_t first,
                                 size_t count, size_t *items, bool *stay, clipc_error *error)
{
    CLIPC_CUDA_TRY(cudaStreamSynchronize(engine->stream), "copying to the device");
    int32_t *starts = engine->staging[0];
    int32_t *pooled = engine->staging[1];
    int32_t longest = 0;
    *items = gather_texts(engine, offsets, first, count, starts, pooled, &longest);
    CLIPC_FAIL_IF(*items == 0, error, CLIPC_ERROR_ARGUMENT, "a text is longer than the model's context");
    const clipc_cuda_inputs inputs = {.count = (int32_t)*items, .rows = starts[*items], .longest = longest};
    *stay = stays(engine, &inputs);
    CLIPC_TRY(mark(engine, CLIPC_CUDA_MOMENT_BEGIN, error));
    if (!*stay)
        CLIPC_TRY(upload_texts(engine, ids + offsets[first], starts, pooled, &inputs, error));
    CLIPC_TRY(mark(engine, CLIPC_CUDA_MOMENT_UPLOADED, error));
    const double begin = clipc_cuda_parts_clock(engine->parts);
    CLIPC_TRY(clipc_cuda_text_tower(engine, inputs.count, inputs.rows, longest, error));
    clipc_cuda_parts_enqueued(engine->parts, begin);
    return CLIPC_OK;
}

clipc_status clipc_cuda_encode_tokens(clipc_cuda_engine *engine, const int32_t *ids, const size_t *offsets,
                                      size_t count, float *embeddings, clipc_error *error)
{
    const size_t dimension = engine->model->config.embedding_dimension;
    for (size_t done = 0; done < count;) {
        size_t items = 0;
        bool stay = false;
        CLIPC_TRY(encode_texts(engine, ids, offsets, done, count, &items, &stay, error));
        CLIPC_TRY(download(engine, (int32_t)items, stay, embeddings + done * dimension, error));
        done += items;
    }
    return CLIPC_OK;
}
