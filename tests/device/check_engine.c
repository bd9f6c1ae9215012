/* The engine around the kernels, on a device: streams, threads, bytes, batches of any size, memory that does not grow,
 * and what it says when memory is short or the device fails. The last check loses the device for this process. */
#include "backend/cuda/cuda_engine.h"
#include "clipc/clipc.h"
#include "device_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IMAGES  1100
#define THREADS 2
#define ROUNDS  50
#define ENCODES 10000

static int failures;
static clipc_model_info info = {.size = sizeof info};
static size_t image_values;
static uint8_t *bytes;
static float *expected; /* [IMAGES, D]: by one stream, in batches of 32, one call each */

static void check(int good, const char *what)
{
    printf("%s %s\n", good ? "ok   " : "WRONG", what);
    fflush(stdout);
    failures += !good;
}

static clipc_engine *make(const clipc_model *model, size_t batch, size_t streams, const char *devices, int invariant)
{
    clipc_error error;
    clipc_engine *engine = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = "cuda";
    config.max_batch = batch;
    config.streams = streams;
    config.devices = devices;
    config.batch_invariant = invariant;
    require(clipc_engine_create(model, &config, &engine, &error), &error);
    return engine;
}

static void encode(clipc_engine *engine, size_t first, size_t count, float *embeddings)
{
    clipc_error error;
    require(clipc_engine_encode_bytes(engine, bytes + first * image_values, count, 0, embeddings, &error), &error);
}

static void encode_in_batches(clipc_engine *engine, size_t count, size_t batch, float *embeddings)
{
    for (size_t i = 0; i < count; i += batch)
        encode(engine, i, count - i < batch ? count - i : batch, embeddings + i * info.embedding_dimension);
}

static int same(const float *a, const float *b, size_t rows)
{
    return memcmp(a, b, rows * info.embedding_dimension * sizeof *a) == 0;
}

/* Floats made on the host give the bits that the device's give. */
static void check_bytes(const clipc_model *model)
{
    const size_t area = image_values / 3;
    float *pixels = malloc(64 * image_values * sizeof *pixels);
    float *rows = malloc(64 * info.embedding_dimension * sizeof *rows);
    clipc_error error;
    for (size_t i = 0; i < 64; i++)
        clipc_preprocess_floats(&model->preprocess, bytes + i * image_values, area, pixels + i * image_values);
    clipc_engine *engine = make(model, 32, 1, NULL, 0);
    require(clipc_engine_encode_images(engine, pixels, 64, 0, rows, &error), &error);
    check(same(rows, expected, 64), "bytes and floats give the same bits");
    clipc_engine_destroy(&engine);
    free(pixels), free(rows);
}

static void check_streams(const clipc_model *model)
{
    float *rows = malloc(IMAGES * info.embedding_dimension * sizeof *rows);
    for (size_t streams = 1; streams <= 4; streams *= 2) {
        char text[64];
        clipc_engine *engine = make(model, 32, streams, "all", 0);
        encode(engine, 0, IMAGES, rows);
        snprintf(text, sizeof text, "%zu streams, %d images in one call", streams, IMAGES);
        check(same(rows, expected, IMAGES - IMAGES % 32), text);
        clipc_engine_destroy(&engine);
    }
    free(rows);
}

static void check_batch_invariance(const clipc_model *model)
{
    static const size_t batches[] = {1, 2, 7, 31, 64, 200, 512, 1024};
    float *whole = malloc(IMAGES * info.embedding_dimension * sizeof *whole);
    float *rows = malloc(IMAGES * info.embedding_dimension * sizeof *rows);
    clipc_engine *engine = make(model, 1024, 1, NULL, 1);
    encode(engine, 0, 1024, whole);
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        char text[64];
        const size_t count = batches[i] < 64 ? 10 * batches[i] : 1024;
        encode_in_batches(engine, count, batches[i], rows);
        snprintf(text, sizeof text, "batch-invariant: images in batches of %zu", batches[i]);
        check(same(rows, whole, count), text);
    }
    int32_t ids[20 * 77];
    size_t offsets[21] = {0};
    clipc_error error;
    for (size_t i = 0; i < 20; i++) {
        offsets[i + 1] = offsets[i] + 3 + i * 37 % 70;
        for (size_t t = offsets[i]; t < offsets[i + 1]; t++)
            ids[t] = (int32_t)(t * 7919 % 49406);
    }
    require(clipc_engine_encode_tokens(engine, ids, offsets, 20, 0, whole, &error), &error);
    int good = 1;
    for (size_t i = 0; i < 20; i++) {
        const size_t one[2] = {0, offsets[i + 1] - offsets[i]};
        require(clipc_engine_encode_tokens(engine, ids + offsets[i], one, 1, 0, rows, &error), &error);
        good &= same(rows, whole + i * info.embedding_dimension, 1);
    }
    check(good, "batch-invariant: texts alone and together");
    clipc_engine_destroy(&engine);
    free(whole), free(rows);
}

struct user {
    clipc_engine *engine;
    size_t first;
    int good;
};

static void *use(void *context)
{
    struct user *user = context;
    float *rows = malloc(320 * info.embedding_dimension * sizeof *rows);
    user->good = 1;
    for (int i = 0; i < ROUNDS; i++) {
        encode(user->engine, user->first, 320, rows);
        user->good &= same(rows, expected + user->first * info.embedding_dimension, 320);
    }
    free(rows);
    return NULL;
}

static void check_threads(const clipc_model *model)
{
    clipc_engine *engine = make(model, 32, 2, NULL, 0);
    struct user users[THREADS];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        users[i] = (struct user){.engine = engine, .first = i * 320};
        if (pthread_create(&threads[i], NULL, use, &users[i]) != 0)
            exit(3);
    }
    int good = 1;
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        good &= users[i].good;
    }
    check(good, "two threads on one engine");
    clipc_engine_destroy(&engine);
}

static size_t free_memory(void)
{
    size_t unused = 0;
    size_t total = 0;
    DEVICE_CHECK(cudaMemGetInfo(&unused, &total));
    return unused;
}

/* Graphs of 33 batch sizes are made once; after that nothing is. Then engines, which must give all of it back. */
static void check_memory(const clipc_model *model)
{
    float *rows = malloc(64 * info.embedding_dimension * sizeof *rows);
    clipc_engine *engine = make(model, 32, 2, NULL, 0);
    for (size_t i = 0; i < 200; i++)
        encode(engine, 0, 1 + i % 33, rows);
    const size_t before = free_memory();
    for (size_t i = 0; i < ENCODES; i++)
        encode(engine, i % 64, 1 + i % 33, rows);
    const size_t after = free_memory();
    printf("      free before %zu, after %zu\n", before, after);
    check(after >= before, "10,000 encodes leave the device's memory as it was");
    clipc_engine_destroy(&engine);
    const size_t first = free_memory();
    for (int i = 0; i < 5; i++) {
        engine = make(model, 32, 2, NULL, 0);
        encode(engine, 0, 32, rows);
        clipc_engine_destroy(&engine);
    }
    check(free_memory() >= first, "engines give their memory back");
    free(rows);
}

struct trace {
    size_t runs;
    double operations;
    double begin;
    double end;
    int backwards;
};

static void note_run(void *user, const clipc_step_run *run)
{
    struct trace *trace = user;
    if (trace->runs++ == 0)
        trace->begin = run->begin;
    trace->operations += run->operations;
    trace->backwards = trace->backwards || run->begin < trace->end - 1e-6;
    trace->end = run->begin + run->seconds;
}

/* The same steps, told one by one, in order and within the call. */
static void check_trace(const clipc_model *model)
{
    clipc_error error;
    struct timespec before, after;
    struct trace trace = {0};
    float *rows = malloc(IMAGES * info.embedding_dimension * sizeof *rows);
    clipc_engine *engine = make(model, 64, 2, NULL, 0);
    require(clipc_engine_trace_steps(engine, note_run, &trace, &error), &error);
    clock_gettime(CLOCK_MONOTONIC, &before);
    encode(engine, 0, 64, rows);
    clock_gettime(CLOCK_MONOTONIC, &after);
    require(clipc_engine_trace_steps(engine, NULL, NULL, &error), &error);
    double operations = 0;
    size_t calls = 0;
    for (size_t i = 0; i < clipc_engine_step_count(engine); i++) {
        clipc_step_info step = {.size = sizeof step};
        require(clipc_engine_get_step(engine, i, &step, &error), &error);
        calls += step.calls;
        operations += step.operations;
    }
    check(trace.runs == calls && trace.operations <= 1.000001 * operations &&
              trace.operations >= 0.999999 * operations && !trace.backwards &&
              trace.begin >= (double)before.tv_sec + 1e-9 * (double)before.tv_nsec &&
              trace.end <= (double)after.tv_sec + 1e-9 * (double)after.tv_nsec,
          "steps are told one by one");
    clipc_engine_destroy(&engine);
    free(rows);
}

static void check_steps(const clipc_model *model, int short_run)
{
    clipc_error error;
    float *rows = malloc(IMAGES * info.embedding_dimension * sizeof *rows);
    clipc_engine *engine = make(model, 64, 2, NULL, 0);
    require(clipc_engine_record_steps(engine, 1, &error), &error);
    encode(engine, 0, 64, rows);
    require(clipc_engine_record_steps(engine, 0, &error), &error);
    double seconds = 0;
    double operations = 0;
    const size_t count = clipc_engine_step_count(engine);
    for (size_t i = 0; i < count; i++) {
        clipc_step_info step = {.size = sizeof step};
        require(clipc_engine_get_step(engine, i, &step, &error), &error);
        seconds += step.seconds;
        operations += step.operations;
        printf("      %s (%s): %llu calls, %.1f us\n", step.step, step.kernel, (unsigned long long)step.calls,
               1e6 * step.seconds);
    }
    check(count >= 1 && seconds > 0 && (short_run || seconds < 1) && operations > 1e9, "steps are recorded");
    clipc_engine_destroy(&engine);
    free(rows);
}

/* Bytes are multiplied faster than halves, and another engine finds nearly the same. */
static void check_peaks(const clipc_model *model, int short_run)
{
    clipc_error error;
    clipc_peaks peaks[2] = {{.size = sizeof *peaks}, {.size = sizeof *peaks}};
    float *rows = malloc(IMAGES * info.embedding_dimension * sizeof *rows);
    for (size_t i = 0; i < 2; i++) {
        clipc_engine *engine = make(model, 32, 1 + i, NULL, 0);
        require(clipc_engine_measure_peaks(engine, &peaks[i], &error), &error);
        printf("      %.1f fp16, %.1f bf16, %.1f fp8, %.1f int8 Top/s, %.0f GB/s, %.2f us a start\n",
               1e-12 * peaks[i].fp16_operations, 1e-12 * peaks[i].bf16_operations, 1e-12 * peaks[i].fp8_operations,
               1e-12 * peaks[i].int8_operations, 1e-9 * peaks[i].all_threads_bytes, 1e6 * peaks[i].start_seconds);
        encode(engine, 0, 32, rows);
        check(same(rows, expected, 32), "measuring peaks leaves the engine as it was");
        clipc_engine_destroy(&engine);
    }
    const double ratio = peaks[0].fp16_operations / peaks[1].fp16_operations;
    check(peaks[0].fp16_operations > 0 && peaks[0].bf16_operations > 0 && peaks[0].all_threads_bytes > 0 &&
              peaks[0].start_seconds > 0 && peaks[0].fp32_operations == 0,
          "peaks are measured");
    check(short_run || (peaks[0].int8_operations > 1.5 * peaks[0].fp16_operations && ratio > 0.8 && ratio < 1.25),
          "and are nearly the same again");
    free(rows);
}

/* What clipc_engine_measure switches: the parts add up to no more than the calls, graphs change no bit, and without
 * transfers the embeddings stay what they were. */
static void check_parts(const clipc_model *model)
{
    clipc_error error;
    struct timespec before, after;
    const size_t size = 64 * info.embedding_dimension * sizeof(float);
    float *rows = malloc(size);
    clipc_call_parts parts = {.size = sizeof parts};
    clipc_engine *engine = make(model, 64, 1, NULL, 0);
    encode(engine, 0, 64, rows);
    require(clipc_engine_measure(engine, CLIPC_MEASURE_PARTS, &error), &error);
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < 4; i++)
        encode(engine, 0, 64, rows);
    clock_gettime(CLOCK_MONOTONIC, &after);
    require(clipc_engine_get_parts(engine, &parts, &error), &error);
    const double seconds = (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    printf("      %llu passes: %.1f us to the device, %.1f computing, %.1f back, %.1f to start kernels, of %.1f\n",
           (unsigned long long)parts.passes, 1e6 * parts.host_to_device, 1e6 * parts.compute,
           1e6 * parts.device_to_host, 1e6 * parts.enqueue, 1e6 * seconds);
    check(parts.passes >= 4 && parts.host_to_device > 0 && parts.compute > 0 && parts.device_to_host >= 0 &&
              parts.enqueue > 0 &&
              parts.host_to_device + parts.compute + parts.device_to_host < 1.001 * seconds + 1e-5,
          "parts of calls are timed");

    float *launched = malloc(size);
    require(clipc_engine_measure(engine, CLIPC_MEASURE_NO_GRAPHS, &error), &error);
    encode(engine, 0, 64, launched);
    check(memcmp(launched, rows, size) == 0, "kernels launched one by one give the same bits");
    require(clipc_engine_measure(engine, CLIPC_MEASURE_NO_TRANSFERS, &error), &error);
    memset(launched, 0, size);
    encode(engine, 64, 64, launched);
    float zero = 0;
    for (size_t i = 0; i < size / sizeof(float); i++)
        zero = launched[i] != 0 ? 1 : zero;
    check(zero == 0, "without transfers nothing comes back");
    encode(engine, 0, 32, launched);
    check(memcmp(launched, expected, 32 * info.embedding_dimension * sizeof(float)) == 0,
          "a pass of another shape does travel");
    require(clipc_engine_measure(engine, 0, &error), &error);
    encode(engine, 0, 64, launched);
    check(memcmp(launched, rows, size) == 0, "with transfers all is as before");
    clipc_engine_destroy(&engine);
    free(rows), free(launched);
}

/* Most of the memory is taken by somebody else. */
static void check_short_memory(const clipc_model *model)
{
    clipc_error error = {0};
    clipc_engine *engine = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = "cuda";
    config.max_batch = 1024;
    config.streams = 1;
    void *taken = device_memory(0, 0);
    DEVICE_CHECK(cudaFree(taken));
    DEVICE_CHECK(cudaMalloc(&taken, free_memory() - ((size_t)300 << 20)));
    const clipc_status status = clipc_engine_create(model, &config, &engine, &error);
    printf("      %s\n", error.message);
    const char *fits = strstr(error.message, "; batches of ");
    check(status == CLIPC_ERROR_MEMORY && !engine && fits, "short memory: the status, the size and a batch that fits");
    config.max_batch = fits ? (size_t)strtoul(fits + strlen("; batches of "), NULL, 10) : 1;
    check(clipc_engine_create(model, &config, &engine, &error) == CLIPC_OK, "short memory: that batch does fit");
    clipc_engine_destroy(&engine);
    DEVICE_CHECK(cudaFree(taken));
}

/* A kernel that reads where there is no memory poisons the device's context. */
static void check_fault(const clipc_model *model)
{
    clipc_error error = {0};
    float rows[2048];
    clipc_compile_options options = {.threads = 1, .max_batch = 1, .image_tower = true};
    clipc_cuda_engine *faulty = NULL;
    clipc_engine *engine = make(model, 32, 2, NULL, 0);
    require(clipc_cuda_engine_create(model, &options, 0, NULL, &faulty, &error), &error);
    faulty->byte_values = (float *)(uintptr_t)0x7000;
    check(clipc_cuda_encode_images(faulty, bytes, true, 1, rows, &error) == CLIPC_ERROR_DEVICE, "a fault is a status");
    printf("      %s\n", error.message);
    clipc_cuda_engine_destroy(&faulty);
    check(clipc_engine_encode_bytes(engine, bytes, 1, 0, rows, &error) == CLIPC_ERROR_DEVICE &&
              strstr(error.message, "the engine is lost"),
          "an engine on that device is lost");
    printf("      %s\n", error.message);
    check(clipc_engine_encode_bytes(engine, bytes, 1, 0, rows, &error) == CLIPC_ERROR_DEVICE &&
              strstr(error.message, "an earlier call"),
          "and says so at once from then on");
    clipc_engine_destroy(&engine);
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = "cpu";
    check(clipc_engine_create(model, &config, &engine, &error) == CLIPC_OK &&
              clipc_engine_encode_bytes(engine, bytes, 1, 0, rows, &error) == CLIPC_OK,
          "the process, and its engines on the processor, go on");
    clipc_engine_destroy(&engine);
}

static void print_devices(void)
{
    size_t count = 0;
    clipc_error error;
    require(clipc_device_count("cuda", &count, &error), &error);
    for (size_t i = 0; i < count; i++) {
        clipc_device_info device = {.size = sizeof device};
        require(clipc_device_get_info("cuda", i, &device, &error), &error);
        printf("%zu: %s, driver %s, %zu multiprocessors, %s%s\n", i, device.name, device.driver, device.units,
               device.isa, device.problem);
        check(device.name[0] && device.free_bytes > 0 && device.memory_bytes >= device.free_bytes,
              "a device describes itself");
    }
}

int main(int argc, char **argv)
{
    const int short_run = argc > 1 && strcmp(argv[1], "--short") == 0; /* for the sanitizer */
    clipc_error error;
    size_t count = 0;
    if (clipc_device_count("cuda", &count, &error) != CLIPC_OK) {
        printf("%s: nothing was tested\n", error.message);
        return 77;
    }
    clipc_model *model = NULL;
    print_devices();
    require(clipc_model_open(NULL, NULL, &model, &error), &error);
    require(clipc_model_get_info(model, &info, &error), &error);
    image_values = 3 * info.image_height * info.image_width;
    bytes = malloc(IMAGES * image_values);
    expected = malloc(IMAGES * info.embedding_dimension * sizeof *expected);
    uint64_t state = 5;
    for (size_t i = 0; i < IMAGES * image_values; i++)
        bytes[i] = (uint8_t)(int)(128 + 127 * random_value(&state));
    clipc_engine *engine = make(model, 32, 1, NULL, 0);
    encode_in_batches(engine, short_run ? 64 : IMAGES, 32, expected);
    clipc_engine_destroy(&engine);
    check_bytes(model);
    if (!short_run) {
        check_streams(model);
        check_batch_invariance(model);
        check_threads(model);
        check_memory(model);
    }
    check_steps(model, short_run);
    check_trace(model);
    check_parts(model);
    check_peaks(model, short_run);
    if (!short_run) {
        check_short_memory(model);
        check_fault(model);
    }
    clipc_model_destroy(&model);
    free(bytes), free(expected);
    printf("%s\n", failures ? "FAILED" : "the engine is right");
    return failures ? 1 : 0;
}
