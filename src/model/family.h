/* Families of models as tables: what each role's tensor is called in the files, and its shape in terms of the config.
 * A new family is a new table. */
#ifndef CLIPC_MODEL_FAMILY_H
#define CLIPC_MODEL_FAMILY_H

#include "io/safetensors.h"
#include "model/config.h"
#include "model/weights.h"

#include <stdbool.h>

/* A dimension of a role's shape, to be looked up in the config. */
typedef enum clipc_extent {
    CLIPC_EXTENT_NONE, /* past the last dimension */
    CLIPC_EXTENT_WIDTH,
    CLIPC_EXTENT_MLP,
    CLIPC_EXTENT_CHANNELS,
    CLIPC_EXTENT_PATCH,
    CLIPC_EXTENT_TOKENS, /* rows of the position embedding */
    CLIPC_EXTENT_VOCABULARY,
    CLIPC_EXTENT_EMBEDDING
} clipc_extent;

/* How OpenAI CLIP's initialize_parameters draws the role, for random models. */
typedef enum clipc_initial {
    CLIPC_INITIAL_ONE,      /* gains of normalisations */
    CLIPC_INITIAL_ZERO,     /* biases */
    CLIPC_INITIAL_WIDTH,    /* deviation width^-1/2: attention inputs, projections, image embeddings */
    CLIPC_INITIAL_RESIDUAL, /* width^-1/2 × (2 layers)^-1/2: what is added to the residual stream */
    CLIPC_INITIAL_MLP,      /* (2 width)^-1/2 */
    CLIPC_INITIAL_TOKEN,    /* 0.02 */
    CLIPC_INITIAL_POSITION, /* 0.01 */
    CLIPC_INITIAL_COUNT
} clipc_initial;

/* `name` follows the tower's layer prefix for the roles of a layer. `offset` is that of the clipc_tensor within
 * clipc_layer_weights for the roles of a layer, else within clipc_weights. */
typedef struct clipc_role {
    const char *name;
    size_t offset;
    clipc_initial initial;
    clipc_extent shape[4];
} clipc_role;

typedef struct clipc_tower_roles {
    const char *layer_prefix; /* '#' stands for the layer's number */
    const clipc_role *roles;
    size_t role_count;
    const clipc_role *layer_roles;
    size_t layer_role_count;
} clipc_tower_roles;

typedef struct clipc_family {
    const char *name;
    clipc_tower_roles image;
    clipc_tower_roles text;
    const char *logit_scale; /* a scalar, stored as its logarithm */
} clipc_family;

/* transformers' CLIPModel. */
extern const clipc_family clipc_family_transformers;

#define CLIPC_TENSOR_NAME 128

/* One tensor that a model must have. */
typedef struct clipc_slot {
    char name[CLIPC_TENSOR_NAME];
    bool image; /* which tower it belongs to */
    size_t layer;
    clipc_initial initial;
    size_t rank;
    size_t shape[4];
    size_t count;
    clipc_tensor *tensor; /* where it goes */
} clipc_slot;

/* Calls `function` for every slot of the wanted towers, stopping at the first failure. The layer arrays exist. */
typedef clipc_status (*clipc_slot_function)(void *context, const clipc_slot *slot, clipc_error *error);
clipc_status clipc_family_each(const clipc_family *family, const clipc_config *config, const clipc_weights *weights,
                               bool image, bool text, clipc_slot_function function, void *context, clipc_error *error);

/* A weight file and what messages call it. */
typedef struct clipc_weight_file {
    const char *name;
    const clipc_safetensors *tensors;
} clipc_weight_file;

/* Finds every tensor of the family in the files, checks shape and dtype against the config, and fills *weights with
 * views. A tensor that is missing, is in two files, or belongs to a layer the config does not count is an error. Free
 * *weights with clipc_weights_free, also after a failure. */
clipc_status clipc_family_bind(const clipc_family *family, const clipc_config *config, const clipc_weight_file *files,
                               size_t file_count, clipc_weights *weights, clipc_error *error);

#endif
