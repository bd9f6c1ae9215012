/* A profile for people, on a terminal, and for scripts, as JSON. */
#ifndef CLIPC_TOOLS_PROFILE_TABLE_H
#define CLIPC_TOOLS_PROFILE_TABLE_H

#include "step_profile.h"

#include <jansson.h>

void profile_table_print(const step_profile *profile);
/* One line a batch size, where some tower has several. */
void profile_shapes_print(const step_profile *profiles, size_t count);
void profile_peaks_print(const clipc_peaks *peaks);
json_t *profile_to_json(const step_profile *profile);
json_t *profile_peaks_to_json(const clipc_peaks *peaks);

#endif
