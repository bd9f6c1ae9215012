/* Every CUDA kernel against plain C in double: each product's tile on odd and ordinary shapes with every epilogue,
 * attention over the lengths that matter. Prints a line for each kernel and exits 1 when one is wrong.
 * Usage: check_kernels [maps] (those of ResNets alone) */
#include "backend/cuda/gemm.h"
#include "backend/cuda/steps.h"
#include "check_bytes.h"
#include "check_maps.h"
#include "device_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
static clipc_gemm_device device;
static clipc_cuda_type type; /* that is being checked */
static const char *const type_names[] = {"fp16", "bf16"};

/* Rounding is 2⁻¹² of the value in fp16 and 2⁻⁹ in bf16; four times that, and about as much beside sums of order one.
 */
static int close_enough(double value, double expected)
{
    static const double relative[] = {1e-3, 8e-3};
    static const double absolute[] = {2e-3, 16e-3};
    return fabs(value - expected) <= relative[type] * fabs(expected) + absolute[type];
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

enum { PLAIN, NORMALIZED, RESIDUAL, MAPPED, FP32, MORE, BARE, CASES };

typedef struct product {
    int rows, columns, depth, parts, leave_parts, output_rows, leave_columns;
    uint16_t *input, *weight, *residual;
    float *terms, *pairs;
    void *input_device, *weight_device, *residual_device, *terms_device, *pairs_device;
    void *output_device, *leave_device, *output_row_device, *residual_row_device;
    int32_t *output_row, *residual_row;
    double *sums;
    double *mean, *scale; /* of each row */
} product;

static product make_product(int rows, int columns, int depth, uint64_t *state)
{
    product p = {.rows = rows, .columns = columns, .depth = depth};
    p.parts = (depth + 63) / 64;
    p.leave_parts = (columns + 63) / 64;
    p.leave_columns = columns > 8 ? columns - 3 : columns;
    p.output_rows = 2 * rows + 3;
    p.input = random_halves(type, (size_t)rows * (size_t)depth, 1, state, &p.input_device);
    p.weight = random_halves(type, (size_t)columns * (size_t)depth, 1, state, NULL);
    /* columns beyond the row are zero, as packed weights are */
    for (int c = p.leave_columns; c < columns; c++)
        memset(p.weight + (size_t)c * (size_t)depth, 0, (size_t)depth * 2);
    p.weight_device = device_memory((size_t)columns * (size_t)depth * 2, 0);
    device_write(p.weight_device, p.weight, (size_t)columns * (size_t)depth * 2);
    p.residual = random_halves(type, (size_t)p.output_rows * (size_t)columns, 4, state, NULL);
    p.terms = random_floats((size_t)columns * 2, 1, state, NULL);
    for (int r = 0; r < p.output_rows; r++)
        for (int c = p.leave_columns; c < columns; c++)
            p.residual[(size_t)r * (size_t)columns + (size_t)c] = 0;
    for (int c = p.leave_columns; c < columns; c++)
        p.terms[2 * c] = p.terms[2 * c + 1] = 0;
    p.residual_device = device_memory((size_t)p.output_rows * (size_t)columns * 2, 0);
    device_write(p.residual_device, p.residual, (size_t)p.output_rows * (size_t)columns * 2);
    p.terms_device = device_memory((size_t)columns * 8, 0);
    device_write(p.terms_device, p.terms, (size_t)columns * 8);
    p.pairs = random_floats((size_t)rows * (size_t)p.parts * 2, 0.5F, state, NULL);
    for (size_t i = 0; i < (size_t)rows * (size_t)p.parts; i++)
        p.pairs[2 * i + 1] = 40 + 20 * p.pairs[2 * i + 1];
    p.pairs_device = device_memory((size_t)rows * (size_t)p.parts * 8, 0);
    device_write(p.pairs_device, p.pairs, (size_t)rows * (size_t)p.parts * 8);
    p.output_device = device_memory((size_t)p.output_rows * (size_t)columns * 4, 0);
    p.leave_device = device_memory((size_t)p.output_rows * (size_t)p.leave_parts * 8, 0);
    p.output_row = calloc((size_t)rows, 4);
    p.residual_row = calloc((size_t)rows, 4);
    p.mean = calloc((size_t)rows, 8);
    p.scale = calloc((size_t)rows, 8);
    p.sums = calloc((size_t)rows * (size_t)columns, 8);
    for (int r = 0; r < rows; r++) {
        p.output_row[r] = 2 * (rows - 1 - r) + 1;
        p.residual_row[r] = (r * 7 + 3) % p.output_rows;
        double mean = 0;
        double squares = 0;
        for (int i = 0; i < p.parts; i++)
            mean += (double)p.pairs[2 * (r * p.parts + i)] * fmin(64, depth - 64 * i);
        mean /= depth;
        for (int i = 0; i < p.parts; i++) {
            const double difference = (double)p.pairs[2 * (r * p.parts + i)] - mean;
            squares += p.pairs[2 * (r * p.parts + i) + 1] + fmin(64, depth - 64 * i) * difference * difference;
        }
        p.mean[r] = mean;
        p.scale[r] = 1 / sqrt(squares / depth + 1e-5);
    }
    float *a = malloc((size_t)rows * (size_t)depth * 4);
    float *b = malloc((size_t)columns * (size_t)depth * 4);
    for (size_t i = 0; i < (size_t)rows * (size_t)depth; i++)
        a[i] = float_of(type, p.input[i]);
    for (size_t i = 0; i < (size_t)columns * (size_t)depth; i++)
        b[i] = float_of(type, p.weight[i]);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            double sum = 0;
            for (int k = 0; k < depth; k++)
                sum += (double)a[r * depth + k] * b[c * depth + k];
            p.sums[(size_t)r * (size_t)columns + (size_t)c] = sum;
        }
    free(a);
    free(b);
    p.output_row_device = device_memory((size_t)rows * 4, 0);
    device_write(p.output_row_device, p.output_row, (size_t)rows * 4);
    p.residual_row_device = device_memory((size_t)rows * 4, 0);
    device_write(p.residual_row_device, p.residual_row, (size_t)rows * 4);
    return p;
}

static void free_product(product *p)
{
    void *device_blocks[] = {p->input_device, p->weight_device,     p->residual_device,
                             p->terms_device, p->pairs_device,      p->output_device,
                             p->leave_device, p->output_row_device, p->residual_row_device};
    for (size_t i = 0; i < sizeof device_blocks / sizeof *device_blocks; i++)
        DEVICE_CHECK(cudaFree(device_blocks[i]));
    free(p->input), free(p->weight), free(p->residual), free(p->terms), free(p->pairs);
    free(p->output_row), free(p->residual_row), free(p->sums), free(p->mean), free(p->scale);
}

static int check_case(product *p, const clipc_gemm_plan *plan, int which, int activation)
{
    const size_t columns = (size_t)p->columns;
    const size_t outputs = (size_t)p->output_rows * columns;
    const int width = clipc_gemm_part_width(plan);
    clipc_cuda_gemm gemm = {
        .type = type,
        .input = p->input_device,
        .weight = p->weight_device,
        .rows = p->rows,
        .input_capacity = p->rows,
        .columns = p->columns,
        .depth = p->depth,
        .input_stride = p->depth,
        .terms = p->terms_device,
        .output = p->output_device,
        .output_stride = p->columns,
        .activation = activation,
    };
    if (which == NORMALIZED || which == MORE || which == BARE)
        gemm.normalize = (clipc_cuda_statistics){p->pairs_device, p->parts, 64, p->depth, 1e-5F};
    if (which == RESIDUAL || which == MAPPED) {
        gemm.residual = p->residual_device;
        gemm.residual_stride = p->columns;
        gemm.leave = (clipc_cuda_statistics){p->leave_device, (p->leave_columns + width - 1) / width, width,
                                             p->leave_columns, 0};
    }
    if (which == MAPPED) {
        gemm.output_row = p->output_row_device;
        gemm.residual_row = p->residual_row_device;
    }
    if (which == FP32) {
        gemm.output = NULL;
        gemm.output_fp32 = p->output_device;
    }
    DEVICE_CHECK(cudaMemset(p->output_device, 0xFF, outputs * 4));
    DEVICE_CHECK(cudaMemset(p->leave_device, 0xFF, (size_t)p->output_rows * (size_t)p->leave_parts * 8));
    const cudaError_t launched = clipc_cuda_gemm_run(&gemm, plan, 0);
    const cudaError_t finished = cudaDeviceSynchronize();
    if (launched != cudaSuccess || finished != cudaSuccess) {
        printf("    launch: %s, end: %s\n", cudaGetErrorString(launched), cudaGetErrorString(finished));
        DEVICE_CHECK(finished);
        return 1;
    }
    uint16_t *output = malloc(outputs * 4);
    float *leave = malloc((size_t)p->output_rows * (size_t)p->leave_parts * 8);
    unsigned char *written = calloc((size_t)p->output_rows, 1);
    device_read(output, p->output_device, outputs * 4);
    device_read(leave, p->leave_device, (size_t)p->output_rows * (size_t)p->leave_parts * 8);
    int wrong = 0;
    for (int r = 0; r < p->rows; r++) {
        const int to = which == MAPPED ? p->output_row[r] : r;
        written[to] = 1;
        for (int c = 0; c < p->columns; c++) {
            double expected = p->sums[(size_t)r * columns + (size_t)c];
            if (gemm.normalize.pairs)
                expected = p->scale[r] * (expected - p->mean[r] * p->terms[2 * c + 1]);
            expected = activation_of(activation, expected + p->terms[2 * c]);
            if (gemm.residual) {
                const int from = which == MAPPED ? p->residual_row[r] : r;
                expected += float_of(type, p->residual[(size_t)from * columns + (size_t)c]);
            }
            const size_t at = (size_t)to * columns + (size_t)c;
            const double value =
                which == FP32 ? ((const float *)(const void *)output)[at] : float_of(type, output[at]);
            if (!close_enough(value, expected) && wrong++ < 3)
                printf("    row %d column %d: %g, expected %g\n", r, c, value, expected);
        }
        for (int part = 0; gemm.leave.pairs && part < gemm.leave.parts; part++) {
            const int begin = part * width;
            const int end = begin + width < p->leave_columns ? begin + width : p->leave_columns;
            double mean = 0;
            double squares = 0;
            for (int c = begin; c < end; c++)
                mean += (double)float_of(type, output[(size_t)to * columns + (size_t)c]) / (end - begin);
            for (int c = begin; c < end; c++)
                squares += pow(float_of(type, output[(size_t)to * columns + (size_t)c]) - mean, 2);
            const float *pair = leave + 2 * (to * gemm.leave.parts + part);
            if (end > begin &&
                (!(fabs(pair[0] - mean) <= 1e-4 * (1 + fabs(mean))) ||
                 !(fabs(pair[1] - squares) <= 1e-3 * (1 + squares))) &&
                wrong++ < 3)
                printf("    statistics of row %d part %d: %g %g, expected %g %g\n", r, part, (double)pair[0],
                       (double)pair[1], mean, squares);
        }
    }
    for (int r = 0; r < p->output_rows; r++) /* rows that are nobody's output must be as they were */
        for (int c = 0; !written[r] && which != FP32 && c < p->columns; c++)
            if (output[(size_t)r * columns + (size_t)c] != 0xFFFF && wrong++ < 3)
                printf("    row %d is not an output row, but was written\n", r);
    free(output), free(leave), free(written);
    return wrong;
}

static void check_gemm(void)
{
    static const int shapes[][3] = {{1, 8, 8},      {12, 512, 512},  {17, 72, 40},    {50, 768, 768},
                                    {64, 64, 3072}, {130, 520, 264}, {257, 200, 776}, {300, 776, 768},
                                    {5, 32, 8},     {130, 544, 264}, {257, 224, 776}, {300, 800, 768}};
    static const char *const names[CASES] = {"plain", "normalized", "residual", "mapped", "fp32", "more", "bare"};
    uint64_t state = 1;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        product p = make_product(shapes[s][0], shapes[s][1], shapes[s][2], &state);
        clipc_gemm_plan plan;
        for (size_t i = 0; clipc_gemm_variant(i, &plan); i++) {
            if ((plan.kind != CLIPC_GEMM_SM80 && device.architecture != 90) || !clipc_gemm_takes(&plan, p.columns))
                continue;
            clipc_gemm_fit(&plan, &device, p.rows, p.columns, p.depth);
            char text[128];
            clipc_gemm_plan_text(&plan, text, sizeof text);
            const int32_t blocks = plan.blocks;
            for (int which = 0; which < 2 * CASES; which++) {
                /* Again with one block or cluster for all tiles, where the grid is persistent. */
                if (which >= CASES && plan.kind != CLIPC_GEMM_SM90)
                    break;
                plan.blocks = which < CASES ? blocks : plan.cluster;
                const int activation = which % CASES == MORE         ? CLIPC_CUDA_ACTIVATION_GELU_TANH
                                       : which % CASES == NORMALIZED ? CLIPC_CUDA_ACTIVATION_QUICK_GELU
                                       : which % CASES == PLAIN      ? CLIPC_CUDA_ACTIVATION_GELU
                                                                     : CLIPC_CUDA_ACTIVATION_NONE;
                const int wrong = check_case(&p, &plan, which % CASES, activation);
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
}

/* `blocks`: 0 for the portable kernel, else that many of Hopper's, where it has one for this shape. */
static void check_attention(int blocks, int count, int tokens, int heads, int head, int ragged, int causal,
                            int only_row)
{
    uint64_t state = (uint64_t)(tokens * 100 + head);
    int32_t *offsets = calloc((size_t)count + 1, 4);
    int longest = 0;
    for (int i = 0; i < count; i++) {
        const int length = ragged ? 1 + (tokens - 1) * (i + 1) / count : tokens;
        offsets[i + 1] = offsets[i] + length;
        longest = length > longest ? length : longest;
    }
    const size_t rows = (size_t)offsets[count];
    const size_t inner = (size_t)(heads * head);
    void *qkv_device = NULL;
    uint16_t *qkv = random_halves(type, rows * 3 * inner, 1.5F, &state, &qkv_device);
    const size_t outputs = (only_row >= 0 ? (size_t)count : rows) * inner;
    void *output_device = device_memory(outputs * 2, 0xFF);
    void *offsets_device = device_memory(((size_t)count + 1) * 4, 0);
    device_write(offsets_device, offsets, ((size_t)count + 1) * 4);
    const clipc_cuda_attention attention = {.type = type,
                                            .output_type = type,
                                            .qkv = qkv_device,
                                            .output = output_device,
                                            .offsets = ragged ? offsets_device : NULL,
                                            .count = count,
                                            .tokens = longest,
                                            .heads = heads,
                                            .head_stride = head,
                                            .causal = causal,
                                            .only_row = only_row,
                                            .wgmma_blocks = blocks};
    DEVICE_CHECK(clipc_cuda_attention_run(&attention, 0));
    DEVICE_CHECK(cudaDeviceSynchronize());
    uint16_t *output = malloc(outputs * 2);
    device_read(output, output_device, outputs * 2);
    double *scores = malloc((size_t)longest * 8);
    int wrong = 0;
    for (int i = 0; i < count; i++)
        for (int h = 0; h < heads; h++)
            for (int t = 0; t < offsets[i + 1] - offsets[i]; t++) {
                const int length = offsets[i + 1] - offsets[i];
                if ((only_row == 0 && t != 0) || (only_row == 1 && t != length - 1))
                    continue;
                const int limit = causal ? t + 1 : length;
                const uint16_t *query = qkv + (size_t)(offsets[i] + t) * 3 * inner + (size_t)(h * head);
                double largest = -1e300;
                double sum = 0;
                for (int k = 0; k < limit; k++) {
                    const uint16_t *key = qkv + (size_t)(offsets[i] + k) * 3 * inner + inner + (size_t)(h * head);
                    scores[k] = 0;
                    for (int d = 0; d < head; d++)
                        scores[k] += (double)float_of(type, query[d]) * float_of(type, key[d]);
                    largest = fmax(largest, scores[k]);
                }
                for (int k = 0; k < limit; k++)
                    sum += scores[k] = exp2(scores[k] - largest);
                const size_t row = only_row >= 0 ? (size_t)i : (size_t)(offsets[i] + t);
                for (int d = 0; d < head; d++) {
                    double expected = 0;
                    for (int k = 0; k < limit; k++)
                        expected +=
                            scores[k] / sum *
                            float_of(type,
                                     qkv[(size_t)(offsets[i] + k) * 3 * inner + 2 * inner + (size_t)(h * head + d)]);
                    const double value = float_of(type, output[row * inner + (size_t)(h * head + d)]);
                    if (!close_enough(value, expected) && wrong++ < 3)
                        printf("    item %d head %d token %d value %d: %g, expected %g\n", i, h, t, d, value,
                               expected);
                }
            }
    printf("%s attention %s%s %d x %d tokens%s, %d heads of %d%s%s\n", wrong ? "WRONG" : "ok   ", type_names[type],
           clipc_cuda_attention_has_wgmma(&attention) ? " sm90" : "", count, tokens, ragged ? " (ragged)" : "", heads,
           head, causal ? ", causal" : "", only_row >= 0 ? ", one row" : "");
    fflush(stdout);
    failures += wrong != 0;
    free(offsets), free(qkv), free(output), free(scores);
    DEVICE_CHECK(cudaFree(qkv_device));
    DEVICE_CHECK(cudaFree(output_device));
    DEVICE_CHECK(cudaFree(offsets_device));
}

static void check_type(void)
{
    static const int heads[] = {16, 32, 48, 64, 80, 96, 112, 128};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        check_attention(0, 3, 50, 2, heads[i], 0, 0, -1);
    static const int lengths[] = {1, 17, 64, 65, 77, 197, 257, 577};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        check_attention(0, 2, lengths[i], 2, 64, 0, 0, -1);
        check_attention(0, 3, lengths[i], 2, 64, 1, 1, -1);
        check_attention(0, 3, lengths[i], 2, 64, 1, 1, 1);
        check_attention(0, 3, lengths[i], 2, 64, 0, 0, 0);
    }
    /* One block takes several heads in turn; more blocks than heads is what small batches have. */
    static const int hopper_lengths[] = {49, 50, 56, 193, 197, 200, 249, 256, 257, 264};
    for (size_t i = 0; device.architecture == 90 && i < sizeof hopper_lengths / sizeof *hopper_lengths; i++) {
        check_attention(1, 3, hopper_lengths[i], 5, 64, 0, 0, -1);
        check_attention(device.multiprocessors, 2, hopper_lengths[i], 3, 64, 0, 0, -1);
    }
    check_gemm();
}

int main(int argc, char **argv)
{
    const int only_maps = argc > 1 && strcmp(argv[1], "maps") == 0;
    struct cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess) {
        printf("no device: nothing was tested\n");
        return 77;
    }
    const int architecture = properties.major * 10 + properties.minor;
    device = (clipc_gemm_device){properties.multiProcessorCount, architecture, architecture >= 89};
    printf("%s, %d multiprocessors\n", properties.name, properties.multiProcessorCount);
    for (type = CLIPC_CUDA_F16; type <= CLIPC_CUDA_BF16; type++) {
        failures += check_maps(&device, type);
        if (!only_maps)
            check_type();
    }
    failures += only_maps ? 0 : check_bytes(&device);
    printf("%s\n", failures ? "FAILED" : "every kernel is right");
    return failures ? 1 : 0;
}
