#include "backend/backend.h"

#include <string.h>

clipc_status clipc_tune_choose(const clipc_tune_request *request, const char *name, const char *value, double speedup,
                               clipc_error *error)
{
    CLIPC_TRY(clipc_choice_put(request->set, name, value, error));
    if (request->measured)
        request->measured(request->user, name, value, speedup);
    return CLIPC_OK;
}

const clipc_choice_set *clipc_tune_find(const clipc_model *model, const clipc_compile_options *options,
                                        const char *made_for)
{
    char shapes[CLIPC_MODEL_SHAPES];
    clipc_error line; /* its message has room for a sentence, and is made safe to print */
    const clipc_tuning *tuning = options->tuning;
    clipc_tuning_model(&model->config, shapes);
    const clipc_choice_set *found = clipc_tuning_find(tuning, made_for, shapes);
    if (found || !tuning || tuning->count == 0 || !options->log)
        return found;
    clipc_fail(&line, CLIPC_OK, "%s: its tuning is for %s, and is not used for %s",
               model->path[0] ? model->path : model->name, tuning->sets[0].made_for, made_for);
    options->log(options->log_user, CLIPC_LOG_WARNING, line.message);
    return NULL;
}
