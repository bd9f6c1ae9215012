#include "checkkernel/checkkernel.h"

#include "backend/backend.h"
#include "backend/cpu/encoder.h"

#include <stdio.h>
#include <stdlib.h>

/* One engine's worth of inputs: random pixels, and captions of `tokens` ids. */
struct inputs {
    float *pixels;
    int32_t *ids;
    size_t *offsets;
    float *embeddings;
};

static struct inputs make_inputs(const clipc_config *config, size_t batch, size_t tokens)
{
    clipc_kernels kernels;
    check c = {.kernels = &kernels, .random = 1};
    const size_t image = 3 * config->image_size * config->image_size;
    struct inputs inputs = {
        .pixels = malloc(batch * image * sizeof(float)),
        .ids = malloc(batch * tokens * sizeof(int32_t)),
        .offsets = malloc((batch + 1) * sizeof(size_t)),
        .embeddings = malloc(batch * config->embedding_dimension * sizeof(float)),
    };
    if (!inputs.pixels || !inputs.ids || !inputs.offsets || !inputs.embeddings)
        exit(2);
    for (size_t i = 0; i < batch * image; i++)
        inputs.pixels[i] = random_normal(&c);
    for (size_t i = 0; i < batch * tokens; i++)
        inputs.ids[i] = (int32_t)random_below(&c, config->vocabulary_size);
    for (size_t i = 0; i <= batch; i++)
        inputs.offsets[i] = i * tokens;
    return inputs;
}

static void free_inputs(struct inputs *inputs)
{
    free(inputs->pixels);
    free(inputs->ids);
    free(inputs->offsets);
    free(inputs->embeddings);
}

static int by_size(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Median seconds of one encode call. */
static double median_call(void *compiled, const struct inputs *inputs, size_t batch, bool text)
{
    enum { MOST = 101 };
    double seconds[MOST];
    size_t calls = 0;
    const double give_up = seconds_now() + 2.0;
    while (calls < MOST && (calls < 5 || seconds_now() < give_up)) {
        const double begin = seconds_now();
        if (text)
            clipc_backend_cpu.encode_tokens(compiled, inputs->ids, inputs->offsets, batch, inputs->embeddings, NULL);
        else
            clipc_backend_cpu.encode_images(compiled, inputs->pixels, batch, inputs->embeddings, NULL);
        seconds[calls++] = seconds_now() - begin;
    }
    qsort(seconds, calls, sizeof seconds[0], by_size);
    return seconds[calls / 2];
}

/* Operations of the GEMMs and of attention, the last layer's as they are run. */
static double operations(const clipc_tower_config *tower, size_t tokens, size_t patch_inner, size_t dimension,
                         bool causal)
{
    const double width = (double)tower->width;
    const double mlp = (double)tower->mlp_width;
    const double rows = (double)tokens;
    const double layers = (double)tower->layers;
    const double row_work = 4 * width * width + 2 * width * mlp;
    const double seen = causal ? (rows + 1) / 2 : rows;
    return 2 * ((layers - 1) * rows * (row_work + 2 * seen * width) + (2 * rows + 2) * width * width +
                2 * width * mlp + 2 * rows * width + rows * (double)patch_inner * width + width * (double)dimension);
}

void bench_towers(const char *architecture, clipc_precision precision, clipc_cpu_level level, size_t threads)
{
    static const struct {
        bool text;
        size_t batch;
        size_t tokens;
    } works[] = {{false, 1, 1}, {false, 32, 1}, {true, 1, 12}, {true, 32, 12}, {true, 32, 77}};
    clipc_error error = {0};
    clipc_model *model = NULL;
    void *compiled = NULL;
    const clipc_compile_options options = {.precision = precision,
                                           .threads = threads,
                                           .max_batch = 32,
                                           .cpu_level = clipc_cpu_level_name(level),
                                           .image_tower = true,
                                           .text_tower = true};
    const clipc_status status = clipc_model_create_random(architecture, 1, NULL, &model, &error);
    const double begin = seconds_now();
    if (status != CLIPC_OK || clipc_backend_cpu.compile(model, &options, &compiled, &error) != CLIPC_OK) {
        fprintf(stderr, "checkkernel: %s\n", error.message);
        exit(2);
    }
    clipc_compiled_info info;
    clipc_backend_cpu.info(compiled, &info);
    printf("%s, %s, %s, %zu threads: packed in %.0f ms, weights %.1f MiB, workspace %.1f MiB\n", architecture,
           clipc_precision_name(info.precision), info.isa, threads, 1e3 * (seconds_now() - begin),
           (double)info.packed_bytes / 1048576.0, (double)info.workspace_bytes / 1048576.0);
    const clipc_config *config = &model->config;
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        struct inputs inputs = make_inputs(config, works[i].batch, works[i].tokens);
        const double seconds = median_call(compiled, &inputs, works[i].batch, works[i].text);
        const double work =
            works[i].text
                ? operations(&config->text, works[i].tokens, 0, config->embedding_dimension, true)
                : operations(&config->image, config->image_tokens, 3 * config->patch_size * config->patch_size,
                             config->embedding_dimension, false);
        printf("  %s batch %2zu", works[i].text ? "text " : "image", works[i].batch);
        if (works[i].text)
            printf(", %2zu tokens", works[i].tokens);
        else
            printf("           ");
        printf(": %9.3f ms, %8.1f items/s, %6.1f GFLOP/s\n", 1e3 * seconds, (double)works[i].batch / seconds,
               1e-9 * work * (double)works[i].batch / seconds);
        free_inputs(&inputs);
    }
    clipc_backend_cpu.destroy(&compiled);
    clipc_model_destroy(&model);
}
