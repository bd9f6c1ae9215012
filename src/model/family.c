#include "model/family.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- walking over the roles ---- */

static size_t extent_size(clipc_extent extent, const clipc_config *config, bool image)
{
    const clipc_tower_config *tower = image ? &config->image : &config->text;
    switch (extent) {
    case CLIPC_EXTENT_WIDTH: return tower->width;
    case CLIPC_EXTENT_MLP: return tower->mlp_width;
    case CLIPC_EXTENT_CHANNELS: return 3;
    case CLIPC_EXTENT_PATCH: return config->patch_size;
    case CLIPC_EXTENT_TOKENS: return image ? config->image_tokens : config->max_positions;
    case CLIPC_EXTENT_VOCABULARY: return config->vocabulary_size;
    case CLIPC_EXTENT_EMBEDDING: return config->embedding_dimension;
    case CLIPC_EXTENT_NONE: break;
    }
    return 0;
}

/* "…layers.#." + "mlp.fc1.bias" with the layer's number. The tables' names are short; the buffer always suffices. */
static void write_layer_name(const char *prefix, size_t layer, const char *role, char name[CLIPC_TENSOR_NAME])
{
    const size_t before = strcspn(prefix, "#");
    snprintf(name, CLIPC_TENSOR_NAME, "%.*s%zu%s%s", (int)before, prefix, layer,
             prefix[before] ? prefix + before + 1 : "", role);
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
        snprintf(slot.name, sizeof slot.name, "%s", role->name);
        slot.initial = role->initial;
        slot.tensor = (clipc_tensor *)((char *)weights + role->offset);
        set_shape(role, config, &slot);
        CLIPC_TRY(function(context, &slot, error));
    }
    for (slot.layer = 0; slot.layer < layers; slot.layer++) {
        for (size_t i = 0; i < tower->layer_role_count; i++) {
            const clipc_role *role = &tower->layer_roles[i];
            write_layer_name(tower->layer_prefix, slot.layer, role->name, slot.name);
            slot.initial = role->initial;
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
    if (image)
        CLIPC_TRY(each_of_tower(family, config, weights, true, function, context, error));
    if (text)
        CLIPC_TRY(each_of_tower(family, config, weights, false, function, context, error));
    return CLIPC_OK;
}

clipc_status clipc_weights_allocate(const clipc_config *config, clipc_weights *weights, clipc_error *error)
{
    weights->image.layers = clipc_allocate(config->image.layers, sizeof *weights->image.layers);
    weights->text.layers = clipc_allocate(config->text.layers, sizeof *weights->text.layers);
    if (!weights->image.layers || !weights->text.layers)
        return clipc_fail_memory(error, (config->image.layers + config->text.layers) * sizeof(clipc_layer_weights),
                                 "the tables of weights");
    return CLIPC_OK;
}

void clipc_weights_free(clipc_weights *weights)
{
    clipc_free(weights->image.layers);
    clipc_free(weights->text.layers);
    weights->image.layers = NULL;
    weights->text.layers = NULL;
}

/* ---- finding the tensors in files ---- */

typedef struct search {
    const clipc_weight_file *files;
    size_t file_count;
} search;

static clipc_status find(const search *in, const char *name, const clipc_tensor **tensor, const char **file,
                         clipc_error *error)
{
    *tensor = NULL;
    *file = in->files[0].name;
    for (size_t i = 0; i < in->file_count; i++) {
        const clipc_tensor *found = clipc_safetensors_find(in->files[i].tensors, name);
        CLIPC_FAIL_IF(found && *tensor, error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' is in %s too", in->files[i].name,
                      name, *file);
        if (found) {
            *tensor = found;
            *file = in->files[i].name;
        }
    }
    CLIPC_FAIL_IF(!*tensor, error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' is missing%s", *file, name,
                  in->file_count > 1 ? " (from the other shards too)" : "");
    return CLIPC_OK;
}

static clipc_status check_dtype(const clipc_tensor *tensor, const char *file, clipc_error *error)
{
    CLIPC_FAIL_IF(tensor->dtype != CLIPC_DTYPE_F32 && tensor->dtype != CLIPC_DTYPE_F16 &&
                      tensor->dtype != CLIPC_DTYPE_BF16,
                  error, CLIPC_ERROR_UNSUPPORTED, "%s: tensor '%s' has dtype %s, clipc reads fp32, fp16 and bf16",
                  file, tensor->name, clipc_dtype_name(tensor->dtype));
    return CLIPC_OK;
}

static clipc_status bind_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    const clipc_tensor *tensor = NULL;
    const char *file = NULL;
    CLIPC_TRY(find(context, slot->name, &tensor, &file, error));
    if (tensor->rank != slot->rank || memcmp(tensor->shape, slot->shape, slot->rank * sizeof slot->shape[0]) != 0) {
        char found[CLIPC_SHAPE_TEXT];
        char expected[CLIPC_SHAPE_TEXT];
        return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' has shape %s, config says %s", file, slot->name,
                          clipc_shape_text(tensor->shape, tensor->rank, found),
                          clipc_shape_text(slot->shape, slot->rank, expected));
    }
    CLIPC_TRY(check_dtype(tensor, file, error));
    *slot->tensor = *tensor;
    return CLIPC_OK;
}

/* The config's number of layers against the files, before anything is allocated by it. */
static clipc_status check_layers(const clipc_tower_roles *tower, size_t layers, const search *in, clipc_error *error)
{
    char name[CLIPC_TENSOR_NAME];
    const clipc_tensor *tensor = NULL;
    const char *file = NULL;
    write_layer_name(tower->layer_prefix, layers - 1, tower->layer_roles[0].name, name);
    CLIPC_TRY(find(in, name, &tensor, &file, error));
    write_layer_name(tower->layer_prefix, layers, tower->layer_roles[0].name, name);
    for (size_t i = 0; i < in->file_count; i++)
        CLIPC_FAIL_IF(clipc_safetensors_find(in->files[i].tensors, name), error, CLIPC_ERROR_FORMAT,
                      "%s: has tensor '%s', but config says the tower has %zu layers", in->files[i].name, name,
                      layers);
    return CLIPC_OK;
}

static clipc_status bind_logit_scale(const clipc_family *family, const search *in, float *out, clipc_error *error)
{
    const clipc_tensor *tensor = NULL;
    const char *file = NULL;
    CLIPC_TRY(find(in, family->logit_scale, &tensor, &file, error));
    CLIPC_TRY(check_dtype(tensor, file, error));
    CLIPC_FAIL_IF(tensor->count != 1, error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' has %zu values, must be one", file,
                  tensor->name, tensor->count);
    float logarithm = 0;
    clipc_tensor_read(tensor, 0, 1, &logarithm);
    *out = expf(logarithm);
    CLIPC_FAIL_IF(!isfinite(*out) || *out <= 0, error, CLIPC_ERROR_FORMAT,
                  "%s: tensor '%s' is %g, which is no usable logit scale", file, tensor->name, (double)logarithm);
    return CLIPC_OK;
}

clipc_status clipc_family_bind(const clipc_family *family, const clipc_config *config, const clipc_weight_file *files,
                               size_t file_count, clipc_weights *weights, clipc_error *error)
{
    search in = {.files = files, .file_count = file_count};
    CLIPC_TRY(check_layers(&family->image, config->image.layers, &in, error));
    CLIPC_TRY(check_layers(&family->text, config->text.layers, &in, error));
    CLIPC_TRY(clipc_weights_allocate(config, weights, error));
    CLIPC_TRY(clipc_family_each(family, config, weights, true, true, bind_slot, &in, error));
    return bind_logit_scale(family, &in, &weights->logit_scale, error);
}
