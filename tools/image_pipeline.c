#include "image_pipeline.h"

#include "escape.h"
#include "inputs.h"
#include "message.h"
#include "session.h"
#include "thumbnail.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SNIFF_BYTES    32
#define PATIENCE_NANOS (5L * 1000 * 1000) /* how long a batch waits for inputs that are slow to come */
#define MOST_WORKERS   64
#define BILLION        1000000000L

/* A ring of slots. Image number n lives in slot n % capacity; the main thread has released the numbers below
 * `released`, workers have taken those below `taken`. */
struct image_pipeline {
    const clipc_model *model;
    clipc_image_options options;
    bool thumbnails;
    input_stream *inputs;
    pthread_mutex_t listing; /* held while the next path is fetched and numbered, so that numbers follow the order */
    pthread_mutex_t lock;    /* guards what follows */
    pthread_cond_t room;
    pthread_cond_t progress;
    image_item *slots;
    uint8_t *pixels; /* [capacity, image_bytes] */
    size_t image_bytes;
    bool as_bytes; /* else floats */
    size_t capacity;
    size_t batch;
    size_t next_limit; /* of the next run: grows to batch */
    size_t released;
    size_t handed_out; /* the run the main thread works on */
    size_t taken;
    size_t finished;
    bool inputs_ended;
    pthread_t workers[MOST_WORKERS];
    size_t worker_count;
};

/* ---- workers ---- */

static void set_reason(image_item *item, image_outcome outcome, const char *reason)
{
    item->outcome = outcome;
    item->reason = duplicate(reason);
}

/* The library's sentence begins with the path, which is shown apart here. */
static void set_failure(image_item *item, const char *message)
{
    char *path = escape_for_terminal(item->path);
    const size_t length = strlen(path);
    const bool prefixed = strncmp(message, path, length) == 0 && strncmp(message + length, ": ", 2) == 0;
    set_reason(item, IMAGE_FAILED, prefixed ? message + length + 2 : message);
    free(path);
}

/* False, with the outcome set, when a file found in a directory is not an image. */
static bool looks_like_image(image_item *item)
{
    char start[SNIFF_BYTES];
    const int descriptor = open(item->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const ssize_t size = descriptor >= 0 ? read(descriptor, start, sizeof start) : -1;
    const int number = errno;
    if (descriptor >= 0)
        close(descriptor);
    if (size < 0) {
        item->outcome = IMAGE_FAILED;
        item->reason = format_text("cannot open: %s", strerror(number));
    }
    if (size >= 0 && !clipc_image_format(start, (size_t)size))
        set_reason(item, IMAGE_SKIPPED, size ? "not an image" : "empty file");
    return !item->reason;
}

static clipc_status preprocess(const image_pipeline *pipeline, const char *path, void *pixels, clipc_error *error)
{
    if (pipeline->as_bytes)
        return clipc_model_preprocess_file_bytes(pipeline->model, path, &pipeline->options, pixels, error);
    return clipc_model_preprocess_file(pipeline->model, path, &pipeline->options, pixels, error);
}

static void process(const image_pipeline *pipeline, image_item *item, void *pixels)
{
    if (item->reason || (item->walked && !looks_like_image(item)))
        return;
    clipc_error error = {0};
    if (preprocess(pipeline, item->path, pixels, &error) != CLIPC_OK)
        set_failure(item, error.message);
    else if (pipeline->thumbnails)
        item->thumbnail = thumbnail_data_uri(item->path, &pipeline->options);
}

/* The number of the next image, its slot filled with the path; false at the end of the inputs. */
static bool take(image_pipeline *pipeline, size_t *number)
{
    pthread_mutex_lock(&pipeline->listing);
    pthread_mutex_lock(&pipeline->lock);
    while (pipeline->taken - pipeline->released == pipeline->capacity)
        pthread_cond_wait(&pipeline->room, &pipeline->lock);
    bool ended = pipeline->inputs_ended;
    pthread_mutex_unlock(&pipeline->lock);
    input found = {0};
    if (!ended)
        ended = !inputs_next(pipeline->inputs, &found); /* may wait for standard input: without the lock */
    pthread_mutex_lock(&pipeline->lock);
    if (ended) {
        pipeline->inputs_ended = true;
        pthread_cond_signal(&pipeline->progress);
    } else {
        *number = pipeline->taken++;
        pipeline->slots[*number % pipeline->capacity] = (image_item){
            .path = found.path,
            .outcome = !found.failure  ? IMAGE_READY
                       : found.skipped ? IMAGE_SKIPPED
                                       : IMAGE_FAILED,
            .reason = found.failure,
            .walked = found.walked,
        };
    }
    pthread_mutex_unlock(&pipeline->lock);
    pthread_mutex_unlock(&pipeline->listing);
    return !ended;
}

static void *work(void *context)
{
    image_pipeline *pipeline = context;
    for (size_t number = 0; take(pipeline, &number);) {
        const size_t index = number % pipeline->capacity;
        process(pipeline, &pipeline->slots[index], pipeline->pixels + index * pipeline->image_bytes);
        pthread_mutex_lock(&pipeline->lock);
        pipeline->slots[index].done = true;
        pipeline->finished++;
        pthread_cond_signal(&pipeline->progress);
        pthread_mutex_unlock(&pipeline->lock);
    }
    return NULL;
}

/* ---- the main thread's side ---- */

image_pipeline *image_pipeline_create(const tool_settings *settings, const clipc_model *model, size_t batch,
                                      bool as_bytes, bool thumbnails)
{
    image_pipeline *pipeline = allocate(1, sizeof *pipeline);
    clipc_model_info info = {.size = sizeof info};
    session_require_tower(model, true);
    clipc_model_get_info(model, &info, NULL);
    pipeline->model = model;
    pipeline->options = session_image_options(settings);
    pipeline->thumbnails = thumbnails;
    pipeline->inputs = inputs_create(&settings->operands);
    pipeline->as_bytes = as_bytes;
    pipeline->image_bytes = 3 * info.image_height * info.image_width * (as_bytes ? 1 : sizeof(float));
    pipeline->batch = batch;
    pipeline->next_limit = 1;
    const size_t wanted = session_threads(settings);
    pipeline->capacity = batch + (batch + 1) / 2;
    if (pipeline->capacity < wanted + 1)
        pipeline->capacity = wanted + 1;
    pipeline->slots = allocate(pipeline->capacity, sizeof *pipeline->slots);
    pipeline->pixels = reallocate(NULL, pipeline->capacity, pipeline->image_bytes);
    pthread_mutex_init(&pipeline->listing, NULL);
    pthread_mutex_init(&pipeline->lock, NULL);
    pthread_cond_init(&pipeline->room, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pipeline->progress, &monotonic);
    pthread_condattr_destroy(&monotonic);
    while (pipeline->worker_count < wanted && pipeline->worker_count < MOST_WORKERS) {
        const int number = pthread_create(&pipeline->workers[pipeline->worker_count], NULL, work, pipeline);
        if (number != 0 && pipeline->worker_count == 0)
            quit(STATUS_SYSTEM, "cannot start a thread: %s", strerror(number));
        if (number != 0)
            break;
        pipeline->worker_count++;
    }
    return pipeline;
}

/* Gives the slots of the run before back to the workers. */
static void release(image_pipeline *pipeline)
{
    for (; pipeline->handed_out; pipeline->handed_out--) {
        image_item *item = &pipeline->slots[pipeline->released++ % pipeline->capacity];
        free(item->path);
        free(item->reason);
        free(item->thumbnail);
        *item = (image_item){0};
    }
    pthread_cond_broadcast(&pipeline->room);
}

static bool is_ready(const image_pipeline *pipeline, size_t number)
{
    const image_item *item = &pipeline->slots[number % pipeline->capacity];
    return number < pipeline->taken && item->done && item->outcome == IMAGE_READY;
}

/* How many ready images follow one another in order, within the limit and without a wrap. */
static size_t run_length(const image_pipeline *pipeline)
{
    const size_t to_wrap = pipeline->capacity - pipeline->released % pipeline->capacity;
    const size_t limit = pipeline->next_limit < to_wrap ? pipeline->next_limit : to_wrap;
    size_t length = 0;
    while (length < limit && is_ready(pipeline, pipeline->released + length))
        length++;
    return length;
}

/* True when waiting cannot make the run longer. */
static bool run_is_complete(const image_pipeline *pipeline, size_t length)
{
    const size_t to_wrap = pipeline->capacity - pipeline->released % pipeline->capacity;
    const size_t next = pipeline->released + length;
    const bool stopped_by_other = next < pipeline->taken && pipeline->slots[next % pipeline->capacity].done;
    const bool all_taken = pipeline->inputs_ended && next == pipeline->taken;
    return length == pipeline->next_limit || length == to_wrap || stopped_by_other || all_taken;
}

/* Waits for workers; false when nothing came for a while because the inputs are slow. */
static bool wait_for_progress(image_pipeline *pipeline, bool patient)
{
    if (patient) {
        pthread_cond_wait(&pipeline->progress, &pipeline->lock);
        return true;
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PATIENCE_NANOS;
    until.tv_sec += until.tv_nsec / BILLION;
    until.tv_nsec %= BILLION;
    return pthread_cond_timedwait(&pipeline->progress, &pipeline->lock, &until) != ETIMEDOUT;
}

size_t image_pipeline_next(image_pipeline *pipeline, const image_item **items, image_pixels *pixels)
{
    pthread_mutex_lock(&pipeline->lock);
    release(pipeline);
    size_t length = 0;
    for (;;) {
        length = run_length(pipeline);
        if (run_is_complete(pipeline, length))
            break;
        const bool idle = pipeline->finished == pipeline->taken;
        if (!wait_for_progress(pipeline, length == 0 || !idle) && pipeline->finished == pipeline->taken) {
            length = run_length(pipeline);
            break;
        }
    }
    const size_t first = pipeline->released % pipeline->capacity;
    if (length == 0 && pipeline->released < pipeline->taken)
        length = 1; /* one that is not ready */
    else if (length && pipeline->next_limit < pipeline->batch)
        pipeline->next_limit = 2 * pipeline->next_limit < pipeline->batch ? 2 * pipeline->next_limit : pipeline->batch;
    pipeline->handed_out = length;
    pthread_mutex_unlock(&pipeline->lock);
    const uint8_t *found = pipeline->pixels + first * pipeline->image_bytes;
    *pixels = pipeline->as_bytes ? (image_pixels){.bytes = found}
                                 : (image_pixels){.floats = (const float *)(const void *)found};
    *items = &pipeline->slots[first];
    return length;
}

void image_pipeline_destroy(image_pipeline **pipeline)
{
    image_pipeline *gone = *pipeline;
    *pipeline = NULL;
    pthread_mutex_lock(&gone->lock);
    release(gone);
    pthread_mutex_unlock(&gone->lock);
    for (size_t i = 0; i < gone->worker_count; i++)
        pthread_join(gone->workers[i], NULL);
    pthread_cond_destroy(&gone->progress);
    pthread_cond_destroy(&gone->room);
    pthread_mutex_destroy(&gone->lock);
    pthread_mutex_destroy(&gone->listing);
    inputs_destroy(&gone->inputs);
    free(gone->pixels);
    free(gone->slots);
    free(gone);
}
