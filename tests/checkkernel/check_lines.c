#include "checkkernel/checkkernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const epilogue_names[CLIPC_EPILOGUE_COUNT] = {"bias",       "residual", "relu",     "residual_relu",
                                                                 "quick_gelu", "gelu",     "gelu_tanh"};

static double epilogue_reference(clipc_epilogue kind, double x, double before)
{
    switch (kind) {
    case CLIPC_EPILOGUE_BIAS: return x;
    case CLIPC_EPILOGUE_RESIDUAL: return x + before;
    case CLIPC_EPILOGUE_RELU: return isnan(x) ? x : fmax(x, 0.0);
    case CLIPC_EPILOGUE_RESIDUAL_RELU: return isnan(x + before) ? NAN : fmax(x + before, 0.0);
    case CLIPC_EPILOGUE_QUICK_GELU: return x / (1.0 + exp(-1.702 * x));
    case CLIPC_EPILOGUE_GELU: return 0.5 * x * erfc(-x / sqrt(2.0));
    case CLIPC_EPILOGUE_GELU_TANH: return x / (1.0 + exp(-2.0 * sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case CLIPC_EPILOGUE_COUNT: break;
    }
    return NAN;
}

static float nasty_value(check *c)
{
    static const float nasty[] = {0.0f,  -0.0f,   1e-45f,   -1e-38f,  20.0f, -20.0f, 1e4f,
                                  -1e4f, 3.0e38f, -3.0e38f, INFINITY, NAN,   5.5f,   -9.0f};
    return nasty[random_below(c, sizeof nasty / sizeof nasty[0])];
}

static void check_epilogue(check *c, clipc_epilogue kind, size_t rows, bool nasty)
{
    const size_t columns = c->kernels->tile_columns;
    const size_t lines = columns / CLIPC_BLOCK;
    const bool packed = random_below(c, 2) == 0;
    const size_t row_stride = packed ? CLIPC_BLOCK : columns + CLIPC_BLOCK;
    const size_t block_stride = packed ? CLIPC_BLOCK * rows : CLIPC_BLOCK;
    guarded sums = guarded_make(rows * columns);
    guarded bias = guarded_make(columns);
    guarded out = guarded_make((rows - 1) * row_stride + (lines - 1) * block_stride + CLIPC_BLOCK);
    guarded before = guarded_make(out.count);
    for (size_t i = 0; i < sums.count; i++)
        sums.values[i] = nasty && random_below(c, 4) == 0 ? nasty_value(c) : 4.0f * random_normal(c);
    for (size_t i = 0; i < columns; i++)
        bias.values[i] = nasty ? 0.0f : random_normal(c);
    for (size_t i = 0; i < out.count; i++)
        before.values[i] = out.values[i] = random_normal(c);
    c->kernels->epilogue[kind](rows, columns, sums.values, bias.values, out.values, row_stride, block_stride);
    const bool activation = kind >= CLIPC_EPILOGUE_QUICK_GELU;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            const size_t at = i * row_stride + j / CLIPC_BLOCK * block_stride + j % CLIPC_BLOCK;
            /* The kernel's own rounded sum, so that only what follows it is measured. */
            const double x = (double)(sums.values[i * columns + j] + bias.values[j]);
            const double expected = epilogue_reference(kind, x, (double)before.values[at]);
            if (isfinite(x) && fabs(expected) > 3.4e38)
                continue; /* beyond the range of fp32 */
            if (activation && x < -87.0 && isfinite(x))
                expect_true(c, fabs((double)out.values[at]) < 1e-30, epilogue_names[kind]);
            else if (activation && isinf(x) && x > 0)
                expect_true(c, isinf(out.values[at]), epilogue_names[kind]);
            else
                expect(c, activation ? TOLERANCE_F32_ACTIVATION : TOLERANCE_F32_EPILOGUE, (double)out.values[at],
                       expected, fabs(activation ? x : expected), epilogue_names[kind]);
        }
    }
    guarded_end(c, &sums, "epilogue changed around its sums");
    guarded_end(c, &bias, "epilogue changed around its bias");
    guarded_end(c, &out, "epilogue wrote outside its rows");
    guarded_end(c, &before, "");
}

void check_epilogues(check *c)
{
    for (int kind = 0; kind < CLIPC_EPILOGUE_COUNT; kind++) {
        for (size_t rows = 1; rows <= c->kernels->tile_rows; rows++) {
            for (int repeat = 0; repeat < 20; repeat++)
                check_epilogue(c, (clipc_epilogue)kind, rows, false);
            check_epilogue(c, (clipc_epilogue)kind, rows, true);
        }
    }
}

static void check_norm(check *c, size_t width, float offset, float spread)
{
    const size_t padded = clipc_padded_columns(width);
    const size_t stride = CLIPC_BLOCK * (1 + random_below(c, 3));
    guarded row = guarded_make(padded);
    guarded weight = guarded_make(padded);
    guarded bias = guarded_make(padded);
    guarded out = guarded_make((clipc_blocks(width) - 1) * stride + CLIPC_BLOCK);
    for (size_t i = 0; i < padded; i++) {
        row.values[i] = i < width ? offset + spread * random_normal(c) : 9.0f;
        weight.values[i] = i < width ? random_normal(c) : 9.0f;
        bias.values[i] = i < width ? random_normal(c) : 9.0f;
    }
    const double epsilon = 1e-5;
    double mean = 0.0;
    double variance = 0.0;
    for (size_t i = 0; i < width; i++)
        mean += (double)row.values[i] / (double)width;
    for (size_t i = 0; i < width; i++)
        variance += ((double)row.values[i] - mean) * ((double)row.values[i] - mean) / (double)width;
    c->kernels->layer_norm(row.values, width, weight.values, bias.values, (float)epsilon, out.values, stride);
    const double deviation = sqrt(variance + epsilon);
    for (size_t i = 0; i < clipc_blocks(width) * CLIPC_BLOCK; i++) {
        const double actual = (double)out.values[i / CLIPC_BLOCK * stride + i % CLIPC_BLOCK];
        if (i >= width) {
            expect_true(c, actual == 0.0, "layer norm: padding is not zero");
            continue;
        }
        const double normal = ((double)row.values[i] - mean) / deviation;
        const double weighted = normal * (double)weight.values[i];
        expect(c, TOLERANCE_F32_LAYER_NORM, actual, weighted + (double)bias.values[i],
               (fabs(normal) + fabs(mean) / deviation + 1.0) * fabs((double)weight.values[i]) +
                   fabs((double)bias.values[i]),
               "layer norm");
    }
    guarded_end(c, &row, "layer norm changed around its row");
    guarded_end(c, &weight, "layer norm changed around its weight");
    guarded_end(c, &bias, "layer norm changed around its bias");
    guarded_end(c, &out, "layer norm wrote outside its lines");
}

static void check_norm_poison(check *c, size_t width, float poison)
{
    const size_t padded = clipc_padded_columns(width);
    guarded row = guarded_make(padded);
    guarded ones = guarded_make(padded);
    guarded out = guarded_make(padded);
    for (size_t i = 0; i < padded; i++) {
        row.values[i] = random_normal(c);
        ones.values[i] = 1.0f;
    }
    row.values[random_below(c, width)] = poison;
    c->kernels->layer_norm(row.values, width, ones.values, ones.values, 1e-5f, out.values, CLIPC_BLOCK);
    for (size_t i = 0; i < width; i++)
        expect_true(c, !isfinite(out.values[i]), "layer norm hides a value that is not finite");
    guarded_end(c, &row, "layer norm changed around its row");
    guarded_end(c, &ones, "layer norm changed around its weight");
    guarded_end(c, &out, "layer norm wrote outside its lines");
}

void check_layer_norm(check *c)
{
    static const size_t widths[] = {1, 2, 15, 16, 17, 31, 33, 97, 512, 768, 1025};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        check_norm(c, widths[i], 0.0f, 1.0f);
        check_norm(c, widths[i], 3.0f, 0.5f);
        check_norm(c, widths[i], 0.0f, 1000.0f);
        check_norm(c, widths[i], 0.25f, 0.0f); /* no variance at all */
        check_norm_poison(c, widths[i], NAN);
        check_norm_poison(c, widths[i], -INFINITY);
    }
}

static void check_softmax_row(check *c, size_t count, float spread)
{
    const size_t blocks = clipc_blocks(count) + random_below(c, 3);
    const size_t stride = CLIPC_BLOCK * (1 + random_below(c, 3));
    guarded scores = guarded_make(count);
    guarded out = guarded_make((blocks - 1) * stride + CLIPC_BLOCK);
    double largest = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        scores.values[i] = spread * random_normal(c);
        largest = fmax(largest, (double)scores.values[i]);
    }
    double total = 0.0;
    for (size_t i = 0; i < count; i++)
        total += exp((double)scores.values[i] - largest);
    float *copy = malloc(count * sizeof *copy);
    if (!copy)
        exit(2);
    for (size_t i = 0; i < count; i++)
        copy[i] = scores.values[i];
    const float sum = c->kernels->softmax(scores.values, count, blocks, out.values, stride);
    expect(c, TOLERANCE_F32_SOFTMAX, (double)sum, total, total * (1.0 + (double)spread), "softmax sum");
    for (size_t i = 0; i < blocks * CLIPC_BLOCK; i++) {
        const double actual = (double)out.values[i / CLIPC_BLOCK * stride + i % CLIPC_BLOCK];
        if (i >= count) {
            expect_true(c, actual == 0.0, "softmax: padding is not zero");
            continue;
        }
        const double exponent = (double)copy[i] - largest;
        if (exponent < -87.0)
            expect_true(c, actual >= 0.0 && actual < 1e-37, "softmax: a negligible weight");
        else
            expect(c, TOLERANCE_F32_SOFTMAX, actual, exp(exponent), exp(exponent) * (1.0 - exponent), "softmax");
    }
    free(copy);
    guarded_end(c, &scores, "softmax changed around its scores");
    guarded_end(c, &out, "softmax wrote outside its lines");
}

static void check_softmax_poison(check *c, float poison)
{
    guarded scores = guarded_make(20);
    guarded out = guarded_make(32);
    for (size_t i = 0; i < 20; i++)
        scores.values[i] = random_normal(c);
    scores.values[random_below(c, 20)] = poison;
    expect_true(c, isnan(c->kernels->softmax(scores.values, 20, 2, out.values, CLIPC_BLOCK)),
                "softmax hides a value that is not finite");
    guarded_end(c, &scores, "softmax changed around its scores");
    guarded_end(c, &out, "softmax wrote outside its lines");
}

void check_softmax(check *c)
{
    static const size_t counts[] = {1, 2, 13, 16, 17, 50, 77, 257, 1025};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        check_softmax_row(c, counts[i], 1.0f);
        check_softmax_row(c, counts[i], 20.0f);
        check_softmax_row(c, counts[i], 1e4f);
    }
    check_softmax_poison(c, NAN);
    check_softmax_poison(c, INFINITY);
}

void bench_lines(const clipc_kernels *kernels)
{
    enum { ROWS = 12, WIDTH = 768, REPEATS = 2000 };
    check c = {.kernels = kernels, .random = 1};
    guarded in = guarded_make(ROWS * CLIPC_TILE_COLUMNS_MAX * (WIDTH / CLIPC_TILE_COLUMNS_MAX));
    guarded out = guarded_make(in.count);
    guarded bias = guarded_make(in.count);
    for (size_t i = 0; i < in.count; i++) {
        in.values[i] = random_normal(&c);
        bias.values[i] = 0.0f;
    }
    const double values = (double)ROWS * WIDTH * REPEATS;
    printf("%-12s %8s  values in 1e9 a second, one thread\n", "operation", clipc_cpu_level_name(kernels->level));
    for (int kind = 0; kind < CLIPC_EPILOGUE_COUNT; kind++) {
        for (size_t i = 0; i < out.count; i++)
            out.values[i] = 0.0f;
        const double begin = seconds_now();
        for (int i = 0; i < REPEATS; i++)
            kernels->epilogue[kind](ROWS, WIDTH, in.values, bias.values, out.values, WIDTH, CLIPC_BLOCK);
        printf("%-12s %8.2f\n", epilogue_names[kind], values / (seconds_now() - begin) * 1e-9);
    }
    double begin = seconds_now();
    for (int i = 0; i < REPEATS * ROWS; i++)
        kernels->layer_norm(in.values, WIDTH, bias.values, bias.values, 1e-5f, out.values, CLIPC_BLOCK);
    printf("%-12s %8.2f\n", "layer_norm", values / (seconds_now() - begin) * 1e-9);
    begin = seconds_now();
    for (int i = 0; i < REPEATS * ROWS; i++)
        (void)kernels->softmax(in.values, WIDTH, WIDTH / CLIPC_BLOCK, out.values, CLIPC_BLOCK);
    printf("%-12s %8.2f\n", "softmax", values / (seconds_now() - begin) * 1e-9);
    guarded_end(&c, &in, "");
    guarded_end(&c, &out, "");
    guarded_end(&c, &bias, "");
}
