/* clipc bench: how fast the towers are on this machine. */
#include "commands.h"

#include "bench_exports.h"
#include "bench_result.h"
#include "conflicts.h"
#include "json_line.h"
#include "message.h"
#include "model_inputs.h"
#include "operand.h"
#include "session.h"
#include "shapes.h"

#include <stdlib.h>
#include <string.h>

#define MOST_PROFILED 20 /* iterations */

static const char *const synopsis[] = {
    "bench [MODEL | --model DIR | --arch NAME] [--precision P]",
    "      [--tower image|text] [--batch N] [--tokens N,…]",
    "      [--image-shapes N,…] [--text-shapes N,…]",
    "      [--warm-up MS] [--duration S] [--iterations N]",
    "      [--callers N] [--explain] [--export-times FILE]… [--json]",
    NULL,
};

static const char *const examples[] = {
    "Images through ViT-B/32, without having its weights",
    "clipc bench --arch ViT-B-32 --batch 32",
    "An engine file with several batch sizes of both towers, every iteration's time kept",
    "clipc bench b32.clipc --image-shapes 1,8,32 --text-shapes 1,32 --export-times times.json",
    "Photographs, their decoding included",
    "clipc bench clip-vit-base-patch32@cpu:bf16 --image photos/ --batch 32",
    "Texts of 12 tokens through a model, for scripts",
    "clipc bench --model clip-vit-base-patch32 --tower text --tokens 12 --json",
    "Where the time goes",
    "clipc bench --arch ViT-B-32 --batch 32 --explain",
    NULL,
};

#define BENCH(field) offsetof(tool_settings, bench.field)

static const tool_option options[] = {
    {"arch", 'a', OPTION_TEXT, "NAME",
     "random weights of a known shape: ViT-B-32, ViT-B-16, ViT-L-14, ViT-L-14-336, ViT-H-14, ViT-bigG-14, "
     "ViT-B-32-SigLIP2-256, ViT-B-16-SigLIP2, ViT-L-16-SigLIP2-256, ViT-SO400M-14-SigLIP2, RN50, RN101, RN50x4, "
     "RN50x16, "
     "RN50x64",
     offsetof(tool_settings, architecture), 0, 0, NULL},
    {"tower", 0, OPTION_CHOICE, "NAME", "which tower: image (default) or text", offsetof(tool_settings, tower), 0, 0,
     "image|text"},
    {"image-shapes", 0, OPTION_TEXT, "N,…", "batch sizes to measure the image tower with, one after the other",
     offsetof(tool_settings, image_shapes), 0, 0, NULL},
    {"text-shapes", 0, OPTION_TEXT, "N,…", "the same of the text tower; both may be given",
     offsetof(tool_settings, text_shapes), 0, 0, NULL},
    {"tokens", 0, OPTION_TEXT, "N,…",
     "length of each random text, start and end token included (default: 16); several are dealt round robin",
     offsetof(tool_settings, tokens), 0, 0, NULL},
    {"warm-up", 0, OPTION_NUMBER, "MS",
     "iterate so many milliseconds, and once at least, before the clock starts (default: 200; 0: not at all)",
     BENCH(warm_up), 0, 3600000, NULL},
    {"duration", 0, OPTION_TEXT, "S", "time iterations for so many seconds (default: 3, and at least 10 iterations)",
     BENCH(duration), 0, 0, NULL},
    {"iterations", 'n', OPTION_NUMBER, "N", "time so many iterations; with --duration, until both are reached",
     offsetof(tool_settings, iterations), 1, 100000000, NULL},
    {"callers", 0, OPTION_NUMBER, "N", "threads that encode a batch each at the same time (default: 1)",
     BENCH(callers), 1, 256, NULL},
    {"idle-time", 0, OPTION_NUMBER, "MS", "rest so long after each iteration", BENCH(idle_time), 0, 60000, NULL},
    {"no-graph", 0, OPTION_FLAG, NULL, "on a GPU: launch kernels one by one, not as a recorded graph", BENCH(no_graph),
     0, 0, NULL},
    {"no-transfers", 0, OPTION_FLAG, NULL, "on a GPU: leave inputs and embeddings where they are", BENCH(no_transfers),
     0, 0, NULL},
    {"percentile", 0, OPTION_TEXT, "P,…", "percentiles to tell, in percent (default: 90,95,99)", BENCH(percentiles), 0,
     0, NULL},
    {"no-roofline", 0, OPTION_FLAG, NULL, "do not measure the machine's peaks, which takes half a second",
     BENCH(no_roofline), 0, 0, NULL},
    {"explain", 'x', OPTION_FLAG, NULL, "also print what each step costs, beside what the machine can do",
     offsetof(tool_settings, explain), 0, 0, NULL},
    {"export-times", 0, OPTION_TEXT, "FILE", "write the time of every iteration, and the summary, as JSON",
     BENCH(export_times), 0, 0, NULL},
    {"export-profile", 0, OPTION_TEXT, "FILE", "write what --explain tells as JSON", BENCH(export_profile), 0, 0,
     NULL},
    {"export-layers", 0, OPTION_TEXT, "FILE", "write the linear layers as JSON", BENCH(export_layers), 0, 0, NULL},
    {"export-output", 0, OPTION_TEXT, "OUT.npz", "write the embeddings of the first batch, or of the largest",
     BENCH(export_output), 0, 0, NULL},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object for each measurement", offsetof(tool_settings, json), 0, 0,
     NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

/* ---- one measurement ---- */

static unsigned measure_flags(const tool_settings *settings)
{
    return (settings->bench.no_graph ? CLIPC_MEASURE_NO_GRAPHS : 0) |
           (settings->bench.no_transfers ? CLIPC_MEASURE_NO_TRANSFERS : 0);
}

static void measure(clipc_engine *engine, unsigned flags)
{
    clipc_error error = {0};
    if (clipc_engine_measure(engine, flags, &error) != CLIPC_OK)
        quit_failed(&error);
}

/* Where the backend has parts. */
static void time_parts(bench_result *result)
{
    clipc_engine *engine = result->work->engine;
    const unsigned flags = measure_flags(result->settings);
    clipc_error error = {0};
    const clipc_status status = clipc_engine_measure(engine, flags | CLIPC_MEASURE_PARTS, &error);
    if (status == CLIPC_ERROR_UNSUPPORTED)
        return;
    if (status != CLIPC_OK)
        quit_failed(&error);
    bench_time_parts(&result->parts, result->work, result->timing.count);
    measure(engine, flags);
}

static bool records_steps(clipc_engine *engine)
{
    clipc_error error = {0};
    const clipc_status status = clipc_engine_record_steps(engine, 0, &error);
    if (status != CLIPC_OK && status != CLIPC_ERROR_UNSUPPORTED)
        quit_failed(&error);
    return status == CLIPC_OK;
}

/* Again a loop of its own, as recording steps costs time; a few iterations are enough to count what they do. */
static void profile(bench_result *result)
{
    const tool_settings *settings = result->settings;
    const bool asked = settings->explain || settings->bench.export_profile;
    clipc_engine *engine = result->work->engine;
    if (!asked && (settings->bench.no_roofline || !records_steps(engine)))
        return;
    const size_t most = asked ? MOST_PROFILED : 1;
    const size_t iterations = result->timing.count < most ? result->timing.count : most;
    bench_caller caller;
    bench_caller_create(&caller, result->work);
    bench_explain_prepare(&result->explanation, engine);
    bench_explain_start(engine);
    double seconds = 0;
    for (size_t i = 0; i < iterations; i++) {
        bench_prepare(&caller, i);
        const double start = bench_now();
        bench_encode(&caller, i);
        seconds += bench_now() - start;
    }
    bench_explain_stop(&result->explanation, engine, iterations, seconds);
    bench_caller_destroy(&caller);
    result->roofline_seconds = bench_explain_least_seconds(&result->explanation);
}

/* The GPU that a backend of a GPU uses first, by its place on the bus; "" for the others. */
static void find_bus(const clipc_engine_info *engine, const tool_settings *settings, char bus[24])
{
    clipc_device_info info = {.size = sizeof info};
    size_t first = 0;
    bus[0] = '\0';
    if (strcmp(engine->backend, "cuda") != 0 && strcmp(engine->backend, "tensorrt") != 0)
        return;
    if (settings->devices && settings->devices[0] >= '0' && settings->devices[0] <= '9')
        first = (size_t)strtoull(settings->devices, NULL, 10);
    if (clipc_device_get_info("cuda", first, &info, NULL) == CLIPC_OK)
        memcpy(bus, info.bus, sizeof info.bus);
}

static void run_measurement(bench_result *result)
{
    const tool_settings *settings = result->settings;
    const bench_work *work = result->work;
    clipc_error error = {0};
    char bus[24];
    result->engine = (clipc_engine_info){.size = sizeof result->engine};
    if (clipc_engine_get_info(work->engine, &result->engine, &error) != CLIPC_OK)
        quit_failed(&error);
    find_bus(&result->engine, settings, bus);
    measure(work->engine, measure_flags(settings));
    result->timing.warm_ups = bench_warm_up(work, settings);
    machine_state *state = machine_state_start(bus);
    bench_time(&result->timing, work, settings, bench_limits_of(settings));
    machine_state_stop(&state, result->timing.seconds, result->engine.threads, &result->machine);
    time_parts(result);
    profile(result);
    bench_result_summarize(result);
}

/* ---- all of them ---- */

typedef struct bench_run {
    const tool_settings *settings;
    const clipc_model *model;
    double model_seconds;
    bench_exports exports;
} bench_run;

static void bench_batch(bench_run *run, clipc_engine *engine, double ready_seconds, const bench_files *files,
                        bool text, size_t batch)
{
    bench_work work;
    bench_work_create(&work, run->settings, run->model, engine, files, text, batch);
    bench_result result = {
        .work = &work, .settings = run->settings, .model_seconds = run->model_seconds, .ready_seconds = ready_seconds};
    run_measurement(&result);
    if (run->settings->json)
        json_print(bench_result_to_json(&result));
    else
        bench_result_print(&result);
    bench_exports_add(&run->exports, &result);
    bench_result_free(&result);
    bench_work_destroy(&work);
}

/* One engine for all batches of a tower, as a program would have it. */
static void bench_tower(bench_run *run, bool text, const shape_list *shapes)
{
    const tool_settings *settings = run->settings;
    const bool from_files = text ? settings->texts.count || settings->text_files.count : settings->images.count != 0;
    bench_files files = {0};
    clipc_model_info info = {.size = sizeof info};
    clipc_model_get_info(run->model, &info, NULL);
    session_require_tower(run->model, !text);
    if (from_files)
        bench_files_create(&files, settings, run->model, &info, text);
    const double start = bench_now();
    clipc_engine *engine = session_create_engine(settings, run->model, !text, text, shapes_largest(shapes));
    const double ready = bench_now() - start;
    for (size_t i = 0; i < shapes->count; i++)
        bench_batch(run, engine, ready, from_files ? &files : NULL, text, shapes->sizes[i]);
    clipc_engine_destroy(&engine);
    bench_files_free(&files);
}

static void check_command_line(const tool_settings *settings, bool image, bool text)
{
    if (settings->model && settings->architecture)
        quit(STATUS_USAGE, "bench: --model and --arch exclude each other");
    if ((settings->image_shapes || settings->text_shapes) && settings->batch)
        quit(STATUS_USAGE, "bench: --batch is one batch size, --image-shapes and --text-shapes are several: give one");
    if (!image && settings->images.count)
        quit(STATUS_USAGE, "bench: --image is for the image tower, which is not measured");
    if (!text && (settings->texts.count || settings->text_files.count))
        quit(STATUS_USAGE, "bench: --text and --file are for the text tower, which is not measured (--tower text)");
    model_inputs_check(settings, "bench");
}

static int run(const tool_settings *given)
{
    const tool_settings settings = operand_or_model(given, "bench");
    const bench_settings *asked = &settings.bench;
    const bool shapes = settings.image_shapes || settings.text_shapes;
    const bool text = shapes ? settings.text_shapes != NULL : strcmp(settings.tower, "text") == 0;
    const bool image = shapes ? settings.image_shapes != NULL : !text;
    const shape_list one = {.sizes = {settings.batch ? (size_t)settings.batch : 1}, .count = 1};
    const shape_list image_shapes = shapes_parse("image-shapes", settings.image_shapes, &one);
    const shape_list text_shapes = shapes_parse("text-shapes", settings.text_shapes, &one);
    check_command_line(&settings, image, text);
    (void)percentiles_parse(asked->percentiles);
    (void)bench_limits_of(&settings);

    clipc_model_info info;
    const double start = bench_now();
    clipc_model *model = session_open_model(&settings, &info);
    bench_run state = {.settings = &settings, .model = model, .model_seconds = bench_now() - start};
    bench_exports_open(&state.exports, &settings);
    if (image)
        bench_tower(&state, false, &image_shapes);
    if (text)
        bench_tower(&state, true, &text_shapes);
    bench_exports_close(&state.exports, model);
    clipc_model_destroy(&model);
    return STATUS_DONE;
}

const tool_command command_bench = {
    .name = "bench",
    .summary = "measure how fast the towers are on this machine",
    .synopsis = synopsis,
    .description =
        "Encodes batches of varying inputs through a whole tower, pooling and normalisation included, and prints "
        "items "
        "and batches a second (of the wall time of the timed loop) and the times of one batch, split into what the "
        "backend tells apart. Inputs are random, unless --load-inputs names some, or --image, --text or --file name "
        "files, which are then read and preprocessed in every iteration. For the image tower, tokens counts the "
        "patches and the class token.\n\n"
        "Percentiles are by nearest rank, clocks by CLOCK_MONOTONIC. The roofline is the least time that the products "
        "of a batch take at the peaks of arithmetic and of memory, which are measured in the same run. Warnings tell "
        "when figures are unstable, or bound by something else than the model.\n\n"
        "--explain adds a line for each kind of step: its kernel, calls and milliseconds a batch, its share of the "
        "time, the speed of its matrix products and the share of the machine's peak.",
    .examples = examples,
    .options = options,
    .shared = SHARED_MODEL | SHARED_ENGINE | SHARED_WORK | SHARED_IMAGES | SHARED_INPUTS,
    .run = run,
};
