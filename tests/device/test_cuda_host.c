/* What of the cuda backend needs no device: sentences of failures, and the batch that fits into so much memory. */
#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/cuda_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void failures_have_a_status_and_a_sentence(void **state)
{
    (void)state;
    static const struct {
        cudaError_t result;
        clipc_status status;
        const char *words;
    } cases[] = {
        {cudaErrorNoDevice, CLIPC_ERROR_DEVICE, "no NVIDIA device was found"},
        {cudaErrorMemoryAllocation, CLIPC_ERROR_MEMORY, "copying: out of memory on the device"},
        {cudaErrorIllegalAddress, CLIPC_ERROR_DEVICE, "copying: an illegal memory access"},
        {cudaErrorLaunchFailure, CLIPC_ERROR_DEVICE, "cudaErrorLaunchFailure"},
    };
    assert_int_equal(clipc_cuda_check(cudaSuccess, "copying", NULL), CLIPC_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clipc_error error = {0};
        assert_int_equal(clipc_cuda_check(cases[i].result, "copying", &error), cases[i].status);
        assert_non_null(strstr(error.message, cases[i].words));
    }
}

static void smaller_batches_fit_into_less_memory(void **state)
{
    (void)state;
    clipc_error error = {0};
    clipc_model *model = NULL;
    assert_int_equal(clipc_model_create_random("ViT-B-32", 1, NULL, &model, &error), CLIPC_OK);
    clipc_cuda_engine engine = {.model = model,
                                .has_image = true,
                                .batch = 1024,
                                .patch_count = 49,
                                .dimension = 512,
                                .image = {.width = 768, .stride = 768, .inner = 768, .mlp_stride = 3072}};
    assert_int_equal(clipc_cuda_fitting_batch(&engine, 0), 0);
    assert_int_equal(clipc_cuda_fitting_batch(&engine, SIZE_MAX), 1023);
    size_t before = 0;
    for (size_t mebibytes = 1; mebibytes <= 4096; mebibytes *= 2) {
        const size_t fits = clipc_cuda_fitting_batch(&engine, mebibytes << 20);
        assert_true(fits >= before);
        assert_true(fits * 3 * 224 * 224 * 5 <= mebibytes << 20); /* its pixels alone, as floats and as bytes */
        before = fits;
    }
    assert_true(before > 100);
    assert_int_equal(engine.batch, 1024); /* asking changes nothing */
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_have_a_status_and_a_sentence),
        cmocka_unit_test(smaller_batches_fit_into_less_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
