/* The linear layers of a model for scripts. */
#ifndef CLIPC_TOOLS_LAYERS_JSON_H
#define CLIPC_TOOLS_LAYERS_JSON_H

#include "clipc/clipc.h"

#include <jansson.h>

/* An array with an object for each: see docs/inspect.md. */
json_t *layers_to_json(const clipc_model *model);

#endif
