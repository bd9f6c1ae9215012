/* The linear layers of a model in the order in which backends take them and engine files hold them: of the image tower
 * the patch embedding, of both towers four for each layer (query_key_value, attention_out, fc1, fc2), then four of
 * attention pooling, where there is such (key_value, attention_out, fc1, fc2), or the first two of them, where it has
 * no MLP, and the projection, likewise. The bias of the patch embedding, which backends join with the positions, and
 * the query of attention pooling, which is the same for all images, are none of them. Of a ResNet: its convolutions,
 * and of attention pooling query, key_value, and the projection. */
#ifndef CLIPC_MODEL_LINEAR_H
#define CLIPC_MODEL_LINEAR_H

#include "model/family.h"

#define CLIPC_LINEAR_NAME 64

/* Up to three layers that are computed as one. */
typedef struct clipc_linear {
    char name[CLIPC_LINEAR_NAME];   /* "image.layers.3.fc1" or "image.layer1.0.conv2", of an engine file's section */
    const clipc_tensor *weights[3]; /* each [outputs, inner] */
    const clipc_tensor *biases[3];  /* each [outputs]; NULL: none */
    size_t parts;
    size_t outputs; /* of each part */
    size_t inner;
} clipc_linear;

/* 0 for a tower that the config does not have. */
size_t clipc_linear_count(const clipc_config *config, bool image);
clipc_linear clipc_linear_at(const clipc_config *config, const clipc_weights *weights, bool image, size_t index);
/* Which linear layer, and which of its parts, the slot's tensor is the weight or the bias of. */
typedef struct clipc_linear_place {
    size_t index;
    size_t part;
    bool is_bias;
} clipc_linear_place;

/* False when it is of none. */
bool clipc_slot_linear(const clipc_config *config, const clipc_weights *weights, const clipc_slot *slot,
                       clipc_linear_place *out);
/* The same of a ResNet, for what a packed tower still holds: kernels with BatchNorm folded in, and as norm_bias the
 * bias that is left of it; false for the rest of BatchNorm, too. */
bool clipc_slot_folded(const clipc_config *config, const clipc_weights *weights, const clipc_slot *slot,
                       clipc_linear_place *out);
/* Whether the slot's tensor is the weight or bias of a linear layer. */
bool clipc_slot_is_linear(const clipc_config *config, const clipc_weights *weights, const clipc_slot *slot);

#endif
