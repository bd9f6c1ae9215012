#include "backend/cpu/resnet_tower.h"

#include "backend/cpu/pooled_attention.h"
#include "backend/cpu/weight_builder.h"
#include "model/keep_precise.h"

/* All maps have one dtype, so no layer may have another. */
static clipc_status check_precision(const clipc_model *model, clipc_precision precision, const char *keep_precise,
                                    clipc_error *error)
{
    const char *name = model->path[0] ? model->path : model->name;
    CLIPC_FAIL_IF(precision != CLIPC_PRECISION_FP32 && precision != CLIPC_PRECISION_BF16, error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: backend cpu runs ResNet image towers in fp32 and bf16, not in %s",
                  name, clipc_precision_name(precision));
    const size_t count = keep_precise ? clipc_linear_count(&model->config, true) : 0;
    for (size_t i = 0; i < count; i++) {
        const clipc_linear linear = clipc_linear_at(&model->config, &model->weights, true, i);
        CLIPC_FAIL_IF(clipc_keep_precise_of(keep_precise, linear.name, precision) != precision, error,
                      CLIPC_ERROR_UNSUPPORTED, "%s: '%s' is a layer of a ResNet, which has one precision throughout",
                      name, linear.name);
    }
    return CLIPC_OK;
}

static void build_convolution(clipc_weight_builder *builder, const clipc_cpu_resnet *resnet, size_t index,
                              clipc_cpu_convolution *to)
{
    to->shape = clipc_resnet_at(&builder->model->config, index);
    const clipc_weight_stack stack = {.parts = 1,
                                      .outputs = to->shape.outputs,
                                      .inner = to->shape.inputs * to->shape.kernel * to->shape.kernel,
                                      .convolution = &to->shape,
                                      .convolution_weights = &builder->model->weights.image.convolutions[index]};
    clipc_build_weights(builder, &stack, resnet->dtype, &to->weights);
}

static void fill_keys(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    const clipc_cpu_resnet *resnet = context;
    for (size_t head = begin; head < end; head++)
        clipc_pooled_keys_fill(resnet->kernels, &resnet->key_value, 0, resnet->heads, head, &resnet->keys);
}

/* Where heads are whole panels, attention does without keys and values. */
static void build_keys(clipc_weight_builder *builder, clipc_cpu_resnet *resnet)
{
    if (builder->function || builder->status != CLIPC_OK || resnet->width / resnet->heads % CLIPC_ROW_PADDING != 0 ||
        resnet->key_value.layout.dtype != resnet->dtype)
        return;
    const clipc_packed_layout layout =
        clipc_pooled_keys_layout(resnet->kernels, resnet->dtype, resnet->heads, resnet->width);
    size_t bytes = 0;
    if (!clipc_packed_bytes(&layout, &bytes))
        builder->arena.overflow = true;
    void *block = clipc_arena_take(&builder->arena, 1, bytes, 1);
    if (!block)
        return;
    resnet->keys = clipc_packed_weights_at(&layout, block);
    clipc_thread_pool_run(builder->pool, fill_keys, resnet, resnet->heads, 1);
}

static void build(clipc_weight_builder *builder, clipc_cpu_resnet *resnet)
{
    const clipc_weights *weights = &builder->model->weights;
    const size_t width = resnet->width;
    clipc_cpu_convolution unused;
    resnet->convolutions = clipc_arena_take(&builder->arena, resnet->count, 1, sizeof *resnet->convolutions);
    for (size_t i = 0; i < resnet->count; i++)
        build_convolution(builder, resnet, i, builder->arena.base ? &resnet->convolutions[i] : &unused);
    clipc_build_linear(builder, &weights->image.pooling.query_weight, &weights->image.pooling.query_bias, width, width,
                       resnet->dtype, &resnet->query);
    const clipc_weight_stack key_value = {
        .weights = {&weights->image.pooling.key_weight, &weights->image.pooling.value_weight},
        .biases = {&weights->image.pooling.key_bias, &weights->image.pooling.value_bias},
        .parts = 2,
        .outputs = width,
        .inner = width};
    clipc_build_weights(builder, &key_value, resnet->dtype, &resnet->key_value);
    build_keys(builder, resnet);
    clipc_build_linear(builder, &weights->image.projection, &weights->image.projection_bias,
                       resnet->embedding_dimension, width, resnet->dtype, &resnet->projection);
    resnet->positions =
        clipc_build_rows(builder, &weights->image.position_embedding, resnet->tokens, width, resnet->padded_width);
}

static clipc_cpu_resnet resnet_of(const clipc_model *model, const clipc_kernels *kernels, clipc_precision precision)
{
    const clipc_config *config = &model->config;
    return (clipc_cpu_resnet){.kernels = kernels,
                              .dtype = precision == CLIPC_PRECISION_BF16 ? CLIPC_DTYPE_BF16 : CLIPC_DTYPE_F32,
                              .image_size = config->image_size,
                              .width = config->image.width,
                              .padded_width = clipc_padded_columns(config->image.width),
                              .heads = config->image.heads,
                              .tokens = config->image_tokens,
                              .embedding_dimension = config->embedding_dimension,
                              .count = clipc_resnet_count(config)};
}

/* Something was read or came out that is not finite. If no weight is to blame, a variance is: its root divides. */
static clipc_status explain_not_finite(const clipc_model *model, size_t threads, clipc_error *error)
{
    CLIPC_TRY(clipc_model_check_finite(model, true, false, threads, error));
    return clipc_fail(error, CLIPC_ERROR_FORMAT, CLIPC_RESNET_NOT_FINITE, model->path[0] ? model->path : model->name);
}

/* Layers of an engine file may be more precise than it says of itself. */
static bool has_one_dtype(const clipc_cpu_resnet *resnet)
{
    bool same = resnet->query.layout.dtype == resnet->dtype && resnet->key_value.layout.dtype == resnet->dtype &&
                resnet->projection.layout.dtype == resnet->dtype;
    for (size_t i = 0; i < resnet->count; i++)
        same = same && resnet->convolutions[i].weights.layout.dtype == resnet->dtype;
    return same;
}

clipc_status clipc_cpu_resnet_create(const clipc_model *model, const clipc_kernels *kernels, clipc_precision precision,
                                     const char *keep_precise, clipc_thread_pool *pool, clipc_cpu_resnet *resnet,
                                     clipc_error *error)
{
    CLIPC_TRY(check_precision(model, precision, keep_precise, error));
    *resnet = resnet_of(model, kernels, precision);
    clipc_weight_builder builder = {.pool = pool, .kernels = kernels, .model = model, .image = true, .error = error};
    build(&builder, resnet);
    if (builder.status != CLIPC_OK)
        return builder.status;
    resnet->repacked = builder.repacked;
    resnet->weight_bytes = builder.arena.used;
    if (!builder.arena.overflow)
        resnet->weights = clipc_allocate_aligned(1, resnet->weight_bytes);
    if (!resnet->weights)
        return clipc_fail_memory(error, resnet->weight_bytes, "the packed weights of the image tower");
    builder.arena = (clipc_arena){.base = resnet->weights};
    builder.linear = 0;
    build(&builder, resnet);
    if (builder.status != CLIPC_OK)
        return builder.status;
    CLIPC_FAIL_IF(!has_one_dtype(resnet), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: its ResNet has layers of several precisions", model->path);
    return atomic_load(&builder.not_finite) ? explain_not_finite(model, clipc_thread_pool_threads(pool), error)
                                            : CLIPC_OK;
}

clipc_status clipc_cpu_resnet_pack(const clipc_model *model, const clipc_kernels *kernels, clipc_precision precision,
                                   const char *keep_precise, clipc_thread_pool *pool, clipc_packed_function function,
                                   void *context, clipc_error *error)
{
    CLIPC_TRY(check_precision(model, precision, keep_precise, error));
    clipc_cpu_resnet resnet = resnet_of(model, kernels, precision);
    clipc_weight_builder builder = {.pool = pool,
                                    .kernels = kernels,
                                    .model = model,
                                    .image = true,
                                    .function = function,
                                    .context = context,
                                    .error = error};
    build(&builder, &resnet);
    if (builder.status == CLIPC_OK && builder.arena.overflow)
        return clipc_fail_memory(error, SIZE_MAX, "a packed matrix");
    if (builder.status == CLIPC_OK && atomic_load(&builder.not_finite))
        return explain_not_finite(model, clipc_thread_pool_threads(pool), error);
    return builder.status;
}

void clipc_cpu_resnet_destroy(clipc_cpu_resnet *resnet)
{
    clipc_free_aligned(resnet->weights);
    *resnet = (clipc_cpu_resnet){0};
}
