/* The tensorrt backend: towers exported as ONNX graphs in memory, built and run by TensorRT. For comparison, and for
 * those who have it: clipc's own kernels are the cuda backend. */
#include "backend/backend.h"
#include "backend/cuda/cuda_device.h"
#include "backend/tensorrt/tensorrt_tower.h"
#include "base/checked.h"
#include "base/memory.h"

#include <string.h>

struct compiled {
    clipc_tensorrt_tower *image;
    clipc_tensorrt_tower *text;
    size_t positions; /* ids of a text, padded */
    size_t dimension; /* D */
    int32_t *ids;     /* [max_batch, positions] */
    clipc_compiled_info info;
};

/* ---- what there is ---- */

static clipc_status probe(clipc_error *error)
{
    size_t count = 0;
    char version[32];
    CLIPC_TRY(clipc_tensorrt_probe(version, error));
    return clipc_cuda_device_count(&count, error);
}

static bool supports_precision(clipc_precision precision)
{
    return precision == CLIPC_PRECISION_AUTO || precision == CLIPC_PRECISION_FP16 || precision == CLIPC_PRECISION_FP32;
}

static clipc_status plan(const clipc_compile_options *options, clipc_compiled_info *info, clipc_error *error)
{
    CLIPC_FAIL_IF(options->devices && strcmp(options->devices, "0") != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "backend tensorrt: it uses the first device alone (CUDA_VISIBLE_DEVICES tells which that is)");
    *info = (clipc_compiled_info){
        .precision = options->precision == CLIPC_PRECISION_FP32 ? CLIPC_PRECISION_FP32 : CLIPC_PRECISION_FP16,
        .isa = "TensorRT",
        .threads = 1,
    };
    return CLIPC_OK;
}

/* ---- making ---- */

typedef struct graph_bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
} graph_bytes;

static int append(void *user, const void *bytes, size_t size)
{
    graph_bytes *to = user;
    if (size > to->capacity - to->size) {
        const size_t capacity = clipc_max(to->size + size, to->capacity * 2);
        uint8_t *data = clipc_allocate(capacity, 1);
        if (!data)
            return 1;
        if (to->size)
            memcpy(data, to->data, to->size);
        clipc_free(to->data);
        to->data = data;
        to->capacity = capacity;
    }
    memcpy(to->data + to->size, bytes, size);
    to->size += size;
    return 0;
}

static clipc_status make_tower(struct compiled *compiled, const clipc_model *model,
                               const clipc_compile_options *options, bool text, clipc_tensorrt_tower **out,
                               clipc_error *error)
{
    clipc_onnx_options graph_options;
    graph_bytes graph = {0};
    clipc_status status = CLIPC_OK;
    size_t plan_size = 0;
    size_t workspace = 0;
    clipc_onnx_options_init(&graph_options);
    graph_options.text = text;
    graph_options.precision = compiled->info.precision;
    graph_options.int32_tokens = 1;
    CLIPC_CHECK(clipc_model_export_onnx(model, &graph_options, append, &graph, NULL, NULL, NULL, error));
    const size_t side = model->config.image_size;
    const clipc_batches asked = text ? options->tensorrt_text_batches : options->tensorrt_image_batches;
    const clipc_tensorrt_settings settings = {
        .graph = graph.data,
        .graph_bytes = graph.size,
        .name = text ? "the text tower" : "the image tower",
        .input_item_bytes = text ? compiled->positions * sizeof(int32_t) : 3 * side * side * sizeof(float),
        .output_items = compiled->dimension,
        .batches = asked.largest ? asked : (clipc_batches){1, options->max_batch, options->max_batch},
        .optimization_level = options->tensorrt_level,
        .workspace_bytes = options->tensorrt_workspace,
        .cache = options->tensorrt_cache,
        .log = options->log,
        .log_user = options->log_user,
    };
    CLIPC_CHECK(clipc_tensorrt_tower_create(&settings, out, error));
    clipc_tensorrt_tower_sizes(*out, &plan_size, &workspace);
    compiled->info.packed_bytes += plan_size;
    compiled->info.workspace_bytes += workspace;
fail:
    clipc_free(graph.data);
    return status;
}

static void destroy(void **compiled)
{
    struct compiled *old = *compiled;
    if (!old)
        return;
    clipc_tensorrt_tower_destroy(&old->image);
    clipc_tensorrt_tower_destroy(&old->text);
    clipc_free(old->ids);
    clipc_free(old);
    *compiled = NULL;
}

static clipc_status make(struct compiled *compiled, const clipc_model *model, const clipc_compile_options *options,
                         clipc_error *error)
{
    CLIPC_TRY(plan(options, &compiled->info, error));
    compiled->positions = model->config.max_positions;
    compiled->dimension = model->config.embedding_dimension;
    if (options->image_tower)
        CLIPC_TRY(make_tower(compiled, model, options, false, &compiled->image, error));
    if (!options->text_tower)
        return CLIPC_OK;
    compiled->ids = clipc_allocate(options->max_batch * compiled->positions, sizeof *compiled->ids);
    if (!compiled->ids)
        return clipc_fail_memory(error, options->max_batch * compiled->positions * sizeof *compiled->ids, "token ids");
    return make_tower(compiled, model, options, true, &compiled->text, error);
}

static clipc_status compile(const clipc_model *model, const clipc_compile_options *options, void **out,
                            clipc_error *error)
{
    struct compiled *compiled = clipc_allocate(1, sizeof *compiled);
    *out = NULL;
    if (!compiled)
        return clipc_fail_memory(error, sizeof *compiled, "the tensorrt backend");
    const clipc_status status = make(compiled, model, options, error);
    *out = compiled;
    if (status != CLIPC_OK)
        destroy(out);
    return status;
}

static void info(const void *compiled, clipc_compiled_info *out)
{
    *out = ((const struct compiled *)compiled)->info;
}

/* ---- running ---- */

static clipc_status encode_images(void *compiled, const float *pixels, size_t count, float *embeddings,
                                  clipc_error *error)
{
    const struct compiled *of = compiled;
    return clipc_tensorrt_tower_run(of->image, pixels, count, embeddings, error);
}

/* Padded behind the pooled token with zeros, as docs/export-onnx.md says: attention is causal, so they cannot matter.
 */
static clipc_status encode_tokens(void *compiled, const int32_t *ids, const size_t *offsets, size_t count,
                                  float *embeddings, clipc_error *error)
{
    const struct compiled *of = compiled;
    memset(of->ids, 0, count * of->positions * sizeof *of->ids);
    for (size_t i = 0; i < count; i++)
        memcpy(of->ids + i * of->positions, ids + offsets[i], (offsets[i + 1] - offsets[i]) * sizeof *ids);
    return clipc_tensorrt_tower_run(of->text, of->ids, count, embeddings, error);
}

const clipc_backend clipc_backend_tensorrt = {
    .name = "tensorrt",
    .probe = probe,
    .supports_precision = supports_precision,
    .compile = compile,
    .info = info,
    .plan = plan,
    .encode_images = encode_images,
    .encode_tokens = encode_tokens,
    .destroy = destroy,
};
