/* Host memory to device memory. What is not pinned goes by way of two pinned areas: one is filled while the other
 * travels. One thread fills them slower than the bus takes them, so several do. */
#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/cuda_status.h"
#include "backend/cuda/work_plan.h"
#include "base/checked.h"

#include <string.h>

#define MOST_COPIERS 4
/* Of a part, for a thread: large beside what waking it costs. */
#define COPY_GRAIN ((size_t)256 << 10)

static bool is_pinned(const void *memory)
{
    struct cudaPointerAttributes attributes = {0};
    if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    return attributes.type == cudaMemoryTypeHost;
}

clipc_status clipc_cuda_use_copiers(clipc_cuda_engine *engine, size_t threads, clipc_error *error)
{
    const size_t most = engine->staging_bytes > COPY_GRAIN ? MOST_COPIERS : 1;
    const size_t wanted = clipc_max(clipc_min(threads, most), 1);
    if (wanted == (engine->copiers ? clipc_thread_pool_threads(engine->copiers) : 1))
        return CLIPC_OK;
    clipc_thread_pool_destroy(&engine->copiers);
    return wanted > 1 ? clipc_thread_pool_create(wanted, &engine->copiers, error) : CLIPC_OK;
}

typedef struct copy_job {
    uint8_t *to;
    const uint8_t *from;
} copy_job;

static void copy_piece(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    const copy_job *job = context;
    memcpy(job->to + begin, job->from + begin, end - begin);
}

static void fill(const clipc_cuda_engine *engine, uint8_t *to, const uint8_t *from, size_t bytes)
{
    copy_job job = {to, from};
    if (engine->copiers && bytes > COPY_GRAIN)
        clipc_thread_pool_run(engine->copiers, copy_piece, &job, bytes, COPY_GRAIN);
    else
        copy_piece(&job, 0, bytes, 0);
}

static clipc_status upload_staged(clipc_cuda_engine *engine, const uint8_t *from, size_t bytes, uint8_t *to,
                                  clipc_error *error)
{
    const size_t most = clipc_cuda_upload_part(bytes, engine->staging_bytes);
    for (size_t done = 0, turn = 0; done < bytes; turn ^= 1) {
        const size_t part = clipc_min(bytes - done, most);
        CLIPC_CUDA_TRY(cudaEventSynchronize(engine->transferred[turn]), "copying to the device");
        fill(engine, engine->staging[turn], from + done, part);
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
