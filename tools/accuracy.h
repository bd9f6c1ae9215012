/* How close an engine's embeddings are to those of fp32, and whether that is close enough. */
#ifndef CLIPC_TOOLS_ACCURACY_H
#define CLIPC_TOOLS_ACCURACY_H

#include "model_inputs.h"

/* What --accuracy-gate asks for. */
typedef struct accuracy_gate {
    double cosine; /* the least of any embedding; -2: not asked */
    double top1;   /* share of the images whose nearest text is that of fp32; -1: not asked */
} accuracy_gate;

/* "cos:0.9999", "top1:1.0", or both with a comma; NULL asks nothing. Quits with STATUS_USAGE when it is neither. */
accuracy_gate accuracy_gate_parse(const char *text);
bool accuracy_gate_asks(const accuracy_gate *gate);

/* The inputs and what fp32 makes of them, on the same backend if it has fp32, else on cpu. */
typedef struct accuracy_reference {
    model_inputs inputs;
    tensor_set exact;
} accuracy_reference;

void accuracy_reference_create(accuracy_reference *reference, const tool_settings *settings, const clipc_model *model,
                               const accuracy_gate *gate);
void accuracy_reference_free(accuracy_reference *reference);

typedef struct accuracy {
    double least_cosine;
    const char *least_tensor; /* "image_embeddings", of that row */
    size_t least_row;
    double mean_error; /* 1 - cosine, of all embeddings */
    double top1;       /* -1: there are no images and at least two texts */
} accuracy;

/* Measures the engine that the settings ask for, keep_precise included. With `kept` not NULL, the embeddings of a
 * tower that is left out come from there; those of both are put there when `keep` is. */
accuracy accuracy_measure(const accuracy_reference *reference, const tool_settings *settings, const clipc_model *model,
                          bool image, bool text, const tensor_set *kept, tensor_set *keep);
bool accuracy_passes(const accuracy *measured, const accuracy_gate *gate);
/* "least cosine 0.99983 (image_embeddings, row 3), asked 0.9999, too little by 7e-05", that the caller frees. */
char *accuracy_text(const accuracy *measured, const accuracy_gate *gate);

#endif
