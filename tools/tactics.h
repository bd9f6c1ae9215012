/* Which kernel does each step of each layer: what an engine settled on, found by running it once. */
#ifndef CLIPC_TOOLS_TACTICS_H
#define CLIPC_TOOLS_TACTICS_H

#include "options.h"

#include "clipc/clipc.h"

#include <jansson.h>

/* Both towers that the model has, on one batch (--batch, default 1; --tokens) of random inputs. */
void tactics_print(const tool_settings *settings, const clipc_model *model, const clipc_model_info *info);
json_t *tactics_to_json(const tool_settings *settings, const clipc_model *model, const clipc_model_info *info);

#endif
