/* --dynamic-axes of export-onnx. */
#ifndef CLIPC_TOOLS_ONNX_AXES_H
#define CLIPC_TOOLS_ONNX_AXES_H

#include "options.h"

/* What the graph calls the batch; NULL: it is fixed. */
typedef struct onnx_axes {
    char *input;
    char *output;
} onnx_axes;

/* Quits with STATUS_USAGE, saying why, when an axis is named that the tower's graph cannot vary. */
onnx_axes onnx_axes_parse(const onnx_settings *settings, bool text);
void onnx_axes_free(onnx_axes *axes);

#endif
