/* Part of clipc's interface: measured choices.
 *
 * Some things may be done in several ways that give the same bits, of which a device and a model decide the fastest:
 * on a CPU how much is computed together, on a GPU which tile computes a product, and how a call is cut into passes
 * and dealt to streams. clipc_model_tune measures them.
 */
#ifndef CLIPC_TUNING_H
#define CLIPC_TUNING_H

#include "clipc/clipc.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum clipc_tuning_effort { CLIPC_TUNING_FAST = 1, CLIPC_TUNING_FULL = 2 } clipc_tuning_effort;

/* Reads what clipc_tuning_write wrote before: choices for any number of devices and models. `text` NULL: none yet.
 * `name` is what messages call it. Text that is none of that fails and makes nothing. */
CLIPC_API clipc_status clipc_tuning_create(const void *text, size_t size, const char *name, clipc_tuning **out,
                                           clipc_error *error);
CLIPC_API void clipc_tuning_destroy(clipc_tuning **tuning);

/* Called after each measurement: what was measured, the choice, and how many times as fast it is as what is chosen
 * without (1: the same). The strings are valid during the call. It may write the tuning down, so that nothing is
 * measured twice when the program is stopped. */
typedef void (*clipc_tuning_function)(void *user, const char *name, const char *value, double speedup);

/* Makes an engine with `config`, on this device, and measures what `tuning` does not have yet for it; config->tuning
 * does not count. With CLIPC_TUNING_FULL there are more candidates, and they are measured longer. `measured` may be
 * NULL. CLIPC_ERROR_UNSUPPORTED when the backend has nothing to choose among. */
CLIPC_API clipc_status clipc_model_tune(const clipc_model *model, const clipc_engine_config *config,
                                        clipc_tuning_effort effort, clipc_tuning *tuning,
                                        clipc_tuning_function measured, void *user, clipc_error *error);

/* The choices that clipc_model_tune made last, or an engine file's: CLIPC_ERROR_NOT_FOUND past the last. The strings
 * live until the tuning is changed or destroyed. */
CLIPC_API clipc_status clipc_tuning_get_choice(const clipc_tuning *tuning, size_t index, const char **name,
                                               const char **value, clipc_error *error);
/* What they were made for, in words; NULL when there are none. */
CLIPC_API const char *clipc_tuning_made_for(const clipc_tuning *tuning);
/* Writes all that is in it as text. When `write` stops, the status is CLIPC_ERROR_IO. */
CLIPC_API clipc_status clipc_tuning_write(const clipc_tuning *tuning,
                                          int (*write)(void *user, const void *bytes, size_t size), void *user,
                                          clipc_error *error);
/* Those in the engine file; NULL when there are none. They belong to the model. */
CLIPC_API const clipc_tuning *clipc_model_tuning(const clipc_model *model);

#ifdef __cplusplus
}
#endif

#endif
