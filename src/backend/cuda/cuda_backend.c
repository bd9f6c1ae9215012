/* The cuda backend: NVIDIA devices from sm_80 on, with kernels of its own. The driver is found at run time.
 *
 * Work is dealt to lanes: a lane is a stream of a device with a workspace of its own, and does one pass at a time.
 * Calls take whatever lanes are free, so that several threads, or the passes of one large call, copy and compute side
 * by side.
 */
#include "backend/backend.h"
#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/cuda_status.h"
#include "backend/cuda/tower_file.h"
#include "backend/cuda/work_plan.h"
#include "base/checked.h"
#include "base/memory.h"
#include "base/thread_pool.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_STREAMS 2

struct lane {
    clipc_cuda_engine *engine;
    bool busy;
};

struct compiled {
    struct lane *lanes; /* stream by stream, so that neighbours are on different devices */
    size_t lane_count;
    size_t devices;
    size_t streams;
    clipc_compiled_info info;
    clipc_thread_pool *pool; /* a thread a lane; NULL when there is one lane */
    pthread_mutex_t crew;    /* held by the call that uses the pool */
    pthread_mutex_t lock;    /* guards what follows, and lanes[].busy */
    pthread_cond_t freed;
    size_t next_lane;
    bool recording;
    bool tapped;
    bool lost; /* after a fault that the device does not recover from */
    bool mutexes_made;
};

static clipc_status probe(clipc_error *error)
{
    size_t count = 0;
    clipc_cuda_device device;
    CLIPC_TRY(clipc_cuda_device_count(&count, error));
    return clipc_cuda_device_read(0, &device, error);
}

/* ---- making ---- */

static void destroy(void **compiled)
{
    struct compiled *old = *compiled;
    if (!old)
        return;
    clipc_thread_pool_destroy(&old->pool);
    for (size_t i = old->lane_count; i-- > 0;) /* those that borrow weights before those that lend them */
        clipc_cuda_engine_destroy(&old->lanes[i].engine);
    if (old->mutexes_made) {
        pthread_cond_destroy(&old->freed);
        pthread_mutex_destroy(&old->lock);
        pthread_mutex_destroy(&old->crew);
    }
    clipc_free(old->lanes);
    clipc_free(old);
    *compiled = NULL;
}

static clipc_status make_mutexes(struct compiled *compiled, clipc_error *error)
{
    const bool crew = pthread_mutex_init(&compiled->crew, NULL) == 0;
    const bool lock = crew && pthread_mutex_init(&compiled->lock, NULL) == 0;
    compiled->mutexes_made = lock && pthread_cond_init(&compiled->freed, NULL) == 0;
    if (compiled->mutexes_made)
        return CLIPC_OK;
    if (lock)
        pthread_mutex_destroy(&compiled->lock);
    if (crew)
        pthread_mutex_destroy(&compiled->crew);
    return clipc_fail(error, CLIPC_ERROR_MEMORY, "cannot make a mutex");
}

/* ---- tuning ---- */

/* What tiles were measured for. */
static void describe(int device_index, const clipc_compiled_info *info, char text[CLIPC_MADE_FOR])
{
    clipc_error ignored = {0};
    clipc_device_info device = {0};
    if (clipc_cuda_device_info((size_t)device_index, &device, &ignored) != CLIPC_OK)
        snprintf(device.name, sizeof device.name, "a device that cannot be asked");
    snprintf(text, CLIPC_MADE_FOR, "cuda, %s, driver %s, %s, %s, clipc %s", device.name, device.driver, info->isa,
             clipc_precision_name(info->precision), clipc_version());
}

static void made_for(const void *compiled, char text[CLIPC_MADE_FOR])
{
    const struct compiled *self = compiled;
    describe(self->lanes[0].engine->device_index, &self->info, text);
}

static clipc_status make_lanes(struct compiled *compiled, const clipc_model *model,
                               const clipc_compile_options *options, const int *devices, clipc_error *error)
{
    clipc_compile_options lane_options = *options;
    const size_t parts = options->text_tower ? 1 : compiled->streams; /* texts are not cut for the sake of copying */
    lane_options.max_batch =
        clipc_cuda_pass_items(options->max_batch, compiled->devices, parts, CLIPC_CUDA_PASS_ITEMS);
    const size_t lanes = compiled->devices * compiled->streams;
    const clipc_choice_set *set = NULL;
    if (options->tuning) {
        char text[CLIPC_MADE_FOR];
        describe(devices[0], &compiled->info, text);
        set = clipc_tune_find(model, options, text);
    }
    compiled->lanes = clipc_allocate(lanes, sizeof *compiled->lanes);
    if (!compiled->lanes)
        return clipc_fail_memory(error, lanes * sizeof *compiled->lanes, "the cuda backend");
    for (size_t i = 0; i < lanes; i++) {
        const size_t device = i % compiled->devices;
        const clipc_cuda_engine *owner = i < compiled->devices ? NULL : compiled->lanes[device].engine;
        CLIPC_TRY(
            clipc_cuda_engine_create(model, &lane_options, devices[device], owner, &compiled->lanes[i].engine, error));
        compiled->lane_count = i + 1;
        CLIPC_TRY(clipc_gemm_tiles_read(set, &compiled->lanes[i].engine->tiles, error));
        const clipc_cuda_engine *engine = compiled->lanes[i].engine;
        compiled->info.workspace_bytes +=
            engine->workspace_bytes + engine->whole_image.bytes + engine->whole_text.bytes;
        if (!owner)
            compiled->info.packed_bytes += engine->image.bytes + engine->text.bytes;
    }
    if (lanes > 1)
        CLIPC_TRY(clipc_thread_pool_create(lanes, &compiled->pool, error));
    return CLIPC_OK;
}

static clipc_status plan(const clipc_compile_options *options, clipc_compiled_info *out, clipc_error *error)
{
    int devices[CLIPC_CUDA_DEVICES];
    size_t present = 0;
    size_t count = 0;
    clipc_cuda_device device;
    CLIPC_TRY(clipc_cuda_device_count(&present, error));
    CLIPC_TRY(clipc_cuda_devices_parse(options->devices, present, devices, &count, error));
    for (size_t i = 0; i < count; i++) {
        CLIPC_TRY(clipc_cuda_device_read(devices[i], &device, error));
        CLIPC_TRY(clipc_cuda_precision_check(&device, clipc_cuda_settled_precision(options), error));
    }
    *out = (clipc_compiled_info){
        .precision = clipc_cuda_settled_precision(options),
        .isa = clipc_cuda_kernels_name(&device.kernels),
        .threads = 1, /* of the host */
        .devices = count,
        .streams = options->streams ? options->streams : DEFAULT_STREAMS,
    };
    return CLIPC_OK;
}

static clipc_status make(struct compiled *compiled, const clipc_model *model, const clipc_compile_options *options,
                         clipc_error *error)
{
    int devices[CLIPC_CUDA_DEVICES];
    size_t present = 0;
    CLIPC_TRY(plan(options, &compiled->info, error));
    compiled->devices = compiled->info.devices;
    compiled->streams = compiled->info.streams;
    CLIPC_TRY(clipc_cuda_device_count(&present, error));
    CLIPC_TRY(clipc_cuda_devices_parse(options->devices, present, devices, &compiled->devices, error));
    CLIPC_TRY(make_mutexes(compiled, error));
    return make_lanes(compiled, model, options, devices, error);
}

/* The calling thread's device is its own business, and stays as it was. */
static int current_device(void)
{
    int device = 0;
    if (cudaGetDevice(&device) != cudaSuccess)
        (void)cudaGetLastError();
    return device;
}

static clipc_status compile(const clipc_model *model, const clipc_compile_options *options, void **out,
                            clipc_error *error)
{
    *out = NULL;
    CLIPC_TRY(clipc_model_check_finite(model, options->image_tower, options->text_tower, options->threads, error));
    struct compiled *compiled = clipc_allocate(1, sizeof *compiled);
    if (!compiled)
        return clipc_fail_memory(error, sizeof *compiled, "the cuda backend");
    void *made = compiled;
    const int device = current_device();
    const clipc_status status = make(compiled, model, options, error);
    if (status != CLIPC_OK)
        destroy(&made);
    (void)cudaSetDevice(device);
    *out = made;
    return status;
}

static void info(const void *compiled, clipc_compiled_info *out)
{
    const struct compiled *self = compiled;
    *out = self->info;
}

/* ---- encoding ---- */

/* One call, whose passes any thread may do. */
struct call {
    struct compiled *compiled;
    const void *pixels; /* NULL: texts */
    bool as_bytes;
    const int32_t *ids;
    const size_t *offsets;
    size_t count;
    size_t pass_items;
    float *embeddings;
    clipc_status status; /* guarded by compiled->lock, as *error is */
    clipc_error *error;
};

/* Of the first `count` lanes, when one is free. */
static struct lane *take_lane_of(struct compiled *compiled, size_t count)
{
    struct lane *found = NULL;
    pthread_mutex_lock(&compiled->lock);
    for (;;) {
        const size_t usable = compiled->recording || compiled->tapped ? 1 : count;
        for (size_t i = 0; i < usable && !found; i++) {
            struct lane *lane = &compiled->lanes[(compiled->next_lane + i) % usable];
            if (!lane->busy)
                found = lane;
        }
        if (found)
            break;
        pthread_cond_wait(&compiled->freed, &compiled->lock);
    }
    compiled->next_lane = ((size_t)(found - compiled->lanes) + 1) % compiled->lane_count;
    found->busy = true;
    pthread_mutex_unlock(&compiled->lock);
    return found;
}

/* That one, when it is free. */
static void take_lane(struct compiled *compiled, struct lane *lane)
{
    pthread_mutex_lock(&compiled->lock);
    while (lane->busy)
        pthread_cond_wait(&compiled->freed, &compiled->lock);
    lane->busy = true;
    pthread_mutex_unlock(&compiled->lock);
}

static void give_back(struct compiled *compiled, struct lane *lane)
{
    pthread_mutex_lock(&compiled->lock);
    lane->busy = false;
    pthread_cond_broadcast(&compiled->freed);
    pthread_mutex_unlock(&compiled->lock);
}

static clipc_status encode_part(const struct call *call, clipc_cuda_engine *engine, size_t first, size_t count,
                                clipc_error *error)
{
    const clipc_config *config = &engine->model->config;
    float *embeddings = call->embeddings + first * config->embedding_dimension;
    CLIPC_CUDA_TRY(cudaSetDevice(engine->device_index), "choosing the device");
    if (!call->pixels)
        return clipc_cuda_encode_tokens(engine, call->ids, call->offsets + first, count, embeddings, error);
    const size_t image = 3 * config->image_size * config->image_size * (call->as_bytes ? 1 : sizeof(float));
    return clipc_cuda_encode_images(engine, (const uint8_t *)call->pixels + first * image, call->as_bytes, count,
                                    embeddings, error);
}

static bool has_failed(struct call *call)
{
    pthread_mutex_lock(&call->compiled->lock);
    const bool failed = call->status != CLIPC_OK;
    pthread_mutex_unlock(&call->compiled->lock);
    return failed;
}

/* The first failure is the call's. A fault of the device poisons its context: every later call fails, so the engine
 * says at once that it is lost. */
static void note_failure(struct call *call, clipc_status status, const clipc_error *error)
{
    pthread_mutex_lock(&call->compiled->lock);
    if (call->status == CLIPC_OK) {
        call->status = status;
        if (call->error)
            *call->error = *error;
    }
    if (status == CLIPC_ERROR_DEVICE)
        call->compiled->lost = true;
    pthread_mutex_unlock(&call->compiled->lock);
}

static void do_passes(void *context, size_t begin, size_t end, size_t thread)
{
    struct call *call = context;
    (void)thread;
    for (size_t pass = begin; pass < end && !has_failed(call); pass++) {
        clipc_error error = {0};
        const size_t first = pass * call->pass_items;
        struct lane *lane = take_lane_of(call->compiled, call->compiled->lane_count);
        const clipc_status status =
            encode_part(call, lane->engine, first, clipc_min(call->pass_items, call->count - first), &error);
        give_back(call->compiled, lane);
        if (status != CLIPC_OK)
            note_failure(call, status, &error);
    }
}

static clipc_status run_call(struct call *call)
{
    struct compiled *compiled = call->compiled;
    pthread_mutex_lock(&compiled->lock);
    const bool lost = compiled->lost;
    const bool in_turn = compiled->recording || compiled->tapped;
    pthread_mutex_unlock(&compiled->lock);
    CLIPC_FAIL_IF(lost, call->error, CLIPC_ERROR_DEVICE, "the engine is lost: an earlier call met a device fault");
    const int device = current_device();
    const size_t passes = (call->count + call->pass_items - 1) / call->pass_items;
    if (passes > 1 && compiled->pool && !in_turn) {
        pthread_mutex_lock(&compiled->crew);
        clipc_thread_pool_run(compiled->pool, do_passes, call, passes, 1);
        pthread_mutex_unlock(&compiled->crew);
    } else {
        do_passes(call, 0, passes, 0);
    }
    (void)cudaSetDevice(device);
    if (call->status == CLIPC_ERROR_DEVICE)
        return clipc_fail_within(call->error, call->status, "the engine is lost");
    return call->status;
}

static clipc_status encode_pixels(struct compiled *compiled, const void *pixels, bool as_bytes, size_t count,
                                  float *embeddings, clipc_error *error)
{
    struct call call = {
        .compiled = compiled,
        .pixels = pixels,
        .as_bytes = as_bytes,
        .count = count,
        .pass_items = clipc_cuda_pass_items(count, compiled->devices, compiled->streams,
                                            (size_t)compiled->lanes[0].engine->batch),
        .embeddings = embeddings,
        .error = error,
    };
    return count ? run_call(&call) : CLIPC_OK;
}

static clipc_status encode_images(void *compiled, const float *pixels, size_t count, float *embeddings,
                                  clipc_error *error)
{
    return encode_pixels(compiled, pixels, false, count, embeddings, error);
}

static clipc_status encode_bytes(void *compiled, const uint8_t *bytes, size_t count, float *embeddings,
                                 clipc_error *error)
{
    return encode_pixels(compiled, bytes, true, count, embeddings, error);
}

static clipc_status encode_tokens(void *compiled, const int32_t *ids, const size_t *offsets, size_t count,
                                  float *embeddings, clipc_error *error)
{
    struct compiled *self = compiled;
    struct call call = {
        .compiled = self,
        .ids = ids,
        .offsets = offsets,
        .count = count,
        .pass_items = clipc_cuda_pass_items(count, self->devices, 1, CLIPC_CUDA_PASS_ITEMS),
        .embeddings = embeddings,
        .error = error,
    };
    return count ? run_call(&call) : CLIPC_OK;
}

/* ---- steps ---- */

/* While steps are recorded only the first lane is used, so their times are of passes that run alone. */
static clipc_status record_steps(void *compiled, bool on, const clipc_step_target *target, clipc_error *error)
{
    struct compiled *self = compiled;
    const int device = current_device();
    pthread_mutex_lock(&self->lock);
    self->recording = on;
    pthread_mutex_unlock(&self->lock);
    struct lane *lane = take_lane_of(self, 1);
    clipc_status status = clipc_cuda_check(cudaSetDevice(lane->engine->device_index), "choosing the device", error);
    if (status == CLIPC_OK)
        status = clipc_cuda_steps_switch(&lane->engine->steps, on, target, error);
    give_back(self, lane);
    (void)cudaSetDevice(device);
    return status;
}

static bool step(void *compiled, size_t index, clipc_step_info *out)
{
    struct compiled *self = compiled;
    struct lane *lane = take_lane_of(self, 1);
    const bool found = clipc_cuda_steps_get(lane->engine->steps, index, out);
    give_back(self, lane);
    return found;
}

/* While somebody asks, only the first lane is used, so that passes come in the order of their items. */
static clipc_status set_tap(void *compiled, const clipc_tap_target *target, clipc_error *error)
{
    struct compiled *self = compiled;
    pthread_mutex_lock(&self->lock);
    self->tapped = true; /* or will not be any more */
    pthread_mutex_unlock(&self->lock);
    struct lane *lane = take_lane_of(self, 1);
    clipc_cuda_engine *engine = lane->engine;
    const clipc_status status =
        clipc_cuda_tap_set(engine->model, &engine->image, &engine->text, target, &engine->tap, error);
    give_back(self, lane);
    pthread_mutex_lock(&self->lock);
    self->tapped = status == CLIPC_OK && target->function;
    pthread_mutex_unlock(&self->lock);
    return status;
}

/* ---- parts of calls ---- */

static clipc_status measure_lane(clipc_cuda_engine *engine, unsigned flags, clipc_error *error)
{
    CLIPC_CUDA_TRY(cudaSetDevice(engine->device_index), "choosing the device");
    engine->measure = flags;
    return clipc_cuda_parts_switch(&engine->parts, (flags & CLIPC_MEASURE_PARTS) != 0, error);
}

static clipc_status measure(void *compiled, unsigned flags, clipc_error *error)
{
    struct compiled *self = compiled;
    const int device = current_device();
    clipc_status status = CLIPC_OK;
    for (size_t i = 0; i < self->lane_count && status == CLIPC_OK; i++) {
        take_lane(self, &self->lanes[i]);
        status = measure_lane(self->lanes[i].engine, flags, error);
        give_back(self, &self->lanes[i]);
    }
    (void)cudaSetDevice(device);
    return status;
}

/* ---- measuring tiles ---- */

/* The products of one pass over so many items. */
static clipc_status tune_pass(clipc_cuda_engine *engine, const clipc_tune_request *request, size_t count,
                              float *embeddings, clipc_error *error)
{
    if (request->pixels)
        CLIPC_TRY(clipc_cuda_encode_images(engine, request->pixels, false, count, embeddings, error));
    if (request->ids)
        CLIPC_TRY(clipc_cuda_encode_tokens(engine, request->ids, request->offsets, count, embeddings, error));
    return clipc_cuda_tuner_status(engine->tuner, error);
}

/* Full batches alone, or also halves of them down to two. */
static clipc_status tune_passes(clipc_cuda_engine *engine, const clipc_tune_request *request, clipc_error *error)
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
    for (size_t count = clipc_min(request->count, (size_t)engine->batch); count > 0;
         count = request->full && count > 2 ? count / 2 : 0)
        CLIPC_CHECK(tune_pass(engine, request, count, embeddings, error));
fail:
    clipc_cuda_tuner_destroy(&engine->tuner);
    clipc_free(embeddings);
    return status;
}

static clipc_status tune(void *compiled, const clipc_tune_request *request, clipc_error *error)
{
    struct compiled *self = compiled;
    const int device = current_device();
    struct lane *lane = take_lane_of(self, 1);
    clipc_status status = clipc_cuda_check(cudaSetDevice(lane->engine->device_index), "choosing the device", error);
    if (status == CLIPC_OK && !lane->engine->batch_invariant)
        status = tune_passes(lane->engine, request, error);
    give_back(self, lane);
    (void)cudaSetDevice(device);
    return status;
}

static void parts(void *compiled, clipc_call_parts *out)
{
    struct compiled *self = compiled;
    for (size_t i = 0; i < self->lane_count; i++) {
        take_lane(self, &self->lanes[i]);
        clipc_cuda_parts_add(self->lanes[i].engine->parts, out);
        give_back(self, &self->lanes[i]);
    }
}

const clipc_backend clipc_backend_cuda = {
    .name = "cuda",
    .automatic = true,
    .probe = probe,
    .supports_precision = clipc_cuda_supports_precision,
    .compile = compile,
    .info = info,
    .plan = plan,
    .mixes_precisions = true,
    .keeps_halves = true,
    .concurrent = true,
    .encode_images = encode_images,
    .encode_bytes = encode_bytes,
    .encode_tokens = encode_tokens,
    .destroy = destroy,
    .device_count = clipc_cuda_device_count,
    .device_info = clipc_cuda_device_info,
    .record_steps = record_steps,
    .step = step,
    .set_tap = set_tap,
    .measure = measure,
    .parts = parts,
    .made_for = made_for,
    .tune = tune,
};
