/* Making an engine: the config is checked, a backend chosen, and all memory planned. */
#include "api/engine.h"

#include "base/checked.h"
#include "base/cpu_features.h"
#include "base/memory.h"
#include "base/thread_pool.h"
#include "model/keep_precise.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_MAX_BATCH 32
/* Beyond any use, and small enough that sizes made of them cannot overflow. */
#define MAX_BATCH   ((size_t)1 << 20)
#define MAX_THREADS ((size_t)4096)
#define MAX_STREAMS ((size_t)16)
/* Images that come as bytes and become floats at once. */
#define FLOAT_IMAGES ((size_t)32)

const char *clipc_precision_name(clipc_precision precision)
{
    switch (precision) {
    case CLIPC_PRECISION_AUTO: return "auto";
    case CLIPC_PRECISION_FP32: return "fp32";
    case CLIPC_PRECISION_BF16: return "bf16";
    case CLIPC_PRECISION_INT8: return "int8";
    case CLIPC_PRECISION_FP16: return "fp16";
    case CLIPC_PRECISION_FP8: return "fp8";
    }
    return "unknown";
}

void clipc_engine_config_init(clipc_engine_config *config)
{
    *config = (clipc_engine_config){
        .size = sizeof *config,
        .max_batch = DEFAULT_MAX_BATCH,
        .image_tower = 1,
        .text_tower = 1,
        .tensorrt_level = -1,
    };
}

static clipc_status check_batches(const char *name, const clipc_batches *batches, clipc_error *error)
{
    const bool unsaid = !batches->least && !batches->usual && !batches->largest;
    const bool good = batches->least >= 1 && batches->least <= batches->usual && batches->usual <= batches->largest &&
                      batches->largest <= MAX_BATCH;
    CLIPC_FAIL_IF(!unsaid && !good, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_engine_config: %s are %zu, %zu, %zu, not rising numbers from 1 to %zu", name, batches->least,
                  batches->usual, batches->largest, MAX_BATCH);
    return CLIPC_OK;
}

static clipc_status check_config(const clipc_engine_config *config, clipc_error *error)
{
    CLIPC_FAIL_IF(config->size != sizeof *config, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_engine_config.size is %zu, must be %zu (clipc_engine_config_init sets it)", config->size,
                  sizeof *config);
    CLIPC_FAIL_IF((int)config->precision < CLIPC_PRECISION_AUTO || (int)config->precision > CLIPC_PRECISION_FP8, error,
                  CLIPC_ERROR_ARGUMENT, "clipc_engine_config: no precision has the number %d", (int)config->precision);
    CLIPC_FAIL_IF(config->threads > MAX_THREADS, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_engine_config: %zu threads, over the limit of %zu", config->threads, MAX_THREADS);
    CLIPC_FAIL_IF(config->max_batch < 1 || config->max_batch > MAX_BATCH, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_engine_config: max_batch is %zu, not 1 to %zu", config->max_batch, MAX_BATCH);
    CLIPC_FAIL_IF(config->streams > MAX_STREAMS, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_engine_config: %zu streams, over the limit of %zu", config->streams, MAX_STREAMS);
    CLIPC_FAIL_IF(config->tensorrt_level < -1 || config->tensorrt_level > 5, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_engine_config: tensorrt_level is %d, not -1 to 5", config->tensorrt_level);
    CLIPC_TRY(check_batches("tensorrt_image_batches", &config->tensorrt_image_batches, error));
    CLIPC_TRY(check_batches("tensorrt_text_batches", &config->tensorrt_text_batches, error));
    CLIPC_FAIL_IF(!config->image_tower && !config->text_tower, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_engine_config: both towers are left out");
    if (config->cpu_level) {
        clipc_cpu_level level;
        CLIPC_TRY(clipc_cpu_level_parse(config->cpu_level, &level, error));
    }
    return CLIPC_OK;
}

/* An engine file has the weights of one precision and no others. */
static clipc_status settle_precision(const clipc_model *model, clipc_precision wanted, clipc_precision *out,
                                     clipc_error *error)
{
    *out = wanted;
    if (!model->engine_file)
        return CLIPC_OK;
    CLIPC_FAIL_IF(
        wanted != CLIPC_PRECISION_AUTO && wanted != model->precision, error, CLIPC_ERROR_UNSUPPORTED,
        "%s: holds %s weights, precision %s cannot be made of them; convert the original with that precision",
        model->path, clipc_precision_name(model->precision), clipc_precision_name(wanted));
    *out = model->precision;
    return CLIPC_OK;
}

/* Whether `backend` can run here at `precision`. */
static clipc_status try_backend(const clipc_backend *backend, clipc_precision precision, clipc_error *error)
{
    const clipc_status status = backend->probe(error);
    if (status != CLIPC_OK)
        return clipc_fail_within(error, status, "backend %s", backend->name);
    CLIPC_FAIL_IF(precision != CLIPC_PRECISION_AUTO && !backend->supports_precision(precision), error,
                  CLIPC_ERROR_UNSUPPORTED, "backend %s: it has no precision %s", backend->name,
                  clipc_precision_name(precision));
    return CLIPC_OK;
}

/* An engine file is packed for one backend. */
static clipc_status check_packed_for(const clipc_model *model, const char *backend, clipc_error *error)
{
    CLIPC_FAIL_IF(model->engine_file && strcmp(model->packed_for, backend) != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: its weights are packed for backend %s, and backend %s cannot take them; convert the original "
                  "again, with --backend %s",
                  model->path, model->packed_for, backend, backend);
    return CLIPC_OK;
}

/* Of "auto": the first that can run here. When none can, the reasons of all of them. */
static clipc_status choose_first(const clipc_model *model, clipc_precision precision, const clipc_backend **out,
                                 clipc_error *error)
{
    clipc_status status = CLIPC_ERROR_INTERNAL;
    char reasons[sizeof error->message] = "";
    size_t used = 0;
    for (size_t i = 0; (*out = clipc_backend_at(i)); i++) {
        if (!(*out)->automatic || (model->engine_file && strcmp(model->packed_for, (*out)->name) != 0))
            continue; /* the latter could not read the file's weights */
        clipc_error reason = {0};
        status = try_backend(*out, precision, &reason);
        if (status == CLIPC_OK)
            return status;
        const int length = snprintf(reasons + used, sizeof reasons - used, "%s%s", used ? "; " : "", reason.message);
        used = clipc_min(used + (length > 0 ? (size_t)length : 0), sizeof reasons - 1);
    }
    CLIPC_FAIL_IF(used == 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: its weights are packed for backend %s, which this clipc was built without", model->path,
                  model->packed_for);
    return clipc_fail(error, status, "%s", reasons);
}

static clipc_status choose_backend(const clipc_model *model, const clipc_engine_config *config,
                                   clipc_precision precision, const clipc_backend **out, clipc_error *error)
{
    const bool any = !config->backend || strcmp(config->backend, "auto") == 0;
    if (any && !config->devices)
        return choose_first(model, precision, out, error);
    CLIPC_TRY(clipc_backend_find(any ? "cuda" : config->backend, out, error));
    if ((*out)->pack || clipc_block_writer_find((*out)->name)) /* others have their own words for it */
        CLIPC_TRY(check_packed_for(model, (*out)->name, error));
    return try_backend(*out, precision, error);
}

/* What is above `precision` depends on the backend. */
static clipc_status check_kept(const clipc_model *model, const clipc_compile_options *options, bool halves,
                               clipc_precision precision, clipc_error *error)
{
    if (!options->keep_precise)
        return CLIPC_OK;
    CLIPC_FAIL_IF(model->engine_file, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: an engine file keeps the precisions it was made with; make it again from the original",
                  model->path);
    if (halves)
        return clipc_keep_precise_check_halves(options->keep_precise, &model->config, &model->weights, precision,
                                               error);
    return clipc_keep_precise_check(options->keep_precise, &model->config, &model->weights, precision, error);
}

/* After the backend is settled: what it plans to compute in is what the list must be above. */
static clipc_status check_keep_precise(const clipc_model *model, const clipc_backend *backend,
                                       const clipc_compile_options *options, clipc_error *error)
{
    clipc_compiled_info planned = {0};
    if (!options->keep_precise)
        return CLIPC_OK;
    CLIPC_FAIL_IF(!backend->mixes_precisions, error, CLIPC_ERROR_UNSUPPORTED,
                  "backend %s: it computes all layers in one precision, so none can be kept in another",
                  backend->name);
    CLIPC_TRY(backend->plan(options, &planned, error));
    return check_kept(model, options, backend->keeps_halves, planned.precision, error);
}

/* Of one text: its tokens, and perhaps a class token twice (text_rows.h). */
static size_t most_rows(const clipc_model *model)
{
    return model->context_length + (model->config.text_class_token ? 2 : 0);
}

static clipc_status plan_tokens(clipc_engine *engine, clipc_error *error)
{
    const size_t ids = engine->max_batch * most_rows(engine->model);
    engine->ids = clipc_allocate(ids, sizeof *engine->ids);
    if (!engine->ids)
        return clipc_fail_memory(error, ids * sizeof *engine->ids, "token ids");
    engine->offsets = clipc_allocate(engine->max_batch + 1, sizeof *engine->offsets);
    if (!engine->offsets)
        return clipc_fail_memory(error, (engine->max_batch + 1) * sizeof *engine->offsets, "token offsets");
    return CLIPC_OK;
}

/* Room for the floats of images that come as bytes. It costs address space alone until such images come. */
static clipc_status plan_floats(clipc_engine *engine, clipc_error *error)
{
    const size_t size = engine->model->config.image_size;
    engine->float_images = clipc_min(engine->max_batch, FLOAT_IMAGES);
    engine->floats = clipc_allocate(engine->float_images * 3 * size * size, sizeof *engine->floats);
    if (!engine->floats)
        return clipc_fail_memory(error, engine->float_images * 3 * size * size * sizeof *engine->floats, "pixels");
    return CLIPC_OK;
}

/* The towers that are wanted and there. */
static bool takes_tower(const clipc_model *model, const clipc_engine_config *config, bool image)
{
    return (image ? config->image_tower : config->text_tower) != 0 && clipc_config_has_tower(&model->config, image);
}

static clipc_status check_towers(const clipc_model *model, const clipc_engine_config *config, clipc_error *error)
{
    if (takes_tower(model, config, true) || takes_tower(model, config, false))
        return CLIPC_OK;
    return clipc_model_check_tower(model, config->image_tower != 0, error);
}

static clipc_compile_options compile_options(const clipc_model *model, const clipc_engine_config *config,
                                             clipc_precision precision)
{
    return (clipc_compile_options){
        .precision = precision,
        .threads = config->threads ? config->threads : clipc_thread_count_default(),
        .max_batch = config->max_batch,
        .cpu_level = config->cpu_level,
        .image_tower = takes_tower(model, config, true),
        .text_tower = takes_tower(model, config, false),
        .devices = config->devices,
        .streams = config->streams,
        .tensorrt_cache = config->tensorrt_cache,
        .tensorrt_level = config->tensorrt_level,
        .tensorrt_workspace = config->tensorrt_workspace,
        .tensorrt_image_batches = config->tensorrt_image_batches,
        .tensorrt_text_batches = config->tensorrt_text_batches,
        .batch_invariant = config->batch_invariant != 0,
        .keep_precise = config->keep_precise && config->keep_precise[0] ? config->keep_precise : NULL,
        .tuning = config->tuning ? config->tuning : model->tuning,
        .log = config->log,
        .log_user = config->log_user,
    };
}

static clipc_status compile(clipc_engine *engine, const clipc_engine_config *config, clipc_precision precision,
                            clipc_error *error)
{
    const clipc_compile_options options = compile_options(engine->model, config, precision);
    CLIPC_TRY(check_keep_precise(engine->model, engine->backend, &options, error));
    CLIPC_TRY(engine->backend->compile(engine->model, &options, &engine->compiled, error));
    engine->backend->info(engine->compiled, &engine->info);
    return CLIPC_OK;
}

clipc_status clipc_engine_create(const clipc_model *model, const clipc_engine_config *config, clipc_engine **out,
                                 clipc_error *error)
{
    CLIPC_FAIL_IF(!out, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_create: out is NULL");
    *out = NULL;
    CLIPC_FAIL_IF(!model, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_create: model is NULL");
    clipc_engine_config defaults;
    clipc_engine_config_init(&defaults);
    if (!config)
        config = &defaults;
    CLIPC_TRY(check_config(config, error));
    CLIPC_TRY(check_towers(model, config, error));
    clipc_precision precision = CLIPC_PRECISION_AUTO;
    CLIPC_TRY(settle_precision(model, config->precision, &precision, error));

    clipc_status status = CLIPC_OK;
    clipc_engine *engine = clipc_allocate(1, sizeof *engine);
    if (!engine)
        return clipc_fail_memory(error, sizeof *engine, "an engine");
    engine->model = clipc_model_retain(model);
    engine->max_batch = config->max_batch;
    engine->image_tower = takes_tower(model, config, true);
    engine->text_tower = takes_tower(model, config, false);
    CLIPC_CHECK(choose_backend(model, config, precision, &engine->backend, error));
    if (pthread_mutex_init(&engine->lock, NULL) != 0) {
        status = clipc_fail(error, CLIPC_ERROR_MEMORY, "cannot make a mutex");
        goto fail;
    }
    engine->lock_made = true;
    if (engine->text_tower)
        CLIPC_CHECK(plan_tokens(engine, error));
    if (engine->image_tower && !engine->backend->encode_bytes)
        CLIPC_CHECK(plan_floats(engine, error));
    CLIPC_CHECK(compile(engine, config, precision, error));
    *out = engine;
    return CLIPC_OK;
fail:
    clipc_engine_destroy(&engine);
    return status;
}

clipc_status clipc_engine_settle(const clipc_model *model, const clipc_engine_config *config,
                                 const clipc_backend **backend, clipc_compile_options *options, clipc_error *error)
{
    clipc_precision precision = CLIPC_PRECISION_AUTO;
    CLIPC_TRY(check_config(config, error));
    CLIPC_TRY(check_towers(model, config, error));
    CLIPC_TRY(settle_precision(model, config->precision, &precision, error));
    CLIPC_TRY(choose_backend(model, config, precision, backend, error));
    *options = compile_options(model, config, precision);
    return check_keep_precise(model, *backend, options, error);
}

clipc_status clipc_engine_settle_blocks(const clipc_model *model, const clipc_engine_config *config,
                                        const clipc_block_writer *writer, clipc_compile_options *options,
                                        clipc_error *error)
{
    clipc_precision precision = CLIPC_PRECISION_AUTO;
    CLIPC_TRY(check_config(config, error));
    CLIPC_TRY(check_packed_for(model, writer->backend, error));
    CLIPC_TRY(settle_precision(model, config->precision, &precision, error));
    CLIPC_FAIL_IF(!writer->supports_precision(precision), error, CLIPC_ERROR_UNSUPPORTED,
                  "backend %s: it has no precision %s", writer->backend, clipc_precision_name(precision));
    *options = compile_options(model, config, precision);
    return check_kept(model, options, true, writer->settle(options), error);
}

void clipc_engine_destroy(clipc_engine **engine)
{
    if (!engine || !*engine)
        return;
    clipc_engine *made = *engine;
    if (made->compiled)
        made->backend->destroy(&made->compiled);
    if (made->lock_made)
        pthread_mutex_destroy(&made->lock);
    clipc_free(made->floats);
    clipc_free(made->ids);
    clipc_free(made->offsets);
    clipc_model_release(&made->model);
    clipc_free(made);
    *engine = NULL;
}

static clipc_status check_info(const clipc_engine_info *info, clipc_error *error)
{
    CLIPC_FAIL_IF(info->size != sizeof *info, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_engine_info.size is %zu, must be %zu", info->size, sizeof *info);
    return CLIPC_OK;
}

static void fill_info(const clipc_backend *backend, const clipc_compiled_info *compiled, clipc_engine_info *info)
{
    *info = (clipc_engine_info){
        .size = sizeof *info,
        .backend = backend->name,
        .isa = compiled->isa,
        .precision = compiled->precision,
        .threads = compiled->threads,
        .packed_bytes = compiled->packed_bytes,
        .workspace_bytes = compiled->workspace_bytes,
        .devices = clipc_max(compiled->devices, 1),
        .streams = clipc_max(compiled->streams, 1),
    };
}

clipc_status clipc_engine_get_info(const clipc_engine *engine, clipc_engine_info *info, clipc_error *error)
{
    CLIPC_FAIL_IF(!engine || !info, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_get_info: %s is NULL",
                  engine ? "info" : "engine");
    CLIPC_TRY(check_info(info, error));
    fill_info(engine->backend, &engine->info, info);
    return CLIPC_OK;
}

clipc_status clipc_engine_plan(const clipc_model *model, const clipc_engine_config *config, clipc_engine_info *info,
                               clipc_error *error)
{
    CLIPC_FAIL_IF(!model || !info, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_plan: %s is NULL",
                  model ? "info" : "model");
    CLIPC_TRY(check_info(info, error));
    clipc_engine_config defaults;
    clipc_engine_config_init(&defaults);
    const clipc_backend *backend = NULL;
    clipc_compile_options options;
    CLIPC_TRY(clipc_engine_settle(model, config ? config : &defaults, &backend, &options, error));
    clipc_compiled_info compiled = {0};
    CLIPC_TRY(backend->plan(&options, &compiled, error));
    fill_info(backend, &compiled, info);
    return CLIPC_OK;
}
