#include "model/linear.h"

#include "base/checked.h"
#include "model/resnet.h"

#include <stdio.h>

#define LINEARS_A_LAYER        4
#define RESNET_POOLING_LINEARS 3 /* query, key_value, projection */
#define QUERY_LINEARS          2 /* key_value, attention_out */

static const clipc_tower_config *tower_of(const clipc_config *config, bool image)
{
    return image ? &config->image : &config->text;
}

/* How many linear layers come before the first layer's, and how many after the last one's. */
static size_t count_before(bool image)
{
    return image ? 1 : 0;
}

static size_t count_pooling(const clipc_config *config, bool image)
{
    if (image && clipc_config_has_part(config, CLIPC_PART_POOLING))
        return LINEARS_A_LAYER;
    return image && clipc_config_has_part(config, CLIPC_PART_QUERY) ? QUERY_LINEARS : 0;
}

static size_t count_after(const clipc_config *config, bool image)
{
    const bool projection = !image || clipc_config_has_part(config, CLIPC_PART_IMAGE_PROJECTION);
    return count_pooling(config, image) + (projection ? 1 : 0);
}

size_t clipc_linear_count(const clipc_config *config, bool image)
{
    if (!clipc_config_has_tower(config, image))
        return 0;
    if (image && clipc_config_is_resnet(config))
        return clipc_resnet_count(config) + RESNET_POOLING_LINEARS;
    return count_before(image) + LINEARS_A_LAYER * tower_of(config, image)->layers + count_after(config, image);
}

static clipc_linear of_layer(const clipc_tower_config *tower, const clipc_layer_weights *layer, size_t kind)
{
    const size_t width = tower->width;
    const size_t mlp = tower->mlp_width;
    switch (kind) {
    case 0:
        return (clipc_linear){.weights = {&layer->query_weight, &layer->key_weight, &layer->value_weight},
                              .biases = {&layer->query_bias, &layer->key_bias, &layer->value_bias},
                              .parts = 3,
                              .outputs = width,
                              .inner = width};
    case 1:
        return (clipc_linear){.weights = {&layer->attention_out_weight},
                              .biases = {&layer->attention_out_bias},
                              .parts = 1,
                              .outputs = width,
                              .inner = width};
    case 2:
        return (clipc_linear){
            .weights = {&layer->fc1_weight}, .biases = {&layer->fc1_bias}, .parts = 1, .outputs = mlp, .inner = width};
    default:
        return (clipc_linear){
            .weights = {&layer->fc2_weight}, .biases = {&layer->fc2_bias}, .parts = 1, .outputs = width, .inner = mlp};
    }
}

/* A convolution's inner dimension is every input of one output; its weights are not yet folded. */
static clipc_linear of_resnet(const clipc_config *config, const clipc_weights *weights, size_t index)
{
    const size_t convolutions = clipc_resnet_count(config);
    clipc_linear linear = {.parts = 1, .inner = config->image.width, .outputs = config->image.width};
    if (index < convolutions) {
        const clipc_convolution at = clipc_resnet_at(config, index);
        linear.weights[0] = &weights->image.convolutions[index].kernel;
        linear.outputs = at.outputs;
        linear.inner = at.inputs * at.kernel * at.kernel;
        snprintf(linear.name, sizeof linear.name, "image.%s", at.name);
        return linear;
    }
    switch (index - convolutions) {
    case 0:
        linear.weights[0] = &weights->image.pooling.query_weight;
        linear.biases[0] = &weights->image.pooling.query_bias;
        snprintf(linear.name, sizeof linear.name, "image.pooling.query");
        break;
    case 1:
        linear.parts = 2;
        linear.weights[0] = &weights->image.pooling.key_weight;
        linear.biases[0] = &weights->image.pooling.key_bias;
        linear.weights[1] = &weights->image.pooling.value_weight;
        linear.biases[1] = &weights->image.pooling.value_bias;
        snprintf(linear.name, sizeof linear.name, "image.pooling.key_value");
        break;
    default:
        linear.outputs = config->embedding_dimension;
        linear.weights[0] = &weights->image.projection;
        linear.biases[0] = &weights->image.projection_bias;
        snprintf(linear.name, sizeof linear.name, "image.projection");
        break;
    }
    return linear;
}

/* Of attention pooling: a layer whose query is not computed. */
static clipc_linear of_pooling(const clipc_config *config, const clipc_weights *weights, size_t kind)
{
    static const char *const kinds[LINEARS_A_LAYER] = {"key_value", "attention_out", "fc1", "fc2"};
    const clipc_layer_weights *pooling = &weights->image.pooling;
    clipc_linear linear = of_layer(&config->image, pooling, kind);
    if (kind == 0) {
        linear.weights[0] = &pooling->key_weight;
        linear.weights[1] = &pooling->value_weight;
        linear.biases[0] = &pooling->key_bias;
        linear.biases[1] = &pooling->value_bias;
        linear.parts = 2;
    }
    if (clipc_config_has_part(config, CLIPC_PART_QUERY)) {
        linear.outputs = config->embedding_dimension;
        linear.inner = kind == 0 ? config->image.width : config->embedding_dimension;
    }
    snprintf(linear.name, sizeof linear.name, "image.pooling.%s", kinds[kind]);
    return linear;
}

static clipc_linear of_projection(const clipc_config *config, const clipc_weights *weights, bool image)
{
    const bool bias =
        clipc_config_has_part(config, image ? CLIPC_PART_IMAGE_PROJECTION_BIAS : CLIPC_PART_TEXT_PROJECTION_BIAS);
    const clipc_tensor *const bias_tensor = image ? &weights->image.projection_bias : &weights->text.projection_bias;
    clipc_linear linear = {.weights = {image ? &weights->image.projection : &weights->text.projection},
                           .biases = {bias ? bias_tensor : NULL},
                           .parts = 1,
                           .outputs = config->embedding_dimension,
                           .inner = image ? clipc_config_pooled_width(config) : config->text.width};
    snprintf(linear.name, sizeof linear.name, "%s.projection", image ? "image" : "text");
    return linear;
}

clipc_linear clipc_linear_at(const clipc_config *config, const clipc_weights *weights, bool image, size_t index)
{
    static const char *const kinds[LINEARS_A_LAYER] = {"query_key_value", "attention_out", "fc1", "fc2"};
    const clipc_tower_config *tower = tower_of(config, image);
    if (image && clipc_config_is_resnet(config))
        return of_resnet(config, weights, index);
    if (image && index == 0) {
        clipc_linear linear = {.weights = {&weights->image.patch_embedding},
                               .parts = 1,
                               .outputs = tower->width,
                               .inner = 3 * config->patch_size * config->patch_size};
        snprintf(linear.name, sizeof linear.name, "image.patch_embedding");
        return linear;
    }
    index -= count_before(image);
    const size_t layer = index / LINEARS_A_LAYER;
    const size_t kind = index % LINEARS_A_LAYER;
    const size_t after = index - clipc_min(index, LINEARS_A_LAYER * tower->layers);
    if (layer >= tower->layers && after < count_pooling(config, image))
        return of_pooling(config, weights, after);
    if (layer >= tower->layers)
        return of_projection(config, weights, image);
    clipc_linear linear = of_layer(tower, &(image ? weights->image.layers : weights->text.layers)[layer], kind);
    snprintf(linear.name, sizeof linear.name, "%s.layers.%zu.%s", image ? "image" : "text", layer, kinds[kind]);
    return linear;
}

static bool find_part(const clipc_linear *linear, const clipc_tensor *tensor, clipc_linear_place *out)
{
    for (out->part = 0; out->part < linear->parts; out->part++) {
        out->is_bias = linear->biases[out->part] == tensor;
        if (out->is_bias || linear->weights[out->part] == tensor)
            return true;
    }
    return false;
}

/* Looks at `count` layers from `first` on. */
static bool find_among(const clipc_config *config, const clipc_weights *weights, const clipc_slot *slot, size_t first,
                       size_t count, clipc_linear_place *out)
{
    for (out->index = first; out->index < first + count; out->index++) {
        const clipc_linear linear = clipc_linear_at(config, weights, slot->image, out->index);
        if (find_part(&linear, slot->tensor, out))
            return true;
    }
    return false;
}

bool clipc_slot_linear(const clipc_config *config, const clipc_weights *weights, const clipc_slot *slot,
                       clipc_linear_place *out)
{
    if (slot->image && clipc_config_is_resnet(config))
        return false; /* what is packed is no longer what the file had */
    const size_t count = clipc_linear_count(config, slot->image);
    const size_t before = count_before(slot->image);
    const size_t after = count_after(config, slot->image);
    const size_t layer = before + LINEARS_A_LAYER * slot->layer;
    return find_among(config, weights, slot, 0, before, out) ||
           find_among(config, weights, slot, count - after, after, out) ||
           (layer < count - after && find_among(config, weights, slot, layer, LINEARS_A_LAYER, out));
}

bool clipc_slot_folded(const clipc_config *config, const clipc_weights *weights, const clipc_slot *slot,
                       clipc_linear_place *out)
{
    const size_t convolutions = clipc_resnet_count(config);
    if (!slot->image || convolutions == 0)
        return false;
    for (size_t i = 0; i < convolutions; i++) {
        const clipc_convolution_weights *at = &weights->image.convolutions[i];
        *out = (clipc_linear_place){.index = i, .is_bias = slot->tensor == &at->norm_bias};
        if (out->is_bias || slot->tensor == &at->kernel)
            return true;
    }
    return find_among(config, weights, slot, convolutions, RESNET_POOLING_LINEARS, out);
}

bool clipc_slot_is_linear(const clipc_config *config, const clipc_weights *weights, const clipc_slot *slot)
{
    if (slot->image && clipc_config_is_resnet(config))
        return slot->tensor != &weights->image.position_embedding; /* BatchNorm is part of the convolutions */
    clipc_linear_place place;
    return clipc_slot_linear(config, weights, slot, &place);
}
