/* clipc bench: how fast one tower is on this machine. */
#include "commands.h"

#include "json_line.h"
#include "message.h"
#include "output.h"
#include "progress.h"
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Each iteration sees other inputs than the one before: it starts this many items further on, in a circle. */
#define SPARE_ITEMS 7

static const char *const synopsis[] = {
    "bench [--model DIR | --arch NAME] [--tower image|text] [--batch N]",
    "      [--tokens N] [--precision P] [--threads N] [--warmup N]",
    "      [--iterations N] [--json]",
    NULL,
};

static const char *const examples[] = {
    "Images through ViT-B/32, without having its weights",
    "clipc bench --arch ViT-B-32 --batch 32",
    "Texts of 12 tokens through a model, for scripts",
    "clipc bench --model clip-vit-base-patch32 --tower text --tokens 12 --json",
    NULL,
};

static const tool_option options[] = {
    {"arch", 'a', OPTION_TEXT, "NAME",
     "random weights of a known shape: ViT-B-32, ViT-B-16, ViT-L-14, ViT-L-14-336, ViT-H-14, ViT-bigG-14",
     offsetof(tool_settings, architecture), 0, 0, NULL},
    {"tower", 0, OPTION_CHOICE, "NAME", "which tower: image (default) or text", offsetof(tool_settings, tower), 0, 0,
     "image|text"},
    {"tokens", 0, OPTION_NUMBER, "N", "length of each text, start and end token included (default: 16)",
     offsetof(tool_settings, tokens), 2, 65536, NULL},
    {"warmup", 0, OPTION_NUMBER, "N", "iterations before the clock starts (default: 3)",
     offsetof(tool_settings, warmup), 0, 1000000, NULL},
    {"iterations", 'n', OPTION_NUMBER, "N", "timed iterations (default: 20)", offsetof(tool_settings, iterations), 1,
     1000000, NULL},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object", offsetof(tool_settings, json), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

typedef struct workload {
    clipc_engine *engine;
    bool text;
    size_t batch;
    size_t tokens;      /* of one text */
    size_t item_values; /* floats of one image */
    float *pixels;      /* [batch + SPARE_ITEMS, item_values] */
    int32_t *ids;       /* [batch + SPARE_ITEMS, tokens] */
    size_t *offsets;    /* [batch + 1] */
    float *embeddings;  /* [batch, D] */
} workload;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Uniform in [-2, 2): the range that normalised pixels have. */
static void make_pixels(workload *work)
{
    const size_t count = (work->batch + SPARE_ITEMS) * work->item_values;
    uint64_t state = 1;
    work->pixels = reallocate(NULL, count, sizeof *work->pixels);
    for (size_t i = 0; i < count; i++)
        work->pixels[i] = (float)(next_random(&state) >> 40) * 0x1p-22F - 2;
}

/* Start token, random ids, end token. Ids stay below the end token, so that no sequence ends early. */
static void make_ids(workload *work, const clipc_model *model, const clipc_model_info *info)
{
    int32_t *frame = allocate(info->context_length, sizeof *frame);
    size_t frame_length = 0;
    clipc_error error = {0};
    if (clipc_model_tokenize(model, "", 0, frame, &frame_length, &error) != CLIPC_OK)
        quit_failed(&error);
    const int32_t end = frame[frame_length - 1];
    const uint64_t range = end > 0 ? (uint64_t)end : (uint64_t)info->vocabulary_size;
    const size_t items = work->batch + SPARE_ITEMS;
    uint64_t state = 1;
    work->ids = allocate(items * work->tokens, sizeof *work->ids);
    work->offsets = allocate(work->batch + 1, sizeof *work->offsets);
    for (size_t i = 0; i < items * work->tokens; i++) {
        const size_t place = i % work->tokens;
        work->ids[i] = place == 0                  ? frame[0]
                       : place == work->tokens - 1 ? end
                                                   : (int32_t)(next_random(&state) % range);
    }
    for (size_t i = 0; i <= work->batch; i++)
        work->offsets[i] = i * work->tokens;
    free(frame);
}

static void encode(workload *work, size_t iteration)
{
    const size_t first = iteration % (SPARE_ITEMS + 1);
    clipc_error error = {0};
    clipc_status status = CLIPC_OK;
    if (work->text)
        status = clipc_engine_encode_tokens(work->engine, work->ids + first * work->tokens, work->offsets, work->batch,
                                            0, work->embeddings, &error);
    else
        status = clipc_engine_encode_images(work->engine, work->pixels + first * work->item_values, work->batch, 0,
                                            work->embeddings, &error);
    if (status != CLIPC_OK)
        quit_failed(&error);
}

static int compare_numbers(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* The smallest sorted value that at least `share` of them do not exceed. */
static double percentile(const double *sorted, size_t count, double share)
{
    const size_t rank = (size_t)ceil(share * (double)count);
    return sorted[rank ? rank - 1 : 0];
}

static double median(const double *sorted, size_t count)
{
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

/* Times each iteration, and the loop over all of them, which is what the rate is computed from. */
static double time_iterations(workload *work, const tool_settings *settings, double *milliseconds)
{
    progress_start("iterations", NULL, (size_t)(settings->warmup + settings->iterations), false);
    for (uint64_t i = 0; i < settings->warmup; i++) {
        encode(work, (size_t)i);
        progress_update((size_t)i + 1);
    }
    const double start = now();
    double last = start;
    for (uint64_t i = 0; i < settings->iterations; i++) {
        encode(work, (size_t)i);
        const double time = now();
        milliseconds[i] = 1e3 * (time - last);
        last = time;
        progress_update((size_t)(settings->warmup + i) + 1);
    }
    progress_finish();
    return last - start;
}

static void print_result(const tool_settings *settings, const workload *work, double seconds, const double *sorted)
{
    clipc_engine_info info = {.size = sizeof info};
    clipc_engine_get_info(work->engine, &info, NULL);
    const size_t iterations = (size_t)settings->iterations;
    const double middle = median(sorted, iterations);
    const double p90 = percentile(sorted, iterations, 0.90);
    const double p99 = percentile(sorted, iterations, 0.99);
    const double rate = (double)(work->batch * iterations) / seconds;
    const char *tower = work->text ? "text" : "image";
    const char *precision = clipc_precision_name(info.precision);
    if (!settings->json) {
        print_format("%s tower, batch %zu, %zu tokens, %s (%s), %s, %zu threads, %zu iterations\n", tower, work->batch,
                     work->tokens, info.backend, info.isa, precision, info.threads, iterations);
        print_format("%.2f %ss/s; a batch takes %.3f ms (median), %.3f ms (p90), %.3f ms (p99)\n", rate, tower, middle,
                     p90, p99);
        print_flush();
        return;
    }
    json_t *object = json_object();
    json_put(object, "tower", json_string(tower));
    json_put(object, "batch", json_integer((json_int_t)work->batch));
    json_put(object, "tokens", json_integer((json_int_t)work->tokens));
    json_put(object, "backend", json_string(info.backend));
    json_put(object, "precision", json_string(precision));
    json_put(object, "threads", json_integer((json_int_t)info.threads));
    json_put(object, "isa", json_string(info.isa));
    json_put(object, "iterations", json_integer((json_int_t)iterations));
    json_put(object, "median_ms", json_real(middle));
    json_put(object, "p90_ms", json_real(p90));
    json_put(object, "p99_ms", json_real(p99));
    json_put(object, "items_per_s", json_real(rate));
    json_print(object);
}

static int run(const tool_settings *settings)
{
    if (settings->operands.count)
        quit(STATUS_USAGE, "bench: '%s' is not expected here", settings->operands.items[0]);
    if (settings->model && settings->architecture)
        quit(STATUS_USAGE, "bench: --model and --arch exclude each other");
    clipc_model_info info;
    clipc_model *model = session_open_model(settings, &info);
    workload work = {.text = strcmp(settings->tower, "text") == 0, .batch = settings->batch ? settings->batch : 1};
    work.tokens = work.text ? (size_t)settings->tokens : info.image_tokens;
    if (work.text && work.tokens > info.context_length)
        quit(STATUS_USAGE, "--tokens: %zu is out of range (2 to %zu for this model)", work.tokens,
             info.context_length);
    work.item_values = 3 * info.image_height * info.image_width;
    work.engine = session_create_engine(settings, model, !work.text, work.text, work.batch);
    work.embeddings = allocate(work.batch * info.embedding_dimension, sizeof *work.embeddings);
    if (work.text)
        make_ids(&work, model, &info);
    else
        make_pixels(&work);
    double *milliseconds = allocate((size_t)settings->iterations, sizeof *milliseconds);
    const double seconds = time_iterations(&work, settings, milliseconds);
    qsort(milliseconds, (size_t)settings->iterations, sizeof *milliseconds, compare_numbers);
    print_result(settings, &work, seconds, milliseconds);

    free(milliseconds);
    free(work.embeddings);
    free(work.pixels);
    free(work.ids);
    free(work.offsets);
    clipc_engine_destroy(&work.engine);
    clipc_model_destroy(&model);
    return STATUS_DONE;
}

const tool_command command_bench = {
    .name = "bench",
    .summary = "measure how fast a tower is on this machine",
    .synopsis = synopsis,
    .description =
        "Encodes batches of random, varying inputs through one whole tower, pooling and normalisation included, and "
        "prints items per second (batch × iterations over the wall time of the timed loop) and the median and "
        "percentiles of one batch. For the image tower, tokens counts the patches and the class token.",
    .examples = examples,
    .options = options,
    .run = run,
};
