#include "checkkernel/checkkernel.h"

#include "backend/cpu/convolution.h"
#include "io/bf16.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What `dtype` holds of a value. */
static float rounded(float value, clipc_dtype dtype)
{
    return dtype == CLIPC_DTYPE_BF16 ? clipc_float_of_bf16(clipc_bf16_of_float(value)) : value;
}

static float read_map(const guarded *map, size_t length, size_t pixel, size_t channel, clipc_dtype dtype)
{
    const char *row = (const char *)(map->values + pixel * length);
    float value = 0.0f;
    uint16_t half = 0;
    if (dtype == CLIPC_DTYPE_F32) {
        memcpy(&value, row + channel * sizeof value, sizeof value);
        return value;
    }
    memcpy(&half, row + channel * sizeof half, sizeof half);
    return clipc_float_of_bf16(half);
}

static void write_map(guarded *map, size_t length, size_t pixel, size_t channel, clipc_dtype dtype, float value)
{
    char *row = (char *)(map->values + pixel * length);
    const uint16_t half = clipc_bf16_of_float(value);
    if (dtype == CLIPC_DTYPE_F32)
        memcpy(row + channel * sizeof value, &value, sizeof value);
    else
        memcpy(row + channel * sizeof half, &half, sizeof half);
}

/* Random values, what is beyond the channels being 0. */
static guarded make_map(check *c, size_t pixels, size_t channels, clipc_dtype dtype)
{
    const size_t length = clipc_map_length(channels, dtype);
    guarded map = guarded_make(pixels * length);
    memset(map.values, 0, map.count * sizeof(float));
    for (size_t pixel = 0; pixel < pixels; pixel++)
        for (size_t channel = 0; channel < channels; channel++)
            write_map(&map, length, pixel, channel, dtype, random_normal(c));
    return map;
}

/* One case: weights as the packing reads them, [outputs][taps][inputs], or [outputs][3][9] for pixels. */
struct problem {
    clipc_convolution shape;
    clipc_dtype dtype;
    clipc_epilogue epilogue;
    size_t items;
    guarded input;
    guarded weights;
    guarded bias;
    guarded before; /* the output's first contents */
    guarded output;
};

static float input_at(const struct problem *p, size_t item, size_t y, size_t x, size_t channel)
{
    const size_t side = p->shape.input_side;
    if (p->shape.role == CLIPC_CONVOLUTION_PIXELS) {
        const float value = p->input.values[((item * 3 + channel) * side + y) * side + x];
        return rounded(value, p->dtype);
    }
    const size_t length = clipc_map_length(p->shape.inputs, p->dtype);
    if (p->shape.pool == 1)
        return read_map(&p->input, length, (item * side + y) * side + x, channel, p->dtype);
    float sum = 0.0f;
    for (size_t i = 0; i < 4; i++)
        sum += read_map(&p->input, length, (item * side + 2 * y + i / 2) * side + 2 * x + i % 2, channel, p->dtype);
    return rounded(sum * 0.25f, p->dtype);
}

static float weight_at(const struct problem *p, size_t output, size_t tap, size_t input)
{
    const size_t taps = p->shape.kernel * p->shape.kernel;
    const size_t inputs = p->shape.inputs;
    const bool pixels = p->shape.role == CLIPC_CONVOLUTION_PIXELS;
    return p->weights.values[output * taps * inputs + (pixels ? input * taps + tap : tap * inputs + input)];
}

/* The sum at an output pixel in double, and that of its terms' sizes. */
static double sum_at(const struct problem *p, size_t item, size_t y, size_t x, size_t output, double *size)
{
    const size_t kernel = p->shape.kernel;
    const size_t side = p->shape.input_side / p->shape.pool;
    double sum = (double)p->bias.values[output];
    *size = fabs(sum);
    for (size_t tap = 0; tap < kernel * kernel; tap++) {
        const size_t row = y * p->shape.stride + tap / kernel - kernel / 2;
        const size_t column = x * p->shape.stride + tap % kernel - kernel / 2;
        for (size_t input = 0; input < p->shape.inputs && row < side && column < side; input++) {
            const double product =
                (double)input_at(p, item, row, column, input) * (double)weight_at(p, output, tap, input);
            sum += product;
            *size += fabs(product);
        }
    }
    return sum;
}

static void compare(check *c, const struct problem *p)
{
    const size_t length = clipc_map_length(p->shape.outputs, p->dtype);
    const double inner = (double)(p->shape.inputs * p->shape.kernel * p->shape.kernel);
    for (size_t pixel = 0; pixel < p->items * p->shape.side * p->shape.side; pixel++) {
        const size_t item = pixel / (p->shape.side * p->shape.side);
        const size_t y = pixel / p->shape.side % p->shape.side;
        for (size_t output = 0; output < clipc_padded_columns(p->shape.outputs); output++) {
            const double actual = (double)read_map(&p->output, length, pixel, output, p->dtype);
            if (output >= p->shape.outputs) {
                expect_true(c, actual == 0.0, "convolution: padding is not zero");
                continue;
            }
            double size = 0.0;
            double sum = sum_at(p, item, y, pixel % p->shape.side, output, &size);
            if (p->epilogue == CLIPC_EPILOGUE_RESIDUAL_RELU) {
                const double before = (double)read_map(&p->before, length, pixel, output, p->dtype);
                sum += before;
                size += fabs(before);
            }
            const double expected = p->epilogue == CLIPC_EPILOGUE_BIAS ? sum : fmax(sum, 0.0);
            const bool bf16 = p->dtype == CLIPC_DTYPE_BF16;
            expect(c, bf16 ? TOLERANCE_BF16_RESULT : TOLERANCE_F32_GEMM, actual, expected,
                   bf16 ? fabs(expected) + size * 1e-5 : size * (2.0 + sqrt(inner)), "convolution");
        }
    }
}

/* Packed as weight_builder.c does it, each tap padded to whole blocks. */
static clipc_packed_weights pack(check *c, const struct problem *p, guarded *block)
{
    const size_t depth = sizeof(float) / clipc_dtype_size(p->dtype);
    const size_t taps = p->shape.kernel * p->shape.kernel;
    const bool pixels = p->shape.role == CLIPC_CONVOLUTION_PIXELS;
    const size_t tap = clipc_deep_blocks(p->shape.inputs, depth) * CLIPC_BLOCK * depth;
    const size_t inner = pixels ? taps * 3 : taps * tap;
    const clipc_packed_layout layout = clipc_packed_layout_make(
        p->dtype, clipc_kernels_tile_columns(c->kernels, p->dtype), 1, p->shape.outputs, inner);
    size_t bytes = 0;
    float *rows = calloc(p->shape.outputs * inner, sizeof *rows);
    if (!rows || !clipc_packed_bytes(&layout, &bytes))
        exit(2);
    for (size_t output = 0; output < p->shape.outputs; output++)
        for (size_t i = 0; i < taps; i++)
            for (size_t input = 0; input < p->shape.inputs; input++)
                rows[output * inner + (pixels ? input * taps + i : i * tap + input)] = weight_at(p, output, i, input);
    *block = guarded_make(bytes / sizeof(float));
    const clipc_packed_weights packed = clipc_packed_weights_at(&layout, block->values);
    const clipc_tensor weight = {.data = rows, .dtype = CLIPC_DTYPE_F32, .count = p->shape.outputs * inner};
    const clipc_tensor bias = {.data = p->bias.values, .dtype = CLIPC_DTYPE_F32, .count = p->shape.outputs};
    for (size_t panel = 0; panel < layout.panel_count; panel++) {
        const size_t first = panel * layout.panel_columns;
        const size_t count = first < p->shape.outputs ? clipc_min(layout.panel_columns, p->shape.outputs - first) : 0;
        clipc_pack_panel(c->kernels, &packed, panel, &weight, &bias, first, count, inner);
    }
    free(rows);
    return packed;
}

static void check_shape(check *c, clipc_thread_pool *pool, clipc_dtype dtype, clipc_convolution shape,
                        clipc_epilogue epilogue, size_t items)
{
    const size_t taps = shape.kernel * shape.kernel;
    shape.input_side = shape.side * shape.stride * shape.pool;
    struct problem p = {.shape = shape, .dtype = dtype, .epilogue = epilogue, .items = items};
    const size_t pixels = items * shape.input_side * shape.input_side;
    if (shape.role == CLIPC_CONVOLUTION_PIXELS) {
        p.input = guarded_make(3 * pixels);
        for (size_t i = 0; i < p.input.count; i++)
            p.input.values[i] = random_normal(c);
    } else
        p.input = make_map(c, pixels, shape.inputs, dtype);
    p.weights = guarded_make(shape.outputs * taps * shape.inputs);
    for (size_t i = 0; i < p.weights.count; i++)
        p.weights.values[i] = rounded(random_normal(c), dtype);
    p.bias = guarded_make(shape.outputs);
    for (size_t i = 0; i < p.bias.count; i++)
        p.bias.values[i] = random_normal(c);
    p.before = make_map(c, items * shape.side * shape.side, shape.outputs, dtype);
    p.output = guarded_make(p.before.count);
    memcpy(p.output.values, p.before.values, p.before.count * sizeof(float));
    guarded block;
    const clipc_packed_weights weights = pack(c, &p, &block);
    const size_t stride = clipc_convolution_scratch(c->kernels, &weights);
    guarded scratch = guarded_make(stride * clipc_thread_pool_threads(pool));
    const clipc_convolution_run run = {.kernels = c->kernels,
                                       .shape = &p.shape,
                                       .weights = &weights,
                                       .items = items,
                                       .input = p.input.values,
                                       .epilogue = epilogue,
                                       .output = p.output.values,
                                       .scratch = (uint32_t *)(void *)scratch.values,
                                       .scratch_stride = stride};
    clipc_convolution_compute(pool, &run);
    compare(c, &p);
    guarded_end(c, &block, "convolution changed around its weights");
    guarded_end(c, &scratch, "convolution wrote outside its scratch");
    guarded_end(c, &p.input, "convolution changed around its input");
    guarded_end(c, &p.weights, "");
    guarded_end(c, &p.bias, "");
    guarded_end(c, &p.before, "");
    guarded_end(c, &p.output, "convolution wrote outside its output");
}

/* Sides of 1 (no neighbour at all) and up, tiles that straddle images, channels that fill no line, one or several. */
void check_convolution(check *c, clipc_thread_pool *pool, clipc_dtype dtype)
{
    static const size_t channels[][2] = {{1, 3}, {6, 17}, {16, 32}, {20, 40}, {32, 33}, {64, 24}, {96, 64}};
    static const size_t sides[] = {1, 2, 3, 7};
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; i++) {
        for (size_t j = 0; j < sizeof sides / sizeof sides[0]; j++) {
            const size_t items = 1 + random_below(c, 3);
            clipc_convolution shape = {.role = CLIPC_CONVOLUTION_SPREAD,
                                       .inputs = channels[i][0],
                                       .outputs = channels[i][1],
                                       .kernel = 3,
                                       .stride = 1,
                                       .pool = 1,
                                       .side = sides[j]};
            check_shape(c, pool, dtype, shape, CLIPC_EPILOGUE_RELU, items);
            shape.role = CLIPC_CONVOLUTION_EXPAND;
            shape.kernel = 1;
            check_shape(c, pool, dtype, shape, CLIPC_EPILOGUE_RESIDUAL_RELU, items);
            shape.pool = 2;
            check_shape(c, pool, dtype, shape, CLIPC_EPILOGUE_RESIDUAL_RELU, items);
            shape.role = CLIPC_CONVOLUTION_DOWNSAMPLE;
            check_shape(c, pool, dtype, shape, CLIPC_EPILOGUE_BIAS, items);
            shape = (clipc_convolution){.role = CLIPC_CONVOLUTION_PIXELS,
                                        .inputs = 3,
                                        .outputs = channels[i][1],
                                        .kernel = 3,
                                        .stride = 2,
                                        .pool = 1,
                                        .side = 4 * sides[j]};
            check_shape(c, pool, dtype, shape, CLIPC_EPILOGUE_RELU, items);
        }
    }
}

/* ---- the kernels of packing, alone ---- */

void check_copy_lines(check *c)
{
    for (size_t lines = 1; lines < 10; lines++) {
        const size_t stride = CLIPC_BLOCK * (1 + random_below(c, 14));
        guarded from = guarded_make(lines * CLIPC_BLOCK);
        guarded out = guarded_make((lines - 1) * stride + CLIPC_BLOCK);
        for (size_t i = 0; i < from.count; i++) { /* any bits: two bf16, or no number at all */
            const uint32_t bits = (uint32_t)random_bits(c);
            memcpy(&from.values[i], &bits, sizeof bits);
        }
        c->kernels->copy_lines(from.values, lines, out.values, stride);
        for (size_t i = 0; i < lines; i++)
            expect_true(
                c, memcmp(out.values + i * stride, from.values + i * CLIPC_BLOCK, CLIPC_BLOCK * sizeof(float)) == 0,
                "copied lines differ");
        c->kernels->copy_lines(NULL, lines, out.values, stride);
        for (size_t i = 0; i < lines * CLIPC_BLOCK; i++)
            expect_true(c, out.values[i / CLIPC_BLOCK * stride + i % CLIPC_BLOCK] == 0.0f, "lines of zeros differ");
        guarded_end(c, &from, "copying changed around its lines");
        guarded_end(c, &out, "copying wrote outside its lines");
    }
}

/* Equal to plain C bit for bit. */
void check_average(check *c, clipc_dtype dtype)
{
    const size_t in_line = CLIPC_BLOCK * sizeof(float) / clipc_dtype_size(dtype);
    for (size_t lines = 1; lines < 10; lines++) {
        const size_t stride = CLIPC_BLOCK * (1 + random_below(c, 14));
        guarded from[4];
        const float *rows[4];
        const uint32_t *pairs[4];
        guarded out = guarded_make((lines - 1) * stride + CLIPC_BLOCK);
        for (size_t i = 0; i < 4; i++) {
            from[i] = make_map(c, 1, clipc_round_up(lines * in_line, CLIPC_ROW_PADDING), dtype);
            rows[i] = from[i].values;
            pairs[i] = (const uint32_t *)(const void *)from[i].values;
        }
        if (dtype == CLIPC_DTYPE_BF16)
            c->kernels->bf16.average(pairs, lines, (uint32_t *)(void *)out.values, stride);
        else
            c->kernels->average(rows, lines, out.values, stride);
        for (size_t i = 0; i < lines * in_line; i++) {
            float sum = 0.0f;
            for (size_t j = 0; j < 4; j++)
                sum += read_map(&from[j], 0, 0, i, dtype);
            expect_true(c, read_map(&out, stride, i / in_line, i % in_line, dtype) == rounded(sum * 0.25f, dtype),
                        "averages differ");
        }
        for (size_t i = 0; i < 4; i++)
            guarded_end(c, &from[i], "averaging changed around its lines");
        guarded_end(c, &out, "averaging wrote outside its lines");
    }
}
