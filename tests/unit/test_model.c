/* Opening models: the embedded one, random ones, and directories made here, good and bad. */
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void opens_the_demo_model(void **state)
{
    (void)state;
    clipc_model *model = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_model_open(NULL, NULL, &model, &error), CLIPC_OK);
    clipc_model_info info = {.size = sizeof info};
    assert_int_equal(clipc_model_get_info(model, &info, &error), CLIPC_OK);
    assert_string_equal(info.name, "demo");
    assert_string_equal(info.path, "");
    assert_string_equal(info.family, "clip");
    assert_string_equal(info.weights_dtype, "fp16");
    assert_int_equal(info.image.width, 256);
    assert_int_equal(info.image.layers, 6);
    assert_int_equal(info.text.mlp_width, 512);
    assert_int_equal(info.image_tokens, 65);
    assert_int_equal(info.embedding_dimension, 256);
    assert_int_equal(info.context_length, 77);
    assert_int_equal(info.image.parameters + info.text.parameters + 1, 12178817);
    assert_float_equal(info.logit_scale, 58.1F, 0.05F);
    clipc_model_destroy(&model);
    assert_null(model);
}

static void makes_random_models(void **state)
{
    (void)state;
    for (size_t i = 0; clipc_architecture_name(i); i++) {
        clipc_model *model = NULL;
        clipc_error error = {0};
        assert_int_equal(clipc_model_create_random(clipc_architecture_name(i), 1, NULL, &model, &error), CLIPC_OK);
        clipc_model_destroy(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_the_demo_model),
        cmocka_unit_test(makes_random_models),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
