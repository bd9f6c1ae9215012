#include "backend/cpu/tower.h"

#include <string.h>

/* Linear layers that are computed as one: up to three, each padded to whole rows of buffers. */
struct stack {
    const clipc_tensor *weights[3];
    const clipc_tensor *biases[3]; /* NULL: none */
    size_t parts;
    size_t outputs; /* of each part */
    size_t inner;
};

struct pack_job {
    const struct stack *stack;
    const clipc_packed_weights *packed;
};

static void pack_panel(const struct pack_job *job, size_t panel)
{
    const struct stack *stack = job->stack;
    const size_t columns = job->packed->layout.panel_columns;
    const size_t panels_a_part = job->packed->layout.panel_count / stack->parts;
    const size_t part = panel / panels_a_part;
    const size_t first = panel % panels_a_part * columns;
    const size_t count = first < stack->outputs ? clipc_min(columns, stack->outputs - first) : 0;
    clipc_pack_panel(job->packed, panel, stack->weights[part], stack->biases[part], first, count, stack->inner);
}

static void pack_panels(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    for (size_t panel = begin; panel < end; panel++)
        pack_panel(context, panel);
}

/* What the two passes of building a tower share. */
struct builder {
    clipc_arena arena;
    clipc_thread_pool *pool;
    clipc_cpu_tower *tower;
};

static void build_weights(struct builder *builder, const struct stack *stack, clipc_packed_weights *packed)
{
    const clipc_dtype dtype = builder->tower->dtype;
    const clipc_packed_layout layout = clipc_packed_layout_make(
        dtype, clipc_kernels_tile_columns(builder->tower->kernels, dtype), stack->parts, stack->outputs, stack->inner);
    size_t bytes = 0;
    if (!clipc_packed_bytes(&layout, &bytes))
        builder->arena.overflow = true;
    void *block = clipc_arena_take(&builder->arena, 1, bytes, 1);
    *packed = (clipc_packed_weights){.layout = layout};
    if (!block)
        return;
    *packed = clipc_packed_weights_at(&layout, block);
    struct pack_job job = {stack, packed};
    clipc_thread_pool_run(builder->pool, pack_panels, &job, layout.panel_count, 1);
}

static void build_linear(struct builder *builder, const clipc_tensor *weight, const clipc_tensor *bias, size_t outputs,
                         size_t inner, clipc_packed_weights *packed)
{
    const struct stack stack = {.weights = {weight}, .biases = {bias}, .parts = 1, .outputs = outputs, .inner = inner};
    build_weights(builder, &stack, packed);
}

/* `rows` rows of padded width. */
static float *build_rows(struct builder *builder, const clipc_tensor *tensor, size_t rows)
{
    const size_t width = builder->tower->config.width;
    const size_t padded = builder->tower->padded_width;
    float *out = clipc_arena_floats(&builder->arena, rows, padded);
    if (!builder->arena.base)
        return NULL;
    memset(out, 0, rows * padded * sizeof *out);
    for (size_t row = 0; row < rows; row++)
        clipc_tensor_read(tensor, row * width, width, out + row * padded);
    return out;
}

static clipc_cpu_norm build_norm(struct builder *builder, const clipc_tensor *weight, const clipc_tensor *bias)
{
    clipc_cpu_norm norm;
    norm.weight = build_rows(builder, weight, 1);
    norm.bias = build_rows(builder, bias, 1);
    return norm;
}

static void build_layer(struct builder *builder, const clipc_layer_weights *from, clipc_cpu_layer *to)
{
    const size_t width = builder->tower->config.width;
    const size_t mlp_width = builder->tower->config.mlp_width;
    const struct stack attention = {.weights = {&from->query_weight, &from->key_weight, &from->value_weight},
                                    .biases = {&from->query_bias, &from->key_bias, &from->value_bias},
                                    .parts = 3,
                                    .outputs = width,
                                    .inner = width};
    to->norm1 = build_norm(builder, &from->norm1_weight, &from->norm1_bias);
    build_weights(builder, &attention, &to->query_key_value);
    build_linear(builder, &from->attention_out_weight, &from->attention_out_bias, width, width, &to->attention_out);
    to->norm2 = build_norm(builder, &from->norm2_weight, &from->norm2_bias);
    build_linear(builder, &from->fc1_weight, &from->fc1_bias, mlp_width, width, &to->fc1);
    build_linear(builder, &from->fc2_weight, &from->fc2_bias, width, mlp_width, &to->fc2);
}

static void build_layers(struct builder *builder, const clipc_layer_weights *from)
{
    clipc_cpu_tower *tower = builder->tower;
    clipc_cpu_layer unused = {0};
    tower->layers = clipc_arena_take(&builder->arena, tower->config.layers, 1, sizeof *tower->layers);
    for (size_t i = 0; i < tower->config.layers; i++)
        build_layer(builder, &from[i], builder->arena.base ? &tower->layers[i] : &unused);
}

static void build_image_tower(struct builder *builder, const clipc_model *model)
{
    clipc_cpu_tower *tower = builder->tower;
    const size_t width = tower->config.width;
    build_linear(builder, &model->weights.image.patch_embedding, NULL, width,
                 3 * tower->patch_size * tower->patch_size, &tower->patch_embedding);
    tower->positions = build_rows(builder, &model->weights.image.position_embedding, tower->most_tokens);
    float *class_embedding = build_rows(builder, &model->weights.image.class_embedding, 1);
    if (builder->arena.base)
        for (size_t i = 0; i < width; i++)
            tower->positions[i] += class_embedding[i];
    tower->norm_pre = build_norm(builder, &model->weights.image.norm_pre_weight, &model->weights.image.norm_pre_bias);
    build_layers(builder, model->weights.image.layers);
    tower->norm_final =
        build_norm(builder, &model->weights.image.norm_post_weight, &model->weights.image.norm_post_bias);
    build_linear(builder, &model->weights.image.projection, NULL, tower->embedding_dimension, width,
                 &tower->projection);
}

static void build_text_tower(struct builder *builder, const clipc_model *model)
{
    clipc_cpu_tower *tower = builder->tower;
    tower->positions = build_rows(builder, &model->weights.text.position_embedding, tower->most_tokens);
    build_layers(builder, model->weights.text.layers);
    tower->norm_final =
        build_norm(builder, &model->weights.text.norm_final_weight, &model->weights.text.norm_final_bias);
    build_linear(builder, &model->weights.text.projection, NULL, tower->embedding_dimension, tower->config.width,
                 &tower->projection);
}

/* What follows from the kernels and the precision. */
static void choose_precision(clipc_cpu_tower *tower, const clipc_kernels *kernels, clipc_precision precision)
{
    tower->kernels = kernels;
    tower->precision = precision;
    tower->dtype = precision == CLIPC_PRECISION_BF16 ? CLIPC_DTYPE_BF16 : CLIPC_DTYPE_F32;
    tower->tile_rows = clipc_kernels_tile_rows(kernels, tower->dtype);
}

static clipc_status build(clipc_cpu_tower *tower, const clipc_model *model, clipc_thread_pool *pool,
                          void (*build_tower)(struct builder *, const clipc_model *), const char *what,
                          clipc_error *error)
{
    struct builder builder = {.pool = pool, .tower = tower};
    build_tower(&builder, model);
    tower->weight_bytes = builder.arena.used;
    if (!builder.arena.overflow)
        tower->weights = clipc_allocate_aligned(1, tower->weight_bytes);
    if (!tower->weights)
        return clipc_fail_memory(error, tower->weight_bytes, what);
    builder.arena = (clipc_arena){.base = tower->weights};
    build_tower(&builder, model);
    return CLIPC_OK;
}

clipc_status clipc_cpu_image_tower_create(const clipc_model *model, const clipc_kernels *kernels,
                                          clipc_precision precision, clipc_thread_pool *pool, clipc_cpu_tower *tower,
                                          clipc_error *error)
{
    *tower = (clipc_cpu_tower){.config = model->config.image,
                               .padded_width = clipc_padded_columns(model->config.image.width),
                               .most_tokens = model->config.image_tokens,
                               .embedding_dimension = model->config.embedding_dimension,
                               .image_size = model->config.image_size,
                               .patch_size = model->config.patch_size};
    choose_precision(tower, kernels, precision);
    return build(tower, model, pool, build_image_tower, "the packed weights of the image tower", error);
}

clipc_status clipc_cpu_text_tower_create(const clipc_model *model, const clipc_kernels *kernels,
                                         clipc_precision precision, clipc_thread_pool *pool, clipc_cpu_tower *tower,
                                         clipc_error *error)
{
    *tower = (clipc_cpu_tower){.config = model->config.text,
                               .padded_width = clipc_padded_columns(model->config.text.width),
                               .most_tokens = model->config.max_positions,
                               .causal = true,
                               .embedding_dimension = model->config.embedding_dimension,
                               .token_embedding = &model->weights.text.token_embedding};
    choose_precision(tower, kernels, precision);
    return build(tower, model, pool, build_text_tower, "the packed weights of the text tower", error);
}

void clipc_cpu_tower_destroy(clipc_cpu_tower *tower)
{
    clipc_free_aligned(tower->weights);
    *tower = (clipc_cpu_tower){0};
}
