/* Families of models as tables: what each role's tensor is called in the files, and its shape in terms of the config.
 * A new family is a new table. */
#ifndef CLIPC_MODEL_FAMILY_H
#define CLIPC_MODEL_FAMILY_H

#include "io/tensor_table.h"
#include "model/config.h"
#include "model/weights.h"

#include <stdbool.h>

/* A dimension of a role's shape, to be looked up in the config. */
typedef enum clipc_extent {
    CLIPC_EXTENT_NONE, /* past the last dimension */
    CLIPC_EXTENT_ONE,
    CLIPC_EXTENT_WIDTH,
    CLIPC_EXTENT_MLP,
    CLIPC_EXTENT_CHANNELS,
    CLIPC_EXTENT_PATCH,
    CLIPC_EXTENT_TOKENS, /* rows of the position embedding */
    CLIPC_EXTENT_VOCABULARY,
    CLIPC_EXTENT_EMBEDDING,
    CLIPC_EXTENT_POOLED /* clipc_config_pooled_width */
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
    /* Of ResNets, where OpenAI's own start, with BatchNorm as at inference, would let what passes fade away: */
    CLIPC_INITIAL_BRANCH,      /* gains of what is added to the residual stream: about 1/4 */
    CLIPC_INITIAL_CONVOLUTION, /* deviation √(2 / 16); those that follow √(2 / 64) to √(2 / 16384) */
    CLIPC_INITIAL_COUNT = CLIPC_INITIAL_CONVOLUTION + 6
} clipc_initial;

#define CLIPC_INITIAL_CONVOLUTIONS (CLIPC_INITIAL_COUNT - CLIPC_INITIAL_CONVOLUTION)

/* How the file holds a role's values. */
typedef enum clipc_form {
    CLIPC_FORM_PLAIN,
    CLIPC_FORM_TRANSPOSED,  /* rows and columns exchanged */
    CLIPC_FORM_FIRST_THIRD, /* of the rows of a tensor that holds three roles: query, key and value */
    CLIPC_FORM_SECOND_THIRD,
    CLIPC_FORM_LAST_THIRD,
    CLIPC_FORM_FIRST_HALF, /* the same of two: key and value */
    CLIPC_FORM_LAST_HALF,
    CLIPC_FORM_FIRST_ROW, /* of a matrix of however many */
    CLIPC_FORM_ZEROS      /* no tensor of the file: all zeros */
} clipc_form;

/* `name` follows the tower's layer prefix for the roles of a layer. `offset` is that of the clipc_tensor within
 * clipc_layer_weights for the roles of a layer, else within clipc_weights. */
typedef struct clipc_role {
    const char *name;
    size_t offset;
    clipc_initial initial;
    clipc_extent shape[4]; /* of the role, whatever the form; files may have dimensions of 1 before it */
    clipc_form form;
    clipc_part part; /* what a model must have for the role to be there */
} clipc_role;

typedef struct clipc_tower_roles {
    const char *layer_prefix; /* '#' stands for the layer's number */
    const char *sign;         /* a file that has a tensor of this name has the tower */
    size_t skip;              /* characters that roles' names and the prefix begin with, and the file's do not */
    const clipc_role *roles;
    size_t role_count;
    const clipc_role *layer_roles;
    size_t layer_role_count;
} clipc_tower_roles;

typedef struct clipc_family {
    const char *name;   /* of the architecture */
    const char *source; /* whose names these are */
    clipc_tower_roles image;
    clipc_tower_roles text;
    bool resnet;             /* the image tower may be a ResNet (model/resnet.h) */
    const char *logit_scale; /* a scalar, stored as its logarithm */
    const char *logit_bias;  /* a scalar that models which score by sigmoid have; NULL: none has */
    /* Other tensors that files may have beside the roles, "name." standing for all that begin so; ends with NULL. NULL
     * itself: any. */
    const char *const *others;
} clipc_family;

/* transformers' CLIPModel, CLIPVisionModelWithProjection and CLIPTextModelWithProjection. Parts of other models have
 * names here, too, so that any config can be written with these: it is the family of engine files. */
extern const clipc_family clipc_family_transformers;
/* transformers' SiglipModel, SiglipVisionModel and SiglipTextModel. */
extern const clipc_family clipc_family_siglip;
/* The same of a SiglipVisionModel or SiglipTextModel saved by transformers 5, whose names have no word for the tower.
 */
extern const clipc_family clipc_family_siglip_alone;
/* OpenAI's CLIP, and open_clip's. */
extern const clipc_family clipc_family_openai;
/* open_clip's CustomTextCLIP, whose text tower is a module of its own. */
extern const clipc_family clipc_family_open_clip;
/* The same with timm's image tower and a text projection with bias: open_clip's SigLIP. */
extern const clipc_family clipc_family_open_clip_siglip;
/* The same with timm's image towers that have a class token: EVA (Fang et al. 2022), whose keys have no bias, and
 * CLIP's own as timm has it. */
extern const clipc_family clipc_family_open_clip_eva;
extern const clipc_family clipc_family_open_clip_timm;
/* Whether the image tower is one of timm's. */
bool clipc_family_is_timm(const clipc_family *family);

#define CLIPC_TENSOR_NAME 128

/* One tensor that a model must have. */
typedef struct clipc_slot {
    char name[CLIPC_TENSOR_NAME];
    bool image; /* which tower it belongs to */
    size_t layer;
    clipc_initial initial;
    clipc_form form;
    bool statistic; /* a running mean or variance: no parameter */
    size_t rank;
    size_t shape[4];
    size_t count;
    clipc_tensor *tensor; /* where it goes */
} clipc_slot;

/* Calls `function` for every slot of the wanted towers and parts that the config has, stopping at the first failure.
 * The layer arrays exist. */
typedef clipc_status (*clipc_slot_function)(void *context, const clipc_slot *slot, clipc_error *error);
clipc_status clipc_family_each(const clipc_family *family, const clipc_config *config, const clipc_weights *weights,
                               bool image, bool text, clipc_slot_function function, void *context, clipc_error *error);

/* A weight file and what messages call it. */
typedef struct clipc_weight_file {
    const char *name;
    const clipc_tensor_table *tensors;
} clipc_weight_file;

/* The first family that has both towers in the files, else one that has the text tower, else the image tower there;
 * NULL when there is none. *image and *text: which towers the files have. */
const clipc_family *clipc_family_detect(const clipc_weight_file *files, size_t file_count, bool *image, bool *text);
/* The one of transformers' families that has such models. */
const clipc_family *clipc_family_of_transformers(const clipc_config *config);
/* Whether the names are those of transformers, whose config.json then says everything else. */
bool clipc_family_is_transformers(const clipc_family *family);
/* NULL when no file has it; of one that is in several files, the first. */
const clipc_tensor *clipc_weight_files_find(const clipc_weight_file *files, size_t file_count, const char *name);
/* The name of a layer's tensor: "…layers.#." and "mlp.fc1.bias" with the layer's number. */
void clipc_family_layer_name(const clipc_tower_roles *tower, size_t layer, const clipc_role *role,
                             char name[CLIPC_TENSOR_NAME]);

/* Finds every tensor of the family in the files, checks shape and dtype against the config, and fills *weights with
 * views. A tensor that is missing, is in two files, belongs to a layer the config does not count, or to no part of a
 * family that names all its tensors is an error. Free *weights with clipc_weights_free, also after a failure. */
clipc_status clipc_family_bind(const clipc_family *family, const clipc_config *config, const clipc_weight_file *files,
                               size_t file_count, clipc_weights *weights, clipc_error *error);

#endif
