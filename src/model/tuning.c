#include "model/tuning.h"

#include "base/json.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT    ((size_t)4 << 20)
#define MAX_SETS    ((size_t)1024)
#define MAX_CHOICES ((size_t)1024)

static void destroy_set(clipc_choice_set *set)
{
    clipc_free(set->items);
}

void clipc_tuning_destroy(clipc_tuning **tuning)
{
    if (!tuning || !*tuning)
        return;
    for (size_t i = 0; i < (*tuning)->count; i++)
        destroy_set(&(*tuning)->sets[i]);
    clipc_free((*tuning)->sets);
    clipc_free(*tuning);
    *tuning = NULL;
}

void clipc_tuning_model(const clipc_config *config, char text[CLIPC_MODEL_SHAPES])
{
    int used = 0;
    if (clipc_config_has_tower(config, true))
        used = snprintf(text, CLIPC_MODEL_SHAPES, "image %zux%zux%zux%zu of %zu/%zu, ", config->image.width,
                        config->image.layers, config->image.heads, config->image.mlp_width, config->image_size,
                        config->patch_size);
    if (clipc_config_has_tower(config, false) && used >= 0 && used < CLIPC_MODEL_SHAPES)
        used += snprintf(text + used, CLIPC_MODEL_SHAPES - (size_t)used, "text %zux%zux%zux%zu of %zu, ",
                         config->text.width, config->text.layers, config->text.heads, config->text.mlp_width,
                         config->max_positions);
    if (used >= 0 && used < CLIPC_MODEL_SHAPES)
        snprintf(text + used, CLIPC_MODEL_SHAPES - (size_t)used, "%zu dimensions", config->embedding_dimension);
}

/* ---- sets ---- */

const clipc_choice_set *clipc_tuning_find(const clipc_tuning *tuning, const char *made_for, const char *model)
{
    for (size_t i = 0; tuning && i < tuning->count; i++)
        if (strcmp(tuning->sets[i].made_for, made_for) == 0 && strcmp(tuning->sets[i].model, model) == 0)
            return &tuning->sets[i];
    return NULL;
}

static clipc_status add_set(clipc_tuning *tuning, const char *made_for, const char *model, clipc_choice_set **out,
                            clipc_error *error)
{
    CLIPC_FAIL_IF(tuning->count == MAX_SETS, error, CLIPC_ERROR_LIMIT, "a timing cache holds at most %zu sets",
                  MAX_SETS);
    clipc_choice_set *sets = clipc_reallocate(tuning->sets, tuning->count + 1, sizeof *sets);
    if (!sets)
        return clipc_fail_memory(error, (tuning->count + 1) * sizeof *sets, "a set of choices");
    tuning->sets = sets;
    *out = &sets[tuning->count++];
    **out = (clipc_choice_set){0};
    snprintf((*out)->made_for, sizeof(*out)->made_for, "%s", made_for);
    snprintf((*out)->model, sizeof(*out)->model, "%s", model);
    return CLIPC_OK;
}

clipc_status clipc_tuning_open_set(clipc_tuning *tuning, const char *made_for, const char *model,
                                   clipc_choice_set **out, clipc_error *error)
{
    *out = NULL;
    for (size_t i = 0; i < tuning->count; i++)
        if (&tuning->sets[i] == clipc_tuning_find(tuning, made_for, model))
            *out = &tuning->sets[i];
    if (!*out)
        CLIPC_TRY(add_set(tuning, made_for, model, out, error));
    tuning->current = *out;
    return CLIPC_OK;
}

const char *clipc_choice_get(const clipc_choice_set *set, const char *name)
{
    for (size_t i = 0; set && i < set->count; i++)
        if (strcmp(set->items[i].name, name) == 0)
            return set->items[i].value;
    return NULL;
}

size_t clipc_choice_number(const clipc_choice_set *set, const char *name, size_t least, size_t most, size_t otherwise)
{
    const char *text = clipc_choice_get(set, name);
    char *end = NULL;
    if (!text || *text < '0' || *text > '9')
        return otherwise;
    const unsigned long long value = strtoull(text, &end, 10); /* of at most 23 digits: too many are ULLONG_MAX */
    return *end == '\0' && value >= least && value <= most ? (size_t)value : otherwise;
}

clipc_status clipc_choice_put(clipc_choice_set *set, const char *name, const char *value, clipc_error *error)
{
    clipc_choice *found = NULL;
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->items[i].name, name) == 0)
            found = &set->items[i];
    if (!found) {
        CLIPC_FAIL_IF(set->count == MAX_CHOICES, error, CLIPC_ERROR_LIMIT, "a set holds at most %zu choices",
                      MAX_CHOICES);
        clipc_choice *items = clipc_reallocate(set->items, set->count + 1, sizeof *items);
        if (!items)
            return clipc_fail_memory(error, (set->count + 1) * sizeof *items, "a choice");
        set->items = items;
        found = &items[set->count++];
    }
    *found = (clipc_choice){0};
    snprintf(found->name, sizeof found->name, "%s", name);
    snprintf(found->value, sizeof found->value, "%s", value);
    return CLIPC_OK;
}

/* ---- reading ---- */

/* A string of an object, shorter than `size`. */
static clipc_status read_string(const json_t *object, const char *key, size_t size, const char *name, const char **out,
                                clipc_error *error)
{
    *out = json_string_value(json_object_get(object, key));
    CLIPC_FAIL_IF(!*out || !**out || strlen(*out) >= size, error, CLIPC_ERROR_FORMAT,
                  "%s: '%s' of a set of choices is missing, empty or too long", name, key);
    return CLIPC_OK;
}

static clipc_status read_choices(json_t *choices, const char *name, clipc_choice_set *set, clipc_error *error)
{
    const char *key = NULL;
    json_t *value = NULL;
    CLIPC_FAIL_IF(!json_is_object(choices), error, CLIPC_ERROR_FORMAT, "%s: a set without choices", name);
    json_object_foreach(choices, key, value)
    {
        const char *text = json_string_value(value);
        CLIPC_FAIL_IF(!*key || strlen(key) >= CLIPC_CHOICE_NAME || !text || strlen(text) >= CLIPC_CHOICE_VALUE, error,
                      CLIPC_ERROR_FORMAT, "%s: a choice is no short string under a short name", name);
        CLIPC_TRY(clipc_choice_put(set, key, text, error));
    }
    return CLIPC_OK;
}

static clipc_status read_set(clipc_tuning *tuning, const json_t *from, const char *name, clipc_error *error)
{
    const char *made_for = NULL;
    const char *model = NULL;
    clipc_choice_set *set = NULL;
    CLIPC_TRY(read_string(from, "made_for", CLIPC_MADE_FOR, name, &made_for, error));
    CLIPC_TRY(read_string(from, "model", CLIPC_MODEL_SHAPES, name, &model, error));
    CLIPC_FAIL_IF(clipc_tuning_find(tuning, made_for, model), error, CLIPC_ERROR_FORMAT,
                  "%s: two sets are made for the same", name);
    CLIPC_TRY(add_set(tuning, made_for, model, &set, error));
    return read_choices(json_object_get(from, "choices"), name, set, error);
}

static clipc_status read_all(clipc_tuning *tuning, const json_t *root, const char *name, clipc_error *error)
{
    const json_t *version = json_object_get(root, "clipc_tuning");
    CLIPC_FAIL_IF(!json_is_integer(version), error, CLIPC_ERROR_FORMAT, "%s: no timing cache of clipc", name);
    CLIPC_FAIL_IF(json_integer_value(version) != CLIPC_TUNING_VERSION, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: a timing cache of version %lld, this clipc reads version %d", name,
                  (long long)json_integer_value(version), CLIPC_TUNING_VERSION);
    const json_t *sets = json_object_get(root, "sets");
    CLIPC_FAIL_IF(!json_is_array(sets), error, CLIPC_ERROR_FORMAT, "%s: 'sets' is missing or no array", name);
    for (size_t i = 0; i < json_array_size(sets); i++)
        CLIPC_TRY(read_set(tuning, json_array_get(sets, i), name, error));
    return CLIPC_OK;
}

static clipc_status parse(clipc_tuning *tuning, const void *text, size_t size, const char *name, clipc_error *error)
{
    json_t *root = NULL;
    CLIPC_FAIL_IF(size > MAX_TEXT, error, CLIPC_ERROR_LIMIT, "%s: %zu bytes, over the limit of %zu for a timing cache",
                  name, size, MAX_TEXT);
    CLIPC_TRY(clipc_json_parse(text, size, name, 0, &root, error));
    const clipc_status status = read_all(tuning, root, name, error);
    json_decref(root);
    return status;
}

clipc_status clipc_tuning_create(const void *text, size_t size, const char *name, clipc_tuning **out,
                                 clipc_error *error)
{
    CLIPC_FAIL_IF(!out, error, CLIPC_ERROR_ARGUMENT, "clipc_tuning_create: out is NULL");
    *out = clipc_allocate(1, sizeof **out);
    if (!*out)
        return clipc_fail_memory(error, sizeof **out, "a timing cache");
    const clipc_status status = text ? parse(*out, text, size, name ? name : "timing cache", error) : CLIPC_OK;
    if (status != CLIPC_OK)
        clipc_tuning_destroy(out);
    return status;
}

/* ---- writing ---- */

static json_t *set_to_json(const clipc_choice_set *set)
{
    json_t *choices = json_object();
    for (size_t i = 0; choices && i < set->count; i++)
        if (json_object_set_new(choices, set->items[i].name, json_string(set->items[i].value)) != 0) {
            json_decref(choices);
            choices = NULL;
        }
    return choices ? json_pack("{s:s, s:s, s:o}", "made_for", set->made_for, "model", set->model, "choices", choices)
                   : NULL;
}

char *clipc_tuning_text(const clipc_tuning *tuning, bool current_alone)
{
    json_t *sets = json_array();
    for (size_t i = 0; sets && i < tuning->count; i++) {
        if (current_alone && &tuning->sets[i] != tuning->current)
            continue;
        if (json_array_append_new(sets, set_to_json(&tuning->sets[i])) != 0) {
            json_decref(sets);
            sets = NULL;
        }
    }
    return clipc_json_write(sets ? json_pack("{s:i, s:o}", "clipc_tuning", CLIPC_TUNING_VERSION, "sets", sets) : NULL);
}

clipc_status clipc_tuning_write(const clipc_tuning *tuning, clipc_write_function write, void *user, clipc_error *error)
{
    CLIPC_FAIL_IF(!tuning || !write, error, CLIPC_ERROR_ARGUMENT, "clipc_tuning_write: %s is NULL",
                  tuning ? "write" : "tuning");
    char *text = clipc_tuning_text(tuning, false);
    if (!text)
        return clipc_fail_memory(error, 1024, "a timing cache");
    const bool written = write(user, text, strlen(text)) == 0;
    clipc_free(text);
    CLIPC_FAIL_IF(!written, error, CLIPC_ERROR_IO, "the timing cache could not be written");
    return CLIPC_OK;
}
