/* Measuring which of several ways of the same bits is fastest here. */
#include "api/engine.h"
#include "base/memory.h"
#include "model/tuning.h"

#include <string.h>

/* Images and texts as real ones are to the time that they take: random values, and texts of the whole context. */
struct inputs {
    float *pixels;
    int32_t *ids;
    size_t *offsets;
};

static void free_inputs(struct inputs *inputs)
{
    clipc_free(inputs->pixels);
    clipc_free(inputs->ids);
    clipc_free(inputs->offsets);
}

static clipc_status make_images(const clipc_engine *engine, struct inputs *inputs, clipc_error *error)
{
    const size_t size = engine->model->config.image_size;
    const size_t values = engine->max_batch * 3 * size * size;
    uint32_t random = 1;
    inputs->pixels = clipc_allocate(values, sizeof *inputs->pixels);
    if (!inputs->pixels)
        return clipc_fail_memory(error, values * sizeof *inputs->pixels, "pixels");
    for (size_t i = 0; i < values; i++) {
        random = random * 1664525U + 1013904223U;
        inputs->pixels[i] = (float)(random >> 8) / 4194304.0F - 2;
    }
    return CLIPC_OK;
}

static clipc_status make_texts(const clipc_engine *engine, struct inputs *inputs, clipc_error *error)
{
    const size_t length = engine->model->context_length;
    const size_t count = engine->max_batch * length;
    inputs->ids = clipc_allocate(count, sizeof *inputs->ids);
    inputs->offsets = clipc_allocate(engine->max_batch + 1, sizeof *inputs->offsets);
    if (!inputs->ids || !inputs->offsets)
        return clipc_fail_memory(error, count * sizeof *inputs->ids, "token ids");
    for (size_t i = 0; i < count; i++)
        inputs->ids[i] = (int32_t)(i * 7919 % engine->model->config.vocabulary_size);
    for (size_t i = 0; i <= engine->max_batch; i++)
        inputs->offsets[i] = i * length;
    return CLIPC_OK;
}

/* Says that what is there already was made for something else. */
static void log_others(const clipc_tuning *tuning, const char *made_for, const char *shapes,
                       const clipc_engine_config *config)
{
    clipc_error line; /* its message has room for a sentence, and is made safe to print */
    if (!config->log || tuning->count == 0 || clipc_tuning_find(tuning, made_for, shapes))
        return;
    const bool same_device = strcmp(tuning->sets[0].made_for, made_for) == 0;
    clipc_fail(&line, CLIPC_OK, "the timing cache is for %s%s, not for %s: it is measured anew",
               same_device ? tuning->sets[0].model : tuning->sets[0].made_for, tuning->count > 1 ? " and others" : "",
               same_device ? shapes : made_for);
    config->log(config->log_user, CLIPC_LOG_WARNING, line.message);
}

static clipc_status tune(clipc_engine *engine, const clipc_engine_config *config, clipc_tuning_effort effort,
                         clipc_tuning *tuning, clipc_tuning_function measured, void *user, clipc_error *error)
{
    const clipc_backend *backend = engine->backend;
    struct inputs inputs = {0};
    clipc_choice_set *set = NULL;
    clipc_status status = CLIPC_OK;
    char made_for[CLIPC_MADE_FOR];
    char shapes[CLIPC_MODEL_SHAPES];
    CLIPC_FAIL_IF(!backend->tune, error, CLIPC_ERROR_UNSUPPORTED, "backend %s: it has nothing to tune", backend->name);
    backend->made_for(engine->compiled, made_for);
    clipc_tuning_model(&engine->model->config, shapes);
    log_others(tuning, made_for, shapes, config);
    CLIPC_TRY(clipc_tuning_open_set(tuning, made_for, shapes, &set, error));
    if (engine->image_tower)
        CLIPC_CHECK(make_images(engine, &inputs, error));
    if (engine->text_tower)
        CLIPC_CHECK(make_texts(engine, &inputs, error));
    const clipc_tune_request request = {.full = effort == CLIPC_TUNING_FULL,
                                        .set = set,
                                        .count = engine->max_batch,
                                        .pixels = inputs.pixels,
                                        .ids = inputs.ids,
                                        .offsets = inputs.offsets,
                                        .measured = measured,
                                        .user = user};
    CLIPC_CHECK(backend->tune(engine->compiled, &request, error));
fail:
    free_inputs(&inputs);
    return status;
}

clipc_status clipc_model_tune(const clipc_model *model, const clipc_engine_config *config, clipc_tuning_effort effort,
                              clipc_tuning *tuning, clipc_tuning_function measured, void *user, clipc_error *error)
{
    clipc_engine *engine = NULL;
    clipc_engine_config plain;
    CLIPC_FAIL_IF(!model || !config || !tuning, error, CLIPC_ERROR_ARGUMENT, "clipc_model_tune: %s is NULL",
                  !model    ? "model"
                  : !config ? "config"
                            : "tuning");
    CLIPC_FAIL_IF(effort != CLIPC_TUNING_FAST && effort != CLIPC_TUNING_FULL, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_model_tune: no effort has the number %d", (int)effort);
    plain = *config;
    if (plain.size == sizeof plain)
        plain.tuning = NULL;
    CLIPC_TRY(clipc_engine_create(model, &plain, &engine, error));
    const clipc_status status = tune(engine, &plain, effort, tuning, measured, user, error);
    clipc_engine_destroy(&engine);
    return status;
}

clipc_status clipc_tuning_get_choice(const clipc_tuning *tuning, size_t index, const char **name, const char **value,
                                     clipc_error *error)
{
    CLIPC_FAIL_IF(!tuning || !name || !value, error, CLIPC_ERROR_ARGUMENT, "clipc_tuning_get_choice: %s is NULL",
                  !tuning ? "tuning"
                  : !name ? "name"
                          : "value");
    CLIPC_FAIL_IF(!tuning->current || index >= tuning->current->count, error, CLIPC_ERROR_NOT_FOUND,
                  "no choice has the index %zu", index);
    *name = tuning->current->items[index].name;
    *value = tuning->current->items[index].value;
    return CLIPC_OK;
}

const char *clipc_tuning_made_for(const clipc_tuning *tuning)
{
    return tuning && tuning->current ? tuning->current->made_for : NULL;
}

const clipc_tuning *clipc_model_tuning(const clipc_model *model)
{
    return model ? model->tuning : NULL;
}
