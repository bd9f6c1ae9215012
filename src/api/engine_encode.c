/* Encoding: arguments are checked, calls cut into batches, and rows brought to unit length. Nothing is allocated. */
#include "api/engine.h"
#include "api/text_rows.h"
#include "base/checked.h"

#include <math.h>

/* Scales a row to unit length. A row of zeros has no direction and stays as it is. */
static void normalize_row(float *row, size_t dimension)
{
    double squares = 0;
    for (size_t i = 0; i < dimension; i++)
        squares += (double)row[i] * (double)row[i];
    const double length = sqrt(squares);
    if (length > 0)
        for (size_t i = 0; i < dimension; i++)
            row[i] = (float)((double)row[i] / length);
}

static bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

/* Finishes the rows of one call. Every row is written; the first whose numbers are not finite is reported by its index
 * in *bad (left alone when there is none). */
static void finish_rows(float *rows, size_t count, size_t dimension, unsigned flags, size_t *bad)
{
    for (size_t i = count; i-- > 0;) {
        float *row = rows + i * dimension;
        if (!all_finite(row, dimension))
            *bad = i;
        if (!(flags & CLIPC_ENCODE_UNNORMALIZED))
            normalize_row(row, dimension);
    }
}

static clipc_status check_call(const clipc_engine *engine, const void *input, size_t count, unsigned flags,
                               const float *embeddings, clipc_error *error)
{
    CLIPC_FAIL_IF(!engine, error, CLIPC_ERROR_ARGUMENT, "encode: engine is NULL");
    CLIPC_FAIL_IF(flags & ~CLIPC_ENCODE_UNNORMALIZED, error, CLIPC_ERROR_ARGUMENT, "encode: unknown flags 0x%x",
                  flags);
    CLIPC_FAIL_IF(count && (!input || !embeddings), error, CLIPC_ERROR_ARGUMENT, "encode: %s is NULL",
                  input ? "embeddings" : "the input");
    return CLIPC_OK;
}

static clipc_status check_image_tower(const clipc_engine *engine, clipc_error *error)
{
    CLIPC_TRY(clipc_model_check_tower(engine->model, true, error));
    CLIPC_FAIL_IF(!engine->image_tower, error, CLIPC_ERROR_ARGUMENT,
                  "encode: the engine was made without its image tower");
    return CLIPC_OK;
}

static clipc_status encode_image_batches(clipc_engine *engine, const float *pixels, size_t count, float *embeddings,
                                         clipc_error *error)
{
    const clipc_config *config = &engine->model->config;
    const size_t image = 3 * config->image_size * config->image_size;
    for (size_t begin = 0; begin < count; begin += engine->max_batch)
        CLIPC_TRY(engine->backend->encode_images(engine->compiled, pixels + begin * image,
                                                 clipc_min(engine->max_batch, count - begin),
                                                 embeddings + begin * config->embedding_dimension, error));
    return CLIPC_OK;
}

/* For a backend that takes floats only. */
static clipc_status encode_byte_batches(clipc_engine *engine, const uint8_t *bytes, size_t count, float *embeddings,
                                        clipc_error *error)
{
    const clipc_config *config = &engine->model->config;
    const size_t area = config->image_size * config->image_size;
    for (size_t begin = 0; begin < count; begin += engine->float_images) {
        const size_t part = clipc_min(engine->float_images, count - begin);
        for (size_t i = 0; i < part; i++)
            clipc_preprocess_floats(&engine->model->preprocess, bytes + (begin + i) * 3 * area, area,
                                    engine->floats + i * 3 * area);
        CLIPC_TRY(engine->backend->encode_images(engine->compiled, engine->floats, part,
                                                 embeddings + begin * config->embedding_dimension, error));
    }
    return CLIPC_OK;
}

/* Brings the rows to unit length. `pixels` tells whose fault a row is that is not finite; NULL: they were bytes. */
static clipc_status finish_images(const clipc_engine *engine, const float *pixels, size_t count, unsigned flags,
                                  float *embeddings, clipc_error *error)
{
    const clipc_config *config = &engine->model->config;
    size_t bad = count;
    finish_rows(embeddings, count, config->embedding_dimension, flags, &bad);
    if (bad == count)
        return CLIPC_OK;
    const size_t image = 3 * config->image_size * config->image_size;
    CLIPC_FAIL_IF(pixels && !all_finite(pixels + bad * image, image), error, CLIPC_ERROR_ARGUMENT,
                  "image %zu: its pixels are not all finite, so neither is its embedding", bad);
    return clipc_fail(error, CLIPC_ERROR_FORMAT, "image %zu: the model's arithmetic overflows on it", bad);
}

clipc_status clipc_engine_encode_images(clipc_engine *engine, const float *pixels, size_t count, unsigned flags,
                                        float *embeddings, clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    CLIPC_TRY(check_call(engine, pixels, count, flags, embeddings, error));
    CLIPC_TRY(check_image_tower(engine, error));
    if (engine->backend->concurrent) {
        status = engine->backend->encode_images(engine->compiled, pixels, count, embeddings, error);
    } else {
        pthread_mutex_lock(&engine->lock);
        status = encode_image_batches(engine, pixels, count, embeddings, error);
        pthread_mutex_unlock(&engine->lock);
    }
    CLIPC_TRY(status);
    return finish_images(engine, pixels, count, flags, embeddings, error);
}

clipc_status clipc_engine_encode_bytes(clipc_engine *engine, const uint8_t *bytes, size_t count, unsigned flags,
                                       float *embeddings, clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    CLIPC_TRY(check_call(engine, bytes, count, flags, embeddings, error));
    CLIPC_TRY(check_image_tower(engine, error));
    if (engine->backend->encode_bytes) {
        status = engine->backend->encode_bytes(engine->compiled, bytes, count, embeddings, error);
    } else {
        pthread_mutex_lock(&engine->lock);
        status = encode_byte_batches(engine, bytes, count, embeddings, error);
        pthread_mutex_unlock(&engine->lock);
    }
    CLIPC_TRY(status);
    return finish_images(engine, NULL, count, flags, embeddings, error);
}

static clipc_status check_sequence(const clipc_model *model, const int32_t *ids, size_t length, size_t index,
                                   clipc_error *error)
{
    CLIPC_FAIL_IF(length < 1 || length > model->context_length, error, CLIPC_ERROR_ARGUMENT,
                  "token sequence %zu: its length is %zu, not 1 to %zu", index, length, model->context_length);
    for (size_t i = 0; i < length; i++)
        CLIPC_FAIL_IF(ids[i] < 0 || (size_t)ids[i] >= model->config.vocabulary_size, error, CLIPC_ERROR_ARGUMENT,
                      "token sequence %zu: id %d at position %zu is outside the vocabulary of %zu", index, (int)ids[i],
                      i, model->config.vocabulary_size);
    return CLIPC_OK;
}

static clipc_status check_sequences(const clipc_model *model, const int32_t *ids, const size_t *offsets, size_t count,
                                    clipc_error *error)
{
    CLIPC_FAIL_IF(count && !offsets, error, CLIPC_ERROR_ARGUMENT, "encode: offsets is NULL");
    CLIPC_FAIL_IF(count && offsets[0] != 0, error, CLIPC_ERROR_ARGUMENT, "encode: offsets[0] is %zu, not 0",
                  offsets[0]);
    for (size_t i = 0; i < count; i++) {
        CLIPC_FAIL_IF(offsets[i + 1] < offsets[i], error, CLIPC_ERROR_ARGUMENT, "encode: offsets[%zu] goes backwards",
                      i + 1);
        CLIPC_TRY(check_sequence(model, ids + offsets[i], offsets[i + 1] - offsets[i], i, error));
    }
    return CLIPC_OK;
}

/* Packs the rows of sequences begin … begin+count-1 into the engine's own arrays. */
static void pack_sequences(clipc_engine *engine, const int32_t *ids, const size_t *offsets, size_t begin, size_t count)
{
    engine->offsets[0] = 0;
    for (size_t i = 0; i < count; i++) {
        const int32_t *sequence = ids + offsets[begin + i];
        const size_t length = offsets[begin + i + 1] - offsets[begin + i];
        engine->offsets[i + 1] =
            engine->offsets[i] + clipc_text_rows(&engine->model->config, sequence, length,
                                                 engine->model->context_length, engine->ids + engine->offsets[i]);
    }
}

static clipc_status encode_token_batches(clipc_engine *engine, const int32_t *ids, const size_t *offsets, size_t count,
                                         float *embeddings, clipc_error *error)
{
    const size_t dimension = engine->model->config.embedding_dimension;
    for (size_t begin = 0; begin < count; begin += engine->max_batch) {
        const size_t batch = clipc_min(engine->max_batch, count - begin);
        pack_sequences(engine, ids, offsets, begin, batch);
        CLIPC_TRY(engine->backend->encode_tokens(engine->compiled, engine->ids, engine->offsets, batch,
                                                 embeddings + begin * dimension, error));
    }
    return CLIPC_OK;
}

clipc_status clipc_engine_encode_tokens(clipc_engine *engine, const int32_t *ids, const size_t *offsets, size_t count,
                                        unsigned flags, float *embeddings, clipc_error *error)
{
    CLIPC_TRY(check_call(engine, ids, count, flags, embeddings, error));
    CLIPC_TRY(clipc_model_check_tower(engine->model, false, error));
    CLIPC_FAIL_IF(!engine->text_tower, error, CLIPC_ERROR_ARGUMENT,
                  "encode: the engine was made without its text tower");
    CLIPC_TRY(check_sequences(engine->model, ids, offsets, count, error));

    pthread_mutex_lock(&engine->lock);
    const clipc_status status = encode_token_batches(engine, ids, offsets, count, embeddings, error);
    pthread_mutex_unlock(&engine->lock);
    if (status != CLIPC_OK)
        return status;

    size_t bad = count;
    finish_rows(embeddings, count, engine->model->config.embedding_dimension, flags, &bad);
    CLIPC_FAIL_IF(bad != count, error, CLIPC_ERROR_FORMAT,
                  "token sequence %zu: the model's arithmetic overflows on it", bad);
    return CLIPC_OK;
}
