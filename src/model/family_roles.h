/* The words that the tables of families are written in. */
#ifndef CLIPC_MODEL_FAMILY_ROLES_H
#define CLIPC_MODEL_FAMILY_ROLES_H

#include "model/family.h"

#include <stddef.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

#define ONE_ROW    CLIPC_EXTENT_ONE
#define WIDTH      CLIPC_EXTENT_WIDTH
#define MLP        CLIPC_EXTENT_MLP
#define CHANNELS   CLIPC_EXTENT_CHANNELS
#define PATCH      CLIPC_EXTENT_PATCH
#define TOKENS     CLIPC_EXTENT_TOKENS
#define VOCABULARY CLIPC_EXTENT_VOCABULARY
#define EMBEDDING  CLIPC_EXTENT_EMBEDDING
#define POOLED     CLIPC_EXTENT_POOLED

/* A role that every model has, one that comes with a part, and one of a layer; the shape comes last. `initial`, `form`
 * and `part` are the enumerators' last words. */
#define ROLE(name, member, initial, form, ...)                                                                        \
    {                                                                                                                 \
        name, offsetof(clipc_weights, member), CLIPC_INITIAL_##initial, {__VA_ARGS__}, CLIPC_FORM_##form,             \
            CLIPC_PART_ALWAYS                                                                                         \
    }
#define PART_ROLE(part, name, member, initial, form, ...)                                                             \
    {                                                                                                                 \
        name, offsetof(clipc_weights, member), CLIPC_INITIAL_##initial, {__VA_ARGS__}, CLIPC_FORM_##form,             \
            CLIPC_PART_##part                                                                                         \
    }
#define LAYER_ROLE(name, member, initial, form, ...)                                                                  \
    {                                                                                                                 \
        name, offsetof(clipc_layer_weights, member), CLIPC_INITIAL_##initial, {__VA_ARGS__}, CLIPC_FORM_##form,       \
            CLIPC_PART_ALWAYS                                                                                         \
    }

/* `prefix`: of a layer's names. `sign_name`: the tensor by which files are known to have the tower. */
#define TOWER(prefix, sign_name, tower_roles, roles_of_layer)                                                         \
    {                                                                                                                 \
        .layer_prefix = prefix, .sign = sign_name, .roles = tower_roles, .role_count = LENGTH(tower_roles),           \
        .layer_roles = roles_of_layer, .layer_role_count = LENGTH(roles_of_layer)                                     \
    }

#endif
