#include "check_maps.h"

#include "backend/cuda/gemm.h"
#include "backend/cuda/maps.h"
#include "backend/cuda/tower_pack.h"
#include "device_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static clipc_cuda_type type;
static const char *const type_names[] = {"fp16", "bf16"};

/* As in check_kernels.c. */
static int is_close(double value, double expected)
{
    static const double relative[] = {1e-3, 8e-3};
    static const double absolute[] = {2e-3, 16e-3};
    return fabs(value - expected) <= relative[type] * fabs(expected) + absolute[type];
}

static int tell(int wrong, const char *what)
{
    printf("%s %s %s", wrong ? "WRONG" : "ok   ", type_names[type], what);
    if (wrong)
        printf(": %d values", wrong);
    printf("\n");
    fflush(stdout);
    return wrong != 0;
}

/* ---- convolutions and products with a ReLU ---- */

typedef struct convolution {
    int items, side, channels, outputs; /* side 0: `items` rows of a matrix */
    bool residual;
    size_t rows;
    size_t depth;
    uint16_t *input, *weight, *added;
    float *terms;
    void *input_device, *weight_device, *added_device, *terms_device, *output_device;
} convolution;

static convolution make_convolution(int items, int side, int channels, int outputs, bool residual, uint64_t *state)
{
    convolution c = {.items = items, .side = side, .channels = channels, .outputs = outputs, .residual = residual};
    c.rows = (size_t)items * (size_t)(side ? side * side : 1);
    c.depth = (size_t)channels * (side ? 9 : 1);
    c.input = random_halves(type, c.rows * (size_t)channels, 1, state, &c.input_device);
    c.weight = random_halves(type, (size_t)outputs * c.depth, 1, state, &c.weight_device);
    c.added = random_halves(type, c.rows * (size_t)outputs, 4, state, &c.added_device);
    c.terms = random_floats((size_t)outputs * 2, 1, state, &c.terms_device);
    c.output_device = device_memory(c.rows * (size_t)outputs * 2, 0xFF);
    return c;
}

static void free_convolution(convolution *c)
{
    void *blocks[] = {c->input_device, c->weight_device, c->added_device, c->terms_device, c->output_device};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        DEVICE_CHECK(cudaFree(blocks[i]));
    free(c->input), free(c->weight), free(c->added), free(c->terms);
}

static double sum_of(const convolution *c, size_t row, int output)
{
    const uint16_t *weight = c->weight + (size_t)output * c->depth;
    double sum = 0;
    if (!c->side) {
        for (size_t k = 0; k < c->depth; k++)
            sum += (double)float_of(type, c->input[row * c->depth + k]) * (double)float_of(type, weight[k]);
        return sum;
    }
    const int inside = (int)(row % (size_t)(c->side * c->side));
    for (int tap = 0; tap < 9; tap++) {
        const int y = inside / c->side + tap / 3 - 1;
        const int x = inside % c->side + tap % 3 - 1;
        if (y < 0 || y >= c->side || x < 0 || x >= c->side)
            continue;
        const size_t pixel = row - (size_t)inside + (size_t)(y * c->side + x);
        for (int k = 0; k < c->channels; k++)
            sum += (double)float_of(type, c->input[pixel * (size_t)c->channels + (size_t)k]) *
                   (double)float_of(type, weight[tap * c->channels + k]);
    }
    return sum;
}

/* By one tile. With a residual the output is the residual's own place. */
static int run_convolution(const convolution *c, const clipc_gemm_plan *plan, const double *expected)
{
    const size_t count = c->rows * (size_t)c->outputs;
    const clipc_cuda_gemm gemm = {
        .type = type,
        .input = c->input_device,
        .weight = c->weight_device,
        .rows = (int32_t)c->rows,
        .input_capacity = (int32_t)c->rows,
        .columns = c->outputs,
        .depth = (int32_t)c->depth,
        .input_stride = c->channels,
        .window_side = c->side,
        .terms = c->terms_device,
        .activation = CLIPC_CUDA_ACTIVATION_RELU,
        .residual = c->residual ? c->output_device : NULL,
        .residual_stride = c->outputs,
        .output = c->output_device,
        .output_stride = c->outputs,
    };
    if (c->residual)
        device_write(c->output_device, c->added, count * 2);
    else
        DEVICE_CHECK(cudaMemset(c->output_device, 0xFF, count * 2));
    DEVICE_CHECK(clipc_cuda_gemm_run(&gemm, plan, 0));
    DEVICE_CHECK(cudaDeviceSynchronize());
    uint16_t *output = malloc(count * 2);
    device_read(output, c->output_device, count * 2);
    int wrong = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_close((double)float_of(type, output[i]), expected[i]) && wrong++ < 3)
            printf("    row %zu column %zu: %g, expected %g\n", i / (size_t)c->outputs, i % (size_t)c->outputs,
                   (double)float_of(type, output[i]), expected[i]);
    free(output);
    return wrong;
}

static int check_convolution(const clipc_gemm_device *device, int items, int side, int channels, int outputs,
                             bool residual)
{
    uint64_t state = (uint64_t)(side * 1000 + channels);
    convolution c = make_convolution(items, side, channels, outputs, residual, &state);
    double *expected = malloc(c.rows * (size_t)outputs * sizeof *expected);
    for (size_t i = 0; i < c.rows * (size_t)outputs; i++) {
        const int output = (int)(i % (size_t)outputs);
        const double added = residual ? (double)float_of(type, c.added[i]) : 0;
        expected[i] = fmax(0, sum_of(&c, i / (size_t)outputs, output) + (double)c.terms[2 * output] + added);
    }
    int failures = 0;
    clipc_gemm_plan plan;
    for (size_t i = 0; clipc_gemm_variant(i, &plan); i++) {
        if ((plan.kind != CLIPC_GEMM_SM80 && (side || device->architecture != 90)) ||
            !clipc_gemm_takes(&plan, outputs))
            continue;
        clipc_gemm_fit(&plan, device, (int32_t)c.rows, outputs, (int32_t)c.depth);
        char text[128];
        char what[256];
        clipc_gemm_plan_text(&plan, text, sizeof text);
        snprintf(what, sizeof what, "%s%d x %d x %d, %d channels to %d, ReLU%s, %s", side ? "windows of " : "rows, ",
                 items, side, side, channels, outputs, residual ? " after a residual" : "", text);
        failures += tell(run_convolution(&c, &plan, expected), what);
    }
    free(expected);
    free_convolution(&c);
    return failures;
}

/* ---- the steps between ---- */

static int check_pixel_windows(int count, int size)
{
    uint64_t state = 5;
    void *pixels_device = NULL;
    const int side = size / 2;
    const size_t values = (size_t)count * (size_t)(side * side) * CLIPC_CUDA_PIXEL_WINDOW;
    float *pixels = random_floats((size_t)count * 3 * (size_t)(size * size), 2, &state, &pixels_device);
    void *device = device_memory(values * 2, 0xFF);
    DEVICE_CHECK(clipc_cuda_pixel_windows(type, pixels_device, count, size, device, 0));
    uint16_t *got = malloc(values * 2);
    device_read(got, device, values * 2);
    int wrong = 0;
    for (size_t i = 0; i < values; i++) {
        const int element = (int)(i % CLIPC_CUDA_PIXEL_WINDOW);
        const int pixel = (int)(i / CLIPC_CUDA_PIXEL_WINDOW);
        const int y = pixel % (side * side) / side * 2 + element % 9 / 3 - 1;
        const int x = pixel % side * 2 + element % 3 - 1;
        float expected = 0;
        if (element < 27 && y >= 0 && y < size && x >= 0 && x < size)
            expected = pixels[((pixel / (side * side) * 3 + element / 9) * size + y) * size + x];
        wrong += got[i] != half_of(type, expected);
    }
    DEVICE_CHECK(cudaFree(pixels_device));
    DEVICE_CHECK(cudaFree(device));
    free(pixels), free(got);
    return tell(wrong, "windows of pixels");
}

static int check_averages(int count, int side, int channels)
{
    uint64_t state = 6;
    void *map_device = NULL;
    const size_t values = (size_t)count * (size_t)(side * side * channels);
    uint16_t *map = random_halves(type, 4 * values, 3, &state, &map_device);
    void *device = device_memory(values * 2, 0xFF);
    DEVICE_CHECK(clipc_cuda_average_maps(type, map_device, count, side, channels, device, 0));
    uint16_t *got = malloc(values * 2);
    device_read(got, device, values * 2);
    int wrong = 0;
    for (size_t i = 0; i < values; i++) {
        const size_t channel = i % (size_t)channels;
        const size_t x = i / (size_t)channels % (size_t)side;
        const size_t row = i / (size_t)channels / (size_t)side; /* of all items */
        double sum = 0;
        for (size_t k = 0; k < 4; k++)
            sum += (double)float_of(
                type, map[((2 * row + k / 2) * 2 * (size_t)side + 2 * x + k % 2) * (size_t)channels + channel]);
        wrong += !is_close((double)float_of(type, got[i]), sum / 4);
    }
    DEVICE_CHECK(cudaFree(map_device));
    DEVICE_CHECK(cudaFree(device));
    free(map), free(got);
    return tell(wrong, "means of 2 x 2 pixels");
}

static int check_tokens(int count, int pixels, int channels)
{
    uint64_t state = 7;
    void *map_device = NULL;
    void *position_device = NULL;
    const size_t width = (size_t)channels;
    const size_t tokens = (size_t)pixels + 1;
    const size_t values = (size_t)count * tokens * width;
    uint16_t *map = random_halves(type, (size_t)count * (size_t)pixels * width, 3, &state, &map_device);
    uint16_t *position = random_halves(type, tokens * width, 1, &state, &position_device);
    void *device = device_memory(values * 2, 0xFF);
    DEVICE_CHECK(clipc_cuda_map_tokens(type, map_device, count, pixels, channels, position_device, device, 0));
    uint16_t *got = malloc(values * 2);
    device_read(got, device, values * 2);
    int wrong = 0;
    for (size_t i = 0; i < values; i++) {
        const size_t token = i / width % tokens;
        const uint16_t *item = map + i / width / tokens * (size_t)pixels * width + i % width;
        double expected = 0;
        for (size_t pixel = 0; pixel < (size_t)pixels; pixel++)
            if (token == 0 || token == pixel + 1)
                expected += (double)float_of(type, item[pixel * width]) / (token ? 1 : pixels);
        expected += (double)float_of(type, position[token * width + i % width]);
        wrong += !is_close((double)float_of(type, got[i]), expected);
    }
    DEVICE_CHECK(cudaFree(map_device));
    DEVICE_CHECK(cudaFree(position_device));
    DEVICE_CHECK(cudaFree(device));
    free(map), free(position), free(got);
    return tell(wrong, "tokens of a map");
}

int check_maps(const clipc_gemm_device *device, clipc_cuda_type of)
{
    int failures = 0;
    type = of;
    failures += check_convolution(device, 2, 5, 8, 8, false);
    failures += check_convolution(device, 3, 7, 40, 72, false);
    failures += check_convolution(device, 1, 14, 64, 200, false);
    failures += check_convolution(device, 130, 0, 64, 256, false);
    failures += check_convolution(device, 49, 0, 1032, 72, true);
    failures += check_convolution(device, 300, 0, 72, 328, true);
    failures += check_pixel_windows(2, 18);
    failures += check_averages(3, 5, 24);
    failures += check_tokens(3, 9, 40);
    return failures;
}
