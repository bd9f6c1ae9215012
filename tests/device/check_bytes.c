#include "check_bytes.h"

#include "backend/cuda/gemm.h"
#include "backend/cuda/gemm_select_bytes.h"
#include "backend/cuda/steps.h"
#include "backend/cuda/weight_pack.h"
#include "device_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
static clipc_cuda_type type; /* that is being checked */
static double largest_cut;   /* of a sum's addends, as a share of their sizes, by Hopper's tensor cores */
static const char *const type_names[] = {"fp16", "bf16", "e4m3", "s8"};

/* e4m3 by its definition, OCP 2023. */
static double value_of(uint8_t byte)
{
    if (type == CLIPC_CUDA_S8)
        return (int8_t)byte;
    const int exponent = byte >> 3 & 15;
    const double magnitude = exponent ? ldexp(1 + (byte & 7) / 8.0, exponent - 7) : ldexp((byte & 7) / 8.0, -6);
    return byte & 0x80 ? -magnitude : magnitude;
}

/* −127 … 127, or e4m3 up to 7.5, of every exponent below. */
static uint8_t random_byte(uint64_t *state)
{
    const int number = (int)(random_value(state) * 127.99F);
    if (type == CLIPC_CUDA_S8)
        return (uint8_t)(int8_t)number;
    return (uint8_t)((number < 0 ? 0x80 : 0) | abs(number) % 0x50);
}

static double activation_of(int activation, double x)
{
    switch (activation) {
    case CLIPC_CUDA_ACTIVATION_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case CLIPC_CUDA_ACTIVATION_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case CLIPC_CUDA_ACTIVATION_GELU_TANH: return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    default: return x;
    }
}

typedef struct product {
    int rows, columns, depth;
    uint8_t *input, *weight;
    uint16_t *residual;
    float *bias, *scale, *row_scale; /* as meant */
    int32_t *residual_row;
    double *sums, *sizes; /* Σ a·b and Σ |a·b| */
    void *input_device, *residual_device, *row_scale_device, *residual_row_device, *output_device;
    void *weight_device[2], *terms_device[2]; /* packed for an output of 1 and 2 bytes */
} product;

static void pack(product *p, int value_bytes)
{
    const size_t padded = CLIPC_CUDA_PADDED_COLUMNS((size_t)p->columns);
    const size_t depth = (size_t)p->depth;
    uint8_t *weight = calloc(padded, depth);
    float *terms = calloc(padded, 8);
    for (size_t c = 0; c < (size_t)p->columns; c++) {
        const size_t to = clipc_packed_column((size_t)value_bytes, c);
        memcpy(weight + to * depth, p->weight + c * depth, depth);
        terms[2 * to] = p->bias[c];
        terms[2 * to + 1] = p->scale[c];
    }
    void **weight_device = &p->weight_device[value_bytes - 1];
    void **terms_device = &p->terms_device[value_bytes - 1];
    *weight_device = device_memory(padded * depth, 0);
    *terms_device = device_memory(padded * 8, 0);
    device_write(*weight_device, weight, padded * depth);
    device_write(*terms_device, terms, padded * 8);
    free(weight), free(terms);
}

static void *to_device(const void *from, size_t bytes)
{
    void *memory = device_memory(bytes, 0);
    device_write(memory, from, bytes);
    return memory;
}

static product make_product(int rows, int columns, int depth, uint64_t *state)
{
    product p = {.rows = rows, .columns = columns, .depth = depth};
    const size_t inputs = (size_t)rows * (size_t)depth;
    const size_t weights = (size_t)columns * (size_t)depth;
    const size_t outputs = (size_t)rows * (size_t)columns;
    p.input = malloc(inputs);
    p.weight = malloc(weights);
    for (size_t i = 0; i < inputs; i++)
        p.input[i] = random_byte(state);
    for (size_t i = 0; i < weights; i++)
        p.weight[i] = random_byte(state);
    p.bias = random_floats((size_t)columns, 1, state, NULL);
    p.scale = random_floats((size_t)columns, 1, state, NULL);
    p.row_scale = random_floats((size_t)rows, 1, state, NULL);
    const double typical = (type == CLIPC_CUDA_S8 ? 5400.0 : 4.0) * sqrt(depth); /* size of a sum */
    for (int c = 0; c < columns; c++)
        p.scale[c] = (float)((2 + p.scale[c]) / typical);
    for (int r = 0; r < rows; r++)
        p.row_scale[r] = type == CLIPC_CUDA_S8 ? 1.5F + p.row_scale[r] : 1;
    p.residual = random_halves(CLIPC_CUDA_F16, outputs, 4, state, &p.residual_device);
    p.residual_row = malloc((size_t)rows * 4);
    for (int r = 0; r < rows; r++)
        p.residual_row[r] = (r * 7 + 3) % rows;
    p.sums = calloc(outputs, 8);
    p.sizes = calloc(outputs, 8);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            double sum = 0;
            double size = 0;
            for (int k = 0; k < depth; k++) {
                const double term =
                    value_of(p.input[(size_t)r * (size_t)depth + (size_t)k]) * value_of(p.weight[c * depth + k]);
                sum += term;
                size += fabs(term);
            }
            p.sums[(size_t)r * (size_t)columns + (size_t)c] = sum;
            p.sizes[(size_t)r * (size_t)columns + (size_t)c] = size;
        }
    pack(&p, 1);
    pack(&p, 2);
    p.input_device = to_device(p.input, inputs);
    p.row_scale_device = to_device(p.row_scale, (size_t)rows * 4);
    p.residual_row_device = to_device(p.residual_row, (size_t)rows * 4);
    p.output_device = device_memory(outputs * 2, 0);
    return p;
}

static void free_product(product *p)
{
    void *blocks[] = {p->input_device,     p->weight_device[0],    p->weight_device[1],
                      p->terms_device[0],  p->terms_device[1],     p->residual_device,
                      p->row_scale_device, p->residual_row_device, p->output_device};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        DEVICE_CHECK(cudaFree(blocks[i]));
    free(p->input), free(p->weight), free(p->residual), free(p->bias), free(p->scale), free(p->row_scale);
    free(p->residual_row), free(p->sums), free(p->sizes);
}

enum { PLAIN, QUICK_GELU, GELU, GELU_TANH, RESIDUAL, MAPPED, CASES };

/* Hopper's tensor cores keep about 14 bits of a sum of e4m3, cutting off the rest of each addend: 2^−9.90 of the
 * addends' sizes at most at these depths (check_gemm says it), a third more is allowed. mma.sync and s8 are exact to
 * fp32. Beside that the rounding of the output:
 * four times fp16's, or e4m3's own and that of an activation in fp16, 2⁻¹¹ of what goes in. */
static double tolerance(const product *p, clipc_gemm_kind kind, size_t row, size_t column, double before,
                        double expected, int to_bytes)
{
    const double size = p->sizes[row * (size_t)p->columns + column] * p->scale[column] * p->row_scale[row];
    const double cut = type == CLIPC_CUDA_E4M3 && kind == CLIPC_GEMM_SM90 ? 0x1.66p-10 * size : 0;
    const double arithmetic = cut + 1e-3 * fabs(expected) + 2e-3;
    return to_bytes ? arithmetic + fabs(expected) / 16 + 0x1p-11 * fabs(before) : arithmetic;
}

static int check_case(product *p, const clipc_gemm_plan *plan, int which)
{
    const int to_bytes = type == CLIPC_CUDA_E4M3 && which >= QUICK_GELU && which <= GELU_TANH;
    const int activation = which <= GELU_TANH ? which : CLIPC_CUDA_ACTIVATION_NONE;
    if (to_bytes && p->columns % 16)
        return 0;
    const size_t columns = (size_t)p->columns;
    const size_t outputs = (size_t)p->rows * columns;
    const float output_scale = 13;
    clipc_cuda_gemm gemm = {
        .type = type,
        .input = p->input_device,
        .weight = p->weight_device[to_bytes ? 0 : 1],
        .rows = p->rows,
        .input_capacity = p->rows,
        .columns = p->columns,
        .depth = p->depth,
        .input_stride = p->depth,
        .terms = p->terms_device[to_bytes ? 0 : 1],
        .activation = activation,
        .row_scale = p->row_scale_device,
        .output_scale = output_scale,
        .output = p->output_device,
        .output_stride = p->columns,
    };
    if (which == RESIDUAL || which == MAPPED) {
        gemm.residual = p->residual_device;
        gemm.residual_stride = p->columns;
        gemm.residual_row = which == MAPPED ? p->residual_row_device : NULL;
    }
    DEVICE_CHECK(cudaMemset(p->output_device, 0xFF, outputs * 2));
    const cudaError_t launched = clipc_cuda_gemm_run(&gemm, plan, 0);
    const cudaError_t finished = cudaDeviceSynchronize();
    if (launched != cudaSuccess || finished != cudaSuccess) {
        printf("    launch: %s, end: %s\n", cudaGetErrorString(launched), cudaGetErrorString(finished));
        DEVICE_CHECK(finished);
        return 1;
    }
    uint16_t *output = malloc(outputs * 2);
    device_read(output, p->output_device, outputs * 2);
    const uint8_t *bytes = (const uint8_t *)output;
    int wrong = 0;
    for (size_t r = 0; r < (size_t)p->rows; r++)
        for (size_t c = 0; c < columns; c++) {
            const size_t at = r * columns + c;
            const double before = p->sums[at] * p->scale[c] * p->row_scale[r] + p->bias[c];
            double expected = activation_of(activation, before);
            if (gemm.residual)
                expected += float_of(CLIPC_CUDA_F16,
                                     p->residual[(which == MAPPED ? (size_t)p->residual_row[r] : r) * columns + c]);
            const double value = to_bytes ? value_of(bytes[at]) / output_scale : float_of(CLIPC_CUDA_F16, output[at]);
            const int not_a_number = to_bytes && (bytes[at] & 0x7F) == 0x7F;
            const double difference = fabs(value - expected);
            if (type == CLIPC_CUDA_E4M3 && plan->kind == CLIPC_GEMM_SM90 && !to_bytes && !gemm.residual)
                largest_cut = fmax(largest_cut, (difference - 0x1p-11 * fabs(expected) - 0x1p-14) /
                                                    (p->sizes[at] * p->scale[c] * p->row_scale[r]));
            const double allowed = tolerance(p, plan->kind, r, c, before, expected, to_bytes);
            if ((not_a_number || !(difference <= allowed)) && wrong++ < 3)
                printf("    row %zu column %zu: %g, expected %g\n", r, c, value, expected);
        }
    free(output);
    return wrong;
}

static void check_gemm(const clipc_gemm_device *device)
{
    static const int shapes[][3] = {{1, 16, 16},     {12, 72, 64},    {17, 80, 48},    {50, 768, 768},
                                    {130, 528, 272}, {257, 208, 784}, {300, 784, 768}, {64, 64, 3072}};
    static const char *const names[CASES] = {"plain", "quick_gelu", "gelu", "gelu_tanh", "residual", "mapped"};
    uint64_t state = 5;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        product p = make_product(shapes[s][0], shapes[s][1], shapes[s][2], &state);
        clipc_gemm_plan plan;
        for (size_t i = 0; clipc_gemm_variant_bytes(i, &plan); i++) {
            if (plan.kind != CLIPC_GEMM_SM80 && device->architecture != 90)
                continue;
            clipc_gemm_fit(&plan, device, p.rows, p.columns, p.depth);
            char text[128];
            clipc_gemm_plan_text(&plan, text, sizeof text);
            const int32_t blocks = plan.blocks;
            for (int which = 0; which < 2 * CASES; which++) {
                /* Again with one block for all tiles, where the grid is persistent. */
                if (which >= CASES && plan.kind != CLIPC_GEMM_SM90)
                    break;
                const bool activates = which % CASES >= QUICK_GELU && which % CASES <= GELU_TANH;
                if (!clipc_gemm_takes_bytes(&plan, activates))
                    continue;
                plan.blocks = which < CASES ? blocks : plan.cluster;
                const int wrong = check_case(&p, &plan, which % CASES);
                if (wrong) {
                    printf("WRONG gemm %s %dx%dx%d %s, %s: %d values\n", type_names[type], p.rows, p.columns, p.depth,
                           text, names[which % CASES], wrong);
                    failures++;
                }
            }
        }
        printf("gemm %s %dx%dx%d: every tile checked\n", type_names[type], p.rows, p.columns, p.depth);
        fflush(stdout);
        free_product(&p);
    }
    if (type == CLIPC_CUDA_E4M3 && device->architecture == 90)
        printf("sums of e4m3 lack at most 2^%.2f of their addends' sizes\n", log2(largest_cut));
}

/* A byte against the value that it should be near: half a step of s8, a sixteenth or half the smallest of e4m3. */
static int near_byte(uint8_t byte, double expected)
{
    const double step = type == CLIPC_CUDA_S8 ? 0.51 : fmax(fabs(expected) / 16, 0x1p-10) * 1.01;
    return fabs(value_of(byte) - expected) <= step;
}

/* LayerNorm's rows as bytes, and (s8) rows as they are. */
static void check_rows(int rows, int width, int normalize)
{
    uint64_t state = (uint64_t)width;
    const size_t stride = ((size_t)width + 7) / 8 * 8;
    const size_t to_stride = ((size_t)width + 15) / 16 * 16;
    uint16_t *values = random_halves(CLIPC_CUDA_F16, (size_t)rows * stride, 3, &state, NULL);
    for (int r = 0; r < rows; r++) {
        for (size_t c = 0; c < stride; c++)
            if (c >= (size_t)width || (r == 1 && !normalize)) /* padding, and a row of zeros */
                values[(size_t)r * stride + c] = 0;
        values[(size_t)r * stride] = half_of(CLIPC_CUDA_F16, 40); /* an outlier */
    }
    void *from = to_device(values, (size_t)rows * stride * 2);
    void *to = device_memory((size_t)rows * to_stride, 0xFF);
    void *row_scale = device_memory((size_t)rows * 4, 0xFF);
    void *statistics = device_memory((size_t)rows * 8, 0xFF);
    const float scale = 4;
    const clipc_cuda_normalize step = {
        type, from, rows, width, (int32_t)stride, 1e-5F, scale, to, (int32_t)to_stride, row_scale};
    if (normalize)
        DEVICE_CHECK(clipc_cuda_normalize_rows(&step, 0));
    else
        DEVICE_CHECK(clipc_cuda_quantize_rows(from, rows, (int32_t)stride, to, (int32_t)to_stride, row_scale, 0));
    if (normalize)
        DEVICE_CHECK(clipc_cuda_measure_rows(from, rows, width, (int32_t)stride, statistics, 0));
    DEVICE_CHECK(cudaDeviceSynchronize());
    uint8_t *bytes = malloc((size_t)rows * to_stride);
    float *steps = malloc((size_t)rows * 4);
    float *pairs = malloc((size_t)rows * 8);
    device_read(bytes, to, (size_t)rows * to_stride);
    device_read(steps, row_scale, (size_t)rows * 4);
    device_read(pairs, statistics, (size_t)rows * 8);
    int wrong = 0;
    for (size_t r = 0; r < (size_t)rows; r++) {
        double mean = 0;
        double squares = 0;
        double largest = 0;
        const uint16_t *row = values + r * stride;
        for (int c = 0; c < width; c++)
            mean += float_of(CLIPC_CUDA_F16, row[c]) / (double)width;
        for (int c = 0; c < width; c++)
            squares += pow(float_of(CLIPC_CUDA_F16, row[c]) - mean, 2);
        wrong += normalize && !(fabs(pairs[2 * r] - mean) <= 1e-4);
        wrong += normalize && !(fabs(pairs[2 * r + 1] - squares) <= 1e-4 * squares + 1e-6);
        const double shift = normalize ? mean : 0;
        const double factor = normalize ? 1 / sqrt(squares / width + 1e-5) : 1;
        for (int c = 0; c < width; c++)
            largest = fmax(largest, fabs(float_of(CLIPC_CUDA_F16, row[c]) - shift) * factor);
        if (type == CLIPC_CUDA_S8)
            wrong += !(fabs(steps[r] - largest / 127) <= 1e-5 * largest);
        const double unit = type == CLIPC_CUDA_S8 ? (largest > 0 ? 127 / largest : 0) : scale;
        for (size_t c = 0; c < to_stride; c++) {
            const double value = c < (size_t)width ? (float_of(CLIPC_CUDA_F16, row[c]) - shift) * factor * unit : 0;
            if (!near_byte(bytes[r * to_stride + c], value) && wrong++ < 3)
                printf("    row %zu column %zu: %g, expected %g\n", r, c, value_of(bytes[r * to_stride + c]), value);
        }
    }
    printf("%s %s of %d rows of %d as %s\n", wrong ? "WRONG" : "ok   ", normalize ? "LayerNorm" : "rounding", rows,
           width, type_names[type]);
    failures += wrong != 0;
    DEVICE_CHECK(cudaFree(from));
    DEVICE_CHECK(cudaFree(to));
    DEVICE_CHECK(cudaFree(row_scale));
    DEVICE_CHECK(cudaFree(statistics));
    free(values), free(bytes), free(steps), free(pairs);
}

/* A row with a NaN or an infinity must not look like numbers afterwards: its scale, or every byte of e4m3, says so. */
static void check_not_finite(int width, int normalize)
{
    enum { ROWS = 4 };
    static const uint16_t bad[ROWS] = {0, 0x7E00, 0x7C00, 0xFC00}; /* the first row stays as it is; NaN, ∞, −∞ */
    uint64_t state = 5;
    uint16_t *values = random_halves(CLIPC_CUDA_F16, ROWS * (size_t)width, 3, &state, NULL);
    for (int r = 1; r < ROWS; r++)
        values[r * width + width - r] = bad[r];
    void *from = to_device(values, ROWS * (size_t)width * 2);
    void *to = device_memory(ROWS * (size_t)width, 0);
    void *row_scale = device_memory(ROWS * 4, 0);
    const clipc_cuda_normalize step = {type, from, ROWS, width, width, 1e-5F, 4, to, width, row_scale};
    if (normalize)
        DEVICE_CHECK(clipc_cuda_normalize_rows(&step, 0));
    else
        DEVICE_CHECK(clipc_cuda_quantize_rows(from, ROWS, width, to, width, row_scale, 0));
    DEVICE_CHECK(cudaDeviceSynchronize());
    uint8_t *bytes = malloc(ROWS * (size_t)width);
    float steps[ROWS];
    device_read(bytes, to, ROWS * (size_t)width);
    device_read(steps, row_scale, sizeof steps);
    int wrong = 0;
    for (int r = 0; r < ROWS; r++) {
        int numbers = 0; /* bytes of e4m3 that are no NaN */
        for (int c = 0; c < width; c++)
            numbers += (bytes[r * width + c] & 0x7F) != 0x7F;
        const bool hidden = type == CLIPC_CUDA_S8 ? isfinite(steps[r]) != 0 : numbers != 0;
        wrong += hidden != (r == 0);
    }
    printf("%s %s of rows of %d with NaN and infinity as %s\n", wrong ? "WRONG" : "ok   ",
           normalize ? "LayerNorm" : "rounding", width, type_names[type]);
    failures += wrong != 0;
    DEVICE_CHECK(cudaFree(from));
    DEVICE_CHECK(cudaFree(to));
    DEVICE_CHECK(cudaFree(row_scale));
    free(values), free(bytes);
}

/* Attention with an output of e4m3 against the same with one of fp16. */
static void check_attention(int blocks, int count, int tokens, int head, int only_row)
{
    uint64_t state = (uint64_t)(tokens + head);
    const int heads = 2;
    const size_t rows = (size_t)(count * tokens);
    const size_t outputs = (only_row >= 0 ? (size_t)count : rows) * (size_t)(heads * head);
    void *qkv = NULL;
    free(random_halves(CLIPC_CUDA_F16, rows * 3 * (size_t)(heads * head), 1.5F, &state, &qkv));
    void *halves = device_memory(outputs * 2, 0xFF);
    void *bytes = device_memory(outputs, 0xFF);
    clipc_cuda_attention attention = {.type = CLIPC_CUDA_F16,
                                      .output_type = CLIPC_CUDA_F16,
                                      .qkv = qkv,
                                      .output = halves,
                                      .count = count,
                                      .tokens = tokens,
                                      .heads = heads,
                                      .head_stride = head,
                                      .only_row = only_row,
                                      .wgmma_blocks = blocks};
    DEVICE_CHECK(clipc_cuda_attention_run(&attention, 0));
    attention.output_type = CLIPC_CUDA_E4M3;
    attention.output = bytes;
    DEVICE_CHECK(clipc_cuda_attention_run(&attention, 0));
    DEVICE_CHECK(cudaDeviceSynchronize());
    uint16_t *expected = malloc(outputs * 2);
    uint8_t *got = malloc(outputs);
    device_read(expected, halves, outputs * 2);
    device_read(got, bytes, outputs);
    int wrong = 0;
    for (size_t i = 0; i < outputs; i++)
        wrong += !near_byte(got[i], float_of(CLIPC_CUDA_F16, expected[i]));
    printf("%s attention to e4m3 %d x %d tokens, heads of %d%s\n", wrong ? "WRONG" : "ok   ", count, tokens, head,
           only_row >= 0 ? ", one row" : "");
    failures += wrong != 0;
    DEVICE_CHECK(cudaFree(qkv));
    DEVICE_CHECK(cudaFree(halves));
    DEVICE_CHECK(cudaFree(bytes));
    free(expected), free(got);
}

int check_bytes(const clipc_gemm_device *device)
{
    static const int widths[] = {8, 72, 512, 768, 1000, 1024, 1280, 2048};
    static const clipc_cuda_type types[] = {CLIPC_CUDA_E4M3, CLIPC_CUDA_S8};
    failures = 0;
    for (size_t t = 0; t < 2; t++) {
        type = types[t];
        if (type == CLIPC_CUDA_E4M3 && !device->fp8)
            continue;
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
            check_rows(13, widths[i], 1);
        check_not_finite(768, 1);
        if (type == CLIPC_CUDA_S8)
            check_not_finite(4096, 0);
        if (type == CLIPC_CUDA_S8) {
            check_rows(13, 768, 0);
            check_rows(13, 4096, 0);
        } else {
            for (int head = 16; head <= 128; head += 16)
                check_attention(0, 3, 50, head, -1);
            check_attention(0, 2, 257, 64, -1);
            check_attention(0, 3, 50, 64, 0);
            static const int hopper_lengths[] = {50, 197, 256, 257};
            for (size_t i = 0; device->architecture == 90 && i < 4; i++)
                check_attention(1, 3, hopper_lengths[i], 64, -1);
        }
        check_gemm(device);
    }
    return failures;
}
