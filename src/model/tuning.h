/* Choices that were measured: which of several ways of the same bits is fastest on one kind of device. As JSON they
 * are a timing cache, a file of its own, or a section of an engine file; they are hostile until they were read, and
 * what a value means, and whether it is in range, the backend that made it checks when it uses it.
 *
 *     {"clipc_tuning": 1, "sets": [{"made_for": "cpu, …", "model": "…", "choices": {"image.activation_bytes":
 * "6291456"}}]}
 */
#ifndef CLIPC_MODEL_TUNING_H
#define CLIPC_MODEL_TUNING_H

#include "clipc/tuning.h"
#include "model/config.h"

#define CLIPC_TUNING_VERSION 1
#define CLIPC_TUNING_FILE    "tuning.json" /* the section of an engine file */
#define CLIPC_CHOICE_NAME    64
#define CLIPC_CHOICE_VALUE   24
#define CLIPC_MADE_FOR       320
#define CLIPC_MODEL_SHAPES   160

typedef struct clipc_choice {
    char name[CLIPC_CHOICE_NAME];
    char value[CLIPC_CHOICE_VALUE];
} clipc_choice;

/* What was chosen for one model's shapes on one kind of device, by one version of clipc. */
typedef struct clipc_choice_set {
    char made_for[CLIPC_MADE_FOR]; /* backend, device, driver or instruction set, precision, threads, version */
    char model[CLIPC_MODEL_SHAPES];
    clipc_choice *items;
    size_t count;
} clipc_choice_set;

struct clipc_tuning {
    clipc_choice_set *sets;
    size_t count;
    clipc_choice_set *current; /* that clipc_model_tune filled last; NULL: none. One of `sets` */
};

/* The shapes that choices depend on, in words. */
void clipc_tuning_model(const clipc_config *config, char text[CLIPC_MODEL_SHAPES]);

/* The set that was made for exactly that; NULL: there is none, or `tuning` is NULL. */
const clipc_choice_set *clipc_tuning_find(const clipc_tuning *tuning, const char *made_for, const char *model);
/* The same, to be filled: made where there is none. It becomes tuning->current. */
clipc_status clipc_tuning_open_set(clipc_tuning *tuning, const char *made_for, const char *model,
                                   clipc_choice_set **out, clipc_error *error);

/* NULL where there is none; `set` may be NULL. */
const char *clipc_choice_get(const clipc_choice_set *set, const char *name);
/* A value that is a number from `least` to `most`, else `otherwise`. */
size_t clipc_choice_number(const clipc_choice_set *set, const char *name, size_t least, size_t most, size_t otherwise);
/* Adds or replaces. */
clipc_status clipc_choice_put(clipc_choice_set *set, const char *name, const char *value, clipc_error *error);

/* JSON of all sets, or of the current one alone; to be freed with clipc_free. NULL: no memory. */
char *clipc_tuning_text(const clipc_tuning *tuning, bool current_alone);

#endif
