/* Profiles as one self-contained web page with bars. */
#ifndef CLIPC_TOOLS_PROFILE_REPORT_H
#define CLIPC_TOOLS_PROFILE_REPORT_H

#include "step_profile.h"

/* `device` says what it ran on. */
void profile_report_write(const char *path, const char *model, const char *device, const step_profile *profiles,
                          size_t count);

#endif
