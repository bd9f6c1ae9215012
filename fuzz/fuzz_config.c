/* Any bytes as a config.json: an accepted config keeps every promise of model/config.h. */
#include "model/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_tower(const clipc_tower_config *tower)
{
    if (tower->width < 1 || tower->width > CLIPC_MAX_WIDTH || tower->mlp_width < 1 ||
        tower->mlp_width > CLIPC_MAX_WIDTH || tower->layers < 1 || tower->layers > CLIPC_MAX_LAYERS ||
        tower->heads < 1 || tower->width % tower->heads != 0 || !(tower->layer_norm_epsilon > 0))
        abort();
}

static void check_resnet(const clipc_config *config)
{
    size_t blocks = 0;
    for (size_t stage = 0; stage < 4; stage++) {
        if (config->resnet.depths[stage] < 1 || config->resnet.depths[stage] > CLIPC_MAX_LAYERS)
            abort();
        blocks += config->resnet.depths[stage];
    }
    if (config->image.layers != blocks || config->image.width != 32 * config->resnet.width ||
        config->image.width > CLIPC_MAX_WIDTH || config->image.heads < 1 ||
        config->image.width % config->image.heads != 0 || config->image_size % CLIPC_RESNET_STRIDE != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    clipc_config config;
    clipc_error error;
    if (clipc_config_parse(bytes, size, "fuzz", &config, &error) != CLIPC_OK)
        return 0;
    const bool image = clipc_config_has_tower(&config, true);
    const bool text = clipc_config_has_tower(&config, false);
    if (image && clipc_config_is_resnet(&config))
        check_resnet(&config);
    else if (image)
        check_tower(&config.image);
    if (text)
        check_tower(&config.text);
    if (image && (config.image_tokens < (config.class_token ? 2u : 1u) || config.image_tokens > CLIPC_MAX_TOKENS ||
                  config.patch_size < 1 || config.patch_size > config.image_size))
        abort();
    if (text && (config.max_positions < 2 || config.max_positions > CLIPC_MAX_TOKENS || config.vocabulary_size < 2 ||
                 config.vocabulary_size > CLIPC_MAX_VOCABULARY))
        abort();
    if ((!image && !text) || config.embedding_dimension < 1 || config.embedding_dimension > CLIPC_MAX_WIDTH ||
        (image && !config.image_projection && config.embedding_dimension != config.image.width))
        abort();
    return 0;
}
