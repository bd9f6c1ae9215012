/* A preprocessing rule as transformers spells it, for the class whose steps are the general ones. */
#include "base/json.h"
#include "base/memory.h"
#include "image/preprocess.h"

#include <string.h>

const char *clipc_preprocess_order_name(clipc_preprocess_order order)
{
    return order == CLIPC_ORDER_TORCHVISION ? "torchvision" : "transformers";
}

bool clipc_preprocess_order_parse(const char *name, clipc_preprocess_order *out)
{
    for (clipc_preprocess_order order = CLIPC_ORDER_TRANSFORMERS; order <= CLIPC_ORDER_TORCHVISION; order++) {
        if (strcmp(clipc_preprocess_order_name(order), name) == 0) {
            *out = order;
            return true;
        }
    }
    return false;
}

static json_t *size_to_json(const clipc_preprocess_rule *rule)
{
    if (rule->resize == CLIPC_RESIZE_SHORTEST_EDGE)
        return json_pack("{s:I}", "shortest_edge", (json_int_t)rule->resize_height);
    return json_pack("{s:I, s:I}", "height", (json_int_t)rule->resize_height, "width", (json_int_t)rule->resize_width);
}

static json_t *channels_to_json(const double values[3])
{
    return json_pack("[f, f, f]", values[0], values[1], values[2]);
}

/* NULL when there is no memory. */
static json_t *rule_to_json(const clipc_preprocess_rule *rule)
{
    json_t *root =
        json_pack("{s:s, s:b, s:b, s:i, s:b, s:b, s:f, s:b, s:o, s:o}", "image_processor_type", "CLIPImageProcessor",
                  "do_convert_rgb", 1, "do_resize", rule->resize != CLIPC_RESIZE_NONE, "resample", (int)rule->filter,
                  "do_center_crop", (int)rule->crop, "do_rescale", (int)rule->rescale, "rescale_factor",
                  rule->rescale_factor, "do_normalize", (int)rule->normalize, "image_mean",
                  channels_to_json(rule->mean), "image_std", channels_to_json(rule->standard_deviation));
    int failed = 0;
    if (rule->resize != CLIPC_RESIZE_NONE)
        failed |= json_object_set_new(root, "size", size_to_json(rule));
    if (rule->crop)
        failed |= json_object_set_new(
            root, "crop_size",
            json_pack("{s:I, s:I}", "height", (json_int_t)rule->crop_height, "width", (json_int_t)rule->crop_width));
    if (!failed)
        return root;
    json_decref(root);
    return NULL;
}

clipc_status clipc_preprocess_rule_write(const clipc_preprocess_rule *rule, char **json, clipc_error *error)
{
    *json = clipc_json_write(rule_to_json(rule));
    return *json ? CLIPC_OK : clipc_fail_memory(error, sizeof *rule, "a preprocessing rule as text");
}
