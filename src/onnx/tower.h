/* The two towers of a CLIP as ONNX graphs. */
#ifndef CLIPC_ONNX_TOWER_H
#define CLIPC_ONNX_TOWER_H

#include "model/model.h"
#include "onnx/graph.h"

/* Adds every node of a tower. `options` were checked: see api/onnx.c. */
void clipc_onnx_add_image_tower(clipc_onnx_graph *graph, const clipc_model *model, const clipc_onnx_options *options);
void clipc_onnx_add_text_tower(clipc_onnx_graph *graph, const clipc_model *model, const clipc_onnx_options *options);

/* ---- what both are made of ---- */

clipc_onnx_value clipc_onnx_layer_norm(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x,
                                       const clipc_tensor *weight, const clipc_tensor *bias, float epsilon);
/* y = x Wᵀ + b; `bias` may be NULL. */
clipc_onnx_value clipc_onnx_linear(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x,
                                   const clipc_tensor *weight, const clipc_tensor *bias);
/* Multi-head attention of the rows of `asking` over those of x, both [batch, rows, width]; the batch of `asking` may
 * be
 * 1. `mask` as below. */
clipc_onnx_value clipc_onnx_attention(clipc_onnx_graph *graph, const char *name, const clipc_tower_config *config,
                                      const clipc_layer_weights *layer, clipc_onnx_value asking, clipc_onnx_value x,
                                      clipc_onnx_value mask);
/* x + mlp(norm2(x)), the LayerNorm being called `norm_name`. */
clipc_onnx_value clipc_onnx_add_mlp(clipc_onnx_graph *graph, const char *name, const char *norm_name,
                                    const clipc_tower_config *config, const clipc_layer_weights *layer,
                                    clipc_onnx_value x);
/* Products of integers in place of those of floats, with all weights as bytes: x Wᵀ; the grid of patches; rows of a
 * table. */
clipc_onnx_value clipc_onnx_integer_product(clipc_onnx_graph *graph, const char *name, clipc_onnx_value x,
                                            const clipc_tensor *weight);
clipc_onnx_value clipc_onnx_integer_patches(clipc_onnx_graph *graph, const char *name, clipc_onnx_value pixels,
                                            const clipc_tensor *weight, int64_t patch);
clipc_onnx_value clipc_onnx_integer_rows(clipc_onnx_graph *graph, const char *name, const clipc_tensor *table,
                                         clipc_onnx_value ids);
/* All layers of one tower over x [batch, tokens, width]. `mask` [1, 1, tokens, tokens] is added to the scores, or
 * NULL.
 */
clipc_onnx_value clipc_onnx_layers(clipc_onnx_graph *graph, const clipc_tower_config *config,
                                   const clipc_layer_weights *layers, clipc_onnx_value x, clipc_onnx_value mask);
/* How many items x has, as one integer in an array. */
clipc_onnx_value clipc_onnx_batch_of(clipc_onnx_graph *graph, const clipc_onnx_options *options, const char *name,
                                     clipc_onnx_value x);
/* The class embedding [width] once for each item of `rows`: [batch, 1, width]. */
clipc_onnx_value clipc_onnx_repeat_class(clipc_onnx_graph *graph, const clipc_onnx_options *options,
                                         const clipc_tensor *embedding, size_t width, clipc_onnx_value rows);
/* A ResNet's image tower from pixels [batch, 3, size, size] of the graph's type to projections [batch, D]. */
clipc_onnx_value clipc_onnx_resnet(clipc_onnx_graph *graph, const clipc_model *model, clipc_onnx_value pixels);
/* To fp32 and, when wanted, to unit length: the output [batch, D]. */
void clipc_onnx_finish(clipc_onnx_graph *graph, const clipc_onnx_options *options, clipc_onnx_value x,
                       size_t dimension);
/* The first side of input and output. */
clipc_onnx_side clipc_onnx_batch_side(const clipc_onnx_options *options, bool output);

#endif
