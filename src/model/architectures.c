/* The shapes of well-known CLIPs: OpenAI's ViT models and ResNets and, with plain GELU, open_clip's ViT-H-14 and
 * ViT-bigG-14; and those of SigLIP 2 (Tschannen et al. 2025) by open_clip's names, whose two towers are alike. */
#include "model/model.h"

#include <string.h>

static const struct architecture {
    const char *name;
    size_t image_size;
    size_t patch_size;
    clipc_tower_config image;
    clipc_tower_config text;
    size_t embedding_dimension;
    bool siglip;
    clipc_resnet_config resnet;
} architectures[] = {
#define TOWER(tower_width, tower_layers, tower_heads, tower_mlp, gelu)                                                \
    {                                                                                                                 \
        .width = tower_width, .layers = tower_layers, .heads = tower_heads, .mlp_width = tower_mlp,                   \
        .activation = gelu, .layer_norm_epsilon = 1e-5F                                                               \
    }
#define QUICK CLIPC_ACTIVATION_QUICK_GELU
#define GELU  CLIPC_ACTIVATION_GELU
#define SIGLIP(name, image_size, patch_size, width, layers, heads, mlp)                                               \
    {                                                                                                                 \
        name, image_size, patch_size, SIGLIP_TOWER(width, layers, heads, mlp),                                        \
            SIGLIP_TOWER(width, layers, heads, mlp), width, true,                                                     \
        {                                                                                                             \
            {0}, 0                                                                                                    \
        }                                                                                                             \
    }
#define SIGLIP_TOWER(tower_width, tower_layers, tower_heads, tower_mlp)                                               \
    {                                                                                                                 \
        .width = tower_width, .layers = tower_layers, .heads = tower_heads, .mlp_width = tower_mlp,                   \
        .activation = CLIPC_ACTIVATION_GELU_TANH, .layer_norm_epsilon = 1e-6F                                         \
    }
    {"ViT-B-32", 224, 32, TOWER(768, 12, 12, 3072, QUICK), TOWER(512, 12, 8, 2048, QUICK), 512, false, {{0}, 0}},
    {"ViT-B-16", 224, 16, TOWER(768, 12, 12, 3072, QUICK), TOWER(512, 12, 8, 2048, QUICK), 512, false, {{0}, 0}},
    {"ViT-L-14", 224, 14, TOWER(1024, 24, 16, 4096, QUICK), TOWER(768, 12, 12, 3072, QUICK), 768, false, {{0}, 0}},
    {"ViT-L-14-336", 336, 14, TOWER(1024, 24, 16, 4096, QUICK), TOWER(768, 12, 12, 3072, QUICK), 768, false, {{0}, 0}},
    {"ViT-H-14", 224, 14, TOWER(1280, 32, 16, 5120, GELU), TOWER(1024, 24, 16, 4096, GELU), 1024, false, {{0}, 0}},
    {"ViT-bigG-14", 224, 14, TOWER(1664, 48, 16, 8192, GELU), TOWER(1280, 32, 20, 5120, GELU), 1280, false, {{0}, 0}},
    SIGLIP("ViT-B-32-SigLIP2-256", 256, 32, 768, 12, 12, 3072),
    SIGLIP("ViT-B-16-SigLIP2", 224, 16, 768, 12, 12, 3072),
    SIGLIP("ViT-L-16-SigLIP2-256", 256, 16, 1024, 24, 16, 4096),
    SIGLIP("ViT-SO400M-14-SigLIP2", 224, 14, 1152, 27, 16, 4304),
#define RESNET(name, size, width, heads, text_width, dimension, ...)                                                  \
    {                                                                                                                 \
        name, size, 0, TOWER(0, 0, heads, 0, QUICK),                                                                  \
            TOWER(text_width, 12, (text_width) / 64, 4 * (text_width), QUICK), dimension, false,                      \
        {                                                                                                             \
            {__VA_ARGS__}, width                                                                                      \
        }                                                                                                             \
    }
    RESNET("RN50", 224, 64, 32, 512, 1024, 3, 4, 6, 3),
    RESNET("RN101", 224, 64, 32, 512, 512, 3, 4, 23, 3),
    RESNET("RN50x4", 288, 80, 40, 640, 640, 4, 6, 10, 6),
    RESNET("RN50x16", 384, 96, 48, 768, 768, 6, 8, 18, 8),
    RESNET("RN50x64", 448, 128, 64, 1024, 1024, 3, 15, 36, 10),
};

const char *clipc_architecture_name(size_t index)
{
    return index < sizeof architectures / sizeof architectures[0] ? architectures[index].name : NULL;
}

bool clipc_architecture_find(const char *name, clipc_config *config)
{
    for (size_t i = 0; clipc_architecture_name(i); i++) {
        const struct architecture *at = &architectures[i];
        if (strcmp(at->name, name) != 0)
            continue;
        *config = at->siglip ? clipc_config_siglip() : clipc_config_clip();
        config->image = at->image;
        config->image_size = at->image_size;
        config->patch_size = at->patch_size;
        config->text = at->text;
        config->vocabulary_size = at->siglip ? 256000 : 49408;
        config->max_positions = at->siglip ? 64 : 77;
        config->eot_token = at->siglip ? 0 : 49407;
        config->embedding_dimension = at->embedding_dimension;
        config->resnet = at->resnet;
        if (clipc_config_is_resnet(config))
            return clipc_config_set_resnet(config, name, NULL) == CLIPC_OK;
        return clipc_config_set_image(config, name, NULL) == CLIPC_OK;
    }
    return false;
}
