#include "backend/cuda/cuda_lanes.h"

#include "backend/cuda/cuda_status.h"
#include "backend/cuda/work_plan.h"
#include "base/checked.h"
#include "base/memory.h"

#include <stdio.h>

void clipc_cuda_lanes_destroy(clipc_cuda_lanes **lanes)
{
    clipc_cuda_lanes *old = *lanes;
    if (!old)
        return;
    clipc_thread_pool_destroy(&old->pool);
    for (size_t i = old->made_count; i-- > 0;) /* those that borrow weights before those that lend them */
        clipc_cuda_engine_destroy(&old->lanes[i].engine);
    if (old->mutexes_made) {
        pthread_cond_destroy(&old->freed);
        pthread_mutex_destroy(&old->lock);
        pthread_mutex_destroy(&old->crew);
    }
    clipc_free(old->lanes);
    clipc_free(old);
    *lanes = NULL;
}

static clipc_status make_mutexes(clipc_cuda_lanes *lanes, clipc_error *error)
{
    const bool crew = pthread_mutex_init(&lanes->crew, NULL) == 0;
    const bool lock = crew && pthread_mutex_init(&lanes->lock, NULL) == 0;
    lanes->mutexes_made = lock && pthread_cond_init(&lanes->freed, NULL) == 0;
    if (lanes->mutexes_made)
        return CLIPC_OK;
    if (lock)
        pthread_mutex_destroy(&lanes->lock);
    if (crew)
        pthread_mutex_destroy(&lanes->crew);
    return clipc_fail(error, CLIPC_ERROR_MEMORY, "cannot make a mutex");
}

/* What choices were measured for. */
static void describe(int device_index, const clipc_compiled_info *info, char text[CLIPC_MADE_FOR])
{
    clipc_error ignored = {0};
    clipc_device_info device = {0};
    if (clipc_cuda_device_info((size_t)device_index, &device, &ignored) != CLIPC_OK)
        snprintf(device.name, sizeof device.name, "a device that cannot be asked");
    snprintf(text, CLIPC_MADE_FOR, "cuda, %s, driver %s, %s, %s, clipc %s", device.name, device.driver, info->isa,
             clipc_precision_name(info->precision), clipc_version());
}

void clipc_cuda_lanes_made_for(const clipc_cuda_lanes *lanes, char text[CLIPC_MADE_FOR])
{
    describe(lanes->lanes[0].engine->device_index, &lanes->info, text);
}

static void note_bytes(clipc_compiled_info *info, const clipc_cuda_engine *engine)
{
    info->workspace_bytes += engine->workspace_bytes + engine->whole_image.bytes + engine->whole_text.bytes;
    if (!engine->borrows_towers)
        info->packed_bytes += engine->image.bytes + engine->text.bytes;
}

/* One more; where a device has one already the new one borrows its weights. */
static clipc_status add_lane(clipc_cuda_lanes *lanes, const clipc_compile_options *options, int device_index,
                             clipc_error *error)
{
    const size_t i = lanes->made_count;
    const clipc_cuda_engine *owner = i < lanes->devices ? NULL : lanes->lanes[i % lanes->devices].engine;
    CLIPC_FAIL_IF(i == lanes->lane_room, error, CLIPC_ERROR_LIMIT, "more than %zu lanes", i);
    CLIPC_TRY(clipc_cuda_engine_create(lanes->model, options, device_index, owner, &lanes->lanes[i].engine, error));
    lanes->made_count = i + 1;
    return CLIPC_OK;
}

clipc_status clipc_cuda_lanes_use_streams(clipc_cuda_lanes *lanes, size_t streams, clipc_error *error)
{
    const size_t count = lanes->devices * streams;
    while (lanes->made_count < count)
        CLIPC_TRY(add_lane(lanes, &lanes->options,
                           lanes->lanes[lanes->made_count % lanes->devices].engine->device_index, error));
    if (lanes->streams == streams)
        return CLIPC_OK;
    clipc_thread_pool_destroy(&lanes->pool);
    lanes->streams = streams;
    lanes->lane_count = count;
    lanes->next_lane = 0;
    for (size_t i = 0; i < count; i++)
        CLIPC_TRY(clipc_cuda_use_copiers(lanes->lanes[i].engine, lanes->options.threads / count, error));
    return count > 1 ? clipc_thread_pool_create(count, &lanes->pool, error) : CLIPC_OK;
}

/* The choices that were measured for this device; of streams and passes only where nothing else was asked for. */
static const clipc_choice_set *read_choices(clipc_cuda_lanes *lanes, const clipc_compile_options *options, int device)
{
    char text[CLIPC_MADE_FOR];
    if (!options->tuning)
        return NULL;
    describe(device, &lanes->info, text);
    const clipc_choice_set *set = clipc_tune_find(lanes->model, options, text);
    if (!lanes->fixed)
        clipc_cuda_pass_choices_read(set, &lanes->choices);
    return set;
}

static clipc_status make_lanes(clipc_cuda_lanes *lanes, const clipc_compile_options *options, const int *devices,
                               clipc_error *error)
{
    clipc_compile_options lane_options = *options;
    const size_t parts = options->text_tower ? 1 : lanes->own_streams; /* texts are not cut for copying's sake */
    lane_options.max_batch = clipc_cuda_pass_items(options->max_batch, lanes->devices, parts, CLIPC_CUDA_PASS_ITEMS);
    lanes->options = (clipc_compile_options){.precision = options->precision,
                                             .threads = options->threads,
                                             .max_batch = lane_options.max_batch,
                                             .image_tower = options->image_tower,
                                             .text_tower = options->text_tower,
                                             .batch_invariant = options->batch_invariant};
    const clipc_choice_set *set = read_choices(lanes, options, devices[0]);
    const size_t streams = lanes->choices.streams ? lanes->choices.streams : lanes->own_streams;
    lanes->lane_room = lanes->devices * clipc_max(streams, CLIPC_CUDA_MOST_STREAMS);
    lanes->lanes = clipc_allocate(lanes->lane_room, sizeof *lanes->lanes);
    if (!lanes->lanes)
        return clipc_fail_memory(error, lanes->lane_room * sizeof *lanes->lanes, "the cuda backend");
    for (size_t i = 0; i < lanes->devices; i++)
        CLIPC_TRY(add_lane(lanes, &lane_options, devices[i], error));
    clipc_status status = clipc_cuda_lanes_use_streams(lanes, streams, error);
    if (status == CLIPC_ERROR_MEMORY && streams > lanes->own_streams) /* less is free than when it was measured */
        status = clipc_cuda_lanes_use_streams(lanes, lanes->own_streams, error);
    CLIPC_TRY(status);
    for (size_t i = 0; i < lanes->made_count; i++) {
        CLIPC_TRY(clipc_gemm_tiles_read(set, &lanes->lanes[i].engine->tiles, error));
        note_bytes(&lanes->info, lanes->lanes[i].engine);
    }
    lanes->info.streams = lanes->streams;
    return CLIPC_OK;
}

static clipc_status make(clipc_cuda_lanes *lanes, const clipc_model *model, const clipc_compile_options *options,
                         clipc_error *error)
{
    int devices[CLIPC_CUDA_DEVICES];
    size_t present = 0;
    lanes->model = model;
    lanes->own_streams = lanes->info.streams;
    CLIPC_TRY(clipc_cuda_device_count(&present, error));
    CLIPC_TRY(clipc_cuda_devices_parse(options->devices, present, devices, &lanes->devices, error));
    lanes->fixed = options->streams || lanes->devices > 1;
    CLIPC_TRY(make_mutexes(lanes, error));
    return make_lanes(lanes, options, devices, error);
}

clipc_status clipc_cuda_lanes_create(const clipc_model *model, const clipc_compile_options *options,
                                     const clipc_compiled_info *planned, clipc_cuda_lanes **out, clipc_error *error)
{
    *out = clipc_allocate(1, sizeof **out);
    if (!*out)
        return clipc_fail_memory(error, sizeof **out, "the cuda backend");
    (*out)->info = *planned;
    const clipc_status status = make(*out, model, options, error);
    if (status != CLIPC_OK)
        clipc_cuda_lanes_destroy(out);
    return status;
}

/* ---- taking turns ---- */

clipc_cuda_lane *clipc_cuda_lanes_take(clipc_cuda_lanes *lanes, size_t count)
{
    clipc_cuda_lane *found = NULL;
    pthread_mutex_lock(&lanes->lock);
    for (;;) {
        const size_t usable = lanes->recording || lanes->tapped ? 1 : count;
        for (size_t i = 0; i < usable && !found; i++) {
            clipc_cuda_lane *lane = &lanes->lanes[(lanes->next_lane + i) % usable];
            if (!lane->busy)
                found = lane;
        }
        if (found)
            break;
        pthread_cond_wait(&lanes->freed, &lanes->lock);
    }
    lanes->next_lane = ((size_t)(found - lanes->lanes) + 1) % lanes->lane_count;
    found->busy = true;
    pthread_mutex_unlock(&lanes->lock);
    return found;
}

void clipc_cuda_lanes_await(clipc_cuda_lanes *lanes, clipc_cuda_lane *lane)
{
    pthread_mutex_lock(&lanes->lock);
    while (lane->busy)
        pthread_cond_wait(&lanes->freed, &lanes->lock);
    lane->busy = true;
    pthread_mutex_unlock(&lanes->lock);
}

void clipc_cuda_lanes_give_back(clipc_cuda_lanes *lanes, clipc_cuda_lane *lane)
{
    pthread_mutex_lock(&lanes->lock);
    lane->busy = false;
    pthread_cond_broadcast(&lanes->freed);
    pthread_mutex_unlock(&lanes->lock);
}

int clipc_cuda_current_device(void)
{
    int device = 0;
    if (cudaGetDevice(&device) != cudaSuccess)
        (void)cudaGetLastError();
    return device;
}
