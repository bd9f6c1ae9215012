/* The cuda backend: NVIDIA devices from sm_80 on, with kernels of its own. The driver is found at run time.
 *
 * Work is dealt to lanes: a lane is a stream of a device with a workspace of its own, and does one pass at a time.
 * Calls take whatever lanes are free, so that several threads, or the passes of one large call, copy and compute side
 * by side.
 */
#include "backend/backend.h"
#include "backend/cuda/cuda_lanes.h"
#include "backend/cuda/cuda_peaks.h"
#include "backend/cuda/cuda_status.h"
#include "backend/cuda/tower_file.h"
#include "backend/cuda/work_plan.h"
#include "base/checked.h"
#include "base/memory.h"

#include <time.h>

#define DEFAULT_STREAMS 2

static clipc_status probe(clipc_error *error)
{
    size_t count = 0;
    clipc_cuda_device device;
    CLIPC_TRY(clipc_cuda_device_count(&count, error));
    return clipc_cuda_device_read(0, &device, error);
}

/* ---- making ---- */

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

static clipc_status compile(const clipc_model *model, const clipc_compile_options *options, void **out,
                            clipc_error *error)
{
    *out = NULL;
    CLIPC_TRY(clipc_model_check_finite(model, options->image_tower, options->text_tower, options->threads, error));
    clipc_compiled_info planned = {0};
    clipc_cuda_lanes *lanes = NULL;
    const int device = clipc_cuda_current_device();
    CLIPC_TRY(plan(options, &planned, error));
    const clipc_status status = clipc_cuda_lanes_create(model, options, &planned, &lanes, error);
    (void)cudaSetDevice(device);
    *out = lanes;
    return status;
}

static void destroy(void **compiled)
{
    clipc_cuda_lanes *lanes = *compiled;
    clipc_cuda_lanes_destroy(&lanes);
    *compiled = NULL;
}

static void made_for(const void *compiled, char text[CLIPC_MADE_FOR])
{
    clipc_cuda_lanes_made_for(compiled, text);
}

static void info(const void *compiled, clipc_compiled_info *out)
{
    const clipc_cuda_lanes *self = compiled;
    *out = self->info;
}

/* ---- encoding ---- */

/* One call, whose passes any thread may do. */
struct call {
    clipc_cuda_lanes *compiled;
    const void *pixels; /* NULL: texts */
    bool as_bytes;
    const int32_t *ids;
    const size_t *offsets;
    size_t count;
    size_t pass_items;
    size_t chosen_items; /* of a pass as clipc cuts it, where this is another cut; else 0 */
    float *embeddings;
    clipc_status status; /* guarded by compiled->lock, as *error is */
    clipc_error *error;
};

static clipc_status encode_part(const struct call *call, clipc_cuda_engine *engine, size_t first, size_t count,
                                clipc_error *error)
{
    const clipc_config *config = &engine->model->config;
    float *embeddings = call->embeddings + first * config->embedding_dimension;
    CLIPC_CUDA_TRY(cudaSetDevice(engine->device_index), "choosing the device");
    engine->chosen_items = (int32_t)call->chosen_items;
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
        clipc_cuda_lane *lane = clipc_cuda_lanes_take(call->compiled, call->compiled->lane_count);
        const clipc_status status =
            encode_part(call, lane->engine, first, clipc_min(call->pass_items, call->count - first), &error);
        clipc_cuda_lanes_give_back(call->compiled, lane);
        if (status != CLIPC_OK)
            note_failure(call, status, &error);
    }
}

static clipc_status run_call(struct call *call)
{
    clipc_cuda_lanes *compiled = call->compiled;
    pthread_mutex_lock(&compiled->lock);
    const bool lost = compiled->lost;
    const bool in_turn = compiled->recording || compiled->tapped;
    pthread_mutex_unlock(&compiled->lock);
    CLIPC_FAIL_IF(lost, call->error, CLIPC_ERROR_DEVICE, "the engine is lost: an earlier call met a device fault");
    const int device = clipc_cuda_current_device();
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

/* Items of a pass of a call of so many images. */
static size_t own_pass(const clipc_cuda_lanes *compiled, size_t count)
{
    return clipc_cuda_pass_items(count, compiled->devices, compiled->own_streams,
                                 (size_t)compiled->lanes[0].engine->batch);
}

static clipc_status encode_pixels(clipc_cuda_lanes *compiled, const void *pixels, bool as_bytes, size_t count,
                                  float *embeddings, clipc_error *error)
{
    const size_t own = own_pass(compiled, count);
    const size_t items = clipc_cuda_pass_choices_get(&compiled->choices, count, own);
    struct call call = {
        .compiled = compiled,
        .pixels = pixels,
        .as_bytes = as_bytes,
        .count = count,
        .pass_items = items,
        .chosen_items = items == own ? 0 : own,
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
    clipc_cuda_lanes *self = compiled;
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
    clipc_cuda_lanes *self = compiled;
    const int device = clipc_cuda_current_device();
    pthread_mutex_lock(&self->lock);
    self->recording = on;
    pthread_mutex_unlock(&self->lock);
    clipc_cuda_lane *lane = clipc_cuda_lanes_take(self, 1);
    clipc_status status = clipc_cuda_check(cudaSetDevice(lane->engine->device_index), "choosing the device", error);
    if (status == CLIPC_OK)
        status = clipc_cuda_steps_switch(&lane->engine->steps, on, target, error);
    clipc_cuda_lanes_give_back(self, lane);
    (void)cudaSetDevice(device);
    return status;
}

static bool step(void *compiled, size_t index, clipc_step_info *out)
{
    clipc_cuda_lanes *self = compiled;
    clipc_cuda_lane *lane = clipc_cuda_lanes_take(self, 1);
    const bool found = clipc_cuda_steps_get(lane->engine->steps, index, out);
    clipc_cuda_lanes_give_back(self, lane);
    return found;
}

/* While somebody asks, only the first lane is used, so that passes come in the order of their items. */
static clipc_status set_tap(void *compiled, const clipc_tap_target *target, clipc_error *error)
{
    clipc_cuda_lanes *self = compiled;
    pthread_mutex_lock(&self->lock);
    self->tapped = true; /* or will not be any more */
    pthread_mutex_unlock(&self->lock);
    clipc_cuda_lane *lane = clipc_cuda_lanes_take(self, 1);
    clipc_cuda_engine *engine = lane->engine;
    const clipc_status status =
        clipc_cuda_tap_set(engine->model, &engine->image, &engine->text, target, &engine->tap, error);
    clipc_cuda_lanes_give_back(self, lane);
    pthread_mutex_lock(&self->lock);
    self->tapped = status == CLIPC_OK && target->function;
    pthread_mutex_unlock(&self->lock);
    return status;
}

/* ---- peaks ---- */

/* Of the first device, while none of its lanes is at work. */
static clipc_status measure_peaks(void *compiled, clipc_peaks *peaks, clipc_error *error)
{
    clipc_cuda_lanes *self = compiled;
    const int device = clipc_cuda_current_device();
    for (size_t i = 0; i < self->lane_count; i++)
        clipc_cuda_lanes_await(self, &self->lanes[i]);
    const clipc_cuda_engine *engine = self->lanes[0].engine;
    clipc_status status = clipc_cuda_check(cudaSetDevice(engine->device_index), "choosing the device", error);
    if (status == CLIPC_OK)
        status = clipc_cuda_measure_peaks(&engine->device, engine->stream, peaks, error);
    for (size_t i = 0; i < self->lane_count; i++)
        clipc_cuda_lanes_give_back(self, &self->lanes[i]);
    (void)cudaSetDevice(device);
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
    clipc_cuda_lanes *self = compiled;
    const int device = clipc_cuda_current_device();
    clipc_status status = CLIPC_OK;
    for (size_t i = 0; i < self->lane_count && status == CLIPC_OK; i++) {
        clipc_cuda_lanes_await(self, &self->lanes[i]);
        status = measure_lane(self->lanes[i].engine, flags, error);
        clipc_cuda_lanes_give_back(self, &self->lanes[i]);
    }
    (void)cudaSetDevice(device);
    return status;
}

/* ---- tuning ---- */

struct tuned_call {
    clipc_cuda_lanes *compiled;
    const clipc_tune_request *request;
};

/* For clipc_cuda_caller. */
static size_t own_pass_of(void *user, size_t count)
{
    const struct tuned_call *call = user;
    return own_pass(call->compiled, count);
}

static clipc_status run_timed(void *user, size_t count, size_t pass_items, size_t streams, float *embeddings,
                              double *seconds, clipc_error *error)
{
    const struct tuned_call *tuned = user;
    const size_t own = own_pass(tuned->compiled, count);
    struct timespec begin;
    struct timespec end;
    struct call call = {.compiled = tuned->compiled,
                        .pixels = tuned->request->pixels,
                        .count = count,
                        .pass_items = pass_items,
                        .chosen_items = pass_items == own ? 0 : own,
                        .embeddings = embeddings,
                        .error = error};
    CLIPC_TRY(clipc_cuda_lanes_use_streams(tuned->compiled, streams, error));
    clock_gettime(CLOCK_MONOTONIC, &begin);
    const clipc_status status = run_call(&call);
    clock_gettime(CLOCK_MONOTONIC, &end);
    *seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    return status;
}

/* As many streams as there is memory for. */
static clipc_status tune_calls(clipc_cuda_lanes *self, const clipc_tune_request *request, clipc_error *error)
{
    struct tuned_call call = {self, request};
    const size_t streams = self->streams;
    size_t most = streams;
    for (; most < CLIPC_CUDA_MOST_STREAMS; most++) {
        const clipc_status status = clipc_cuda_lanes_use_streams(self, most + 1, error);
        if (status == CLIPC_ERROR_MEMORY)
            break;
        CLIPC_TRY(status);
    }
    const clipc_cuda_caller caller = {.user = &call,
                                      .own_streams = streams,
                                      .most_streams = most,
                                      .dimension = self->model->config.embedding_dimension,
                                      .own_pass = own_pass_of,
                                      .run = run_timed};
    CLIPC_TRY(clipc_cuda_tune_calls(&caller, request, error));
    return clipc_cuda_lanes_use_streams(self, streams, error);
}

/* Of the passes of a call of so many images, and of as many texts. */
static clipc_status tune_tiles(const clipc_cuda_lanes *self, const clipc_tune_request *request, size_t count,
                               clipc_cuda_engine *engine, clipc_error *error)
{
    const size_t own = own_pass(self, count);
    const size_t items = clipc_cuda_pass_choices_get(&self->choices, count, own);
    engine->chosen_items = items == own ? 0 : (int32_t)own;
    return clipc_cuda_tune_tiles(engine, request, items, clipc_min(count, (size_t)engine->batch), error);
}

/* Full batches alone, or also halves of them down to two. */
static clipc_status tune_all_tiles(const clipc_cuda_lanes *self, const clipc_tune_request *request,
                                   clipc_cuda_engine *engine, clipc_error *error)
{
    if (engine->batch_invariant)
        return CLIPC_OK;
    CLIPC_CUDA_TRY(cudaSetDevice(engine->device_index), "choosing the device");
    CLIPC_TRY(tune_tiles(self, request, request->count, engine, error));
    for (size_t count = request->count / 2; request->full && count > 1; count /= 2)
        CLIPC_TRY(tune_tiles(self, request, count, engine, error));
    return CLIPC_OK;
}

/* How calls are dealt comes first, as it says how many rows the products have. */
static clipc_status tune(void *compiled, const clipc_tune_request *request, clipc_error *error)
{
    clipc_cuda_lanes *self = compiled;
    const int device = clipc_cuda_current_device();
    clipc_status status = CLIPC_OK;
    if (request->pixels && !self->fixed) {
        status = tune_calls(self, request, error);
        clipc_cuda_pass_choices_read(request->set, &self->choices);
    }
    clipc_cuda_lane *lane = clipc_cuda_lanes_take(self, 1);
    if (status == CLIPC_OK)
        status = tune_all_tiles(self, request, lane->engine, error);
    clipc_cuda_lanes_give_back(self, lane);
    (void)cudaSetDevice(device);
    return status;
}

static void parts(void *compiled, clipc_call_parts *out)
{
    clipc_cuda_lanes *self = compiled;
    for (size_t i = 0; i < self->lane_count; i++) {
        clipc_cuda_lanes_await(self, &self->lanes[i]);
        clipc_cuda_parts_add(self->lanes[i].engine->parts, out);
        clipc_cuda_lanes_give_back(self, &self->lanes[i]);
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
    .measure_peaks = measure_peaks,
    .set_tap = set_tap,
    .measure = measure,
    .parts = parts,
    .made_for = made_for,
    .tune = tune,
};
