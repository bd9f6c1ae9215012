#include "image/preprocess.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static clipc_status parse(const char *json, clipc_preprocess_rule *rule, clipc_error *error)
{
    return clipc_preprocess_rule_parse(json, strlen(json), "preprocessor_config.json", rule, error);
}

/* Two spellings of the same rule. */
static void assert_same(const char *json, const clipc_preprocess_rule *wanted)
{
    clipc_preprocess_rule rule;
    memset(&rule, 0, sizeof rule);
    assert_int_equal(parse(json, &rule, NULL), CLIPC_OK);
    assert_int_equal(rule.order, wanted->order);
    assert_int_equal(rule.resize, wanted->resize);
    assert_int_equal(rule.filter, wanted->filter);
    assert_int_equal(rule.resize_height, wanted->resize_height);
    assert_int_equal(rule.resize_width, wanted->resize_width);
    assert_int_equal(rule.crop, wanted->crop);
    assert_int_equal(rule.crop_height, wanted->crop_height);
    assert_int_equal(rule.crop_width, wanted->crop_width);
    assert_int_equal(rule.rescale, wanted->rescale);
    assert_true(rule.rescale_factor == wanted->rescale_factor);
    assert_int_equal(rule.normalize, wanted->normalize);
    assert_memory_equal(rule.mean, wanted->mean, sizeof rule.mean);
    assert_memory_equal(rule.standard_deviation, wanted->standard_deviation, sizeof rule.mean);
}

static void openai_rule_in_every_spelling(void **state)
{
    (void)state;
    const clipc_preprocess_rule wanted = clipc_preprocess_rule_openai(224);
    assert_same("{}", &wanted);
    assert_same("{\"size\": 224, \"crop_size\": 224, \"feature_extractor_type\": \"CLIPFeatureExtractor\"}", &wanted);
    assert_same(
        "{\"size\": {\"shortest_edge\": 224}, \"crop_size\": {\"height\": 224, \"width\": 224}, \"resample\": 3,"
        "\"image_processor_type\": \"CLIPImageProcessorFast\", \"do_convert_rgb\": true}",
        &wanted);
    assert_same("{\"crop_size\": [224, 224], \"image_processor_type\": \"CLIPImageProcessor\","
                "\"image_mean\": [0.48145466, 0.4578275, 0.40821073], \"rescale_factor\": 0.00392156862745098}",
                &wanted);
}

static void squash_and_other_families(void **state)
{
    (void)state;
    clipc_preprocess_rule wanted = clipc_preprocess_rule_openai(224);
    wanted.resize = CLIPC_RESIZE_EXACT;
    wanted.resize_height = 384;
    wanted.resize_width = 336;
    assert_same("{\"size\": {\"height\": 384, \"width\": 336}}", &wanted);
    assert_same("{\"size\": [384, 336]}", &wanted);
    wanted.resize_width = 384;
    assert_same("{\"size\": 384, \"default_to_square\": true}", &wanted);

    wanted.crop = false;
    wanted.crop_height = wanted.crop_width = 0;
    for (size_t c = 0; c < 3; c++)
        wanted.mean[c] = wanted.standard_deviation[c] = 0.5;
    assert_same("{\"image_processor_type\": \"SiglipImageProcessor\", \"size\": {\"height\": 384, \"width\": 384}}",
                &wanted);
    wanted.filter = CLIPC_FILTER_BILINEAR;
    assert_same("{\"image_processor_type\": \"ViTImageProcessor\", \"size\": 384}", &wanted);
    assert_same("{\"feature_extractor_type\": \"ViTFeatureExtractor\", \"size\": 384}", &wanted);
    wanted.rescale = wanted.normalize = false;
    assert_same("{\"image_processor_type\": \"ViTImageProcessorFast\", \"size\": 384, \"do_rescale\": false,"
                "\"do_normalize\": false}",
                &wanted);
}

static void hostile_rules_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        clipc_status status;
        const char *named; /* what the sentence must contain */
    } cases[] = {
        {"", CLIPC_ERROR_TRUNCATED, "empty"},
        {"{\"size\": 224", CLIPC_ERROR_TRUNCATED, "ends too early"},
        {"[]", CLIPC_ERROR_FORMAT, "object"},
        {"{\"size\": 0}", CLIPC_ERROR_FORMAT, "size"},
        {"{\"size\": -224}", CLIPC_ERROR_FORMAT, "-224"},
        {"{\"size\": 224.0}", CLIPC_ERROR_FORMAT, "size"},
        {"{\"size\": \"224\"}", CLIPC_ERROR_FORMAT, "size"},
        {"{\"size\": true}", CLIPC_ERROR_FORMAT, "size"},
        {"{\"size\": 1000000}", CLIPC_ERROR_FORMAT, "1000000"},
        {"{\"size\": 99999999999999999999}", CLIPC_ERROR_FORMAT, "not valid JSON"},
        {"{\"size\": {}}", CLIPC_ERROR_FORMAT, "size"},
        {"{\"size\": {\"height\": 224}}", CLIPC_ERROR_FORMAT, "size"},
        {"{\"size\": {\"shortest_edge\": null}}", CLIPC_ERROR_FORMAT, "size"},
        {"{\"size\": {\"shortest_edge\": 224, \"longest_edge\": 300}}", CLIPC_ERROR_UNSUPPORTED, "size"},
        {"{\"size\": [224]}", CLIPC_ERROR_FORMAT, "size"},
        {"{\"crop_size\": {\"shortest_edge\": 224}}", CLIPC_ERROR_FORMAT, "crop_size"},
        {"{\"crop_size\": [0, 224]}", CLIPC_ERROR_FORMAT, "crop_size"},
        {"{\"image_processor_type\": \"ViTImageProcessor\", \"do_center_crop\": true}", CLIPC_ERROR_FORMAT,
         "crop_size"},
        {"{\"resample\": 9}", CLIPC_ERROR_FORMAT, "9"},
        {"{\"resample\": 7}", CLIPC_ERROR_UNSUPPORTED, "7"},
        {"{\"resample\": \"bicubic\"}", CLIPC_ERROR_FORMAT, "resample"},
        {"{\"do_resize\": \"yes\"}", CLIPC_ERROR_FORMAT, "do_resize"},
        {"{\"size\": null}", CLIPC_ERROR_FORMAT, "size"},
        {"{\"image_mean\": null}", CLIPC_ERROR_FORMAT, "image_mean"},
        {"{\"do_pad\": true}", CLIPC_ERROR_UNSUPPORTED, "do_pad"},
        {"{\"rescale_factor\": 0}", CLIPC_ERROR_FORMAT, "rescale_factor"},
        {"{\"rescale_factor\": -1}", CLIPC_ERROR_FORMAT, "rescale_factor"},
        {"{\"rescale_factor\": 1e300}", CLIPC_ERROR_FORMAT, "rescale_factor"},
        {"{\"image_mean\": [0, 0]}", CLIPC_ERROR_FORMAT, "image_mean"},
        {"{\"image_mean\": NaN}", CLIPC_ERROR_FORMAT, "not valid JSON"},
        {"{\"image_mean\": [0, \"0\", 0]}", CLIPC_ERROR_FORMAT, "image_mean"},
        {"{\"image_std\": [1, 0, 1]}", CLIPC_ERROR_FORMAT, "image_std"},
        {"{\"image_std\": 1e-60}", CLIPC_ERROR_FORMAT, "image_std"},
        {"{\"image_processor_type\": 3}", CLIPC_ERROR_FORMAT, "image_processor_type"},
        {"{\"image_processor_type\": \"Siglip2ImageProcessor\"}", CLIPC_ERROR_UNSUPPORTED, "Siglip2ImageProcessor"},
        {"{\"feature_extractor_type\": \"CLIPFeatureExtractorX\"}", CLIPC_ERROR_UNSUPPORTED, "CLIPFeatureExtractorX"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clipc_preprocess_rule rule;
        clipc_error error = {0};
        assert_int_equal(parse(cases[i].json, &rule, &error), cases[i].status);
        assert_non_null(strstr(error.message, "preprocessor_config.json"));
        assert_non_null(strstr(error.message, cases[i].named));
    }
}

static void rule_must_fit_the_model(void **state)
{
    (void)state;
    clipc_preprocess_rule rule = clipc_preprocess_rule_openai(224);
    clipc_error error;
    assert_int_equal(clipc_preprocess_rule_check(&rule, 224, 224, "p.json", &error), CLIPC_OK);
    assert_int_equal(clipc_preprocess_rule_check(&rule, 336, 336, "p.json", &error), CLIPC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "336 x 336"));
    rule.crop = false;
    assert_int_equal(clipc_preprocess_rule_check(&rule, 224, 224, "p.json", &error), CLIPC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "varying"));
}

static void steps_in_words(void **state)
{
    (void)state;
    const clipc_preprocess_rule rule = clipc_preprocess_rule_openai(224);
    char line[160];
    assert_string_equal(clipc_preprocess_rule_step(&rule, 0, line), "convert to RGB");
    assert_string_equal(clipc_preprocess_rule_step(&rule, 1, line), "resize shortest edge to 224, bicubic");
    assert_string_equal(clipc_preprocess_rule_step(&rule, 2, line), "center crop to 224 x 224");
    assert_string_equal(clipc_preprocess_rule_step(&rule, 3, line), "multiply by 0.003921568627");
    assert_non_null(clipc_preprocess_rule_step(&rule, 4, line));
    assert_null(clipc_preprocess_rule_step(&rule, 5, line));
}

/* Every byte through every channel: the product in fp64, the rest in fp32, and planes instead of pixels. */
static void floats_are_the_reference_s(void **state)
{
    (void)state;
    enum { SIDE = 16 };
    uint8_t bytes[SIDE * SIDE * 3];
    for (size_t i = 0; i < SIDE * SIDE; i++)
        for (size_t c = 0; c < 3; c++)
            bytes[3 * i + c] = (uint8_t)(i + 50 * c);
    const clipc_image image = {
        .mode = CLIPC_MODE_RGB, .width = SIDE, .height = SIDE, .channels = 3, .pixels = bytes, .exif_orientation = 1};
    const clipc_preprocess_rule rule = clipc_preprocess_rule_openai(SIDE);
    float got[3 * SIDE * SIDE];
    assert_int_equal(clipc_preprocess(&rule, &image, SIDE, SIDE, got, NULL), CLIPC_OK);
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < SIDE * SIDE; i++) {
            const float scaled = (float)(bytes[3 * i + c] * (1.0 / 255.0));
            const float wanted = (scaled - (float)rule.mean[c]) / (float)rule.standard_deviation[c];
            assert_true(got[c * SIDE * SIDE + i] == wanted);
        }
}

/* transformers: floor((5 - 2) / 2) = 1; torchvision: round half to even of 1.5 = 2, of 0.5 = 0. */
static void crop_rounding(void **state)
{
    (void)state;
    uint8_t bytes[5 * 3 * 3] = {0};
    for (size_t i = 0; i < 15; i++)
        bytes[3 * i] = (uint8_t)i;
    const clipc_image image = {
        .mode = CLIPC_MODE_RGB, .width = 5, .height = 3, .channels = 3, .pixels = bytes, .exif_orientation = 1};
    clipc_preprocess_rule rule = clipc_preprocess_rule_openai(2);
    rule.resize = CLIPC_RESIZE_NONE;
    uint8_t got[2 * 2 * 3];
    assert_int_equal(clipc_preprocess_bytes(&rule, &image, 2, 2, got, NULL), CLIPC_OK);
    assert_int_equal(got[0], 1);
    rule.order = CLIPC_ORDER_TORCHVISION;
    assert_int_equal(clipc_preprocess_bytes(&rule, &image, 2, 2, got, NULL), CLIPC_OK);
    assert_int_equal(got[0], 2);

    /* Padding: 8 rows for 3 are 3 above in transformers (5 missing, halved up), 2 in torchvision. */
    rule.crop_height = 8;
    uint8_t tall[8 * 2 * 3];
    assert_int_equal(clipc_preprocess_bytes(&rule, &image, 8, 2, tall, NULL), CLIPC_OK);
    assert_int_equal(tall[2 * 2 * 3], 2);
    rule.order = CLIPC_ORDER_TRANSFORMERS;
    assert_int_equal(clipc_preprocess_bytes(&rule, &image, 8, 2, tall, NULL), CLIPC_OK);
    assert_int_equal(tall[2 * 2 * 3], 0);
    assert_int_equal(tall[3 * 2 * 3], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai_rule_in_every_spelling),
        cmocka_unit_test(squash_and_other_families),
        cmocka_unit_test(hostile_rules_are_refused),
        cmocka_unit_test(rule_must_fit_the_model),
        cmocka_unit_test(steps_in_words),
        cmocka_unit_test(floats_are_the_reference_s),
        cmocka_unit_test(crop_rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
