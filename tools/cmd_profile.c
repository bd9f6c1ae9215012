/* clipc profile: where a tower's time goes, step by step, beside what the machine could do. */
#include "commands.h"

#include "bench_loop.h"
#include "bench_work.h"
#include "chrome_trace.h"
#include "conflicts.h"
#include "json_line.h"
#include "message.h"
#include "operand.h"
#include "output.h"
#include "profile_report.h"
#include "profile_table.h"
#include "progress.h"
#include "session.h"
#include "step_profile.h"

#include <stdlib.h>
#include <string.h>

#define TOWERS             2
#define DEFAULT_ITERATIONS 20

static const char *const synopsis[] = {
    "profile [MODEL | --model DIR | --arch NAME] [--tower both|image|text]",
    "      [--batch N] [--tokens N,…] [--precision P] [--threads N]",
    "      [--warm-up MS] [--iterations N] [--layers]",
    "      [--json] [--chrome-trace FILE] [--html FILE]",
    NULL,
};

static const char *const examples[] = {
    "Both towers of a model",
    "clipc profile clip-vit-base-patch32 --batch 32",
    "An engine file's image tower, layer by layer, as a web page and for ui.perfetto.dev",
    "clipc profile b32.clipc --tower image --layers --html profile.html --chrome-trace trace.json",
    "A shape whose weights are not at hand, in int8, for scripts",
    "clipc profile --arch ViT-L-14 --precision int8 --json",
    NULL,
};

static const tool_option options[] = {
    {"arch", 'a', OPTION_TEXT, "NAME", "random weights of a known shape (see clipc help bench)",
     offsetof(tool_settings, architecture), 0, 0, NULL},
    {"tower", 0, OPTION_CHOICE, "NAME", "which tower: both (default, of those the model has), image or text",
     offsetof(tool_settings, towers), 0, 0, "both|image|text"},
    {"tokens", 0, OPTION_TEXT, "N,…",
     "length of each text, start and end token included (default: 16); several are dealt round robin",
     offsetof(tool_settings, tokens), 0, 0, NULL},
    {"warm-up", 0, OPTION_NUMBER, "MS",
     "iterate so many milliseconds, and once at least, before (default: 200; 0: not at all)",
     offsetof(tool_settings, bench.warm_up), 0, 3600000, NULL},
    {"iterations", 'n', OPTION_NUMBER, "N", "timed iterations (default: 20)", offsetof(tool_settings, iterations), 1,
     100000, NULL},
    {"layers", 0, OPTION_FLAG, NULL, "a line for each layer's steps, not for all layers together",
     offsetof(tool_settings, layers), 0, 0, NULL},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object", offsetof(tool_settings, json), 0, 0, NULL},
    {"chrome-trace", 0, OPTION_TEXT, "FILE", "also write when each run of each step began and ended, as trace events",
     offsetof(tool_settings, chrome_trace), 0, 0, NULL},
    {"html", 0, OPTION_TEXT, "FILE", "also write one self-contained web page with bars", offsetof(tool_settings, html),
     0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

/* "batch 8, 50 tokens". */
static char *describe_batch(const bench_work *work)
{
    char *text = format_text("batch %zu, %zu", work->batch, work->tokens[0]);
    for (size_t i = 1; i < work->token_count; i++) {
        char *longer = format_text("%s,%zu", text, work->tokens[i]);
        free(text);
        text = longer;
    }
    char *all = format_text("%s tokens", text);
    free(text);
    return all;
}

/* Once, as both towers run on the same machine. */
static void measure_peaks(clipc_engine *engine, clipc_peaks *peaks)
{
    clipc_error error = {0};
    if (peaks->size)
        return;
    peaks->size = sizeof *peaks;
    if (clipc_engine_measure_peaks(engine, peaks, &error) == CLIPC_OK)
        return;
    if (error.status != CLIPC_ERROR_UNSUPPORTED)
        quit_failed(&error);
    message_note("%s: nothing is said of limits", error.message);
    *peaks = (clipc_peaks){.size = sizeof *peaks};
}

static void trace_batches(step_profile *profile, const bench_work *work, const tool_settings *settings)
{
    const size_t iterations = settings->iterations ? (size_t)settings->iterations : DEFAULT_ITERATIONS;
    bench_caller caller;
    bench_caller_create(&caller, work);
    (void)bench_warm_up(work, settings);
    progress_start("iterations", NULL, iterations, false);
    step_trace_start(&profile->trace, work->engine, iterations);
    for (size_t i = 0; i < iterations; i++) {
        step_trace_begin_batch(&profile->trace);
        bench_encode(&caller, i);
        step_trace_end_batch(&profile->trace);
        progress_update(i + 1);
    }
    step_trace_stop(&profile->trace, work->engine);
    progress_finish();
    bench_caller_destroy(&caller);
}

static void profile_tower(step_profile *profile, const tool_settings *settings, const char *tower,
                          const clipc_model *model, clipc_peaks *peaks)
{
    clipc_error error = {0};
    const bool text = strcmp(tower, "text") == 0;
    const size_t batch = settings->batch ? (size_t)settings->batch : 1;
    session_require_tower(model, !text);
    clipc_engine *engine = session_create_engine(settings, model, !text, text, batch);
    bench_work work;
    bench_work_create(&work, settings, model, engine, NULL, text, batch);
    *profile = (step_profile){.tower = tower,
                              .batch = work.batch,
                              .batch_text = describe_batch(&work),
                              .engine.size = sizeof profile->engine};
    if (clipc_engine_get_info(work.engine, &profile->engine, &error) != CLIPC_OK)
        quit_failed(&error);
    measure_peaks(work.engine, peaks);
    profile->peaks = *peaks;
    trace_batches(profile, &work, settings);
    step_profile_sum(profile, settings->layers);
    bench_work_destroy(&work);
    clipc_engine_destroy(&engine);
}

/* The name of what computed, or of its backend where nothing says. */
static char *device_name(const tool_settings *settings, const clipc_engine_info *engine)
{
    clipc_device_info device = {.size = sizeof device};
    const size_t index = settings->devices ? (size_t)strtoul(settings->devices, NULL, 10) : 0;
    if (clipc_device_get_info(engine->backend, index, &device, NULL) == CLIPC_OK && device.name[0])
        return duplicate(device.name);
    return duplicate(engine->backend);
}

static void print_json(const char *model, const char *device, const step_profile *profiles, size_t count)
{
    const clipc_engine_info *engine = &profiles[0].engine;
    json_t *object = json_object();
    json_t *towers = json_array();
    for (size_t i = 0; i < count; i++)
        json_append(towers, profile_to_json(&profiles[i]));
    json_put(object, "model", json_name(model));
    json_put(object, "version", json_string(clipc_version()));
    json_put(object, "backend", json_string(engine->backend));
    json_put(object, "isa", json_string(engine->isa));
    json_put(object, "device", json_name(device));
    json_put(object, "precision", json_string(clipc_precision_name(engine->precision)));
    json_put(object, "threads", json_integer((json_int_t)engine->threads));
    json_put(object, "peaks", profile_peaks_to_json(&profiles[0].peaks));
    json_put(object, "towers", towers);
    json_print(object);
}

static void report(const tool_settings *settings, const char *model, const step_profile *profiles, size_t count)
{
    char *device = device_name(settings, &profiles[0].engine);
    if (settings->json) {
        print_json(model, device, profiles, count);
    } else {
        for (size_t i = 0; i < count; i++) {
            profile_table_print(&profiles[i]);
            print_text("\n");
        }
        profile_peaks_print(&profiles[0].peaks);
    }
    if (settings->chrome_trace)
        chrome_trace_write(settings->chrome_trace, model, profiles, count);
    if (settings->html)
        profile_report_write(settings->html, model, device, profiles, count);
    free(device);
}

static int run(const tool_settings *given)
{
    static const char *const towers[TOWERS] = {"image", "text"};
    const tool_settings named = operand_or_model(given, "profile");
    const tool_settings *settings = &named;
    if (settings->model && settings->architecture)
        quit(STATUS_USAGE, "profile: --model and --arch exclude each other");
    conflicts_check(settings, NULL);
    clipc_model_info info;
    clipc_model *model = session_open_model(settings, &info);
    conflicts_check_model(settings, model);
    const bool both = !settings->towers || strcmp(settings->towers, "both") == 0;
    step_profile profiles[TOWERS];
    clipc_peaks peaks = {0};
    size_t count = 0;
    for (size_t i = 0; i < TOWERS; i++) {
        const bool lacking = i == 0 ? info.image_absent != NULL : info.text_absent != NULL;
        if (both ? !lacking : strcmp(settings->towers, towers[i]) == 0)
            profile_tower(&profiles[count++], settings, towers[i], model, &peaks);
    }
    report(settings, session_model_label(&info), profiles, count);
    for (size_t i = 0; i < count; i++)
        step_profile_free(&profiles[i]);
    clipc_model_destroy(&model);
    return STATUS_DONE;
}

const tool_command command_profile = {
    .name = "profile",
    .summary = "show where a model's time goes, step by step",
    .synopsis = synopsis,
    .description =
        "Encodes batches of random inputs, as bench does, and shows what each kind of step takes of a batch: its "
        "kernel, runs, milliseconds, share, the operations of its products, the bytes it reads and writes, the share "
        "of the machine's peak, and what bounds it.\n\n"
        "The peaks are measured in the same run. A step is bound by the longest of operations / peak (compute), bytes "
        "/ speed of memory (memory) and runs × what starting one costs (launch); limit is that time as a share of "
        "what it takes. Bytes from a cache are faster than memory, so that limit may pass 100 %.\n\n"
        "--chrome-trace writes every run of every step for chrome://tracing and ui.perfetto.dev.",
    .examples = examples,
    .options = options,
    .shared = SHARED_MODEL | SHARED_ENGINE | SHARED_WORK,
    .run = run,
};
