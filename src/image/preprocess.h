/* From a decoded image to the floats that the image tower reads. A rule is data: it comes from the model's files. */
#ifndef CLIPC_IMAGE_PREPROCESS_H
#define CLIPC_IMAGE_PREPROCESS_H

#include "image/image.h"
#include "image/resize.h"

#include <stdbool.h>

typedef enum clipc_resize_mode {
    CLIPC_RESIZE_NONE,
    CLIPC_RESIZE_SHORTEST_EDGE, /* the shorter side becomes resize_height (= resize_width), aspect kept, long side
                                   floored */
    CLIPC_RESIZE_EXACT          /* resize_height × resize_width, aspect lost ("squash") */
} clipc_resize_mode;

/* Whose order and rounding: transformers converts to RGB first and crops at floor(d / 2); torchvision, as OpenAI and
 * open_clip use it, rounds d / 2 half to even, resizes and crops in the file's own mode and converts last, dropping
 * transparency. With the order of transformers clipc_preprocess takes RGB images only. */
typedef enum clipc_preprocess_order { CLIPC_ORDER_TRANSFORMERS, CLIPC_ORDER_TORCHVISION } clipc_preprocess_order;

/* "transformers" and "torchvision", as clipc's own files spell the order. Parsing fails with false. */
const char *clipc_preprocess_order_name(clipc_preprocess_order order);
bool clipc_preprocess_order_parse(const char *name, clipc_preprocess_order *out);

typedef struct clipc_preprocess_rule {
    clipc_preprocess_order order;
    clipc_resize_mode resize;
    clipc_filter filter;
    size_t resize_height;
    size_t resize_width;
    bool crop; /* centre crop */
    size_t crop_height;
    size_t crop_width;
    bool rescale;
    double rescale_factor;
    bool normalize;
    double mean[3];
    double standard_deviation[3];
} clipc_preprocess_rule;

/* OpenAI CLIP's: shortest edge, bicubic, centre crop, its mean and deviation. */
clipc_preprocess_rule clipc_preprocess_rule_openai(size_t image_size);
/* SigLIP's, as transformers' SiglipImageProcessor has it: squashed to a square, bicubic, mean and deviation 0.5. */
clipc_preprocess_rule clipc_preprocess_rule_siglip(size_t image_size);

/* Reads preprocessor_config.json in its old and new spellings (size as a number, as shortest_edge, or as height and
 * width; crop_size as a number or a pair; resample as a number; feature_extractor_type or image_processor_type). What
 * the file leaves out takes the value of the transformers class it names, CLIPImageProcessor when it names none. */
clipc_status clipc_preprocess_rule_parse(const void *json, size_t size, const char *name, clipc_preprocess_rule *out,
                                         clipc_error *error);

/* The same of the object "image_processor" in processor_config.json; *found is false when there is none, or null. */
clipc_status clipc_preprocess_rule_parse_nested(const void *json, size_t size, const char *name, bool *found,
                                                clipc_preprocess_rule *out, clipc_error *error);

/* Writes the rule as preprocessor_config.json has it, all but its order, to be freed with clipc_free. Parsing it gives
 * the rule again, bit for bit. */
clipc_status clipc_preprocess_rule_write(const clipc_preprocess_rule *rule, char **json, clipc_error *error);

/* Checks that the rule always yields image_height × image_width. */
clipc_status clipc_preprocess_rule_check(const clipc_preprocess_rule *rule, size_t image_height, size_t image_width,
                                         const char *name, clipc_error *error);

/* One line a step in words; NULL past the last. Writes to `buffer` and returns it. */
const char *clipc_preprocess_rule_step(const clipc_preprocess_rule *rule, size_t index, char buffer[160]);

/* The resized and cropped bytes [height, width, 3], before any float: `bytes` holds height × width × 3. */
clipc_status clipc_preprocess_bytes(const clipc_preprocess_rule *rule, const clipc_image *image, size_t height,
                                    size_t width, uint8_t *bytes, clipc_error *error);
/* What each byte of a channel becomes. */
void clipc_preprocess_values(const clipc_preprocess_rule *rule, size_t channel, float values[256]);
/* Those bytes, `area` pixels, as floats [3, area]. */
void clipc_preprocess_floats(const clipc_preprocess_rule *rule, const uint8_t *bytes, size_t area, float *pixels);
/* The floats [3, height, width]. */
clipc_status clipc_preprocess(const clipc_preprocess_rule *rule, const clipc_image *image, size_t height, size_t width,
                              float *pixels, clipc_error *error);

#endif
