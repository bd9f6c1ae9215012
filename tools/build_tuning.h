/* clipc build's --tune and --timing-cache. */
#ifndef CLIPC_TOOLS_BUILD_TUNING_H
#define CLIPC_TOOLS_BUILD_TUNING_H

#include "json_line.h"
#include "options.h"

#include "clipc/tuning.h"

/* Quits when the two options do not fit each other or the rest. */
void build_tuning_check(const tool_settings *settings);
/* Measures as the settings say, with what the timing cache has already, and keeps the cache up to date as it goes on.
 * NULL when nothing is to be tuned; else to be destroyed with clipc_tuning_destroy. */
clipc_tuning *build_tuning_measure(const tool_settings *settings, const clipc_model *model);

/* What was chosen, {"made_for": …, "choices": {…}}; null for NULL or when there is nothing. */
json_t *tuning_to_json(const clipc_tuning *tuning);

#endif
