#include "backend/cuda/cuda_tune.h"

#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/cuda_status.h"
#include "backend/cuda/try.h"
#include "base/checked.h"
#include "base/memory.h"

#include <string.h>

#define LEAST_GAIN 1.02F /* below, clipc's own choice stays: it would be noise */
#define RUNS       20    /* of a candidate, one after the other */
#define RUNS_FULL  100
#define COMPARED   ((size_t)8 << 20) /* bytes that are compared at a time */

struct clipc_cuda_tuner {
    const clipc_tune_request *request;
    clipc_gemm_device device;
    size_t bytes;
    void *before;   /* device memory: the output as it was */
    void *expected; /* the same, as clipc's own choice makes it */
    uint8_t *host[2];
    cudaEvent_t begin;
    cudaEvent_t end;
    clipc_error error;
};

void clipc_cuda_tuner_destroy(clipc_cuda_tuner **out)
{
    clipc_cuda_tuner *tuner = *out;
    if (!tuner)
        return;
    if (tuner->before)
        (void)cudaFree(tuner->before);
    if (tuner->expected)
        (void)cudaFree(tuner->expected);
    if (tuner->begin)
        (void)cudaEventDestroy(tuner->begin);
    if (tuner->end)
        (void)cudaEventDestroy(tuner->end);
    clipc_free(tuner->host[0]);
    clipc_free(tuner->host[1]);
    clipc_free(tuner);
    *out = NULL;
}

clipc_status clipc_cuda_tuner_create(const clipc_tune_request *request, const clipc_gemm_device *device, size_t bytes,
                                     clipc_cuda_tuner **out, clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    clipc_cuda_tuner *tuner = clipc_allocate(1, sizeof *tuner);
    if (!tuner)
        return clipc_fail_memory(error, sizeof *tuner, "tuning");
    *tuner = (clipc_cuda_tuner){.request = request, .device = *device, .bytes = bytes};
    for (int i = 0; i < 2; i++) {
        tuner->host[i] = clipc_allocate(COMPARED, 1);
        if (!tuner->host[i]) {
            status = clipc_fail_memory(error, COMPARED, "tuning");
            goto fail;
        }
    }
    CLIPC_CHECK(clipc_cuda_allocate(bytes, "tuning", &tuner->before, error));
    CLIPC_CHECK(clipc_cuda_allocate(bytes, "tuning", &tuner->expected, error));
    CLIPC_CHECK(clipc_cuda_check(cudaEventCreate(&tuner->begin), "making an event", error));
    CLIPC_CHECK(clipc_cuda_check(cudaEventCreate(&tuner->end), "making an event", error));
    *out = tuner;
    return CLIPC_OK;
fail:
    clipc_cuda_tuner_destroy(&tuner);
    return status;
}

clipc_status clipc_cuda_tuner_status(const clipc_cuda_tuner *tuner, clipc_error *error)
{
    if (tuner->error.status != CLIPC_OK && error)
        *error = tuner->error;
    return tuner->error.status;
}

/* What one run writes, in device memory. */
struct output {
    void *place;
    size_t bytes;
    void *statistics; /* that it leaves */
    size_t statistics_bytes;
};

static cudaError_t copy(void *to, const void *from, size_t bytes, cudaStream_t stream)
{
    return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}

static cudaError_t compare(clipc_cuda_tuner *tuner, const uint8_t *a, const uint8_t *b, size_t bytes, bool *same)
{
    for (size_t at = 0; at < bytes && *same; at += COMPARED) {
        const size_t part = clipc_min(COMPARED, bytes - at);
        TRY(cudaMemcpy(tuner->host[0], a + at, part, cudaMemcpyDeviceToHost));
        TRY(cudaMemcpy(tuner->host[1], b + at, part, cudaMemcpyDeviceToHost));
        *same = memcmp(tuner->host[0], tuner->host[1], part) == 0;
    }
    return cudaSuccess;
}

static cudaError_t keep_expected(clipc_cuda_tuner *tuner, const struct output *output, cudaStream_t stream)
{
    TRY(copy(tuner->expected, output->place, output->bytes, stream));
    return output->statistics_bytes
               ? copy((uint8_t *)tuner->expected + output->bytes, output->statistics, output->statistics_bytes, stream)
               : cudaSuccess;
}

static cudaError_t is_expected(clipc_cuda_tuner *tuner, const struct output *output, cudaStream_t stream, bool *same)
{
    const uint8_t *expected = tuner->expected;
    *same = true;
    TRY(cudaStreamSynchronize(stream));
    TRY(compare(tuner, output->place, expected, output->bytes, same));
    return compare(tuner, output->statistics, expected + output->bytes, output->statistics_bytes, same);
}

/* Milliseconds of a run. */
static cudaError_t time_runs(clipc_cuda_tuner *tuner, const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan,
                             cudaStream_t stream, float *milliseconds)
{
    const int runs = tuner->request->full ? RUNS_FULL : RUNS;
    TRY(cudaEventRecord(tuner->begin, stream));
    for (int i = 0; i < runs; i++)
        TRY(clipc_cuda_gemm_run(gemm, plan, stream));
    TRY(cudaEventRecord(tuner->end, stream));
    TRY(cudaEventSynchronize(tuner->end));
    TRY(cudaEventElapsedTime(milliseconds, tuner->begin, tuner->end));
    *milliseconds /= (float)runs;
    return cudaSuccess;
}

/* One tile: whether its bits are those of clipc's own choice, and its time, the least of several turns. */
static cudaError_t try_tile(clipc_cuda_tuner *tuner, const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan,
                            const struct output *output, cudaStream_t stream, bool *same, float *milliseconds)
{
    TRY(copy(output->place, tuner->before, output->bytes, stream));
    TRY(clipc_cuda_gemm_run(gemm, plan, stream));
    TRY(is_expected(tuner, output, stream, same));
    for (int turn = 0; turn < 3 && *same; turn++) {
        float time = 0;
        TRY(copy(output->place, tuner->before, output->bytes, stream));
        TRY(time_runs(tuner, gemm, plan, stream, &time));
        *milliseconds = turn == 0 || time < *milliseconds ? time : *milliseconds;
    }
    return cudaSuccess;
}

static bool is_same_tile(const clipc_gemm_plan *a, const clipc_gemm_plan *b)
{
    return a->tile_rows == b->tile_rows && a->tile_columns == b->tile_columns && a->cluster == b->cluster;
}

static cudaError_t choose(clipc_cuda_tuner *tuner, const clipc_cuda_gemm *gemm, const clipc_gemm_shape *shape,
                          const clipc_gemm_plan *own, const struct output *output, cudaStream_t stream,
                          clipc_gemm_plan *best, float *speedup)
{
    float own_time = 0;
    float best_time = 0;
    bool same = true;
    clipc_gemm_plan plan;
    TRY(copy(tuner->before, output->place, output->bytes, stream));
    TRY(clipc_cuda_gemm_run(gemm, own, stream));
    TRY(keep_expected(tuner, output, stream));
    TRY(try_tile(tuner, gemm, own, output, stream, &same, &own_time));
    *best = *own;
    best_time = own_time / LEAST_GAIN;
    for (size_t i = 0; clipc_gemm_same_bits(&tuner->device, shape, own, i, &plan); i++) {
        float time = 0;
        if (is_same_tile(&plan, own))
            continue;
        TRY(try_tile(tuner, gemm, &plan, output, stream, &same, &time));
        if (!same || time >= best_time)
            continue;
        best_time = time;
        *best = plan;
    }
    *speedup = is_same_tile(best, own) ? 1 : own_time / best_time;
    return copy(output->place, tuner->before, output->bytes, stream);
}

cudaError_t clipc_cuda_tuner_product(clipc_cuda_tuner *tuner, const clipc_cuda_gemm *gemm,
                                     const clipc_gemm_shape *shape, const clipc_gemm_plan *plan, cudaStream_t stream)
{
    const bool to_bytes = gemm->type == CLIPC_CUDA_E4M3 && gemm->activation != CLIPC_CUDA_ACTIVATION_NONE;
    const size_t pairs = gemm->leave.pairs ? (size_t)gemm->rows * (size_t)gemm->leave.parts : 0;
    const struct output output = {gemm->output, (size_t)gemm->rows * (size_t)gemm->output_stride * (to_bytes ? 1 : 2),
                                  gemm->leave.pairs, pairs * 2 * sizeof(float)};
    char name[CLIPC_CHOICE_NAME];
    char value[CLIPC_CHOICE_VALUE];
    clipc_gemm_plan best;
    float speedup = 1;
    clipc_gemm_shape_name(shape, name);
    /* Few rows that go elsewhere, or become floats, are no large part of a tower. */
    if (tuner->error.status != CLIPC_OK || gemm->output_fp32 || gemm->output_row ||
        output.bytes + output.statistics_bytes > tuner->bytes || plan->kind == CLIPC_GEMM_SKINNY ||
        clipc_choice_get(tuner->request->set, name))
        return cudaSuccess;
    TRY(choose(tuner, gemm, shape, plan, &output, stream, &best, &speedup));
    clipc_gemm_tile_value(&best, value);
    clipc_tune_choose(tuner->request, name, value, (double)speedup, &tuner->error);
    return cudaSuccess;
}

/* ---- passes ---- */

static clipc_status tune_passes(clipc_cuda_engine *engine, const clipc_tune_request *request, size_t images,
                                size_t texts, float *embeddings, clipc_error *error)
{
    if (request->pixels)
        CLIPC_TRY(clipc_cuda_encode_images(engine, request->pixels, false, images, embeddings, error));
    if (request->ids)
        CLIPC_TRY(clipc_cuda_encode_tokens(engine, request->ids, request->offsets, texts, embeddings, error));
    return clipc_cuda_tuner_status(engine->tuner, error);
}

clipc_status clipc_cuda_tune_tiles(clipc_cuda_engine *engine, const clipc_tune_request *request, size_t images,
                                   size_t texts, clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    const size_t values = (size_t)engine->batch * (size_t)engine->model->config.embedding_dimension;
    const size_t rows = (size_t)engine->capacity;
    const clipc_cuda_tower *towers[2] = {&engine->image, &engine->text};
    size_t widest = 0;
    for (int i = 0; i < 2; i++)
        widest = clipc_max(widest, clipc_max((size_t)towers[i]->mlp_stride, 3 * (size_t)towers[i]->inner));
    float *embeddings = clipc_allocate(values, sizeof *embeddings);
    if (!embeddings)
        return clipc_fail_memory(error, values * sizeof *embeddings, "embeddings");
    CLIPC_CHECK(clipc_cuda_tuner_create(request, &engine->device, rows * widest * 2, &engine->tuner, error));
    CLIPC_CHECK(tune_passes(engine, request, images, texts, embeddings, error));
fail:
    clipc_cuda_tuner_destroy(&engine->tuner);
    clipc_free(embeddings);
    return status;
}
