/* Command lines that would lose something. */
#ifndef CLIPC_TOOLS_CONFLICTS_H
#define CLIPC_TOOLS_CONFLICTS_H

#include "options.h"

#include "clipc/clipc.h"

/* Quits with STATUS_USAGE when standard input is named twice, when two outputs are one file, or when an output would
 * replace a file of texts, labels, paths or --load-inputs that the command reads. `images` are the image operands, or
 * NULL. Outputs never replace images anyway: see output_open. */
void conflicts_check(const tool_settings *settings, const string_list *images);
/* The same when an output would replace a file of the tensors at `path`. */
void conflicts_check_tensors(const tool_settings *settings, const char *path);
/* The same when an output would replace a file of the model. session_open_model calls it. */
void conflicts_check_model(const tool_settings *settings, const clipc_model *model);
/* For outputs that the settings do not name. */
void conflicts_check_not_model(const char *output, const clipc_model *model);

#endif
