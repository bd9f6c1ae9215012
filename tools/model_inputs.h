/* The same images and texts for several models: from files, from the command line, from another run, or random. */
#ifndef CLIPC_TOOLS_MODEL_INPUTS_H
#define CLIPC_TOOLS_MODEL_INPUTS_H

#include "options.h"
#include "tensor_set.h"

#include "clipc/clipc.h"

typedef struct model_inputs {
    size_t images;
    size_t height;
    size_t width;
    float *pixels; /* [images, 3, height, width], preprocessed */
    size_t texts;
    int32_t *ids;
    size_t *offsets;    /* [texts + 1] */
    size_t longest;     /* of the texts, in tokens */
    const char *origin; /* in words */
} model_inputs;

/* --load-inputs, else --image, --text and --file by the model's own rules, else random ones (--count, --seed). A model
 * without a tower gets no inputs for it. Inputs that cannot be read end the program. */
void model_inputs_create(model_inputs *inputs, const tool_settings *settings, const clipc_model *model);
/* As arrays "pixels" [images, 3, height, width], "ids" [texts, longest] with zeros at the end, "lengths" [texts]. */
void model_inputs_save(const model_inputs *inputs, const char *path);
void model_inputs_free(model_inputs *inputs);
/* Quits with STATUS_USAGE when some of the inputs named would be ignored, or conflicts_check finds something. */
void model_inputs_check(const tool_settings *settings, const char *command);
/* Whether the command line asks for anything but random ones. */
bool model_inputs_given(const tool_settings *settings);

/* What one engine makes of them: rows "image_embeddings" and "text_embeddings", of unit length unless --no-normalize;
 * with `steps` also what it computes on its way. Leaves out a tower that the model lacks. */
void model_inputs_encode(const model_inputs *inputs, const tool_settings *settings, clipc_engine *engine,
                         const clipc_model *model, bool steps, tensor_set *out);

#endif
