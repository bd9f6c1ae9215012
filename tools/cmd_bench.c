/* clipc bench: how fast one tower is on this machine. */
#include "commands.h"

#include "bench_explain.h"
#include "bench_work.h"
#include "json_line.h"
#include "message.h"
#include "operand.h"
#include "output.h"
#include "progress.h"
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const synopsis[] = {
    "bench [MODEL | --model DIR | --arch NAME] [--tower image|text]",
    "      [--batch N] [--tokens N,…] [--precision P] [--threads N]",
    "      [--warmup N] [--iterations N] [--explain] [--json]",
    NULL,
};

static const char *const examples[] = {
    "Images through ViT-B/32, without having its weights",
    "clipc bench --arch ViT-B-32 --batch 32",
    "Texts of 12 tokens through a model, for scripts",
    "clipc bench --model clip-vit-base-patch32 --tower text --tokens 12 --json",
    "Where the time goes",
    "clipc bench --arch ViT-B-32 --batch 32 --explain",
    NULL,
};

static const tool_option options[] = {
    {"arch", 'a', OPTION_TEXT, "NAME",
     "random weights of a known shape: ViT-B-32, ViT-B-16, ViT-L-14, ViT-L-14-336, ViT-H-14, ViT-bigG-14, "
     "ViT-B-32-SigLIP2-256, ViT-B-16-SigLIP2, ViT-L-16-SigLIP2-256, ViT-SO400M-14-SigLIP2, RN50, RN101, RN50x4, "
     "RN50x16, "
     "RN50x64",
     offsetof(tool_settings, architecture), 0, 0, NULL},
    {"tower", 0, OPTION_CHOICE, "NAME", "which tower: image (default) or text", offsetof(tool_settings, tower), 0, 0,
     "image|text"},
    {"tokens", 0, OPTION_TEXT, "N,…",
     "length of each text, start and end token included (default: 16); several are dealt round robin",
     offsetof(tool_settings, tokens), 0, 0, NULL},
    {"warmup", 0, OPTION_NUMBER, "N", "iterations before the clock starts (default: 3)",
     offsetof(tool_settings, warmup), 0, 1000000, NULL},
    {"iterations", 'n', OPTION_NUMBER, "N", "timed iterations (default: 20)", offsetof(tool_settings, iterations), 1,
     1000000, NULL},
    {"explain", 'x', OPTION_FLAG, NULL, "also print what each step costs, beside what the machine can do",
     offsetof(tool_settings, explain), 0, 0, NULL},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object", offsetof(tool_settings, json), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
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
static double time_iterations(bench_work *work, const tool_settings *settings, double *milliseconds)
{
    progress_start("iterations", NULL, (size_t)(settings->warmup + settings->iterations), false);
    for (uint64_t i = 0; i < settings->warmup; i++) {
        bench_work_encode(work, (size_t)i);
        progress_update((size_t)i + 1);
    }
    if (settings->explain)
        bench_explain_start(work->engine);
    const double start = now();
    double last = start;
    for (uint64_t i = 0; i < settings->iterations; i++) {
        bench_work_encode(work, (size_t)i);
        const double time = now();
        milliseconds[i] = 1e3 * (time - last);
        last = time;
        progress_update((size_t)(settings->warmup + i) + 1);
    }
    progress_finish();
    return last - start;
}

/* A number, or an array when texts differ in length. */
static json_t *tokens_to_json(const bench_work *work)
{
    if (work->token_count == 1)
        return json_integer((json_int_t)work->tokens[0]);
    json_t *lengths = json_array();
    for (size_t i = 0; i < work->token_count; i++)
        json_append(lengths, json_integer((json_int_t)work->tokens[i]));
    return lengths;
}

/* `explanation` may be NULL. */
static void print_result(const tool_settings *settings, const bench_work *work, double seconds, const double *sorted,
                         const bench_explanation *explanation)
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
        print_format("%s tower, batch %zu, ", tower, work->batch);
        for (size_t i = 0; i < work->token_count; i++)
            print_format(i ? ",%zu" : "%zu", work->tokens[i]);
        print_format(" tokens, %s (%s), %s, %zu threads, %zu iterations\n", info.backend, info.isa, precision,
                     info.threads, iterations);
        print_format("%.2f %ss/s; a batch takes %.3f ms (median), %.3f ms (p90), %.3f ms (p99)\n", rate, tower, middle,
                     p90, p99);
        print_flush();
        if (explanation)
            bench_explain_print(explanation);
        return;
    }
    json_t *object = json_object();
    json_put(object, "tower", json_string(tower));
    json_put(object, "batch", json_integer((json_int_t)work->batch));
    json_put(object, "tokens", tokens_to_json(work));
    json_put(object, "backend", json_string(info.backend));
    json_put(object, "precision", json_string(precision));
    json_put(object, "threads", json_integer((json_int_t)info.threads));
    json_put(object, "isa", json_string(info.isa));
    json_put(object, "iterations", json_integer((json_int_t)iterations));
    json_put(object, "median_ms", json_real(middle));
    json_put(object, "p90_ms", json_real(p90));
    json_put(object, "p99_ms", json_real(p99));
    json_put(object, "items_per_s", json_real(rate));
    if (explanation)
        bench_explain_to_json(explanation, object);
    json_print(object);
}

static int run(const tool_settings *given)
{
    const tool_settings named = operand_or_model(given, "bench");
    const tool_settings *settings = &named;
    if (settings->model && settings->architecture)
        quit(STATUS_USAGE, "bench: --model and --arch exclude each other");
    clipc_model_info info;
    clipc_model *model = session_open_model(settings, &info);
    bench_work work;
    bench_work_create(&work, settings, model, &info);
    bench_explanation explanation = {0};
    if (settings->explain)
        bench_explain_prepare(&explanation, work.engine);
    double *milliseconds = allocate((size_t)settings->iterations, sizeof *milliseconds);
    const double seconds = time_iterations(&work, settings, milliseconds);
    qsort(milliseconds, (size_t)settings->iterations, sizeof *milliseconds, compare_numbers);
    if (settings->explain)
        bench_explain_stop(&explanation, work.engine, (size_t)settings->iterations, seconds);
    print_result(settings, &work, seconds, milliseconds, settings->explain ? &explanation : NULL);

    bench_explain_free(&explanation);
    free(milliseconds);
    bench_work_destroy(&work);
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
        "percentiles of one batch. For the image tower, tokens counts the patches and the class token.\n\n"
        "--explain adds a line for each kind of step: its kernel, calls and milliseconds a batch, its share of the "
        "time, the "
        "speed of its matrix products and the share of the machine's peak, measured in the same run. The roofline is "
        "the least time these products take at the peaks of arithmetic and of memory.",
    .examples = examples,
    .options = options,
    .shared = SHARED_MODEL | SHARED_ENGINE | SHARED_WORK,
    .run = run,
};
