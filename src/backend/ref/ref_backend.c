/* The reference as a backend: slow, readable and always there. It runs on the calling thread. */
#include "backend/backend.h"
#include "backend/ref/ref_towers.h"
#include "base/memory.h"

typedef struct clipc_ref_compiled {
    const clipc_model *model;
    clipc_ref_workspace workspace;
} clipc_ref_compiled;

static clipc_status probe(clipc_error *error)
{
    (void)error;
    return CLIPC_OK;
}

static bool supports_precision(clipc_precision precision)
{
    return precision == CLIPC_PRECISION_AUTO || precision == CLIPC_PRECISION_FP32;
}

static void destroy(void **compiled)
{
    clipc_ref_compiled *ref = *compiled;
    if (!ref)
        return;
    clipc_ref_workspace_destroy(&ref->workspace);
    clipc_free(ref);
    *compiled = NULL;
}

static clipc_status compile(const clipc_model *model, const clipc_compile_options *options, void **compiled,
                            clipc_error *error)
{
    CLIPC_FAIL_IF(model->engine_file, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: backend ref reads the original weights, an engine file holds packed ones", model->path);
    clipc_ref_compiled *ref = clipc_allocate(1, sizeof *ref);
    if (!ref)
        return clipc_fail_memory(error, sizeof *ref, "the reference backend");
    ref->model = model;
    clipc_status status =
        clipc_model_check_finite(model, options->image_tower, options->text_tower, options->threads, error);
    if (status == CLIPC_OK)
        status = clipc_ref_workspace_create(model, options->image_tower, options->text_tower, &ref->workspace, error);
    if (status != CLIPC_OK) {
        clipc_free(ref);
        return status;
    }
    *compiled = ref;
    return CLIPC_OK;
}

static void info(const void *compiled, clipc_compiled_info *out)
{
    const clipc_ref_compiled *ref = compiled;
    *out = (clipc_compiled_info){
        .precision = CLIPC_PRECISION_FP32,
        .isa = "c",
        .threads = 1,
        .packed_bytes = 0, /* weights are read where they lie */
        .workspace_bytes = ref->workspace.bytes,
    };
}

static clipc_status plan(const clipc_compile_options *options, clipc_compiled_info *info, clipc_error *error)
{
    (void)options;
    (void)error;
    *info = (clipc_compiled_info){.precision = CLIPC_PRECISION_FP32, .isa = "c", .threads = 1};
    return CLIPC_OK;
}

static clipc_status encode_images(void *compiled, const float *pixels, size_t count, float *embeddings,
                                  clipc_error *error)
{
    (void)error;
    clipc_ref_compiled *ref = compiled;
    const clipc_config *config = &ref->model->config;
    const size_t image = 3 * config->image_size * config->image_size;
    for (size_t i = 0; i < count; i++)
        clipc_ref_encode_image(ref->model, &ref->workspace, pixels + i * image,
                               embeddings + i * config->embedding_dimension);
    return CLIPC_OK;
}

static clipc_status encode_tokens(void *compiled, const int32_t *ids, const size_t *offsets, size_t count,
                                  float *embeddings, clipc_error *error)
{
    (void)error;
    clipc_ref_compiled *ref = compiled;
    const size_t dimension = ref->model->config.embedding_dimension;
    for (size_t i = 0; i < count; i++)
        clipc_ref_encode_text(ref->model, &ref->workspace, ids + offsets[i], offsets[i + 1] - offsets[i],
                              embeddings + i * dimension);
    return CLIPC_OK;
}

static clipc_status set_tap(void *compiled, const clipc_tap_target *target, clipc_error *error)
{
    (void)error;
    clipc_ref_compiled *ref = compiled;
    ref->workspace.tap = *target;
    return CLIPC_OK;
}

const clipc_backend clipc_backend_ref = {
    .name = "ref",
    .probe = probe,
    .supports_precision = supports_precision,
    .compile = compile,
    .plan = plan,
    .info = info,
    .encode_images = encode_images,
    .encode_tokens = encode_tokens,
    .destroy = destroy,
    .set_tap = set_tap,
};
