/* The cuda backend: NVIDIA devices from sm_80 on, with kernels of its own. The driver is found at run time. */
#include "backend/backend.h"
#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/cuda_status.h"
#include "backend/cuda/steps.h"
#include "base/checked.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* Items and rows of one pass: larger batches are cut. */
#define PASS_ITEMS ((size_t)1024)
#define PASS_ROWS  ((size_t)81920)

static clipc_status read_device(clipc_gemm_device *device, int32_t *shared_limit, clipc_error *error)
{
    int count = 0;
    CLIPC_CUDA_TRY(cudaGetDeviceCount(&count), "looking for devices");
    CLIPC_FAIL_IF(count == 0, error, CLIPC_ERROR_DEVICE, "no NVIDIA device was found");
    int major = 0;
    int minor = 0;
    int multiprocessors = 0;
    int shared = 0;
    CLIPC_CUDA_TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "asking the device");
    CLIPC_CUDA_TRY(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "asking the device");
    CLIPC_CUDA_TRY(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0), "asking the device");
    CLIPC_CUDA_TRY(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), "asking the device");
    CLIPC_FAIL_IF(major < 8, error, CLIPC_ERROR_DEVICE,
                  "the NVIDIA device has compute capability %d.%d, and the cuda backend needs 8.0", major, minor);
    *device = (clipc_gemm_device){
        .multiprocessors = multiprocessors, .architecture = major * 10 + minor, .fp8 = major * 10 + minor >= 89};
    *shared_limit = shared;
    const char *forced = getenv("CLIPC_CUDA_ARCH");
    if (forced && strcmp(forced, "sm80") == 0)
        device->architecture = 80;
    else
        CLIPC_FAIL_IF(forced && *forced, error, CLIPC_ERROR_ARGUMENT, "CLIPC_CUDA_ARCH is \"%s\"; it may be \"sm80\"",
                      forced);
    return CLIPC_OK;
}

static clipc_status probe(clipc_error *error)
{
    clipc_gemm_device device;
    int32_t shared_limit = 0;
    return read_device(&device, &shared_limit, error);
}

static bool supports_precision(clipc_precision precision)
{
    return precision == CLIPC_PRECISION_AUTO || precision == CLIPC_PRECISION_FP16 ||
           precision == CLIPC_PRECISION_BF16 || precision == CLIPC_PRECISION_FP8 || precision == CLIPC_PRECISION_INT8;
}

static clipc_precision settled_precision(const clipc_compile_options *options)
{
    return options->precision == CLIPC_PRECISION_AUTO ? CLIPC_PRECISION_FP16 : options->precision;
}

static clipc_cuda_type operand_of(clipc_precision precision)
{
    switch (precision) {
    case CLIPC_PRECISION_BF16: return CLIPC_CUDA_BF16;
    case CLIPC_PRECISION_FP8: return CLIPC_CUDA_E4M3;
    case CLIPC_PRECISION_INT8: return CLIPC_CUDA_S8;
    default: return CLIPC_CUDA_F16;
    }
}

static clipc_status check_precision(const clipc_gemm_device *device, clipc_precision precision, clipc_error *error)
{
    CLIPC_FAIL_IF(precision == CLIPC_PRECISION_FP8 && !device->fp8, error, CLIPC_ERROR_UNSUPPORTED,
                  "fp8 needs an NVIDIA device of compute capability 8.9 or later; this one computes in fp16, bf16 and "
                  "int8");
    return CLIPC_OK;
}

static void destroy(void **compiled)
{
    clipc_cuda_engine *engine = *compiled;
    if (!engine)
        return;
    if (engine->stream)
        (void)cudaStreamSynchronize(engine->stream);
    for (int32_t i = 0; i < CLIPC_CUDA_GRAPHS; i++)
        if (engine->graphs[i].executable)
            (void)cudaGraphExecDestroy(engine->graphs[i].executable);
    clipc_cuda_tower_free(&engine->image);
    clipc_cuda_tower_free(&engine->text);
    clipc_cuda_whole_tower_free(&engine->whole_image);
    clipc_cuda_whole_tower_free(&engine->whole_text);
    if (engine->memory)
        (void)cudaFree(engine->memory);
    for (int i = 0; i < 2; i++) {
        if (engine->staging[i])
            (void)cudaFreeHost(engine->staging[i]);
        if (engine->transferred[i])
            (void)cudaEventDestroy(engine->transferred[i]);
    }
    if (engine->stream)
        (void)cudaStreamDestroy(engine->stream);
    (void)cudaGetLastError();
    clipc_free(engine);
    *compiled = NULL;
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
    const int32_t tokens = engine->patch_count + 1;
    const size_t patches = (size_t)engine->batch * (size_t)engine->patch_count;
    const size_t items = patches * 2 + (size_t)engine->batch;
    int32_t *maps = clipc_allocate(items, sizeof *maps);
    if (!maps)
        return clipc_fail_memory(error, items * sizeof *maps, "row maps");
    int32_t *output_row = maps;
    int32_t *position = maps + patches;
    int32_t *pooled = position + patches;
    for (int32_t i = 0; i < engine->batch; i++) {
        pooled[i] = i * tokens;
        for (int32_t p = 0; p < engine->patch_count; p++) {
            output_row[i * engine->patch_count + p] = i * tokens + 1 + p;
            position[i * engine->patch_count + p] = 1 + p;
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

/* One image or text goes through a tower in one launch where there is a kernel for it. */
static clipc_status prepare_whole_towers(clipc_cuda_engine *engine, clipc_error *error)
{
    if (engine->precision != CLIPC_PRECISION_FP16)
        return CLIPC_OK;
    if (engine->has_image)
        CLIPC_TRY(clipc_cuda_whole_tower_prepare(engine->model, true, &engine->device, &engine->image,
                                                 (int32_t)engine->model->config.image_tokens, &engine->whole_image,
                                                 error));
    if (engine->has_text)
        CLIPC_TRY(clipc_cuda_whole_tower_prepare(engine->model, false, &engine->device, &engine->text,
                                                 (int32_t)engine->model->context_length, &engine->whole_text, error));
    return CLIPC_OK;
}

static clipc_status prepare(clipc_cuda_engine *engine, const clipc_compile_options *options, clipc_error *error)
{
    const clipc_config *config = &engine->model->config;
    engine->precision = settled_precision(options);
    engine->type = engine->precision == CLIPC_PRECISION_BF16 ? CLIPC_CUDA_BF16 : CLIPC_CUDA_F16;
    engine->operand = operand_of(engine->precision);
    CLIPC_TRY(read_device(&engine->device, &engine->shared_limit, error));
    CLIPC_TRY(check_precision(&engine->device, engine->precision, error));
    CLIPC_CUDA_TRY(cudaSetDevice(0), "choosing the device");
    CLIPC_CUDA_TRY(cudaStreamCreateWithFlags(&engine->stream, cudaStreamNonBlocking), "making a stream");
    for (int i = 0; i < 2; i++) {
        CLIPC_CUDA_TRY(cudaEventCreateWithFlags(&engine->transferred[i], cudaEventDisableTiming), "making an event");
        CLIPC_CUDA_TRY(cudaMallocHost(&engine->staging[i], CLIPC_CUDA_TRANSFER), "pinning host memory");
    }
    engine->has_image = options->image_tower;
    engine->has_text = options->text_tower;
    engine->batch = (int32_t)clipc_min(options->max_batch, PASS_ITEMS);
    engine->dimension = (int32_t)clipc_round_up(config->embedding_dimension, 8);
    size_t rows = 0;
    if (engine->has_image) {
        CLIPC_TRY(clipc_cuda_tower_pack(engine->model, true, engine->type, engine->operand, &engine->image, error));
        CLIPC_TRY(check_attention(engine, &engine->image, config->image_tokens, error));
        engine->patch_count = (int32_t)config->image_tokens - 1;
        const size_t fitting = clipc_max(PASS_ROWS / config->image_tokens, 1);
        engine->batch = (int32_t)clipc_min((size_t)engine->batch, fitting);
        rows = (size_t)engine->batch * config->image_tokens;
    }
    if (engine->has_text) {
        const size_t context = clipc_max(engine->model->context_length, 1);
        CLIPC_TRY(clipc_cuda_tower_pack(engine->model, false, engine->type, engine->operand, &engine->text, error));
        CLIPC_TRY(check_attention(engine, &engine->text, context, error));
        const size_t wanted = clipc_min((size_t)engine->batch * context, PASS_ROWS);
        rows = clipc_max(rows, clipc_max(wanted, context));
    }
    engine->capacity = (int32_t)rows;
    const size_t bytes = plan_workspace(engine, NULL);
    CLIPC_TRY(clipc_cuda_allocate(bytes, "the workspace", &engine->memory, error));
    engine->workspace_bytes = bytes;
    plan_workspace(engine, engine->memory);
    if (engine->has_image)
        CLIPC_TRY(upload_maps(engine, error));
    CLIPC_TRY(prepare_whole_towers(engine, error));
    CLIPC_CUDA_TRY(cudaDeviceSynchronize(), "preparing the device");
    return CLIPC_OK;
}

static clipc_status compile(const clipc_model *model, const clipc_compile_options *options, void **compiled,
                            clipc_error *error)
{
    *compiled = NULL;
    CLIPC_FAIL_IF(model->engine_file, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: an engine file of the cpu backend; give the cuda backend the original model", model->path);
    CLIPC_TRY(clipc_model_check_finite(model, options->image_tower, options->text_tower, options->threads, error));
    clipc_cuda_engine *engine = clipc_allocate(1, sizeof *engine);
    if (!engine)
        return clipc_fail_memory(error, sizeof *engine, "the cuda backend");
    engine->model = model;
    void *made = engine;
    const clipc_status status = prepare(engine, options, error);
    if (status != CLIPC_OK)
        destroy(&made);
    *compiled = made;
    return status;
}

static void info(const void *compiled, clipc_compiled_info *out)
{
    const clipc_cuda_engine *engine = compiled;
    *out = (clipc_compiled_info){
        .precision = engine->precision,
        .isa = engine->device.architecture == 90 ? "sm90" : "sm80",
        .threads = 1, /* of the host */
        .packed_bytes = engine->image.bytes + engine->text.bytes,
        .workspace_bytes = engine->workspace_bytes + engine->whole_image.bytes + engine->whole_text.bytes,
    };
}

static clipc_status plan(const clipc_compile_options *options, clipc_compiled_info *out, clipc_error *error)
{
    clipc_gemm_device device;
    int32_t shared_limit = 0;
    CLIPC_TRY(read_device(&device, &shared_limit, error));
    CLIPC_TRY(check_precision(&device, settled_precision(options), error));
    *out = (clipc_compiled_info){
        .precision = settled_precision(options),
        .isa = device.architecture == 90 ? "sm90" : "sm80",
        .threads = 1,
    };
    return CLIPC_OK;
}

/* A fault that poisons the device's context makes every later call fail: the engine says so and is left alone. */
static clipc_status settle(clipc_cuda_engine *engine, clipc_status status, clipc_error *error)
{
    if (status == CLIPC_ERROR_DEVICE) {
        engine->lost = true;
        return clipc_fail_within(error, status, "the engine is lost");
    }
    return status;
}

static clipc_status check_usable(const clipc_cuda_engine *engine, clipc_error *error)
{
    CLIPC_FAIL_IF(engine->lost, error, CLIPC_ERROR_DEVICE, "the engine is lost: an earlier call met a device fault");
    return clipc_cuda_check(cudaSetDevice(0), "choosing the device", error);
}

/* Host memory to the device by way of the two pinned areas: one is filled while the other travels. */
static clipc_status upload(clipc_cuda_engine *engine, const void *from, size_t bytes, void *to, clipc_error *error)
{
    const uint8_t *source = from;
    uint8_t *target = to;
    for (size_t done = 0, turn = 0; done < bytes; turn ^= 1) {
        const size_t part = clipc_min(bytes - done, CLIPC_CUDA_TRANSFER);
        CLIPC_CUDA_TRY(cudaEventSynchronize(engine->transferred[turn]), "copying to the device");
        memcpy(engine->staging[turn], source + done, part);
        CLIPC_CUDA_TRY(
            cudaMemcpyAsync(target + done, engine->staging[turn], part, cudaMemcpyHostToDevice, engine->stream),
            "copying to the device");
        CLIPC_CUDA_TRY(cudaEventRecord(engine->transferred[turn], engine->stream), "copying to the device");
        done += part;
    }
    return CLIPC_OK;
}

static clipc_status download(clipc_cuda_engine *engine, int32_t count, float *embeddings, clipc_error *error)
{
    const size_t row = engine->model->config.embedding_dimension * sizeof *embeddings;
    CLIPC_CUDA_TRY(cudaMemcpy2DAsync(embeddings, row, engine->embeddings, (size_t)engine->dimension * sizeof(float),
                                     row, (size_t)count, cudaMemcpyDeviceToHost, engine->stream),
                   "copying from the device");
    return clipc_cuda_check(cudaStreamSynchronize(engine->stream), "encoding", error);
}

static clipc_status encode_images(void *compiled, const float *pixels, size_t count, float *embeddings,
                                  clipc_error *error)
{
    clipc_cuda_engine *engine = compiled;
    const clipc_config *config = &engine->model->config;
    const size_t image = 3 * config->image_size * config->image_size;
    CLIPC_TRY(check_usable(engine, error));
    clipc_status status = CLIPC_OK;
    for (size_t done = 0; done < count;) {
        const size_t part = clipc_min(count - done, (size_t)engine->batch);
        CLIPC_CHECK(upload(engine, pixels + done * image, part * image * sizeof *pixels, engine->pixels, error));
        CLIPC_CHECK(clipc_cuda_image_tower(engine, (int32_t)part, error));
        CLIPC_CHECK(download(engine, (int32_t)part, embeddings + done * config->embedding_dimension, error));
        done += part;
    }
fail:
    return settle(engine, status, error);
}

/* Texts from `first` on that fit one pass, as offsets and pooled rows in the second staging area's place. */
static size_t gather_texts(const clipc_cuda_engine *engine, const size_t *offsets, size_t first, size_t count,
                           int32_t *starts, int32_t *pooled, int32_t *longest)
{
    size_t items = 0;
    *longest = 0;
    while (first + items < count && items < (size_t)engine->batch) {
        const size_t end = offsets[first + items + 1] - offsets[first];
        if (end > (size_t)engine->capacity)
            break;
        const int32_t length = (int32_t)(offsets[first + items + 1] - offsets[first + items]);
        *longest = length > *longest ? length : *longest;
        starts[items] = (int32_t)(offsets[first + items] - offsets[first]);
        pooled[items] = (int32_t)end - 1;
        items++;
    }
    starts[items] = items ? pooled[items - 1] + 1 : 0;
    return items;
}

static clipc_status encode_texts(clipc_cuda_engine *engine, const int32_t *ids, const size_t *offsets, size_t first,
                                 size_t count, size_t *items, clipc_error *error)
{
    CLIPC_CUDA_TRY(cudaStreamSynchronize(engine->stream), "copying to the device");
    int32_t *starts = engine->staging[0];
    int32_t *pooled = engine->staging[1];
    int32_t longest = 0;
    *items = gather_texts(engine, offsets, first, count, starts, pooled, &longest);
    CLIPC_FAIL_IF(*items == 0, error, CLIPC_ERROR_ARGUMENT, "a text is longer than the model's context");
    const int32_t rows = starts[*items];
    CLIPC_CUDA_TRY(cudaMemcpyAsync(engine->offsets, starts, (*items + 1) * sizeof *starts, cudaMemcpyHostToDevice,
                                   engine->stream),
                   "copying to the device");
    CLIPC_CUDA_TRY(
        cudaMemcpyAsync(engine->pooled_row, pooled, *items * sizeof *pooled, cudaMemcpyHostToDevice, engine->stream),
        "copying to the device");
    CLIPC_CUDA_TRY(cudaMemcpyAsync(engine->ids, ids + offsets[first], (size_t)rows * sizeof *ids,
                                   cudaMemcpyHostToDevice, engine->stream),
                   "copying to the device");
    return clipc_cuda_text_tower(engine, (int32_t)*items, rows, longest, error);
}

static clipc_status encode_tokens(void *compiled, const int32_t *ids, const size_t *offsets, size_t count,
                                  float *embeddings, clipc_error *error)
{
    clipc_cuda_engine *engine = compiled;
    const size_t dimension = engine->model->config.embedding_dimension;
    CLIPC_TRY(check_usable(engine, error));
    clipc_status status = CLIPC_OK;
    for (size_t done = 0; done < count;) {
        size_t items = 0;
        CLIPC_CHECK(encode_texts(engine, ids, offsets, done, count, &items, error));
        CLIPC_CHECK(download(engine, (int32_t)items, embeddings + done * dimension, error));
        done += items;
    }
fail:
    return settle(engine, status, error);
}

const clipc_backend clipc_backend_cuda = {
    .name = "cuda",
    .probe = probe,
    .supports_precision = supports_precision,
    .compile = compile,
    .info = info,
    .plan = plan,
    .encode_images = encode_images,
    .encode_tokens = encode_tokens,
    .destroy = destroy,
};
