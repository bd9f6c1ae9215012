/* The LayerNorm kernel of the TensorRT plugin against LayerNorm in double on the host: every type, widths from 64 to
 * 8192 that do and do not fill whole loads, with and without a residual. Prints the largest difference of each type
 * and width, and what time and bandwidth it takes beside a copy of as many bytes. Exits 1 when a value is wrong.
 * Usage: check_layer_norm [ROWS of the timing] */
#include "backend/tensorrt/layer_norm.h"
#include "device_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUARD       64   /* bytes behind the output that nobody may write */
#define GUARD_BYTE  0x5A /* what they hold, and the output before the run */
#define GROUPS      7
#define GROUP_RUNS  20
#define COPIED      ((size_t)1 << 30) /* bytes that runs go round through, so that no cache keeps them */
#define TIMED_ROWS  16384
#define EXTREME_ROW 3 /* of each check: the kinds of rows below come in turn */

static const char *const type_names[] = {"fp32", "fp16", "bf16"};
/* Of the result, beside what the type itself rounds: half a step of the last bit kept is 2⁻²⁴, 2⁻¹¹ and 2⁻⁹. Results
 * are a few units large; deviations of fp32 are exact to some 2⁻²². */
static const double tolerance[] = {0x1p-20, 0x1p-10, 0x1p-7};

typedef struct check {
    clipc_layer_norm_type type;
    clipc_layer_norm_type parameter_type;
    int rows, width;
    bool residual;
    double worst; /* difference over 1 + |expected| */
} check;

static int failures;

static size_t size_of(clipc_layer_norm_type type)
{
    return type == CLIPC_LAYER_NORM_FP32 ? 4 : 2;
}

static double round_to(clipc_layer_norm_type type, double value)
{
    if (type == CLIPC_LAYER_NORM_FP32)
        return (float)value;
    const clipc_cuda_type half = type == CLIPC_LAYER_NORM_FP16 ? CLIPC_CUDA_F16 : CLIPC_CUDA_BF16;
    return float_of(half, half_of(half, (float)value));
}

static double value_at(clipc_layer_norm_type type, const void *values, size_t index)
{
    if (type == CLIPC_LAYER_NORM_FP32)
        return ((const float *)values)[index];
    return float_of(type == CLIPC_LAYER_NORM_FP16 ? CLIPC_CUDA_F16 : CLIPC_CUDA_BF16,
                    ((const uint16_t *)values)[index]);
}

static void set_value(clipc_layer_norm_type type, void *values, size_t index, double value)
{
    if (type == CLIPC_LAYER_NORM_FP32)
        ((float *)values)[index] = (float)value;
    else
        ((uint16_t *)values)[index] =
            half_of(type == CLIPC_LAYER_NORM_FP16 ? CLIPC_CUDA_F16 : CLIPC_CUDA_BF16, (float)value);
}

/* Ordinary rows, rows far from zero whose mean takes most digits, constant rows, and rows of a few huge values, whose
 * squares overflow fp16. */
static double input_value(size_t row, size_t column, uint64_t *state)
{
    const double value = random_value(state);
    switch (row % 4) {
    case 0: return value;
    case 1: return 1000 + value;
    case EXTREME_ROW: return column % 61 == 7 ? 30000 * value : value;
    default: return 0.75;
    }
}

static void fill(clipc_layer_norm_type type, void *values, size_t rows, size_t width, uint64_t *state)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < width; column++)
            set_value(type, values, row * width + column, input_value(row, column, state));
}

static void *to_device(const void *values, size_t bytes)
{
    void *device = device_memory(bytes, 0);
    device_write(device, values, bytes);
    return device;
}

static void *host_memory(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(3);
    }
    return memory;
}

/* LayerNorm of one row in double. */
static void expect_row(const double *x, size_t width, const double *weight, const double *bias, double epsilon,
                       double *expected)
{
    double mean = 0;
    double variance = 0;
    for (size_t i = 0; i < width; i++)
        mean += x[i] / (double)width;
    for (size_t i = 0; i < width; i++)
        variance += (x[i] - mean) * (x[i] - mean) / (double)width;
    for (size_t i = 0; i < width; i++)
        expected[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight[i] + bias[i];
}

static void fail(const check *of, const char *what, size_t row, size_t column, double value, double expected)
{
    if (failures++ < 10)
        printf("%s, parameters %s, %d rows of %d%s: %s at row %zu, column %zu is %g, not %g\n", type_names[of->type],
               type_names[of->parameter_type], of->rows, of->width, of->residual ? " with residual" : "", what, row,
               column, value, expected);
}

typedef struct arrays {
    void *input, *residual, *weight, *bias, *output, *sum; /* on the host */
    size_t bytes, parameter_bytes;
} arrays;

static void compare(check *of, const arrays *a, double epsilon)
{
    const size_t width = (size_t)of->width;
    double *x = host_memory(4 * width * sizeof *x);
    double *weight = x + width;
    double *bias = weight + width;
    double *expected = bias + width;
    for (size_t i = 0; i < width; i++) {
        weight[i] = value_at(of->parameter_type, a->weight, i);
        bias[i] = value_at(of->parameter_type, a->bias, i);
    }
    for (size_t row = 0; row < (size_t)of->rows; row++) {
        for (size_t i = 0; i < width; i++) {
            x[i] = value_at(of->type, a->input, row * width + i);
            if (of->residual) {
                x[i] = round_to(of->type, (float)x[i] + (float)value_at(of->type, a->residual, row * width + i));
                const double sum = value_at(of->type, a->sum, row * width + i);
                if (!(sum == x[i]))
                    fail(of, "the sum", row, i, sum, x[i]);
            }
        }
        expect_row(x, width, weight, bias, epsilon, expected);
        for (size_t i = 0; i < width; i++) {
            const double value = value_at(of->type, a->output, row * width + i);
            const double difference = fabs(value - expected[i]) / (1 + fabs(expected[i]));
            if (!(difference <= tolerance[of->type]))
                fail(of, "the result", row, i, value, expected[i]);
            if (difference > of->worst)
                of->worst = difference;
        }
    }
    for (size_t i = 0; i < GUARD; i++)
        if (((const uint8_t *)a->output)[a->bytes + i] != GUARD_BYTE)
            fail(of, "a guard byte", 0, i, ((const uint8_t *)a->output)[a->bytes + i], GUARD_BYTE);
    free(x);
}

static void run_check(check *of, uint64_t *state)
{
    const size_t count = (size_t)of->rows * (size_t)of->width;
    arrays a = {.bytes = count * size_of(of->type),
                .parameter_bytes = (size_t)of->width * size_of(of->parameter_type)};
    a.input = host_memory(a.bytes);
    a.residual = host_memory(a.bytes);
    a.weight = host_memory(a.parameter_bytes);
    a.bias = host_memory(a.parameter_bytes);
    a.output = host_memory(a.bytes + GUARD);
    a.sum = host_memory(a.bytes);
    fill(of->type, a.input, (size_t)of->rows, (size_t)of->width, state);
    for (size_t i = 0; i < count; i++)
        set_value(of->type, a.residual, i, random_value(state));
    for (size_t i = 0; i < (size_t)of->width; i++) {
        set_value(of->parameter_type, a.weight, i, random_value(state));
        set_value(of->parameter_type, a.bias, i, random_value(state));
    }
    clipc_layer_norm norm = {.type = of->type,
                             .parameter_type = of->parameter_type,
                             .rows = of->rows,
                             .width = of->width,
                             .epsilon = 1e-5F};
    void *input = to_device(a.input, a.bytes);
    void *residual = to_device(a.residual, a.bytes);
    void *weight = to_device(a.weight, a.parameter_bytes);
    void *bias = to_device(a.bias, a.parameter_bytes);
    void *output = device_memory(a.bytes + GUARD, GUARD_BYTE);
    void *sum = device_memory(a.bytes, GUARD_BYTE);
    norm.input = input;
    norm.residual = of->residual ? residual : NULL;
    norm.sum = of->residual ? sum : NULL;
    norm.weight = weight;
    norm.bias = bias;
    norm.output = output;
    DEVICE_CHECK(clipc_layer_norm_run(&norm, 0));
    DEVICE_CHECK(cudaDeviceSynchronize());
    device_read(a.output, output, a.bytes + GUARD);
    device_read(a.sum, sum, a.bytes);
    compare(of, &a, (double)norm.epsilon);
    void *const device[] = {input, residual, weight, bias, output, sum};
    void *const host[] = {a.input, a.residual, a.weight, a.bias, a.output, a.sum};
    for (size_t i = 0; i < sizeof device / sizeof *device; i++) {
        DEVICE_CHECK(cudaFree(device[i]));
        free(host[i]);
    }
}

/* A row of NaN leaves its neighbours what they are, and a row in place gives the same bits. */
static void check_neighbours(void)
{
    enum { ROWS = 9, WIDTH = 768 };
    uint64_t state = 5;
    float *values = random_floats((size_t)ROWS * WIDTH, 1, &state, NULL);
    float *clean = host_memory((size_t)ROWS * WIDTH * sizeof *clean);
    float *poisoned = host_memory((size_t)ROWS * WIDTH * sizeof *poisoned);
    void *weight = NULL;
    free(random_floats(WIDTH, 1, &state, &weight));
    void *input = to_device(values, (size_t)ROWS * WIDTH * sizeof *values);
    void *output = device_memory((size_t)ROWS * WIDTH * sizeof *values, GUARD_BYTE);
    clipc_layer_norm norm = {.type = CLIPC_LAYER_NORM_FP32, .rows = ROWS, .width = WIDTH, .epsilon = 1e-5F};
    norm.input = input;
    norm.weight = weight;
    norm.bias = weight;
    norm.output = output;
    DEVICE_CHECK(clipc_layer_norm_run(&norm, 0));
    device_read(clean, output, (size_t)ROWS * WIDTH * sizeof *clean);
    values[4 * WIDTH + 100] = NAN;
    device_write(input, values, (size_t)ROWS * WIDTH * sizeof *values);
    norm.output = input;
    DEVICE_CHECK(clipc_layer_norm_run(&norm, 0));
    device_read(poisoned, input, (size_t)ROWS * WIDTH * sizeof *poisoned);
    for (size_t row = 0; row < ROWS; row++) {
        const bool same = memcmp(clean + row * WIDTH, poisoned + row * WIDTH, WIDTH * sizeof *clean) == 0;
        if (row == 4 ? !isnan(poisoned[row * WIDTH]) : !same) {
            failures++;
            printf("row %zu beside a row of NaN, in place: %s\n", row, row == 4 ? "hides its NaN" : "has other bits");
        }
    }
    norm.width = CLIPC_LAYER_NORM_LEAST_WIDTH - 1;
    failures += clipc_layer_norm_run(&norm, 0) != cudaErrorInvalidValue;
    norm.width = CLIPC_LAYER_NORM_MOST_WIDTH + 1;
    failures += clipc_layer_norm_run(&norm, 0) != cudaErrorInvalidValue;
    DEVICE_CHECK(cudaFree(input));
    DEVICE_CHECK(cudaFree(output));
    DEVICE_CHECK(cudaFree(weight));
    free(values);
    free(clean);
    free(poisoned);
}

static void check_all(void)
{
    static const int widths[] = {64,   65,   72,   100,  127,  128,  255,  256,  257,  511,
                                 512,  513,  640,  768,  1000, 1023, 1024, 1025, 1152, 1280,
                                 1664, 2047, 2048, 3072, 4096, 5120, 6001, 7168, 8191, 8192};
    static const struct {
        clipc_layer_norm_type type, parameter_type;
    } types[] = {{CLIPC_LAYER_NORM_FP32, CLIPC_LAYER_NORM_FP32},
                 {CLIPC_LAYER_NORM_FP16, CLIPC_LAYER_NORM_FP16},
                 {CLIPC_LAYER_NORM_FP16, CLIPC_LAYER_NORM_FP32},
                 {CLIPC_LAYER_NORM_BF16, CLIPC_LAYER_NORM_BF16},
                 {CLIPC_LAYER_NORM_BF16, CLIPC_LAYER_NORM_FP32}};
    uint64_t state = 1;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        double worst = 0;
        int worst_width = 0;
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            for (int residual = 0; residual < 2; residual++)
                for (int rows = 1; rows <= 33; rows += 16) {
                    check one = {types[t].type, types[t].parameter_type, rows, widths[w], residual != 0, 0};
                    run_check(&one, &state);
                    if (one.worst > worst) {
                        worst = one.worst;
                        worst_width = one.width;
                    }
                }
        printf("%s, parameters %s: widths %d to %d, largest difference from double %.3g of 1 + |value| (width %d), "
               "allowed %.3g\n",
               type_names[types[t].type], type_names[types[t].parameter_type], CLIPC_LAYER_NORM_LEAST_WIDTH,
               CLIPC_LAYER_NORM_MOST_WIDTH, worst, worst_width, tolerance[types[t].type]);
    }
    check_neighbours();
}

/* ---- time ---- */

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The median of groups, of one run, in microseconds: of the kernel, or of copying as many bytes when norm is NULL.
 * Runs go round through `places` stretches of `bytes`, input and output apart. */
static double time_runs(clipc_layer_norm *norm, uint8_t *from, uint8_t *to, size_t bytes, size_t places)
{
    cudaEvent_t begin;
    cudaEvent_t end;
    float times[GROUPS + 1];
    size_t place = 0;
    DEVICE_CHECK(cudaEventCreate(&begin));
    DEVICE_CHECK(cudaEventCreate(&end));
    for (size_t group = 0; group <= GROUPS; group++) {
        DEVICE_CHECK(cudaEventRecord(begin, 0));
        for (size_t i = 0; i < GROUP_RUNS; i++) {
            place = (place + 1) % places;
            if (norm) {
                norm->input = from + place * bytes;
                norm->output = to + place * bytes;
                DEVICE_CHECK(clipc_layer_norm_run(norm, 0));
            } else {
                DEVICE_CHECK(
                    cudaMemcpyAsync(to + place * bytes, from + place * bytes, bytes, cudaMemcpyDeviceToDevice, 0));
            }
        }
        DEVICE_CHECK(cudaEventRecord(end, 0));
        DEVICE_CHECK(cudaEventSynchronize(end));
        DEVICE_CHECK(cudaEventElapsedTime(&times[group], begin, end));
    }
    DEVICE_CHECK(cudaEventDestroy(begin));
    DEVICE_CHECK(cudaEventDestroy(end));
    qsort(times + 1, GROUPS, sizeof *times, ascending); /* the first group warmed up */
    return (double)times[1 + GROUPS / 2] * 1000 / GROUP_RUNS;
}

static void time_width(clipc_layer_norm_type type, int rows, int width)
{
    const size_t bytes = ((size_t)rows * (size_t)width * size_of(type) + 255) / 256 * 256;
    const size_t places = COPIED / bytes ? COPIED / bytes : 1;
    uint64_t state = 3;
    void *weight = NULL;
    free(random_floats((size_t)width, 1, &state, &weight));
    uint8_t *from = device_memory(bytes * places, 0x3C); /* halves and floats of ordinary size */
    uint8_t *to = device_memory(bytes * places, 0);
    clipc_layer_norm norm = {.type = type, .rows = rows, .width = width, .epsilon = 1e-5F};
    norm.weight = weight;
    norm.bias = weight;
    const double copy = time_runs(NULL, from, to, bytes, places);
    const double kernel = time_runs(&norm, from, to, bytes, places);
    const double copy_again = time_runs(NULL, from, to, bytes, places);
    const double faster = copy < copy_again ? copy : copy_again;
    printf("| %s | %d x %d | %.1f us | %.0f GB/s | %.1f us | %.0f %% |\n", type_names[type], rows, width, kernel,
           2e-3 * (double)bytes / kernel, faster, 100 * faster / kernel);
    DEVICE_CHECK(cudaFree(from));
    DEVICE_CHECK(cudaFree(to));
    DEVICE_CHECK(cudaFree(weight));
}

int main(int argc, char **argv)
{
    static const int widths[] = {512, 768, 1024, 1280, 1664, 2048, 4096, 8192};
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        printf("check_layer_norm: no device, nothing is tested\n");
        return 77;
    }
    const long asked = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    const int rows = asked > 0 && asked < 1 << 24 ? (int)asked : TIMED_ROWS;
    check_all();
    printf("| type | rows x width | kernel | moves | copy of as many bytes | of the copy's speed |\n");
    printf("| --- | --- | --- | --- | --- | --- |\n");
    for (int type = CLIPC_LAYER_NORM_FP32; type <= CLIPC_LAYER_NORM_BF16; type++)
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
            time_width((clipc_layer_norm_type)type, rows, widths[i]);
    printf("check_layer_norm: %s\n", failures ? "FAILED" : "every value is right");
    return failures ? 1 : 0;
}
