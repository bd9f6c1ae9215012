/* Runs one tower on random inputs, as bench does, and sums up its steps. */
#ifndef CLIPC_TOOLS_TOWER_PROFILE_H
#define CLIPC_TOOLS_TOWER_PROFILE_H

#include "options.h"
#include "shapes.h"
#include "step_profile.h"

/* What lasts as long as the program's tables of tower names. */
extern const char *const tower_names[2]; /* "image", "text" */

/* One engine of the tower, and a profile for each batch size: profiles [shapes->count]. Batches for --warm-up, then
 * --iterations that are traced; --tokens says how long texts are. Peaks are measured once, when peaks->size is 0, or
 * left out when `peaks` is NULL. Quits when the backend cannot record its steps. */
void tower_profile_create(step_profile *profiles, const tool_settings *settings, size_t tower,
                          const clipc_model *model, const shape_list *shapes, bool by_layers, clipc_peaks *peaks);
/* The name of what an engine computes on, or of its backend where nothing says; the caller frees. */
char *engine_device_name(const tool_settings *settings, const clipc_engine_info *engine);

#endif
