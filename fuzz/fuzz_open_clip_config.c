/* open_clip_config.json: whatever is accepted lies within the limits that the rest of the library counts on. */
#include "model/open_clip_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    clipc_open_clip_config config;
    if (clipc_open_clip_config_parse(data, size, "fuzz", &config, NULL) != CLIPC_OK)
        return 0;
    if (config.image.width > CLIPC_MAX_WIDTH || config.text.layers > CLIPC_MAX_LAYERS || config.image_size < 1 ||
        config.image_size > CLIPC_MAX_WIDTH || config.vocabulary_size > CLIPC_MAX_VOCABULARY)
        __builtin_trap();
    for (size_t stage = 0; stage < 4; stage++)
        if (config.resnet.depths[stage] > CLIPC_MAX_LAYERS || config.resnet.width > CLIPC_MAX_WIDTH / 32)
            __builtin_trap();
    return 0;
}
