/* Inputs through the network, with what came out not finite told from the rest. */
#ifndef CLIPC_TOOLS_ENCODE_H
#define CLIPC_TOOLS_ENCODE_H

#include "image_pipeline.h"
#include "texts.h"

/* Each writes rows [count, dimension]. A row that is not finite costs its input alone (embedding_is_finite tells it);
 * any other failure ends the program. */
void encode_images(clipc_engine *engine, const image_pixels *pixels, size_t count, unsigned flags, float *rows);
/* Also empties the batch. */
void encode_tokens(clipc_engine *engine, token_batch *batch, unsigned flags, float *rows);

bool embedding_is_finite(const float *row, size_t dimension);
/* What is said of an input whose row is not. */
extern const char not_finite[];

#endif
