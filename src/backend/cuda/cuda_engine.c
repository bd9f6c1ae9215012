#include "backend/cuda/cuda_engine.h"

#include "backend/cuda/cuda_resnet.h"
#include "backend/cuda/cuda_status.h"
#include "backend/cuda/steps.h"
#include "backend/cuda/tower_file.h"
#include "base/checked.h"
#include "base/memory.h"

#include <string.h>

/* Bytes of a ResNet's maps of one pass at most. */
#define PASS_MAP_BYTES ((size_t)2 << 30)
/* Rows of one pass at most. */
#define PASS_ROWS ((size_t)81920)
/* Of free memory, left for what the driver itself allocates when kernels first run. */
#define RESERVE ((size_t)64 << 20)

/* Items and rows of one pass, when it should take `batch` items. */
static void settle_pass(clipc_cuda_engine *engine, size_t batch)
{
    const size_t tokens = engine->model->config.image_tokens;
    const size_t context = clipc_max(engine->model->context_length, 1);
    size_t rows = 0;
    if (engine->has_image) {
        batch = clipc_min(batch, clipc_max(PASS_ROWS / tokens, 1));
        const size_t maps = clipc_cuda_resnet_maps(&engine->model->config, NULL);
        if (maps)
            batch = clipc_min(batch, clipc_max(PASS_MAP_BYTES / maps, 1));
        rows = batch * tokens;
    }
    if (engine->has_text)
        rows = clipc_max(rows, clipc_max(clipc_min(batch * context, PASS_ROWS), context));
    engine->batch = (int32_t)batch;
    engine->capacity = (int32_t)rows;
}

/* Lays out the workspace from `base` on (NULL: only counts) and returns its size. */
static size_t plan_workspace(clipc_cuda_engine *engine, uint8_t *base)
{
    const clipc_config *config = &engine->model->config;
    const size_t batch = (size_t)engine->batch;
    const size_t rows = (size_t)engine->capacity;
    const clipc_cuda_tower *towers[2] = {&engine->image, &engine->text};
    size_t stride = 0;
    size_t inner = 0;
    size_t hidden = 0;
    size_t parts = 0;
    for (int i = 0; i < 2; i++) {
        stride = clipc_max(stride, (size_t)towers[i]->stride);
        inner = clipc_max(inner, (size_t)towers[i]->inner);
        hidden = clipc_max(hidden, (size_t)towers[i]->mlp_stride);
        parts = clipc_max(parts,
                          ((size_t)towers[i]->width + CLIPC_CUDA_STATISTICS_WIDTH - 1) / CLIPC_CUDA_STATISTICS_WIDTH);
    }
    const size_t byte_rows = clipc_cuda_is_bytes(engine->operand) ? rows : 0;
    const size_t patches = batch * (size_t)engine->patch_count;
    const size_t patch_bytes = patches * (size_t)engine->image.patch.depth * 2;
    const size_t pixels = engine->has_image ? batch * 3 * config->image_size * config->image_size : 0;
    size_t used = 0;
#define TAKE(member, bytes)                                                                                           \
    do {                                                                                                              \
        engine->member = base ? (void *)(base + used) : NULL;                                                         \
        used += clipc_round_up(bytes, 1024);                                                                          \
    } while (0)
    TAKE(pixels, pixels * sizeof(float));
    TAKE(byte_pixels, pixels);
    TAKE(hidden, clipc_max(rows * hidden * 2, patch_bytes));
    engine->patches = engine->hidden; /* patches are done with before the first layer */
    TAKE(rows, rows * stride * 2);
    TAKE(qkv, rows * 3 * inner * 2);
    TAKE(context, rows * inner * 2);
    TAKE(bytes,
         byte_rows *
             clipc_round_up(clipc_max(stride, engine->operand == CLIPC_CUDA_S8 ? clipc_max(hidden, inner) : 0), 16));
    TAKE(row_scale, byte_rows * sizeof(float));
    TAKE(pooled, batch * stride * 2);
    TAKE(statistics, rows * clipc_max(parts, 1) * 2 * sizeof(float));
    TAKE(joined_statistics, rows * 2 * sizeof(float));
    TAKE(pooled_statistics, batch * clipc_max(parts, 1) * 2 * sizeof(float));
    TAKE(embeddings, batch * (size_t)engine->dimension * sizeof(float));
    size_t maps[CLIPC_CUDA_MAPS] = {0};
    if (engine->has_image)
        clipc_cuda_resnet_maps(config, maps);
    for (int i = 0; i < CLIPC_CUDA_MAPS; i++)
        TAKE(maps[i], batch * maps[i]);
    TAKE(patch_output_row, patches * sizeof(int32_t));
    TAKE(patch_position, patches * sizeof(int32_t));
    TAKE(pooled_row, batch * sizeof(int32_t));
    TAKE(image_pooled_row, batch * sizeof(int32_t));
    TAKE(ids, rows * sizeof(int32_t));
    TAKE(offsets, (batch + 1) * sizeof(int32_t));
#undef TAKE
    return used;
}

/* The row maps of the image tower, which never change. */
static clipc_status upload_maps(clipc_cuda_engine *engine, clipc_error *error)
{
    const int32_t class_tokens = engine->model->config.class_token ? 1 : 0;
    const int32_t tokens = engine->patch_count + class_tokens;
    const size_t patches = (size_t)engine->batch * (size_t)engine->patch_count;
    const size_t items = patches * 2 + (size_t)engine->batch;
    int32_t *maps = clipc_allocate(items, sizeof *maps);
    if (!maps)
        return clipc_fail_memory(error, items * sizeof *maps, "row maps");
    int32_t *output_row = maps;
    int32_t *position = maps + patches;
    int32_t *pooled = position + patches;
    for (int32_t i = 0; i < engine->batch; i++) {
        pooled[i] = engine->image.pools_by_attention ? 0 : i * tokens;
        for (int32_t p = 0; p < engine->patch_count; p++) {
            output_row[i * engine->patch_count + p] = i * tokens + class_tokens + p;
            position[i * engine->patch_count + p] = class_tokens + p;
        }
    }
    clipc_status status = CLIPC_OK;
    CLIPC_CHECK(clipc_cuda_check(
        cudaMemcpy(engine->patch_output_row, output_row, patches * sizeof *maps, cudaMemcpyHostToDevice),
        "copying row maps", error));
    CLIPC_CHECK(
        clipc_cuda_check(cudaMemcpy(engine->patch_position, position, patches * sizeof *maps, cudaMemcpyHostToDevice),
                         "copying row maps", error));
    CLIPC_CHECK(clipc_cuda_check(
        cudaMemcpy(engine->image_pooled_row, pooled, (size_t)engine->batch * sizeof *maps, cudaMemcpyHostToDevice),
        "copying row maps", error));
fail:
    clipc_free(maps);
    return status;
}

static clipc_status check_attention(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower, size_t tokens,
                                    clipc_error *error)
{
    const int32_t needed = clipc_cuda_attention_shared_bytes((int32_t)tokens, tower->head_stride);
    CLIPC_FAIL_IF(needed > engine->shared_limit, error, CLIPC_ERROR_UNSUPPORTED,
                  "attention over %zu tokens needs %d bytes of shared memory, and the device gives a block %d", tokens,
                  (int)needed, (int)engine->shared_limit);
    return CLIPC_OK;
}

size_t clipc_cuda_fitting_batch(const clipc_cuda_engine *engine, size_t bytes)
{
    clipc_cuda_engine trial = *engine;
    size_t fits = 0;
    size_t too_much = (size_t)engine->batch;
    while (too_much - fits > 1) {
        const size_t middle = fits + (too_much - fits) / 2;
        settle_pass(&trial, middle);
        if (plan_workspace(&trial, NULL) <= bytes)
            fits = middle;
        else
            too_much = middle;
    }
    return fits;
}

static clipc_status allocate_workspace(clipc_cuda_engine *engine, clipc_error *error)
{
    const size_t bytes = plan_workspace(engine, NULL);
    const clipc_status status = clipc_cuda_allocate(bytes, "the workspace", &engine->memory, error);
    if (status == CLIPC_ERROR_MEMORY) {
        size_t unused = 0;
        size_t total = 0;
        CLIPC_CUDA_TRY(cudaMemGetInfo(&unused, &total), "asking for free memory");
        const size_t fits = clipc_cuda_fitting_batch(engine, unused > RESERVE ? unused - RESERVE : 0);
        CLIPC_FAIL_IF(
            fits == 0, error, status,
            "out of device memory: encoding even one item needs more than the %zu MiB that are free on device "
            "%d, of %zu MiB",
            unused >> 20, engine->device_index, total >> 20);
        return clipc_fail(
            error, status,
            "out of device memory: batches of %d items need %zu MiB of workspace, and %zu of %zu MiB are "
            "free on device %d; batches of %zu items would fit",
            (int)engine->batch, bytes >> 20, unused >> 20, total >> 20, engine->device_index, fits);
    }
    CLIPC_TRY(status);
    engine->workspace_bytes = bytes;
    plan_workspace(engine, engine->memory);
    return CLIPC_OK;
}

static clipc_status make_staging(clipc_cuda_engine *engine, clipc_error *error)
{
    const clipc_config *config = &engine->model->config;
    const size_t image = 3 * config->image_size * config->image_size * sizeof(float);
    const size_t wanted = clipc_max(engine->has_image ? (size_t)engine->batch * image : 0,
                                    ((size_t)engine->batch + 1) * sizeof(int32_t));
    engine->staging_bytes = clipc_min(wanted, CLIPC_CUDA_TRANSFER);
    CLIPC_CUDA_TRY(cudaStreamCreateWithFlags(&engine->stream, cudaStreamNonBlocking), "making a stream");
    for (int i = 0; i < 2; i++) {
        CLIPC_CUDA_TRY(cudaEventCreateWithFlags(&engine->transferred[i], cudaEventDisableTiming), "making an event");
        CLIPC_CUDA_TRY(cudaMallocHost(&engine->staging[i], engine->staging_bytes), "pinning host memory");
    }
    return CLIPC_OK;
}

/* The tables of clipc_preprocess_values, for pixels that come as bytes. */
static clipc_status upload_values(clipc_cuda_engine *engine, clipc_error *error)
{
    float values[3][256];
    for (size_t channel = 0; channel < 3; channel++)
        clipc_preprocess_values(&engine->model->preprocess, channel, values[channel]);
    CLIPC_TRY(clipc_cuda_allocate(sizeof values, "the values of bytes", (void **)&engine->byte_values, error));
    return clipc_cuda_check(cudaMemcpy(engine->byte_values, values, sizeof values, cudaMemcpyHostToDevice),
                            "copying the values of bytes", error);
}

static clipc_status make_towers(clipc_cuda_engine *engine, const char *keep_precise, const clipc_cuda_engine *owner,
                                clipc_error *error)
{
    const clipc_cuda_packing packing = {engine->type, engine->operand};
    if (owner) {
        engine->image = owner->image;
        engine->text = owner->text;
        return CLIPC_OK;
    }
    if (engine->has_image)
        CLIPC_TRY(clipc_cuda_tower_load(engine->model, true, &packing, keep_precise, &engine->image, error));
    if (engine->has_text)
        CLIPC_TRY(clipc_cuda_tower_load(engine->model, false, &packing, keep_precise, &engine->text, error));
    return CLIPC_OK;
}

/* Whether the tower has the parts of CLIP's, and no others. */
static bool is_clip(const clipc_config *config, bool image)
{
    if (image)
        return !clipc_config_is_resnet(config) && config->norm_pre && !config->patch_bias &&
               config->image_pooling == CLIPC_IMAGE_POOL_CLASS && !config->image_projection_bias;
    return config->causal && !clipc_config_places_tokens(config) && !config->text_projection_bias;
}

/* One image or text goes through a tower in one launch where there is a kernel for it. */
static clipc_status prepare_whole_towers(clipc_cuda_engine *engine, clipc_error *error)
{
    if (engine->precision != CLIPC_PRECISION_FP16 || engine->batch_invariant)
        return CLIPC_OK;
    if (engine->has_image && is_clip(&engine->model->config, true))
        CLIPC_TRY(clipc_cuda_whole_tower_prepare(engine->model, true, &engine->device, &engine->image,
                                                 (int32_t)engine->model->config.image_tokens, &engine->whole_image,
                                                 error));
    if (engine->has_text && is_clip(&engine->model->config, false))
        CLIPC_TRY(clipc_cuda_whole_tower_prepare(engine->model, false, &engine->device, &engine->text,
                                                 (int32_t)engine->model->context_length, &engine->whole_text, error));
    return CLIPC_OK;
}

static clipc_status prepare(clipc_cuda_engine *engine, const clipc_compile_options *options,
                            const clipc_cuda_engine *owner, clipc_error *error)
{
    const clipc_config *config = &engine->model->config;
    clipc_cuda_device device;
    engine->precision = clipc_cuda_settled_precision(options);
    const clipc_cuda_packing packing = clipc_cuda_packing_of(engine->precision);
    engine->type = packing.type;
    engine->operand = packing.operand;
    CLIPC_TRY(clipc_cuda_device_read(engine->device_index, &device, error));
    CLIPC_TRY(clipc_cuda_precision_check(&device, engine->precision, error));
    engine->device = device.kernels;
    engine->shared_limit = device.shared_limit;
    CLIPC_CUDA_TRY(cudaSetDevice(engine->device_index), "choosing the device");
    engine->has_image = options->image_tower;
    engine->has_text = options->text_tower;
    engine->batch_invariant = options->batch_invariant;
    engine->dimension = (int32_t)clipc_round_up(config->embedding_dimension, 8);
    engine->patch_count = engine->has_image ? (int32_t)config->image_tokens - (config->class_token ? 1 : 0) : 0;
    settle_pass(engine, clipc_min(options->max_batch, CLIPC_CUDA_PASS_ITEMS));
    CLIPC_TRY(make_staging(engine, error));
    CLIPC_TRY(make_towers(engine, options->keep_precise, owner, error));
    if (engine->has_image)
        CLIPC_TRY(check_attention(engine, &engine->image, config->image_tokens, error));
    if (engine->has_text)
        CLIPC_TRY(check_attention(engine, &engine->text, clipc_max(engine->model->context_length, 1), error));
    CLIPC_TRY(allocate_workspace(engine, error));
    if (engine->has_image) {
        CLIPC_TRY(upload_maps(engine, error));
        CLIPC_TRY(upload_values(engine, error));
    }
    CLIPC_TRY(prepare_whole_towers(engine, error));
    return clipc_cuda_check(cudaDeviceSynchronize(), "preparing the device", error);
}

clipc_status clipc_cuda_engine_create(const clipc_model *model, const clipc_compile_options *options, int device_index,
                                      const clipc_cuda_engine *owner, clipc_cuda_engine **out, clipc_error *error)
{
    *out = NULL;
    clipc_cuda_engine *engine = clipc_allocate(1, sizeof *engine);
    if (!engine)
        return clipc_fail_memory(error, sizeof *engine, "the cuda backend");
    engine->model = model;
    engine->device_index = device_index;
    engine->borrows_towers = owner != NULL;
    const clipc_status status = prepare(engine, options, owner, error);
    if (status != CLIPC_OK)
        clipc_cuda_engine_destroy(&engine);
    *out = engine;
    return status;
}

void clipc_cuda_engine_destroy(clipc_cuda_engine **out)
{
    clipc_cuda_engine *engine = *out;
    if (!engine)
        return;
    (void)cudaSetDevice(engine->device_index);
    if (engine->stream)
        (void)cudaStreamSynchronize(engine->stream);
    for (int32_t i = 0; i < CLIPC_CUDA_GRAPHS; i++)
        if (engine->graphs[i].executable)
            (void)cudaGraphExecDestroy(engine->graphs[i].executable);
    clipc_cuda_whole_tower_free(&engine->whole_image);
    clipc_cuda_whole_tower_free(&engine->whole_text);
    if (!engine->borrows_towers) {
        clipc_cuda_tower_free(&engine->image);
        clipc_cuda_tower_free(&engine->text);
    }
    if (engine->memory)
        (void)cudaFree(engine->memory);
    if (engine->byte_values)
        (void)cudaFree(engine->byte_values);
    for (int i = 0; i < 2; i++) {
        if (engine->staging[i])
            (void)cudaFreeHost(engine->staging[i]);
        if (engine->transferred[i])
            (void)cudaEventDestroy(engine->transferred[i]);
    }
    clipc_thread_pool_destroy(&engine->copiers);
    clipc_cuda_steps_destroy(&engine->steps);
    clipc_cuda_tap_free(&engine->tap);
    clipc_cuda_parts_destroy(&engine->parts);
    clipc_gemm_tiles_free(&engine->tiles);
    if (engine->stream)
        (void)cudaStreamDestroy(engine->stream);
    (void)cudaGetLastError();
    clipc_free(engine);
    *out = NULL;
}
