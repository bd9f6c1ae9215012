#include "backend/cpu/steps.h"

#include "backend/cpu/kernel_names.h"

#include <stddef.h>
#include <time.h>

static const char *const step_names[CLIPC_STEP_KINDS] = {
    [CLIPC_STEP_PATCHES] = "patches and positions",
    [CLIPC_STEP_PATCH_EMBEDDING] = "patch embedding",
    [CLIPC_STEP_TOKEN_EMBEDDING] = "token embedding",
    [CLIPC_STEP_STEM] = "stem",
    [CLIPC_STEP_STAGES] = "convolutions 1 × 1",
    [CLIPC_STEP_STAGES_SPREAD] = "convolutions 3 × 3",
    [CLIPC_STEP_LAYER_NORM] = "layer norm",
    [CLIPC_STEP_QUERY_KEY_VALUE] = "query, key, value",
    [CLIPC_STEP_QUERY_BY_KEYS] = "query × weights of the keys",
    [CLIPC_STEP_SUMS_BY_VALUES] = "sums × weights of the values",
    [CLIPC_STEP_ATTENTION] = "attention",
    [CLIPC_STEP_QUANTIZATION] = "quantization",
    [CLIPC_STEP_ATTENTION_OUT] = "attention output + residual",
    [CLIPC_STEP_FC1] = "fc1 + activation",
    [CLIPC_STEP_FC2] = "fc2 + residual",
    [CLIPC_STEP_POOLING] = "pooling",
    [CLIPC_STEP_PROJECTION] = "projection",
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

clipc_cpu_step_start clipc_cpu_step_begin(clipc_cpu_steps *steps)
{
    return (clipc_cpu_step_start){.steps = steps, .seconds = steps ? now() : 0};
}

static clipc_precision precision_of(clipc_dtype dtype)
{
    switch (dtype) {
    case CLIPC_DTYPE_BF16: return CLIPC_PRECISION_BF16;
    case CLIPC_DTYPE_I8: return CLIPC_PRECISION_INT8;
    default: return CLIPC_PRECISION_FP32;
    }
}

static void add(clipc_cpu_step_start start, clipc_cpu_step kind, clipc_precision precision, const char *kernel,
                double operations, double bytes)
{
    clipc_step_info *record = &start.steps->records[kind][precision];
    const double seconds = now() - start.seconds;
    record->seconds += seconds;
    record->step = step_names[kind];
    record->kernel = kernel;
    record->precision = precision;
    record->calls++;
    record->operations += operations;
    record->bytes += bytes;
    const clipc_step_target *target = &start.steps->target;
    if (!target->function)
        return;
    const clipc_step_run run = {.size = sizeof run,
                                .step = record->step,
                                .kernel = kernel,
                                .precision = precision,
                                .image = start.steps->image,
                                .layer = start.steps->layer,
                                .begin = start.seconds,
                                .seconds = seconds,
                                .operations = operations,
                                .bytes = bytes};
    target->function(target->user, &run);
}

void clipc_cpu_steps_enter(clipc_cpu_steps *steps, bool image, int layer)
{
    if (!steps)
        return;
    steps->image = image;
    steps->layer = layer;
}

/* As the kernels run it: with the padding of the inner dimension and of the outputs. */
void clipc_cpu_step_end_gemm(clipc_cpu_step_start start, clipc_cpu_step kind, const clipc_gemm *gemm)
{
    if (!start.steps)
        return;
    const clipc_packed_layout *layout = &gemm->weights->layout;
    const double rows = (double)gemm->tiles.rows;
    const double units = (double)(layout->blocks * CLIPC_BLOCK); /* of 32 bits, along the inner dimension */
    const double outputs = (double)(gemm->panel_count * layout->panel_columns);
    const double read = gemm->epilogue == CLIPC_EPILOGUE_RESIDUAL ? 2 : 1;
    add(start, kind, precision_of(layout->dtype), clipc_gemm_name(gemm->kernels, layout->dtype),
        2 * rows * units * (double)layout->depth * outputs,
        (rows + outputs) * units * sizeof(uint32_t) +
            read * rows * outputs * (double)clipc_dtype_size(gemm->output.dtype));
}

/* With the padding, as above; the bytes are those of the maps, however often a pixel is read. */
void clipc_cpu_step_end_convolution(clipc_cpu_step_start start, const clipc_convolution_run *run)
{
    if (!start.steps)
        return;
    const clipc_convolution *shape = run->shape;
    const clipc_packed_layout *layout = &run->weights->layout;
    const double rows = (double)(run->items * shape->side * shape->side);
    const double units = (double)(layout->blocks * CLIPC_BLOCK);
    const double outputs = (double)(layout->panel_count * layout->panel_columns);
    const double size = (double)clipc_dtype_size(layout->dtype);
    const double input = (double)(run->items * shape->input_side * shape->input_side * shape->inputs);
    const double passes = run->epilogue == CLIPC_EPILOGUE_RESIDUAL_RELU ? 2 : 1;
    const clipc_cpu_step kind = shape->role <= CLIPC_CONVOLUTION_STEM ? CLIPC_STEP_STEM
                                : shape->kernel == 1                  ? CLIPC_STEP_STAGES
                                                                      : CLIPC_STEP_STAGES_SPREAD;
    add(start, kind, precision_of(layout->dtype), clipc_gemm_name(run->kernels, layout->dtype),
        2 * rows * units * (double)layout->depth * outputs,
        outputs * units * sizeof(uint32_t) + size * (input + passes * rows * outputs));
}

void clipc_cpu_step_end_attention(clipc_cpu_step_start start, const clipc_attention *attention)
{
    if (!start.steps)
        return;
    double pairs = 0; /* of a query and a key that it sees */
    double queries = 0;
    for (size_t item = 0; item < attention->items; item++) {
        const double rows = (double)(attention->offsets[item + 1] - attention->offsets[item]);
        queries += attention->pooled ? 1 : rows;
        pairs += attention->pooled ? rows : attention->causal ? rows * (rows + 1) / 2 : rows * rows;
    }
    const double width = (double)(attention->heads * attention->head_width);
    const double keys = (double)attention->offsets[attention->items];
    const double size = (double)clipc_dtype_size(attention->dtype);
    add(start, CLIPC_STEP_ATTENTION, precision_of(attention->dtype),
        clipc_gemm_name(attention->kernels, attention->dtype), 4 * pairs * width,
        width * (size * (queries + 2 * keys) + (double)clipc_dtype_size(attention->out_dtype) * queries));
}

void clipc_cpu_step_end_pooled_attention(clipc_cpu_step_start start, const clipc_pooled_attention *attention)
{
    if (!start.steps)
        return;
    const double queries = (double)(attention->items * attention->heads);
    const double rows = (double)attention->offsets[attention->items];
    const double width = (double)attention->width;
    add(start, CLIPC_STEP_ATTENTION, precision_of(attention->dtype),
        clipc_gemm_name(attention->kernels, attention->dtype), 4 * rows * (double)attention->heads * width,
        width * (double)clipc_dtype_size(attention->dtype) * (2 * queries + rows));
}

void clipc_cpu_step_end(clipc_cpu_step_start start, clipc_cpu_step kind, clipc_dtype dtype, const char *kernel,
                        double bytes)
{
    if (start.steps)
        add(start, kind, precision_of(dtype), kernel, 0, bytes);
}

bool clipc_cpu_steps_get(const clipc_cpu_steps *steps, size_t index, clipc_step_info *info)
{
    for (size_t i = 0; i < (size_t)CLIPC_STEP_KINDS * CLIPC_STEP_PRECISIONS; i++) {
        const clipc_step_info *record = &steps->records[i / CLIPC_STEP_PRECISIONS][i % CLIPC_STEP_PRECISIONS];
        if (record->calls == 0)
            continue;
        if (index == 0) {
            *info = *record;
            return true;
        }
        index--;
    }
    return false;
}
