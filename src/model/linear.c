#include "model/linear.h"

#include <stdio.h>

#define LINEARS_A_LAYER 4

static const clipc_tower_config *tower_of(const clipc_config *config, bool image)
{
    return image ? &config->image : &config->text;
}

size_t clipc_linear_count(const clipc_config *config, bool image)
{
    if (!clipc_config_has_tower(config, image))
        return 0;
    return (image ? 1 : 0) + LINEARS_A_LAYER * tower_of(config, image)->layers + 1;
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

clipc_linear clipc_linear_at(const clipc_config *config, const clipc_weights *weights, bool image, size_t index)
{
    static const char *const kinds[LINEARS_A_LAYER] = {"query_key_value", "attention_out", "fc1", "fc2"};
    const clipc_tower_config *tower = tower_of(config, image);
    const char *prefix = image ? "image" : "text";
    clipc_linear linear = {.parts = 1, .inner = tower->width, .outputs = config->embedding_dimension};
    if (image && index == 0) {
        linear.weights[0] = &weights->image.patch_embedding;
        linear.outputs = tower->width;
        linear.inner = 3 * config->patch_size * config->patch_size;
        snprintf(linear.name, sizeof linear.name, "%s.patch_embedding", prefix);
        return linear;
    }
    index -= image ? 1 : 0;
    const size_t layer = index / LINEARS_A_LAYER;
    const size_t kind = index % LINEARS_A_LAYER;
    if (layer == tower->layers) {
        linear.weights[0] = image ? &weights->image.projection : &weights->text.projection;
        snprintf(linear.name, sizeof linear.name, "%s.projection", prefix);
        return linear;
    }
    linear = of_layer(tower, &(image ? weights->image.layers : weights->text.layers)[layer], kind);
    snprintf(linear.name, sizeof linear.name, "%s.layers.%zu.%s", prefix, layer, kinds[kind]);
    return linear;
}

static bool holds(const clipc_linear *linear, const clipc_tensor *tensor)
{
    for (size_t part = 0; part < linear->parts; part++)
        if (linear->weights[part] == tensor || linear->biases[part] == tensor)
            return true;
    return false;
}

bool clipc_slot_is_linear(const clipc_config *config, const clipc_weights *weights, const clipc_slot *slot)
{
    const size_t count = clipc_linear_count(config, slot->image);
    const size_t before = (slot->image ? 1 : 0) + LINEARS_A_LAYER * slot->layer;
    for (size_t i = before; i < before + LINEARS_A_LAYER && i < count; i++) {
        const clipc_linear linear = clipc_linear_at(config, weights, slot->image, i);
        if (holds(&linear, slot->tensor))
            return true;
    }
    const clipc_linear first = clipc_linear_at(config, weights, slot->image, 0);
    const clipc_linear last = clipc_linear_at(config, weights, slot->image, count - 1);
    return holds(&first, slot->tensor) || holds(&last, slot->tensor);
}
