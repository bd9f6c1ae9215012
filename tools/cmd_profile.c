/* clipc profile: where a tower's time goes, step by step, beside what the machine could do. */
#include "commands.h"

#include "chrome_trace.h"
#include "conflicts.h"
#include "json_line.h"
#include "message.h"
#include "operand.h"
#include "output.h"
#include "profile_report.h"
#include "profile_table.h"
#include "session.h"
#include "tower_profile.h"

#include <stdlib.h>
#include <string.h>

#define TOWERS 2

static const char *const synopsis[] = {
    "profile [MODEL | --model DIR | --arch NAME] [--tower both|image|text]",
    "      [--batch N | --image-shapes N,…] [--text-shapes N,…]",
    "      [--tokens N,…] [--precision P] [--threads N]",
    "      [--warm-up MS] [--iterations N] [--layers] [--no-transfers]",
    "      [--json] [--chrome-trace FILE] [--html FILE]",
    NULL,
};

static const char *const examples[] = {
    "Both towers of a model",
    "clipc profile clip-vit-base-patch32 --batch 32",
    "Several batch sizes of both towers, beside one another",
    "clipc profile b32.clipc --image-shapes 1,8,32 --text-shapes 1,32 --html shapes.html",
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
    {"image-shapes", 0, OPTION_TEXT, "N,…", "batch sizes to profile the image tower with, one after the other",
     offsetof(tool_settings, image_shapes), 0, 0, NULL},
    {"text-shapes", 0, OPTION_TEXT, "N,…", "the same of the text tower; both may be given",
     offsetof(tool_settings, text_shapes), 0, 0, NULL},
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
    {"no-transfers", 0, OPTION_FLAG, NULL, "on a GPU: leave inputs and embeddings where they are",
     offsetof(tool_settings, bench.no_transfers), 0, 0, NULL},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object", offsetof(tool_settings, json), 0, 0, NULL},
    {"chrome-trace", 0, OPTION_TEXT, "FILE", "also write when each run of each step began and ended, as trace events",
     offsetof(tool_settings, chrome_trace), 0, 0, NULL},
    {"html", 0, OPTION_TEXT, "FILE", "also write one self-contained web page with bars", offsetof(tool_settings, html),
     0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

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
    char *device = engine_device_name(settings, &profiles[0].engine);
    if (settings->json) {
        print_json(model, device, profiles, count);
    } else {
        for (size_t i = 0; i < count; i++) {
            profile_table_print(&profiles[i]);
            print_text("\n");
        }
        profile_shapes_print(profiles, count);
        profile_peaks_print(&profiles[0].peaks);
    }
    if (settings->chrome_trace)
        chrome_trace_write(settings->chrome_trace, model, profiles, count);
    if (settings->html)
        profile_report_write(settings->html, model, device, profiles, count);
    free(device);
}

static void check_command_line(const tool_settings *settings)
{
    const bool shapes = settings->image_shapes || settings->text_shapes;
    if (settings->model && settings->architecture)
        quit(STATUS_USAGE, "profile: --model and --arch exclude each other");
    if (shapes && settings->batch)
        quit(STATUS_USAGE,
             "profile: --batch is one batch size, --image-shapes and --text-shapes are several: give one");
    if (shapes && settings->towers)
        quit(STATUS_USAGE, "profile: --image-shapes and --text-shapes say which towers: --tower is not for them");
    conflicts_check(settings, NULL);
}

/* Of each tower; those that are not asked for have none. */
static void choose_shapes(const tool_settings *settings, const clipc_model_info *info, shape_list shapes[TOWERS])
{
    const char *const lists[TOWERS] = {settings->image_shapes, settings->text_shapes};
    const char *const names[TOWERS] = {"image-shapes", "text-shapes"};
    const bool listed = settings->image_shapes || settings->text_shapes;
    const bool both = !settings->towers || strcmp(settings->towers, "both") == 0;
    const shape_list none = {0};
    const shape_list one = {.sizes = {settings->batch ? (size_t)settings->batch : 1}, .count = 1};
    for (size_t i = 0; i < TOWERS; i++) {
        const bool lacking = i == 0 ? info->image_absent != NULL : info->text_absent != NULL;
        const bool wanted = !listed && (both ? !lacking : strcmp(settings->towers, tower_names[i]) == 0);
        shapes[i] = shapes_parse(names[i], lists[i], wanted ? &one : &none);
    }
}

static int run(const tool_settings *given)
{
    const tool_settings named = operand_or_model(given, "profile");
    const tool_settings *settings = &named;
    check_command_line(settings);
    clipc_model_info info;
    shape_list shapes[TOWERS];
    clipc_model *model = session_open_model(settings, &info);
    conflicts_check_model(settings, model);
    choose_shapes(settings, &info, shapes);
    step_profile *profiles = allocate(shapes[0].count + shapes[1].count, sizeof *profiles);
    clipc_peaks peaks = {0};
    size_t count = 0;
    for (size_t i = 0; i < TOWERS; i++) {
        if (shapes[i].count)
            tower_profile_create(profiles + count, settings, i, model, &shapes[i], settings->layers, &peaks);
        count += shapes[i].count;
    }
    report(settings, session_model_label(&info), profiles, count);
    for (size_t i = 0; i < count; i++)
        step_profile_free(&profiles[i]);
    free(profiles);
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
