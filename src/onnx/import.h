/* CLIP towers out of ONNX graphs. */
#ifndef CLIPC_ONNX_IMPORT_H
#define CLIPC_ONNX_IMPORT_H

#include "model/weights.h"
#include "onnx/arena.h"
#include "onnx/external.h"

/* The towers of one file, with what their weights are views of besides the file. */
typedef struct clipc_onnx_import {
    bool image; /* which towers the file has */
    bool text;
    clipc_config config; /* their parts of it */
    clipc_weights weights;
    clipc_dtype dtype; /* of the token embedding or the patches */
    bool integers;     /* weights were stored as integers, by ONNX Runtime's dynamic quantisation */
    /* The file's metadata, or NULL where it has none. */
    const char *preprocessing;
    const char *preprocessing_order;
    const char *template_text;
    const char *logit_scale;
    const char *logit_bias;
    clipc_onnx_arena kept;
} clipc_onnx_import;

/* Recognises the towers in the file by what its nodes compute; names count nothing. A file without one is
 * CLIPC_ERROR_UNSUPPORTED: the message names the node where it stopped to be a CLIP tower. Weights are views of the
 * bytes, which outlive *out; copied are those that were stored as integers or that the graph itself changes. Always
 * free with clipc_onnx_import_free, also after a failure. */
clipc_status clipc_onnx_import_read(const uint8_t *bytes, size_t size, const char *name,
                                    const clipc_onnx_external *external, clipc_onnx_import *out, clipc_error *error);
void clipc_onnx_import_free(clipc_onnx_import *import);

#endif
