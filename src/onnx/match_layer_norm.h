/* Finding LayerNorms in a graph that others wrote. */
#ifndef CLIPC_ONNX_MATCH_LAYER_NORM_H
#define CLIPC_ONNX_MATCH_LAYER_NORM_H

#include "onnx/value_table.h"

typedef struct clipc_onnx_layer_norm_match {
    bool chain;    /* nine operators; else the operator LayerNormalization */
    char *x;       /* names of values */
    char *weight;  /* */
    char *bias;    /* NULL: none, which LayerNormalization alone may have */
    int64_t axis;  /* as the graph has it */
    float epsilon; /* */
    size_t width;  /* numbers of the weight */
    const Onnx__TensorProto *weight_array;
    const char *reason; /* why it is one that cannot be replaced; else NULL */
} clipc_onnx_layer_norm_match;

/* Whether a LayerNorm ends at the node: it is LayerNormalization, or the last Add of
 * ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add over the last axis (with Mul in place of Pow, too). */
bool clipc_onnx_match_layer_norm(const Onnx__GraphProto *graph, const clipc_onnx_value_table *values, size_t node,
                                 clipc_onnx_layer_norm_match *out);

#endif
