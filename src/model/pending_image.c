/* Stands in until src/image has its preprocessing; the build leaves it out from then on. */
#include "image/preprocess.h"

#include <stdio.h>

clipc_preprocess_rule clipc_preprocess_rule_openai(size_t image_size)
{
    return (clipc_preprocess_rule){.resize = CLIPC_RESIZE_SHORTEST_EDGE,
                                   .filter = CLIPC_FILTER_BICUBIC,
                                   .resize_height = image_size,
                                   .resize_width = image_size,
                                   .crop = true,
                                   .crop_height = image_size,
                                   .crop_width = image_size,
                                   .rescale = true,
                                   .rescale_factor = 1.0 / 255.0,
                                   .normalize = true,
                                   .mean = {0.48145466, 0.4578275, 0.40821073},
                                   .standard_deviation = {0.26862954, 0.26130258, 0.27577711}};
}

clipc_status clipc_preprocess_rule_parse(const void *json, size_t size, const char *name, clipc_preprocess_rule *out,
                                         clipc_error *error)
{
    (void)json;
    (void)size;
    (void)name;
    (void)error;
    *out = clipc_preprocess_rule_openai(128);
    return CLIPC_OK;
}

clipc_status clipc_preprocess_rule_check(const clipc_preprocess_rule *rule, size_t image_height, size_t image_width,
                                         const char *name, clipc_error *error)
{
    (void)rule;
    (void)image_height;
    (void)image_width;
    (void)name;
    (void)error;
    return CLIPC_OK;
}

const char *clipc_preprocess_rule_step(const clipc_preprocess_rule *rule, size_t index, char buffer[160])
{
    if (index > 0)
        return NULL;
    snprintf(buffer, 160, "resize shortest edge to %zu, bicubic", rule->resize_height);
    return buffer;
}
