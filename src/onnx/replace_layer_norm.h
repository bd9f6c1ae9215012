/* Putting clipc's TensorRT plugin in place of the LayerNorms of any graph. */
#ifndef CLIPC_ONNX_REPLACE_LAYER_NORM_H
#define CLIPC_ONNX_REPLACE_LAYER_NORM_H

#include "onnx/arena.h"

#include "onnx.pb-c.h"

#include "clipc/clipc.h"

/* Replaces what it can in the model, whose new parts are the arena's, and counts it. Nodes that nobody reads any more
 * go; everything else stays as it was. */
clipc_status clipc_onnx_replace_in(Onnx__ModelProto *model, clipc_onnx_arena *arena, clipc_onnx_replaced *replaced);

#endif
