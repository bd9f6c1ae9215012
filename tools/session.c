#include "session.h"

#include "conflicts.h"
#include "message.h"
#include "shapes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BATCH 32
#define RANDOM_SEED   1

static void on_log(void *user, clipc_log_level level, const char *message)
{
    (void)user;
    if (level >= CLIPC_LOG_WARNING)
        message_note("%s", message);
    else
        message_detail("%s", message);
}

/* The library knows the option as a field of its config. */
void quit_failed(const clipc_error *error)
{
    static const char field[] = "keep_precise: ";
    if (strncmp(error->message, field, strlen(field)) == 0)
        quit(STATUS_USAGE, "--keep-precise: %s", error->message + strlen(field));
    quit(STATUS_SYSTEM, "%s", error->message);
}

static const char *architecture_at(const void *unused, size_t index)
{
    (void)unused;
    return clipc_architecture_name(index);
}

static void check_architecture(const char *name)
{
    for (size_t i = 0; clipc_architecture_name(i); i++)
        if (strcmp(clipc_architecture_name(i), name) == 0)
            return;
    const char *near = nearest_name(name, architecture_at, NULL);
    if (near)
        quit(STATUS_USAGE, "--arch: unknown architecture '%s' (did you mean %s?)", name, near);
    quit(STATUS_USAGE, "--arch: unknown architecture '%s' (see clipc help bench)", name);
}

/* A pattern that is there again has said all, or the opposite. */
static void check_not_again(const char *list, const char *part, size_t length)
{
    for (const char *at = list; at < part; at += strcspn(at, ",") + 1)
        if (strcspn(at, ",=") == length && memcmp(at, part, length) == 0)
            quit(STATUS_USAGE, "--keep-precise: '%.*s' is there twice", (int)length, part);
}

/* What the library, which knows the layers, cannot see or takes for harmless. */
static void check_keep_precise(const char *list)
{
    for (const char *at = list; at;) {
        const size_t length = strcspn(at, ",");
        if (length == 0)
            quit(STATUS_USAGE, "--keep-precise: %s", *list ? "a part of the list is empty" : "the list is empty");
        check_not_again(list, at, strcspn(at, ",="));
        at = at[length] ? at + length + 1 : NULL;
    }
}

bool session_takes_devices(const tool_settings *settings)
{
    return strcmp(settings->backend, "cuda") == 0 || strcmp(settings->backend, "auto") == 0;
}

static void check_engine_options(const tool_settings *settings)
{
    check_keep_precise(settings->keep_precise);
    if (settings->tensorrt_cache && strcmp(settings->backend, "tensorrt") != 0)
        quit(STATUS_USAGE, "--tensorrt-cache: only --backend tensorrt has one, not %s", settings->backend);
    if (settings->devices && !session_takes_devices(settings))
        quit(STATUS_USAGE, "--devices: only --backend cuda has several, not %s", settings->backend);
}

clipc_model *session_open_model(const tool_settings *settings, clipc_model_info *info)
{
    check_engine_options(settings);
    clipc_model_config config;
    clipc_model_config_init(&config);
    config.log = on_log;
    config.activation = settings->activation;
    config.visual = settings->visual_graph;
    config.textual = settings->textual_graph;
    clipc_model *model = NULL;
    clipc_error error = {0};
    if (settings->architecture) {
        check_architecture(settings->architecture);
        if (clipc_model_create_random(settings->architecture, RANDOM_SEED, &config, &model, &error) != CLIPC_OK)
            quit_failed(&error);
    } else {
        const char *path = settings->model ? settings->model : getenv("CLIPC_MODEL");
        if (!settings->model && ((path && !path[0]) || settings->visual_graph || settings->textual_graph))
            path = NULL; /* set but empty counts as not set; what was said on the command line goes first */
        if (path && (settings->visual_graph || settings->textual_graph))
            quit(STATUS_USAGE, "--model and --visual or --textual are two models: give one");
        if (clipc_model_open(path, &config, &model, &error) != CLIPC_OK)
            quit_failed(&error);
    }
    conflicts_check_model(settings, model);
    *info = (clipc_model_info){.size = sizeof *info};
    if (clipc_model_get_info(model, info, &error) != CLIPC_OK)
        quit_failed(&error);
    message_detail("model %s, %zu dimensions", session_model_label(info), info->embedding_dimension);
    return model;
}

clipc_precision session_wanted_precision(const tool_settings *settings)
{
    for (clipc_precision precision = CLIPC_PRECISION_AUTO; precision <= CLIPC_PRECISION_FP8; precision++)
        if (strcmp(clipc_precision_name(precision), settings->precision) == 0)
            return precision;
    return CLIPC_PRECISION_AUTO;
}

/* All 0 when there is no list. */
static clipc_batches profile_of(const char *option, const char *list)
{
    const shape_list shapes = shapes_parse(option, list, &(shape_list){0});
    return shapes.count ? shapes_profile(&shapes) : (clipc_batches){0};
}

size_t session_workspace(const tool_settings *settings)
{
    static const char units[] = "KMG";
    const char *text = settings->workspace;
    char *end = NULL;
    errno = 0;
    unsigned long long bytes = text ? strtoull(text, &end, 10) : 0;
    if (!text)
        return 0;
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (*text < '0' || *text > '9' || (*end && (!unit || end[1])) || errno == ERANGE)
        quit(STATUS_USAGE, "--workspace: '%s' is no size (bytes, or 512K, 512M, 2G)", text);
    for (const char *at = units; unit && at <= unit; at++)
        bytes = bytes > UINT64_MAX / 1024 ? UINT64_MAX : bytes * 1024;
    if (bytes < 1 || bytes > (UINT64_C(1) << 50))
        quit(STATUS_USAGE, "--workspace: %s is out of range (1 byte to 1 PiB)", text);
    return (size_t)bytes;
}

clipc_engine_config session_engine_config(const tool_settings *settings)
{
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = settings->backend;
    config.precision = session_wanted_precision(settings);
    config.threads = (size_t)settings->threads;
    config.devices = settings->devices;
    config.streams = (size_t)settings->streams;
    config.tensorrt_cache = settings->tensorrt_cache;
    config.tensorrt_image_batches = profile_of("image-shapes", settings->image_shapes);
    config.tensorrt_text_batches = profile_of("text-shapes", settings->text_shapes);
    config.tensorrt_workspace = session_workspace(settings);
    config.batch_invariant = settings->batch_invariant;
    config.keep_precise = settings->keep_precise;
    config.log = on_log;
    return config;
}

clipc_engine_info session_plan_engine(const tool_settings *settings, const clipc_model *model)
{
    const clipc_engine_config config = session_engine_config(settings);
    clipc_engine_info info = {.size = sizeof info};
    clipc_error error = {0};
    if (clipc_engine_plan(model, &config, &info, &error) != CLIPC_OK)
        quit_failed(&error);
    return info;
}

void session_require_tower(const clipc_model *model, bool image)
{
    clipc_model_info info = {.size = sizeof info};
    clipc_model_get_info(model, &info, NULL);
    const char *absent = image ? info.image_absent : info.text_absent;
    if (absent)
        quit(STATUS_SYSTEM, "%s: no %s tower: %s", session_model_label(&info), image ? "image" : "text", absent);
}

bool session_takes_bytes(const tool_settings *settings, const clipc_model *model)
{
    return strcmp(session_plan_engine(settings, model).backend, "cuda") == 0;
}

clipc_engine *session_create_engine(const tool_settings *settings, const clipc_model *model, bool image_tower,
                                    bool text_tower, size_t batch)
{
    clipc_engine_config config = session_engine_config(settings);
    config.max_batch = batch;
    config.image_tower = image_tower;
    config.text_tower = text_tower;
    if (image_tower)
        session_require_tower(model, true);
    if (text_tower)
        session_require_tower(model, false);
    clipc_engine *engine = NULL;
    clipc_error error = {0};
    if (clipc_engine_create(model, &config, &engine, &error) != CLIPC_OK)
        quit_failed(&error);
    clipc_engine_info info = {.size = sizeof info};
    if (clipc_engine_get_info(engine, &info, &error) != CLIPC_OK)
        quit_failed(&error);
    message_detail("backend %s (%s), %s, %zu threads, %zu devices, %zu streams on each, %.1f MiB of weights, %.1f MiB "
                   "of workspace",
                   info.backend, info.isa, clipc_precision_name(info.precision), info.threads, info.devices,
                   info.streams, (double)info.packed_bytes / (1 << 20), (double)info.workspace_bytes / (1 << 20));
    return engine;
}

const char *session_precision(const clipc_engine *engine)
{
    clipc_engine_info info = {.size = sizeof info};
    clipc_engine_get_info(engine, &info, NULL);
    return clipc_precision_name(info.precision);
}

size_t session_batch(const tool_settings *settings)
{
    return settings->batch ? (size_t)settings->batch : DEFAULT_BATCH;
}

size_t session_threads(const tool_settings *settings)
{
    return settings->threads ? (size_t)settings->threads : clipc_thread_count_default();
}

clipc_image_options session_image_options(const tool_settings *settings)
{
    clipc_image_options options;
    clipc_image_options_init(&options);
    options.max_pixels = settings->max_pixels;
    options.alpha = strcmp(settings->alpha, "drop") == 0 ? CLIPC_ALPHA_DROP : CLIPC_ALPHA_WHITE;
    options.apply_exif = settings->exif;
    return options;
}

const char *session_model_label(const clipc_model_info *info)
{
    return info->path[0] ? info->path : info->name;
}
