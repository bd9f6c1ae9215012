/* A model as an operand: PATH, PATH@backend, PATH@backend:precision or PATH@:precision. */
#ifndef CLIPC_TOOLS_OPERAND_H
#define CLIPC_TOOLS_OPERAND_H

#include "options.h"

/* The settings with model, backend and precision as the operand says; what it leaves out stays as it was. An empty
 * PATH is the model that no operand would mean. A file whose very name has such an end is that file. Quits with
 * STATUS_USAGE when what follows the last @ is neither. The result points into a copy that lives to the end. */
tool_settings operand_settings(const tool_settings *settings, const char *operand);

/* For a command that takes one model: the operand, if there is one, else --model. Quits with STATUS_USAGE when there
 * are two, or both. */
tool_settings operand_or_model(const tool_settings *settings, const char *command);

#endif
