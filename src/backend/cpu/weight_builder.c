#include "backend/cpu/weight_builder.h"

#include "backend/cpu/packed_section.h"
#include "model/keep_precise.h"

#include <string.h>

struct pack_job {
    const clipc_kernels *kernels;
    const clipc_weight_stack *stack;
    const clipc_packed_weights *packed;
    atomic_bool *not_finite;
    float *scratch; /* [threads][scratch_length], of a convolution */
    size_t scratch_length;
};

size_t clipc_tap_units(const clipc_convolution *convolution, clipc_dtype dtype)
{
    return clipc_deep_blocks(convolution->inputs, sizeof(float) / clipc_dtype_size(dtype)) * CLIPC_BLOCK;
}

/* Values of one output's row as it is packed. */
static size_t packed_inner(const clipc_weight_stack *stack, clipc_dtype dtype)
{
    const clipc_convolution *at = stack->convolution;
    if (!at || at->role == CLIPC_CONVOLUTION_PIXELS)
        return stack->inner;
    return at->kernel * at->kernel * clipc_tap_units(at, dtype) * (sizeof(float) / clipc_dtype_size(dtype));
}

/* A panel of a convolution: its outputs are folded into scratch and packed from there. */
static bool pack_convolution(const struct pack_job *job, size_t panel, size_t first, size_t count, float *scratch)
{
    const clipc_weight_stack *stack = job->stack;
    const clipc_convolution *at = stack->convolution;
    const size_t columns = job->packed->layout.panel_columns;
    const size_t inner = packed_inner(stack, job->packed->layout.dtype);
    const size_t tap_length = at->role == CLIPC_CONVOLUTION_PIXELS ? 0 : inner / (at->kernel * at->kernel);
    float *biases = scratch + columns * inner;
    const bool finite =
        clipc_resnet_fold(at, stack->convolution_weights, first, count, tap_length, biases + columns, scratch, biases);
    const clipc_tensor weight = {.data = scratch, .dtype = CLIPC_DTYPE_F32, .count = count * inner};
    const clipc_tensor bias = {.data = biases, .dtype = CLIPC_DTYPE_F32, .count = count};
    return clipc_pack_panel(job->kernels, job->packed, panel, &weight, &bias, 0, count, inner) && finite;
}

static void pack_panel(const struct pack_job *job, size_t panel, float *scratch)
{
    const clipc_weight_stack *stack = job->stack;
    const size_t columns = job->packed->layout.panel_columns;
    const size_t panels_a_part = job->packed->layout.panel_count / stack->parts;
    const size_t part = panel / panels_a_part;
    const size_t first = panel % panels_a_part * columns;
    const size_t count = first < stack->outputs ? clipc_min(columns, stack->outputs - first) : 0;
    const bool finite = stack->convolution ? pack_convolution(job, panel, first, count, scratch)
                                           : clipc_pack_panel(job->kernels, job->packed, panel, stack->weights[part],
                                                              stack->biases[part], first, count, stack->inner);
    if (!finite)
        atomic_store_explicit(job->not_finite, true, memory_order_relaxed);
}

static void pack_panels(void *context, size_t begin, size_t end, size_t thread)
{
    const struct pack_job *job = context;
    for (size_t panel = begin; panel < end; panel++)
        pack_panel(job, panel, job->scratch ? job->scratch + thread * job->scratch_length : NULL);
}

/* Fills `packed` from `ready` when that has panels, else from the model's tensors. */
static clipc_status fill(clipc_weight_builder *builder, const clipc_weight_stack *stack,
                         const clipc_packed_weights *ready, const clipc_packed_weights *packed)
{
    if (ready->panels) {
        clipc_repack(ready, packed);
        return CLIPC_OK;
    }
    struct pack_job job = {builder->kernels, stack, packed, &builder->not_finite, NULL, 0};
    if (stack->convolution) {
        const size_t threads = clipc_thread_pool_threads(builder->pool);
        job.scratch_length =
            packed->layout.panel_columns * (packed_inner(stack, packed->layout.dtype) + 1) + stack->inner;
        job.scratch = clipc_allocate(threads * job.scratch_length, sizeof *job.scratch);
        if (!job.scratch)
            return clipc_fail_memory(builder->error, threads * job.scratch_length * sizeof *job.scratch,
                                     "folding a convolution");
    }
    clipc_thread_pool_run(builder->pool, pack_panels, &job, packed->layout.panel_count, 1);
    clipc_free(job.scratch);
    return CLIPC_OK;
}

/* Packs one matrix for an engine file and hands it on. */
static clipc_status hand_on(clipc_weight_builder *builder, const clipc_weight_stack *stack,
                            const clipc_packed_weights *ready, const clipc_packed_layout *layout, size_t bytes)
{
    void *block = builder->arena.overflow ? NULL : clipc_allocate_aligned(1, bytes);
    if (!block)
        return clipc_fail_memory(builder->error, bytes, "a packed matrix");
    const clipc_packed_weights packed = clipc_packed_weights_at(layout, block);
    clipc_status status = fill(builder, stack, ready, &packed);
    const clipc_section section = {.kind = CLIPC_SECTION_PACKED,
                                   .dtype = layout->dtype,
                                   .rank = 3,
                                   .shape = {stack->parts, stack->outputs, stack->inner},
                                   .panel_columns = layout->panel_columns,
                                   .panel_count = layout->panel_count,
                                   .depth = layout->depth,
                                   .blocks = layout->blocks,
                                   .bytes = block,
                                   .size = bytes};
    if (status == CLIPC_OK)
        status = builder->function(builder->context, builder->image, builder->linear, &section, builder->error);
    clipc_free_aligned(block);
    return status;
}

static void build_layout(clipc_weight_builder *builder, const clipc_weight_stack *stack,
                         const clipc_packed_weights *ready, const clipc_packed_layout *layout,
                         clipc_packed_weights *packed)
{
    size_t bytes = 0;
    if (!clipc_packed_bytes(layout, &bytes))
        builder->arena.overflow = true;
    *packed = (clipc_packed_weights){.layout = *layout};
    if (builder->function) {
        builder->status = hand_on(builder, stack, ready, layout, bytes);
        return;
    }
    if (ready->panels && ready->layout.panel_columns == layout->panel_columns) {
        *packed = *ready;
        return;
    }
    builder->repacked += ready->panels != NULL;
    void *block = clipc_arena_take(&builder->arena, 1, bytes, 1);
    if (!block)
        return;
    *packed = clipc_packed_weights_at(layout, block);
    builder->status = fill(builder, stack, ready, packed);
}

/* `dtype`, or what the next matrix is to be kept in. */
static clipc_dtype kept_dtype(const clipc_weight_builder *builder, clipc_dtype dtype)
{
    const clipc_model *model = builder->model;
    if (!builder->keep_precise)
        return dtype;
    const clipc_linear linear = clipc_linear_at(&model->config, &model->weights, builder->image, builder->linear);
    switch (clipc_keep_precise_of(builder->keep_precise, linear.name, builder->precision)) {
    case CLIPC_PRECISION_FP32: return CLIPC_DTYPE_F32;
    case CLIPC_PRECISION_BF16: return CLIPC_DTYPE_BF16;
    default: return dtype;
    }
}

void clipc_build_weights(clipc_weight_builder *builder, const clipc_weight_stack *stack, clipc_dtype dtype,
                         clipc_packed_weights *packed)
{
    const clipc_section **sections = builder->model->linears[builder->image];
    clipc_packed_weights ready = {0};
    if (builder->status == CLIPC_OK && sections)
        builder->status =
            clipc_packed_section(builder->model, sections[builder->linear], dtype,
                                 packed_inner(stack, sections[builder->linear]->dtype), &ready, builder->error);
    dtype = ready.panels ? ready.layout.dtype : kept_dtype(builder, dtype);
    const clipc_packed_layout layout =
        clipc_packed_layout_make(dtype, clipc_kernels_tile_columns(builder->kernels, dtype), stack->parts,
                                 stack->outputs, packed_inner(stack, dtype));
    builder->tallest_tile = clipc_min(builder->tallest_tile, clipc_kernels_tile_rows(builder->kernels, dtype));
    if (builder->status == CLIPC_OK)
        build_layout(builder, stack, &ready, &layout, packed);
    builder->linear++;
}

void clipc_build_linear(clipc_weight_builder *builder, const clipc_tensor *weight, const clipc_tensor *bias,
                        size_t outputs, size_t inner, clipc_dtype dtype, clipc_packed_weights *packed)
{
    const clipc_weight_stack stack = {
        .weights = {weight}, .biases = {bias}, .parts = 1, .outputs = outputs, .inner = inner};
    clipc_build_weights(builder, &stack, dtype, packed);
}

float *clipc_build_rows(clipc_weight_builder *builder, const clipc_tensor *tensor, size_t rows, size_t width,
                        size_t padded)
{
    float *out = clipc_arena_floats(&builder->arena, rows, padded);
    if (!builder->arena.base)
        return NULL;
    memset(out, 0, rows * padded * sizeof *out);
    for (size_t row = 0; row < rows; row++)
        clipc_tensor_read(tensor, row * width, width, out + row * padded);
    if (clipc_tensor_first_not_finite(tensor) != SIZE_MAX)
        atomic_store_explicit(&builder->not_finite, true, memory_order_relaxed);
    return out;
}
