/* Which linear layers are to be computed more precisely than the rest: a list of patterns, in the words of a user.
 *
 *     image.3.fc2,text.*.query_key_value=fp32,image.patch_embedding
 *
 * A pattern names layers as engine files do (model/linear.h), with or without "layers."; * stands for any run of
 * characters. What follows = is the precision, fp32 or bf16; without it the next one up: bf16 in an int8 engine, fp32
 * in one of bf16. */
#ifndef CLIPC_MODEL_KEEP_PRECISE_H
#define CLIPC_MODEL_KEEP_PRECISE_H

#include "model/linear.h"

/* Checks the list against a model: every pattern names at least one layer, and a precision above `precision`. NULL and
 * "" are in order. */
clipc_status clipc_keep_precise_check(const char *list, const clipc_config *config, const clipc_weights *weights,
                                      clipc_precision precision, clipc_error *error);

/* The precision that a checked list gives the layer, the highest of all patterns that name it; AUTO: none does. */
clipc_precision clipc_keep_precise_of(const char *list, const char *name, clipc_precision precision);

/* Of backends that keep layers in halves alone: the same with "fp16" as the one precision, above fp8 and int8. */
clipc_status clipc_keep_precise_check_halves(const char *list, const clipc_config *config,
                                             const clipc_weights *weights, clipc_precision precision,
                                             clipc_error *error);
/* Whether any pattern of the list, which may be NULL, names the layer. */
bool clipc_keep_precise_names(const char *list, const char *name);

#endif
