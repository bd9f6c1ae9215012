/* Times on the device: every tile on the shapes of CLIP's layers with the epilogues they have there, the other steps,
 * and whole towers with their inputs in place. Usage: bench_kernels [fp16|bf16|fp8|int8] gemm ROWS WIDTH MLP… |
 * products ROWS WIDTH MLP… (the chosen tiles alone) | alone ROWS WIDTH MLP… (those with a bias for all epilogue; "-":
 * asked for on standard input) | tiles ROWS WIDTH MLP… (every tile with a bias for all epilogue) |
 * images ARCHITECTURE BATCH… | texts ARCHITECTURE BATCH… */
#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/gemm_select_bytes.h"
#include "backend/cuda/steps.h"
#include "device_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct stopwatch {
    cudaEvent_t begin, end;
} stopwatch;

static stopwatch watch;
static clipc_gemm_device device;
static clipc_precision precision = CLIPC_PRECISION_FP16;
static clipc_cuda_type type = CLIPC_CUDA_F16; /* of the products that are timed */
static cudaStream_t stream;
static bool only_chosen; /* of the tiles */
static bool only_bias;   /* of the epilogue */

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;
    return (x > y) - (x < y);
}

static float median_of_groups(float (*groups)[7])
{
    qsort(*groups, 7, sizeof **groups, compare_floats);
    return (*groups)[3];
}

/* The median over seven groups of `repeat` runs, in microseconds a run. */
#define TIME(microseconds, repeat, stream, statement)                                                                 \
    do {                                                                                                              \
        float groups[7];                                                                                              \
        for (int warm = 0; warm < 3; warm++)                                                                          \
            statement;                                                                                                \
        for (int group = 0; group < 7; group++) {                                                                     \
            DEVICE_CHECK(cudaEventRecord(watch.begin, stream));                                                       \
            for (int turn = 0; turn < (repeat); turn++)                                                               \
                statement;                                                                                            \
            DEVICE_CHECK(cudaEventRecord(watch.end, stream));                                                         \
            DEVICE_CHECK(cudaEventSynchronize(watch.end));                                                            \
            DEVICE_CHECK(cudaEventElapsedTime(&groups[group], watch.begin, watch.end));                               \
            groups[group] *= 1000.0F / (float)(repeat);                                                               \
        }                                                                                                             \
        microseconds = median_of_groups(&groups);                                                                     \
    } while (0)

/* The same of launches, recorded in a graph: without the host's time. */
#define TIME_LAUNCH(microseconds, repeat, stream, statement)                                                          \
    do {                                                                                                              \
        cudaGraph_t graph = NULL;                                                                                     \
        cudaGraphExec_t executable = NULL;                                                                            \
        DEVICE_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));                               \
        for (int turn = 0; turn < (repeat); turn++)                                                                   \
            statement;                                                                                                \
        DEVICE_CHECK(cudaStreamEndCapture(stream, &graph));                                                           \
        DEVICE_CHECK(cudaGraphInstantiate(&executable, graph, 0));                                                    \
        TIME(microseconds, 1, stream, DEVICE_CHECK(cudaGraphLaunch(executable, stream)));                             \
        microseconds /= (float)(repeat);                                                                              \
        DEVICE_CHECK(cudaGraphExecDestroy(executable));                                                               \
        DEVICE_CHECK(cudaGraphDestroy(graph));                                                                        \
    } while (0)

enum { QKV, OUT, FC1, FC2 };

static void bench_gemm(int rows, int columns, int depth, int role)
{
    static const char *const roles[] = {"qkv", "out", "fc1", "fc2"};
    uint64_t state = 1;
    /* Numbers of the size that real rows have, different everywhere: drawn once, repeated. */
    const size_t some = 1 << 20;
    uint16_t *values = random_halves(type, some, 1, &state, NULL);
    const int bytes = clipc_cuda_is_bytes(type);
    for (size_t i = 0; bytes && i < some; i++) /* e4m3 of −8 … 8 by its codes, as s8 smaller ones than there will be */
        values[i] =
            (uint16_t)((values[i] & 0x8080) | (values[i] & 0x3F3F) | (random_value(&state) > 0 ? 0x1000 : 0x10));
    const size_t padded = (size_t)CLIPC_CUDA_PADDED_COLUMNS(columns);
    const size_t input = (size_t)rows * (size_t)depth / (bytes ? 2 : 1);
    const size_t weight = padded * (size_t)depth / (bytes ? 2 : 1);
    uint16_t *input_device = device_memory(input * 2, 0);
    uint16_t *weight_device = device_memory(weight * 2, 0);
    for (size_t at = 0; at < input; at += some)
        device_write(input_device + at, values, (input - at < some ? input - at : some) * 2);
    for (size_t at = 0; at < weight; at += some)
        device_write(weight_device + at, values, (weight - at < some ? weight - at : some) * 2);
    free(values);
    const int parts = (depth + 63) / 64;
    void *output = device_memory((size_t)rows * (size_t)columns * 2, 0);
    void *pairs = device_memory((size_t)rows * (size_t)(parts + columns / 64 + 1) * 8, 0);
    /* No bias; what bytes add up to is scaled to the size that rows have: outputs of zeros would cost less power. */
    float *pair = calloc(padded, 8);
    for (size_t i = 0; bytes && i < padded; i++)
        pair[2 * i + 1] = 1.0F / (type == CLIPC_CUDA_S8 ? 20000.0F : 256.0F);
    void *terms = device_memory(padded * 8, 0);
    device_write(terms, pair, padded * 8);
    free(pair);
    float *ones = malloc((size_t)rows * 4);
    for (int i = 0; i < rows; i++)
        ones[i] = 1;
    void *row_scale = device_memory((size_t)rows * 4, 0);
    device_write(row_scale, ones, (size_t)rows * 4);
    free(ones);
    clipc_cuda_gemm gemm = {.type = type,
                            .row_scale = row_scale,
                            .output_scale = 1,
                            .input = input_device,
                            .weight = weight_device,
                            .rows = rows,
                            .input_capacity = rows,
                            .columns = columns,
                            .depth = depth,
                            .input_stride = depth,
                            .terms = terms,
                            .output = output,
                            .output_stride = columns};
    if ((role == QKV || role == FC1) && !bytes && !only_bias)
        gemm.normalize = (clipc_cuda_statistics){pairs, (depth + 127) / 128, 128, depth, 1e-5F};
    if (role == FC1 && !only_bias)
        gemm.activation = CLIPC_CUDA_ACTIVATION_QUICK_GELU;
    const bool residual = (role == OUT || role == FC2) && !only_bias;
    if (residual) {
        gemm.residual = output;
        gemm.residual_stride = columns;
        if (!bytes)
            gemm.leave = (clipc_cuda_statistics){pairs, (columns + 63) / 64, 64, columns, 1e-5F};
    }
    const double work = 2.0 * rows * columns * depth;
    const int repeat = work > 2e10 ? 10 : 40;
    const clipc_gemm_plan chosen =
        bytes ? clipc_gemm_select_bytes(&device, rows, columns, depth, residual, gemm.activation != 0)
              : clipc_gemm_select(&device, rows, columns, depth, residual);
    clipc_gemm_plan plan;
    for (size_t i = 0; (bytes ? clipc_gemm_variant_bytes : clipc_gemm_variant)(i, &plan); i++) {
        if (rows > 512 && plan.kind == CLIPC_GEMM_SKINNY)
            continue;
        if (rows > 512 && plan.kind == CLIPC_GEMM_SM80 && (device.architecture == 90 || plan.tile_rows < 128))
            continue;
        if (plan.kind == CLIPC_GEMM_SKINNY && (plan.tile_rows < 64) && plan.tile_rows < rows)
            continue;
        const bool is_chosen = plan.kind == chosen.kind && plan.tile_rows == chosen.tile_rows &&
                               plan.tile_columns == chosen.tile_columns && plan.ping_pong == chosen.ping_pong &&
                               plan.cluster == chosen.cluster;
        const bool takes =
            bytes ? clipc_gemm_takes_bytes(&plan, gemm.activation != 0) : clipc_gemm_takes(&plan, columns);
        if ((only_chosen && !is_chosen) || !takes)
            continue;
        clipc_gemm_fit(&plan, &device, rows, columns, depth);
        if (gemm.leave.pairs) {
            gemm.leave.part_width = clipc_gemm_part_width(&plan);
            gemm.leave.parts = (columns + gemm.leave.part_width - 1) / gemm.leave.part_width;
        }
        float microseconds = 0;
        TIME_LAUNCH(microseconds, repeat, stream, DEVICE_CHECK(clipc_cuda_gemm_run(&gemm, &plan, stream)));
        char text[128];
        clipc_gemm_plan_text(&plan, text, sizeof text);
        printf("%s %s %s %dx%dx%d | %s | %.2f us | %.1f TFLOP/s%s\n", only_bias ? "alone" : "gemm",
               clipc_precision_name(precision), roles[role], rows, columns, depth, text, (double)microseconds,
               work / (double)microseconds * 1e-6, is_chosen ? " | chosen" : "");
        fflush(stdout);
    }
    DEVICE_CHECK(cudaFree(input_device));
    DEVICE_CHECK(cudaFree(weight_device));
    DEVICE_CHECK(cudaFree(output));
    DEVICE_CHECK(cudaFree(pairs));
    DEVICE_CHECK(cudaFree(terms));
    DEVICE_CHECK(cudaFree(row_scale));
}

/* Products as they are asked for, a line "ROWS COLUMNS DEPTH" each: so that another program can take turns. */
static void answer(FILE *questions)
{
    char line[128];
    while (fgets(line, sizeof line, questions)) {
        char *at = line;
        const int rows = (int)strtol(at, &at, 10);
        const int columns = (int)strtol(at, &at, 10);
        const int depth = (int)strtol(at, &at, 10);
        bench_gemm(rows, columns, depth, QKV);
    }
}

static void bench_layer(int rows, int width, int mlp)
{
    bench_gemm(rows, 3 * width, width, QKV);
    bench_gemm(rows, width, width, OUT);
    bench_gemm(rows, mlp, width, FC1);
    bench_gemm(rows, width, mlp, FC2);
}

static void bench_steps(const clipc_cuda_engine *engine, int count)
{
    const clipc_config *config = &engine->model->config;
    const clipc_cuda_tower *tower = &engine->image;
    const int tokens = (int)config->image_tokens;
    float microseconds = 0;
    TIME_LAUNCH(microseconds, 10, engine->stream,
                DEVICE_CHECK(clipc_cuda_patches(engine->type, engine->pixels, count, (int)config->image_size,
                                                (int)config->patch_size, engine->patches, tower->patch.depth,
                                                engine->stream)));
    printf("step patches, %d images: %.2f us\n", count, (double)microseconds);
    TIME_LAUNCH(
        microseconds, 10, engine->stream,
        DEVICE_CHECK(clipc_cuda_image_rows(engine->type, engine->rows, count, tokens, tower->width, tower->stride,
                                           tower->class_row, tower->norm_pre_weight, tower->norm_pre_bias,
                                           tower->epsilon, engine->statistics, engine->stream)));
    printf("step image rows, %d images: %.2f us\n", count, (double)microseconds);
    clipc_cuda_attention attention = {.type = engine->type,
                                      .output_type =
                                          engine->operand == CLIPC_CUDA_E4M3 ? engine->operand : engine->type,
                                      .qkv = engine->qkv,
                                      .output = engine->context,
                                      .count = count,
                                      .tokens = tokens,
                                      .heads = tower->heads,
                                      .head_stride = tower->head_stride,
                                      .only_row = -1};
    TIME_LAUNCH(microseconds, 10, engine->stream, DEVICE_CHECK(clipc_cuda_attention_run(&attention, engine->stream)));
    printf("step attention, portable kernel, %d images: %.2f us\n", count, (double)microseconds);
    attention.wgmma_blocks = engine->device.architecture == 90 ? engine->device.multiprocessors : 0;
    TIME_LAUNCH(microseconds, 10, engine->stream, DEVICE_CHECK(clipc_cuda_attention_run(&attention, engine->stream)));
    printf("step attention, %d images: %.2f us\n", count, (double)microseconds);
    if (clipc_cuda_is_bytes(engine->operand)) {
        const clipc_cuda_normalize step = {engine->operand,      engine->rows,     count * tokens,      tower->width,
                                           tower->stride,        tower->epsilon,   tower->normal_scale, engine->bytes,
                                           tower->normal_stride, engine->row_scale};
        TIME_LAUNCH(microseconds, 10, engine->stream, DEVICE_CHECK(clipc_cuda_normalize_rows(&step, engine->stream)));
        printf("step LayerNorm to bytes, %d images: %.2f us\n", count, (double)microseconds);
    }
    attention.only_row = 0;
    TIME_LAUNCH(microseconds, 10, engine->stream, DEVICE_CHECK(clipc_cuda_attention_run(&attention, engine->stream)));
    printf("step attention of one row, %d images: %.2f us\n", count, (double)microseconds);
}

static void must(clipc_status status, const clipc_error *error)
{
    if (status == CLIPC_OK)
        return;
    fprintf(stderr, "%s\n", error->message);
    exit(3);
}

static void bench_tower(const clipc_model *model, int batch, int text_tokens)
{
    clipc_error error;
    const clipc_compile_options options = {.precision = precision,
                                           .threads = 1,
                                           .max_batch = (size_t)batch,
                                           .image_tower = text_tokens == 0,
                                           .text_tower = text_tokens != 0};
    clipc_cuda_engine *engine = NULL;
    must(clipc_cuda_engine_create(model, &options, 0, NULL, &engine, &error), &error);
    float microseconds = 0;
    if (text_tokens == 0) {
        uint64_t state = 3;
        const size_t image = 3 * model->config.image_size * model->config.image_size;
        float *pixels = random_floats(image, 2, &state, NULL);
        for (int i = 0; i < engine->batch; i++)
            device_write(engine->pixels + (size_t)i * image, pixels, image * sizeof *pixels);
        free(pixels);
        const int passes = (batch + engine->batch - 1) / engine->batch;
        for (int i = 0; i < 20 / passes + 1; i++)
            must(clipc_cuda_image_tower(engine, engine->batch, &error), &error);
        TIME(microseconds, batch > 64 ? 5 : 50, engine->stream,
             must(clipc_cuda_image_tower(engine, engine->batch, &error), &error));
        printf("tower image %s %s, batch %d (passes of %d): %.2f us, %.1f images/s\n", model->name,
               clipc_precision_name(precision), batch, engine->batch, (double)microseconds,
               engine->batch * 1e6 / (double)microseconds);
        if (!engine->image.convolution_count)
            bench_steps(engine, engine->batch);
    } else {
        const size_t rows = (size_t)batch * (size_t)text_tokens;
        int32_t *ids = calloc(rows, sizeof *ids);
        int32_t *offsets = calloc((size_t)batch + 1, sizeof *offsets);
        int32_t *pooled = calloc((size_t)batch, sizeof *pooled);
        for (size_t i = 0; i < rows; i++)
            ids[i] = (int32_t)(i * 7919 % model->config.vocabulary_size);
        for (int i = 0; i < batch; i++) {
            offsets[i + 1] = (i + 1) * text_tokens;
            pooled[i] = offsets[i + 1] - 1;
        }
        device_write(engine->ids, ids, rows * sizeof *ids);
        device_write(engine->offsets, offsets, ((size_t)batch + 1) * sizeof *offsets);
        device_write(engine->pooled_row, pooled, (size_t)batch * sizeof *pooled);
        free(ids), free(offsets), free(pooled);
        TIME(microseconds, batch > 64 ? 20 : 50, engine->stream,
             must(clipc_cuda_text_tower(engine, batch, (int)rows, text_tokens, &error), &error));
        printf("tower text %s %s, batch %d, %d tokens: %.2f us, %.1f texts/s\n", model->name,
               clipc_precision_name(precision), batch, text_tokens, (double)microseconds,
               batch * 1e6 / (double)microseconds);
    }
    fflush(stdout);
    clipc_cuda_engine_destroy(&engine);
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

int main(int argc, char **argv)
{
    struct cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess) {
        printf("no device: nothing was measured\n");
        return 77;
    }
    const int architecture = properties.major * 10 + properties.minor;
    device = (clipc_gemm_device){properties.multiProcessorCount, architecture, architecture >= 89};
    DEVICE_CHECK(cudaEventCreate(&watch.begin));
    DEVICE_CHECK(cudaEventCreate(&watch.end));
    DEVICE_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    static const clipc_precision precisions[] = {CLIPC_PRECISION_FP16, CLIPC_PRECISION_BF16, CLIPC_PRECISION_FP8,
                                                 CLIPC_PRECISION_INT8};
    for (int i = 0; argc > 1 && i < 4; i++)
        if (strcmp(argv[1], clipc_precision_name(precisions[i])) == 0) {
            precision = precisions[i];
            type = (clipc_cuda_type)i; /* in the same order */
            argc--;
            argv++;
            break;
        }
    const char *what = argc > 1 ? argv[1] : "towers";
    only_bias = strcmp(what, "alone") == 0 || strcmp(what, "tiles") == 0;
    only_chosen = strcmp(what, "alone") == 0 || strcmp(what, "products") == 0;
    if (only_chosen || only_bias || strcmp(what, "gemm") == 0) {
        if (argc == 3 && strcmp(argv[2], "-") == 0)
            answer(stdin);
        for (int i = 2; i + 2 < argc; i += 3)
            bench_layer(number(argv[i]), number(argv[i + 1]), number(argv[i + 2]));
        return 0;
    }
    clipc_error error;
    clipc_model *model = NULL;
    must(clipc_model_create_random(argc > 2 ? argv[2] : "ViT-B-32", 1, NULL, &model, &error), &error);
    for (int i = 3; i < argc; i++)
        bench_tower(model, number(argv[i]), strcmp(what, "texts") == 0 ? 12 : 0);
    clipc_model_destroy(&model);
    return 0;
}
