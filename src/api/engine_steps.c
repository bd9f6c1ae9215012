/* Where an engine's time goes: what the backend records, under the engine's lock. */
#include "api/engine.h"

static clipc_status record(clipc_engine *engine, bool on, const clipc_step_target *target, clipc_error *error)
{
    CLIPC_FAIL_IF(!engine->backend->record_steps, error, CLIPC_ERROR_UNSUPPORTED,
                  "backend %s: it cannot record its steps", engine->backend->name);
    pthread_mutex_lock(&engine->lock);
    const clipc_status status = engine->backend->record_steps(engine->compiled, on, target, error);
    pthread_mutex_unlock(&engine->lock);
    return status;
}

clipc_status clipc_engine_record_steps(clipc_engine *engine, int on, clipc_error *error)
{
    CLIPC_FAIL_IF(!engine, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_record_steps: engine is NULL");
    return record(engine, on != 0, NULL, error);
}

clipc_status clipc_engine_trace_steps(clipc_engine *engine, clipc_step_function function, void *user,
                                      clipc_error *error)
{
    CLIPC_FAIL_IF(!engine, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_trace_steps: engine is NULL");
    const clipc_step_target target = {function, user};
    return record(engine, function != NULL, &target, error);
}

static bool get_step(clipc_engine *engine, size_t index, clipc_step_info *info)
{
    if (!engine->backend->step)
        return false;
    pthread_mutex_lock(&engine->lock);
    const bool found = engine->backend->step(engine->compiled, index, info);
    pthread_mutex_unlock(&engine->lock);
    return found;
}

size_t clipc_engine_step_count(clipc_engine *engine)
{
    size_t count = 0;
    clipc_step_info info;
    while (engine && get_step(engine, count, &info))
        count++;
    return count;
}

clipc_status clipc_engine_get_step(clipc_engine *engine, size_t index, clipc_step_info *info, clipc_error *error)
{
    CLIPC_FAIL_IF(!engine || !info, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_get_step: %s is NULL",
                  engine ? "info" : "engine");
    CLIPC_FAIL_IF(info->size != sizeof *info, error, CLIPC_ERROR_ARGUMENT, "clipc_step_info.size is %zu, must be %zu",
                  info->size, sizeof *info);
    CLIPC_FAIL_IF(!get_step(engine, index, info), error, CLIPC_ERROR_ARGUMENT,
                  "clipc_engine_get_step: no step has the index %zu", index);
    info->size = sizeof *info;
    return CLIPC_OK;
}

clipc_status clipc_engine_measure_peaks(clipc_engine *engine, clipc_peaks *peaks, clipc_error *error)
{
    CLIPC_FAIL_IF(!engine || !peaks, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_measure_peaks: %s is NULL",
                  engine ? "peaks" : "engine");
    CLIPC_FAIL_IF(peaks->size != sizeof *peaks, error, CLIPC_ERROR_ARGUMENT, "clipc_peaks.size is %zu, must be %zu",
                  peaks->size, sizeof *peaks);
    CLIPC_FAIL_IF(!engine->backend->measure_peaks, error, CLIPC_ERROR_UNSUPPORTED,
                  "backend %s: it cannot measure the machine's peaks", engine->backend->name);
    pthread_mutex_lock(&engine->lock);
    const clipc_status status = engine->backend->measure_peaks(engine->compiled, peaks, error);
    pthread_mutex_unlock(&engine->lock);
    return status;
}
