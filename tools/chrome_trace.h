/* Traces of steps as a file that chrome://tracing and ui.perfetto.dev open. */
#ifndef CLIPC_TOOLS_CHROME_TRACE_H
#define CLIPC_TOOLS_CHROME_TRACE_H

#include "step_profile.h"

/* Chrome's trace event format: an object with "traceEvents". Each tower is a thread of its own; in it each batch is a
 * complete event ("ph": "X", microseconds), in it each layer, and in that each run of a step. Time begins with the
 * first batch. */
void chrome_trace_write(const char *path, const char *model, const step_profile *profiles, size_t count);

#endif
