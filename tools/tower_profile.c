#include "tower_profile.h"

#include "bench_loop.h"
#include "bench_work.h"
#include "message.h"
#include "progress.h"
#include "session.h"

#include <stdlib.h>

#define DEFAULT_ITERATIONS 20

const char *const tower_names[2] = {"image", "text"};

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

static void profile_batch(step_profile *profile, const tool_settings *settings, size_t tower, const clipc_model *model,
                          clipc_engine *engine, size_t batch, bool by_layers, clipc_peaks *peaks)
{
    clipc_error error = {0};
    bench_work work;
    bench_work_create(&work, settings, model, engine, NULL, tower == 1, batch);
    *profile = (step_profile){.tower = tower_names[tower],
                              .batch = work.batch,
                              .batch_text = describe_batch(&work),
                              .engine.size = sizeof profile->engine};
    if (clipc_engine_get_info(work.engine, &profile->engine, &error) != CLIPC_OK)
        quit_failed(&error);
    if (peaks) {
        measure_peaks(work.engine, peaks);
        profile->peaks = *peaks;
    }
    trace_batches(profile, &work, settings);
    step_profile_sum(profile, by_layers);
    bench_work_destroy(&work);
}

void tower_profile_create(step_profile *profiles, const tool_settings *settings, size_t tower,
                          const clipc_model *model, const shape_list *shapes, bool by_layers, clipc_peaks *peaks)
{
    session_require_tower(model, tower == 0);
    clipc_error error = {0};
    const unsigned flags = settings->bench.no_transfers ? CLIPC_MEASURE_NO_TRANSFERS : 0;
    clipc_engine *engine = session_create_engine(settings, model, tower == 0, tower == 1, shapes_largest(shapes));
    if (flags && clipc_engine_measure(engine, flags, &error) != CLIPC_OK)
        quit_failed(&error);
    for (size_t i = 0; i < shapes->count; i++)
        profile_batch(&profiles[i], settings, tower, model, engine, shapes->sizes[i], by_layers, peaks);
    clipc_engine_destroy(&engine);
}

char *engine_device_name(const tool_settings *settings, const clipc_engine_info *engine)
{
    clipc_device_info device = {.size = sizeof device};
    const size_t index = settings->devices ? (size_t)strtoul(settings->devices, NULL, 10) : 0;
    if (clipc_device_get_info(engine->backend, index, &device, NULL) == CLIPC_OK && device.name[0])
        return duplicate(device.name);
    return duplicate(engine->backend);
}
