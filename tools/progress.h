/* The progress bar: on a terminal only, and only when work lasts over a second. */
#ifndef CLIPC_TOOLS_PROGRESS_H
#define CLIPC_TOOLS_PROGRESS_H

#include "options.h"

/* Starts the clock. `unit` is the plural of what is counted. `operands` are image operands to be counted in the
 * background when the bar appears, or NULL with `total`, 0 when it is unknown. Nothing is shown with --quiet, or when
 * standard error is not a terminal, or when results appear on that terminal anyway (`results_shown`). */
void progress_start(const char *unit, const string_list *operands, size_t total, bool results_shown);
/* `done` so far. */
void progress_update(size_t done);
/* Clears the bar's line, so that something else can be printed. */
void progress_hide(void);
void progress_finish(void);
/* Leaves the line where it is. Safe in a signal handler. */
void progress_abandon(void);
/* Seconds since progress_start. */
double progress_seconds(void);

#endif
