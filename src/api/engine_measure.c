/* Encode calls as they are measured: what the backend times and leaves out, under the engine's lock. */
#include "api/engine.h"

#define KNOWN_FLAGS (CLIPC_MEASURE_PARTS | CLIPC_MEASURE_NO_GRAPHS | CLIPC_MEASURE_NO_TRANSFERS)

clipc_status clipc_engine_measure(clipc_engine *engine, unsigned flags, clipc_error *error)
{
    CLIPC_FAIL_IF(!engine, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_measure: engine is NULL");
    CLIPC_FAIL_IF(flags & ~KNOWN_FLAGS, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_measure: unknown flags 0x%x",
                  flags);
    if (!engine->backend->measure) {
        CLIPC_FAIL_IF(flags, error, CLIPC_ERROR_UNSUPPORTED,
                      "backend %s: it has no transfers or graphs that could be timed or left out",
                      engine->backend->name);
        return CLIPC_OK;
    }
    pthread_mutex_lock(&engine->lock);
    const clipc_status status = engine->backend->measure(engine->compiled, flags, error);
    pthread_mutex_unlock(&engine->lock);
    return status;
}

clipc_status clipc_engine_get_parts(clipc_engine *engine, clipc_call_parts *parts, clipc_error *error)
{
    CLIPC_FAIL_IF(!engine || !parts, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_get_parts: %s is NULL",
                  engine ? "parts" : "engine");
    CLIPC_FAIL_IF(parts->size != sizeof *parts, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_call_parts.size is %zu, must be %zu", parts->size, sizeof *parts);
    CLIPC_FAIL_IF(!engine->backend->parts, error, CLIPC_ERROR_UNSUPPORTED,
                  "backend %s: it has no parts of calls that could be timed", engine->backend->name);
    *parts = (clipc_call_parts){.size = sizeof *parts};
    pthread_mutex_lock(&engine->lock);
    engine->backend->parts(engine->compiled, parts);
    pthread_mutex_unlock(&engine->lock);
    return CLIPC_OK;
}
