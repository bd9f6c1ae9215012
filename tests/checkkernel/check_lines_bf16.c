#include "checkkernel/checkkernel.h"

#include "io/bf16.h"

#include <math.h>
#include <string.h>

double half_at(const guarded *out, size_t row_offset, size_t column, size_t block_stride)
{
    uint16_t half = 0;
    const size_t in_block = 2 * CLIPC_BLOCK;
    memcpy(&half,
           (const char *)(out->values + row_offset + column / in_block * block_stride) +
               column % in_block * sizeof half,
           sizeof half);
    return (double)clipc_float_of_bf16(half);
}

double activation_reference(clipc_epilogue kind, double x)
{
    switch (kind) {
    case CLIPC_EPILOGUE_BIAS: return x;
    case CLIPC_EPILOGUE_RELU: return fmax(x, 0.0);
    case CLIPC_EPILOGUE_QUICK_GELU: return x / (1.0 + exp(-1.702 * x));
    case CLIPC_EPILOGUE_GELU: return 0.5 * x * erfc(-x / sqrt(2.0));
    case CLIPC_EPILOGUE_GELU_TANH: return x / (1.0 + exp(-2.0 * sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    default: break;
    }
    return NAN;
}

/* Values from -12 to 12, or the nasty ones. Below -5 an activation need only be small. */
static void check_epilogue(check *c, clipc_epilogue kind, size_t rows, bool nasty)
{
    static const float nasty_values[] = {0.0f, -0.0f, 1e-45f, 20.0f, -20.0f, 1e30f, -1e30f, INFINITY, -INFINITY, NAN};
    const size_t columns = c->kernels->bf16.tile_columns;
    const size_t row_stride = CLIPC_BLOCK;
    const size_t block_stride = CLIPC_BLOCK * rows;
    const size_t shift = columns == CLIPC_BLOCK && random_below(c, 2) ? CLIPC_BLOCK / 2 : 0; /* a line's second half */
    guarded sums = guarded_make(rows * columns);
    guarded bias = guarded_make(columns);
    guarded out = guarded_make(rows * CLIPC_BLOCK);
    guarded before = guarded_make(out.count);
    for (size_t i = 0; i < 2 * out.count; i++) {
        const uint16_t half = clipc_bf16_of_float(random_normal(c));
        memcpy((char *)out.values + i * sizeof half, &half, sizeof half);
    }
    memcpy(before.values, out.values, out.count * sizeof(float));
    for (size_t i = 0; i < sums.count; i++)
        sums.values[i] = nasty ? nasty_values[random_below(c, sizeof nasty_values / sizeof nasty_values[0])]
                               : 4.0f * random_normal(c);
    for (size_t i = 0; i < columns; i++)
        bias.values[i] = nasty ? 0.0f : random_normal(c);
    c->kernels->bf16.epilogue[kind](rows, columns, sums.values, bias.values, (uint32_t *)(void *)out.values + shift,
                                    row_stride, block_stride);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            const double x = (double)(sums.values[i * columns + j] + bias.values[j]);
            const double actual = half_at(&out, i * row_stride, j + 2 * shift, block_stride);
            const double before_at = half_at(&before, i * row_stride, j + 2 * shift, block_stride);
            const double expected = kind == CLIPC_EPILOGUE_RESIDUAL_RELU
                                        ? activation_reference(CLIPC_EPILOGUE_RELU, x + before_at)
                                        : activation_reference(kind, x);
            if (!isfinite(x))
                expect_true(c, !isfinite(actual) || x < 0.0, "bf16 epilogue: a value that is not finite");
            else if (kind >= CLIPC_EPILOGUE_QUICK_GELU && x < -5.0)
                expect_true(c, fabs(actual) < 2e-3 * (1.0 + 1e-9 * fabs(x)), "bf16 epilogue: tail");
            else
                expect(c, TOLERANCE_BF16_RESULT, actual, expected, fabs(expected) + 1e-30, "bf16 epilogue");
        }
    }
    guarded_end(c, &sums, "bf16 epilogue changed around its sums");
    guarded_end(c, &bias, "bf16 epilogue changed around its bias");
    guarded_end(c, &before, "");
    guarded_end(c, &out, "bf16 epilogue wrote outside its rows");
}

/* The fp32 operation of the same level, rounded, or its neighbour. */
static void check_norm(check *c, size_t width, float offset, float spread)
{
    const size_t padded = clipc_padded_columns(width);
    const size_t blocks = clipc_deep_blocks(padded, 2);
    const size_t stride = CLIPC_BLOCK * (1 + random_below(c, 3));
    guarded row = guarded_make(padded);
    guarded weight = guarded_make(padded);
    guarded bias = guarded_make(padded);
    guarded exact = guarded_make(padded);
    guarded out = guarded_make((blocks - 1) * stride + CLIPC_BLOCK);
    for (size_t i = 0; i < padded; i++) {
        row.values[i] = i < width ? offset + spread * random_normal(c) : 9.0f;
        weight.values[i] = i < width ? random_normal(c) : 9.0f;
        bias.values[i] = i < width ? random_normal(c) : 9.0f;
    }
    c->kernels->layer_norm(row.values, width, weight.values, bias.values, 1e-5f, exact.values, CLIPC_BLOCK);
    c->kernels->bf16.layer_norm(row.values, width, weight.values, bias.values, 1e-5f, (uint32_t *)(void *)out.values,
                                stride);
    for (size_t i = 0; i < padded; i++) {
        const double actual = half_at(&out, 0, i, stride);
        if (i >= width)
            expect_true(c, actual == 0.0, "bf16 layer norm: padding is not zero");
        else
            expect(c, TOLERANCE_BF16_RESULT, actual, (double)exact.values[i], fabs((double)exact.values[i]),
                   "bf16 layer norm");
    }
    guarded_end(c, &row, "bf16 layer norm changed around its row");
    guarded_end(c, &weight, "bf16 layer norm changed around its weight");
    guarded_end(c, &bias, "bf16 layer norm changed around its bias");
    guarded_end(c, &exact, "layer norm wrote outside its lines");
    guarded_end(c, &out, "bf16 layer norm wrote outside its lines");
}

static void check_softmax_row(check *c, size_t count, float spread, float poison)
{
    const size_t blocks = clipc_deep_blocks(count, 2) + random_below(c, 2);
    const float scale = 0.125f;
    guarded scores = guarded_make(count);
    guarded out = guarded_make(blocks * CLIPC_BLOCK);
    double largest = -INFINITY;
    double total = 0.0;
    for (size_t i = 0; i < count; i++) {
        scores.values[i] = spread * random_normal(c);
        largest = fmax(largest, (double)scores.values[i]);
    }
    for (size_t i = 0; i < count; i++)
        total += exp((double)scale * ((double)scores.values[i] - largest));
    if (poison != 0.0f)
        scores.values[random_below(c, count)] = poison;
    const double sum = (double)c->kernels->bf16.softmax(scores.values, count, scale, blocks,
                                                        (uint32_t *)(void *)out.values, CLIPC_BLOCK);
    if (poison != 0.0f)
        expect_true(c, isnan(sum), "bf16 softmax hides a value that is not finite");
    else
        expect(c, TOLERANCE_BF16_RESULT, sum, total, total, "bf16 softmax sum");
    for (size_t i = 0; i < blocks * CLIPC_BLOCK * 2; i++) {
        const double actual = half_at(&out, 0, i, CLIPC_BLOCK);
        if (i >= count)
            expect_true(c, actual == 0.0, "bf16 softmax: padding is not zero");
        else if (poison == 0.0f)
            expect(c, TOLERANCE_BF16_RESULT, actual, exp((double)scale * ((double)scores.values[i] - largest)),
                   exp((double)scale * ((double)scores.values[i] - largest)) + 1e-30, "bf16 softmax");
    }
    guarded_end(c, &scores, "bf16 softmax changed around its scores");
    guarded_end(c, &out, "bf16 softmax wrote outside its lines");
}

static void check_softmax_rows(check *c)
{
    static const size_t counts[] = {1, 2, 13, 16, 17, 50, 77, 257, 1025};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        check_softmax_row(c, counts[i], 1.0f, 0.0f);
        check_softmax_row(c, counts[i], 30.0f, 0.0f);
        check_softmax_row(c, counts[i], 1.0f, NAN);
        check_softmax_row(c, counts[i], 1.0f, INFINITY);
    }
}

void check_lines_bf16(check *c)
{
    static const clipc_epilogue kinds[] = {CLIPC_EPILOGUE_BIAS,          CLIPC_EPILOGUE_RELU,
                                           CLIPC_EPILOGUE_RESIDUAL_RELU, CLIPC_EPILOGUE_QUICK_GELU,
                                           CLIPC_EPILOGUE_GELU,          CLIPC_EPILOGUE_GELU_TANH};
    static const size_t widths[] = {1, 2, 15, 16, 17, 31, 33, 97, 512, 768, 1025};
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        for (size_t rows = 1; rows <= c->kernels->bf16.tile_rows; rows++) {
            for (int repeat = 0; repeat < 20; repeat++)
                check_epilogue(c, kinds[kind], rows, false);
            check_epilogue(c, kinds[kind], rows, true);
        }
    }
    check_softmax_rows(c);
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        check_norm(c, widths[i], 0.0f, 1.0f);
        check_norm(c, widths[i], 3.0f, 0.5f);
        check_norm(c, widths[i], 0.0f, 1000.0f);
        check_norm(c, widths[i], 0.25f, 0.0f);
    }
}
