/* What a tower computes on its way: handed on by the backend. */
#include "api/engine.h"

clipc_status clipc_engine_set_tap(clipc_engine *engine, clipc_tap_function function, void *user, clipc_error *error)
{
    CLIPC_FAIL_IF(!engine, error, CLIPC_ERROR_ARGUMENT, "clipc_engine_set_tap: engine is NULL");
    CLIPC_FAIL_IF(!engine->backend->set_tap, error, CLIPC_ERROR_UNSUPPORTED,
                  "backend %s: it cannot hand out what it computes on its way", engine->backend->name);
    CLIPC_FAIL_IF(function && engine->image_tower && clipc_config_is_resnet(&engine->model->config), error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: a ResNet image tower hands out nothing of what it computes on its way",
                  engine->model->path[0] ? engine->model->path : engine->model->name);
    const clipc_tap_target target = {function, user};
    pthread_mutex_lock(&engine->lock);
    const clipc_status status = engine->backend->set_tap(engine->compiled, &target, error);
    pthread_mutex_unlock(&engine->lock);
    return status;
}
