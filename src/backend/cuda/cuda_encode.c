/* Encoding on one stream: inputs travel, the tower runs, embeddings come back. */
#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/cuda_status.h"
#include "backend/cuda/steps.h"
#include "base/checked.h"

#include <string.h>

static bool is_pinned(const void *memory)
{
    struct cudaPointerAttributes attributes = {0};
    if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    return attributes.type == cudaMemoryTypeHost;
}

/* By way of the two pinned areas: one is filled while the other travels. */
static clipc_status upload_staged(clipc_cuda_engine *engine, const uint8_t *from, size_t bytes, uint8_t *to,
                                  clipc_error *error)
{
    for (size_t done = 0, turn = 0; done < bytes; turn ^= 1) {
        const size_t part = clipc_min(bytes - done, engine->staging_bytes);
        CLIPC_CUDA_TRY(cudaEventSynchronize(engine->transferred[turn]), "copying to the device");
        memcpy(engine->staging[turn], from + done, part);
        CLIPC_CUDA_TRY(cudaMemcpyAsync(to + done, engine->staging[turn], part, cudaMemcpyHostToDevice, engine->stream),
                       "copying to the device");
        CLIPC_CUDA_TRY(cudaEventRecord(engine->transferred[turn], engine->stream), "copying to the device");
        done += part;
    }
    return CLIPC_OK;
}

clipc_status clipc_cuda_upload(clipc_cuda_engine *engine, const void *from, size_t bytes, void *to, clipc_error *error)
{
    if (!is_pinned(from))
        return upload_staged(engine, from, bytes, to, error);
    return clipc_cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, engine->stream),
                            "copying to the device", error);
}

static clipc_status download(clipc_cuda_engine *engine, bool image, int32_t count, float *embeddings,
                             clipc_error *error)
{
    const size_t dimension = engine->model->config.embedding_dimension;
    const size_t row = dimension * sizeof *embeddings;
    CLIPC_CUDA_TRY(cudaMemcpy2DAsync(embeddings, row, engine->embeddings, (size_t)engine->dimension * sizeof(float),
                                     row, (size_t)count, cudaMemcpyDeviceToHost, engine->stream),
                   "copying from the device");
    CLIPC_CUDA_TRY(cudaStreamSynchronize(engine->stream), "encoding");
    clipc_tap_give(&engine->tap.target, image, CLIPC_TAP_PROJECTION, 0,
                   (clipc_tap_rows){embeddings, (size_t)count, dimension, dimension});
    return clipc_cuda_check(clipc_cuda_steps_collect(engine->steps), "timing", error);
}

static clipc_status upload_pixels(clipc_cuda_engine *engine, const void *pixels, bool as_bytes, size_t values,
                                  int32_t count, clipc_error *error)
{
    if (!as_bytes)
        return clipc_cuda_upload(engine, pixels, values * sizeof(float), engine->pixels, error);
    CLIPC_TRY(clipc_cuda_upload(engine, pixels, values, engine->byte_pixels, error));
    return clipc_cuda_check(clipc_cuda_floats_of_bytes(engine->byte_pixels, count,
                                                       (int32_t)engine->model->config.image_size, engine->byte_values,
                                                       engine->pixels, engine->stream),
                            "starting a kernel", error);
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
        CLIPC_TRY(upload_pixels(engine, from + first, as_bytes, part * image, (int32_t)part, error));
        CLIPC_TRY(clipc_cuda_image_tower(engine, (int32_t)part, error));
        CLIPC_TRY(download(engine, true, (int32_t)part, embeddings + done * config->embedding_dimension, error));
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

static clipc_status encode_texts(clipc_cuda_engine *engine, const int32_t *ids, const size_t *offsets, size_t first,
                                 size_t count, size_t *items, clipc_error *error)
{
    CLIPC_CUDA_TRY(cudaStreamSynchronize(engine->stream), "copying to the device");
    int32_t *starts = engine->staging[0];
    int32_t *pooled = engine->staging[1];
    int32_t longest = 0;
    *items = gather_texts(engine, offsets, first, count, starts, pooled, &longest);
    CLIPC_FAIL_IF(*items == 0, error, CLIPC_ERROR_ARGUMENT, "a text is longer than the model's context");
    const int32_t rows = starts[*items];
    CLIPC_CUDA_TRY(cudaMemcpyAsync(engine->offsets, starts, (*items + 1) * sizeof *starts, cudaMemcpyHostToDevice,
                                   engine->stream),
                   "copying to the device");
    CLIPC_CUDA_TRY(
        cudaMemcpyAsync(engine->pooled_row, pooled, *items * sizeof *pooled, cudaMemcpyHostToDevice, engine->stream),
        "copying to the device");
    CLIPC_CUDA_TRY(cudaMemcpyAsync(engine->ids, ids + offsets[first], (size_t)rows * sizeof *ids,
                                   cudaMemcpyHostToDevice, engine->stream),
                   "copying to the device");
    return clipc_cuda_text_tower(engine, (int32_t)*items, rows, longest, error);
}

clipc_status clipc_cuda_encode_tokens(clipc_cuda_engine *engine, const int32_t *ids, const size_t *offsets,
                                      size_t count, float *embeddings, clipc_error *error)
{
    const size_t dimension = engine->model->config.embedding_dimension;
    for (size_t done = 0; done < count;) {
        size_t items = 0;
        CLIPC_TRY(encode_texts(engine, ids, offsets, done, count, &items, error));
        CLIPC_TRY(download(engine, false, (int32_t)items, embeddings + done * dimension, error));
        done += items;
    }
    return CLIPC_OK;
}
