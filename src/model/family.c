#include "model/family.h"

#include "base/memory.h"
#include "model/resnet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- walking over the roles ---- */

static size_t extent_size(clipc_extent extent, const clipc_config *config, bool image)
{
    const clipc_tower_config *tower = image ? &config->image : &config->text;
    switch (extent) {
    case CLIPC_EXTENT_ONE: return 1;
    case CLIPC_EXTENT_WIDTH: return tower->width;
    case CLIPC_EXTENT_MLP: return tower->mlp_width;
    case CLIPC_EXTENT_CHANNELS: return 3;
    case CLIPC_EXTENT_PATCH: return config->patch_size;
    case CLIPC_EXTENT_TOKENS: return image ? config->image_tokens : config->max_positions;
    case CLIPC_EXTENT_VOCABULARY: return config->vocabulary_size;
    case CLIPC_EXTENT_EMBEDDING: return config->embedding_dimension;
    case CLIPC_EXTENT_POOLED: return clipc_config_pooled_width(config);
    case CLIPC_EXTENT_NONE: break;
    }
    return 0;
}

/* The tables' names are short; the buffer always suffices. */
void clipc_family_layer_name(const clipc_tower_roles *tower, size_t layer, const clipc_role *role,
                             char name[CLIPC_TENSOR_NAME])
{
    const char *prefix = tower->layer_prefix + tower->skip;
    const size_t before = strcspn(prefix, "#");
    snprintf(name, CLIPC_TENSOR_NAME, "%.*s%zu%s%s", (int)before, prefix, layer,
             prefix[before] ? prefix + before + 1 : "", role->name);
}

/* The config's limits keep the products within 64 bits. */
static void set_shape(const clipc_role *role, const clipc_config *config, clipc_slot *slot)
{
    slot->rank = 0;
    slot->count = 1;
    for (size_t i = 0; i < 4 && role->shape[i] != CLIPC_EXTENT_NONE; i++) {
        slot->shape[slot->rank++] = extent_size(role->shape[i], config, slot->image);
        slot->count *= slot->shape[i];
    }
}

static clipc_status each_of_tower(const clipc_family *family, const clipc_config *config, const clipc_weights *weights,
                                  bool image, clipc_slot_function function, void *context, clipc_error *error)
{
    const clipc_tower_roles *tower = image ? &family->image : &family->text;
    const size_t layers = image ? config->image.layers : config->text.layers;
    clipc_layer_weights *layer_weights = image ? weights->image.layers : weights->text.layers;
    clipc_slot slot = {.image = image};
    for (size_t i = 0; i < tower->role_count; i++) {
        const clipc_role *role = &tower->roles[i];
        if (!clipc_config_has_part(config, role->part))
            continue;
        snprintf(slot.name, sizeof slot.name, "%s", role->name + tower->skip);
        slot.initial = role->initial;
        slot.form = role->form;
        slot.tensor = (clipc_tensor *)((char *)weights + role->offset);
        set_shape(role, config, &slot);
        CLIPC_TRY(function(context, &slot, error));
    }
    for (slot.layer = 0; slot.layer < layers; slot.layer++) {
        for (size_t i = 0; i < tower->layer_role_count; i++) {
            const clipc_role *role = &tower->layer_roles[i];
            if (!clipc_config_has_part(config, role->part))
                continue;
            clipc_family_layer_name(tower, slot.layer, role, slot.name);
            slot.initial = role->initial;
            slot.form = role->form;
            slot.tensor = (clipc_tensor *)((char *)&layer_weights[slot.layer] + role->offset);
            set_shape(role, config, &slot);
            CLIPC_TRY(function(context, &slot, error));
        }
    }
    return CLIPC_OK;
}

clipc_status clipc_family_each(const clipc_family *family, const clipc_config *config, const clipc_weights *weights,
                               bool image, bool text, clipc_slot_function function, void *context, clipc_error *error)
{
    if (image && clipc_config_is_resnet(config))
        CLIPC_TRY(clipc_resnet_each(config, weights, function, context, error));
    else if (image && clipc_config_has_tower(config, true))
        CLIPC_TRY(each_of_tower(family, config, weights, true, function, context, error));
    if (text && clipc_config_has_tower(config, false))
        CLIPC_TRY(each_of_tower(family, config, weights, false, function, context, error));
    return CLIPC_OK;
}

clipc_status clipc_weights_allocate(const clipc_config *config, clipc_weights *weights, clipc_error *error)
{
    const size_t convolutions = clipc_resnet_count(config);
    const size_t image_layers = convolutions ? 0 : config->image.layers;
    weights->image.layers = clipc_allocate(image_layers, sizeof *weights->image.layers);
    weights->image.convolutions = clipc_allocate(convolutions, sizeof *weights->image.convolutions);
    weights->text.layers = clipc_allocate(config->text.layers, sizeof *weights->text.layers);
    if (!weights->image.layers || !weights->image.convolutions || !weights->text.layers)
        return clipc_fail_memory(error,
                                 (image_layers + config->text.layers) * sizeof(clipc_layer_weights) +
                                     convolutions * sizeof(clipc_convolution_weights),
                                 "the tables of weights");
    return CLIPC_OK;
}

void clipc_weights_free(clipc_weights *weights)
{
    clipc_free(weights->image.layers);
    clipc_free(weights->image.convolutions);
    clipc_free(weights->text.layers);
    weights->image.layers = NULL;
    weights->image.convolutions = NULL;
    weights->text.layers = NULL;
    for (size_t i = 0; i < 2; i++) {
        clipc_free(weights->transposed[i]);
        weights->transposed[i] = NULL;
    }
    clipc_free(weights->zeros);
    weights->zeros = NULL;
}
