#include "build_tuning.h"

#include "conflicts.h"
#include "message.h"
#include "output.h"
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES ((size_t)4 << 20) /* of a timing cache */

typedef struct progress {
    const char *path; /* of the timing cache; NULL: none */
    clipc_tuning *tuning;
    size_t measured;
    double best; /* the largest gain */
} progress;

static bool is_off(const tool_settings *settings)
{
    return !settings->tune || strcmp(settings->tune, "off") == 0;
}

void build_tuning_check(const tool_settings *settings)
{
    if (settings->timing_cache && is_off(settings))
        quit(STATUS_USAGE, "build: a timing cache is for --tune fast or full");
    if (settings->timing_cache && strcmp(settings->timing_cache, settings->output) == 0)
        quit(STATUS_USAGE, "%s: two outputs would be written to it", settings->output);
    if (settings->timing_cache && !output_names_regular(settings->timing_cache))
        quit(STATUS_USAGE, "%s: a timing cache is a regular file", settings->timing_cache);
}

/* The whole file; NULL when there is none. */
static char *read_cache(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file && errno == ENOENT)
        return NULL;
    if (!file)
        quit(STATUS_SYSTEM, "%s: %s", path, strerror(errno));
    char *bytes = allocate(MOST_BYTES + 1, 1);
    *size = fread(bytes, 1, MOST_BYTES + 1, file);
    if (ferror(file))
        quit(STATUS_SYSTEM, "%s: %s", path, strerror(errno));
    fclose(file);
    return bytes;
}

static clipc_tuning *open_cache(const char *path)
{
    clipc_tuning *tuning = NULL;
    clipc_error error = {0};
    size_t size = 0;
    char *bytes = path ? read_cache(path, &size) : NULL;
    if (clipc_tuning_create(bytes, size, path, &tuning, &error) != CLIPC_OK)
        quit_failed(&error);
    free(bytes);
    return tuning;
}

static int write_output(void *output, const void *bytes, size_t size)
{
    output_write(output, bytes, size);
    return 0;
}

static void save(const progress *state)
{
    clipc_error error = {0};
    output_file *output = output_open(state->path);
    if (clipc_tuning_write(state->tuning, write_output, output, &error) != CLIPC_OK)
        quit_failed(&error);
    output_close(output);
    output_publish(&output);
}

/* A program that is stopped has lost no measurement. */
static void on_measured(void *user, const char *name, const char *value, double speedup)
{
    progress *state = user;
    state->measured++;
    state->best = speedup > state->best ? speedup : state->best;
    message_detail("build: %s is %s: %.3f times as fast", name, value, speedup);
    if (state->path)
        save(state);
}

clipc_tuning *build_tuning_measure(const tool_settings *settings, const clipc_model *model)
{
    if (is_off(settings))
        return NULL;
    if (settings->timing_cache)
        conflicts_check_not_model(settings->timing_cache, model);
    clipc_error error = {0};
    progress state = {.path = settings->timing_cache, .tuning = open_cache(settings->timing_cache), .best = 1};
    clipc_engine_config config = session_engine_config(settings);
    config.max_batch = session_batch(settings);
    const clipc_tuning_effort effort = strcmp(settings->tune, "full") == 0 ? CLIPC_TUNING_FULL : CLIPC_TUNING_FAST;
    if (clipc_model_tune(model, &config, effort, state.tuning, on_measured, &state, &error) != CLIPC_OK)
        quit_failed(&error);
    if (state.measured)
        message_note("build: %zu choices were measured for %s; the best is %.2f times as fast", state.measured,
                     clipc_tuning_made_for(state.tuning), state.best);
    else
        message_note("build: nothing had to be measured for %s", clipc_tuning_made_for(state.tuning));
    return state.tuning;
}

json_t *tuning_to_json(const clipc_tuning *tuning)
{
    const char *made_for = clipc_tuning_made_for(tuning);
    if (!made_for)
        return json_null();
    const char *name = NULL;
    const char *value = NULL;
    json_t *object = json_object();
    json_t *choices = json_object();
    for (size_t i = 0; clipc_tuning_get_choice(tuning, i, &name, &value, NULL) == CLIPC_OK; i++)
        json_put(choices, name, json_name(value));
    json_put(object, "made_for", json_name(made_for));
    json_put(object, "choices", choices);
    return object;
}
