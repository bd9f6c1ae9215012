#include "backend/cpu/tower.h"

#include "backend/cpu/pooled_attention.h"
#include "backend/cpu/weight_builder.h"

#include <math.h>
#include <string.h>

struct builder {
    clipc_weight_builder base;
    clipc_cpu_tower *tower;
};

/* `rows` rows of padded width. */
static float *build_rows(struct builder *builder, const clipc_tensor *tensor, size_t rows)
{
    return clipc_build_rows(&builder->base, tensor, rows, builder->tower->config.width, builder->tower->padded_width);
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
    const clipc_dtype dtype = builder->tower->layer_dtype;
    const clipc_weight_stack attention = {.weights = {&from->query_weight, &from->key_weight, &from->value_weight},
                                          .biases = {&from->query_bias, &from->key_bias, &from->value_bias},
                                          .parts = 3,
                                          .outputs = width,
                                          .inner = width};
    to->norm1 = build_norm(builder, &from->norm1_weight, &from->norm1_bias);
    clipc_build_weights(&builder->base, &attention, dtype, &to->query_key_value);
    clipc_build_linear(&builder->base, &from->attention_out_weight, &from->attention_out_bias, width, width, dtype,
                       &to->attention_out);
    to->norm2 = build_norm(builder, &from->norm2_weight, &from->norm2_bias);
    clipc_build_linear(&builder->base, &from->fc1_weight, &from->fc1_bias, mlp_width, width, dtype, &to->fc1);
    clipc_build_linear(&builder->base, &from->fc2_weight, &from->fc2_bias, width, mlp_width, dtype, &to->fc2);
}

struct keys_job {
    const clipc_cpu_tower *tower;
    const clipc_packed_weights *from;
};

static void fill_keys(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    const struct keys_job *job = context;
    for (size_t head = begin; head < end; head++)
        clipc_pooled_keys_fill(job->tower->kernels, job->from, job->tower->config.width, job->tower->config.heads,
                               head, &job->tower->last_keys);
}

static void fill_values(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    const struct keys_job *job = context;
    for (size_t panel = begin; panel < end; panel++)
        clipc_pooled_values_fill(job->tower->kernels, job->from, job->tower->config.width, panel,
                                 &job->tower->last_values);
}

/* Room for weights, filled in the second pass by running a task over `count` parts. */
static void build_derived(struct builder *builder, const clipc_packed_layout *layout, clipc_packed_weights *to,
                          clipc_task task, size_t count, const clipc_packed_weights *from)
{
    size_t bytes = 0;
    if (!clipc_packed_bytes(layout, &bytes))
        builder->base.arena.overflow = true;
    *to = (clipc_packed_weights){.layout = *layout};
    void *block = clipc_arena_take(&builder->base.arena, 1, bytes, 1);
    if (!block)
        return;
    *to = clipc_packed_weights_at(layout, block);
    struct keys_job job = {builder->tower, from};
    clipc_thread_pool_run(builder->base.pool, task, &job, count, 1);
}

/* The last layer's keys for pooled attention, where it pools rows, heads are whole panels and rows of one dtype. */
static void build_last_keys(struct builder *builder, const clipc_cpu_layer *last)
{
    clipc_cpu_tower *tower = builder->tower;
    const size_t heads = tower->config.heads;
    const clipc_dtype from = last->query_key_value.layout.dtype;
    if (builder->base.function || clipc_cpu_tower_pools_rows(tower) || builder->base.status != CLIPC_OK ||
        tower->config.width / heads % CLIPC_ROW_PADDING != 0 ||
        (from == CLIPC_DTYPE_I8 ? CLIPC_DTYPE_BF16 : from) != tower->dtype)
        return;
    const clipc_packed_layout layout =
        clipc_pooled_keys_layout(tower->kernels, tower->dtype, heads, tower->config.width);
    builder->base.tallest_tile =
        clipc_min(builder->base.tallest_tile, clipc_kernels_tile_rows(tower->kernels, tower->dtype));
    build_derived(builder, &layout, &tower->last_keys, fill_keys, heads, &last->query_key_value);
    const clipc_packed_layout values = clipc_pooled_values_layout(tower->kernels, tower->config.width);
    if (from == CLIPC_DTYPE_I8)
        build_derived(builder, &values, &tower->last_values, fill_values, values.panel_count, &last->query_key_value);
}

static void build_layers(struct builder *builder, const clipc_layer_weights *from)
{
    clipc_cpu_tower *tower = builder->tower;
    clipc_cpu_layer unused = {0};
    tower->layers = clipc_arena_take(&builder->base.arena, tower->config.layers, 1, sizeof *tower->layers);
    for (size_t i = 0; i < tower->config.layers; i++)
        build_layer(builder, &from[i], builder->base.arena.base ? &tower->layers[i] : &unused);
    if (tower->config.layers)
        build_last_keys(builder, builder->base.arena.base ? &tower->layers[tower->config.layers - 1] : &unused);
}

/* Adds the tensor [width] to positions `first` … `end` - 1. */
static void add_to_positions(struct builder *builder, const clipc_tensor *tensor, size_t first, size_t end)
{
    const clipc_cpu_tower *tower = builder->tower;
    const float *values = build_rows(builder, tensor, 1);
    for (size_t row = first; values && row < end; row++)
        for (size_t i = 0; i < tower->config.width; i++)
            tower->positions[row * tower->padded_width + i] += values[i];
}

static void build_positions(struct builder *builder, const clipc_model *model)
{
    clipc_cpu_tower *tower = builder->tower;
    tower->positions = build_rows(builder, &model->weights.image.position_embedding, tower->most_tokens);
    if (model->config.class_token)
        add_to_positions(builder, &model->weights.image.class_embedding, 0, 1);
    if (model->config.patch_bias)
        add_to_positions(builder, &model->weights.image.patch_bias, tower->class_tokens, tower->most_tokens);
}

static clipc_cpu_norm build_pooled_norm(struct builder *builder, const clipc_tensor *weight, const clipc_tensor *bias)
{
    const size_t width = builder->tower->pooled_width;
    clipc_cpu_norm norm;
    norm.weight = clipc_build_rows(&builder->base, weight, 1, width, clipc_padded_columns(width));
    norm.bias = clipc_build_rows(&builder->base, bias, 1, width, clipc_padded_columns(width));
    return norm;
}

/* In double, as all that comes of the probe. */
static void normalize_probe(const clipc_cpu_tower *tower, const clipc_cpu_norm *norm, float *probe)
{
    double mean = 0;
    double variance = 0;
    for (size_t i = 0; i < tower->pooled_width; i++)
        mean += (double)probe[i] / (double)tower->pooled_width;
    for (size_t i = 0; i < tower->pooled_width; i++)
        variance += ((double)probe[i] - mean) * ((double)probe[i] - mean) / (double)tower->pooled_width;
    const double scale = 1 / sqrt(variance + (double)tower->config.layer_norm_epsilon);
    for (size_t i = 0; i < tower->pooled_width; i++)
        probe[i] = (float)(((double)probe[i] - mean) * scale * (double)norm->weight[i] + (double)norm->bias[i]);
}

/* The probe goes through its projection once and for all. Sums in double: no instruction set has other bits. */
static void build_pooling_query(struct builder *builder, const clipc_model *model)
{
    clipc_cpu_tower *tower = builder->tower;
    const clipc_layer_weights *from = &model->weights.image.pooling;
    const clipc_tensor *weight = &from->query_weight;
    const size_t width = tower->pooled_width;
    const size_t padded = clipc_padded_columns(width);
    float *probe = clipc_build_rows(&builder->base, &model->weights.image.probe, 1, width, padded);
    float *query = clipc_build_rows(&builder->base, &from->query_bias, 1, width, padded);
    float *row = clipc_arena_floats(&builder->base.arena, 1, padded);
    clipc_cpu_norm norm = {0};
    if (tower->pooling_kind == CLIPC_IMAGE_POOL_QUERY)
        norm = build_pooled_norm(builder, &from->norm1_weight, &from->norm1_bias);
    tower->pooling_query = row;
    if (!builder->base.arena.base)
        return;
    if (norm.weight)
        normalize_probe(tower, &norm, probe);
    for (size_t i = 0; i < width; i++) {
        double sum = (double)query[i];
        clipc_tensor_read(weight, i * width, width, row);
        for (size_t k = 0; k < width; k++)
            sum += (double)row[k] * (double)probe[k];
        query[i] = (float)sum;
    }
    if (clipc_tensor_first_not_finite(weight) != SIZE_MAX)
        atomic_store_explicit(&builder->base.not_finite, true, memory_order_relaxed);
    memset(row, 0, padded * sizeof *row);
    if (clipc_cpu_tower_pooling_dtype(tower) == CLIPC_DTYPE_BF16)
        tower->kernels->round_bf16(query, width, (uint16_t *)(void *)row);
    else
        memcpy(row, query, width * sizeof *row);
}

/* In the type of the projection, as it works on one row an item, but for its keys and values. */
static void build_pooling(struct builder *builder, const clipc_model *model)
{
    clipc_cpu_tower *tower = builder->tower;
    const clipc_layer_weights *from = &model->weights.image.pooling;
    const size_t width = tower->pooled_width;
    const size_t mlp_width = tower->config.mlp_width;
    const clipc_weight_stack attention = {.weights = {&from->key_weight, &from->value_weight},
                                          .biases = {&from->key_bias, &from->value_bias},
                                          .parts = 2,
                                          .outputs = width,
                                          .inner = tower->config.width};
    build_pooling_query(builder, model);
    clipc_build_weights(&builder->base, &attention, tower->dtype, &tower->pooling.query_key_value);
    clipc_build_linear(&builder->base, &from->attention_out_weight, &from->attention_out_bias, width, width,
                       tower->dtype, &tower->pooling.attention_out);
    tower->pooling.norm2 = build_pooled_norm(builder, &from->norm2_weight, &from->norm2_bias);
    if (tower->pooling_kind == CLIPC_IMAGE_POOL_QUERY) /* no MLP */
        return;
    clipc_build_linear(&builder->base, &from->fc1_weight, &from->fc1_bias, mlp_width, width, tower->dtype,
                       &tower->pooling.fc1);
    clipc_build_linear(&builder->base, &from->fc2_weight, &from->fc2_bias, width, mlp_width, tower->dtype,
                       &tower->pooling.fc2);
}

static void build_image_tower(struct builder *builder, const clipc_model *model)
{
    clipc_cpu_tower *tower = builder->tower;
    const size_t width = tower->config.width;
    clipc_build_linear(&builder->base, &model->weights.image.patch_embedding, NULL, width,
                       3 * tower->patch_size * tower->patch_size, tower->layer_dtype, &tower->patch_embedding);
    build_positions(builder, model);
    if (model->config.norm_pre)
        tower->norm_pre =
            build_norm(builder, &model->weights.image.norm_pre_weight, &model->weights.image.norm_pre_bias);
    build_layers(builder, model->weights.image.layers);
    tower->norm_final =
        build_norm(builder, &model->weights.image.norm_post_weight, &model->weights.image.norm_post_bias);
    if (clipc_cpu_tower_pools_by_query(tower))
        build_pooling(builder, model);
    if (model->config.image_projection)
        clipc_build_linear(&builder->base, &model->weights.image.projection,
                           model->config.image_projection_bias ? &model->weights.image.projection_bias : NULL,
                           tower->embedding_dimension, tower->pooled_width, tower->dtype, &tower->projection);
}

static void build_text_tower(struct builder *builder, const clipc_model *model)
{
    clipc_cpu_tower *tower = builder->tower;
    tower->positions = build_rows(builder, &model->weights.text.position_embedding, model->config.max_positions);
    build_layers(builder, model->weights.text.layers);
    tower->norm_final =
        build_norm(builder, &model->weights.text.norm_final_weight, &model->weights.text.norm_final_bias);
    clipc_build_linear(&builder->base, &model->weights.text.projection,
                       model->config.text_projection_bias ? &model->weights.text.projection_bias : NULL,
                       tower->embedding_dimension, tower->config.width, tower->dtype, &tower->projection);
}

/* What follows from the kernels and the precision. */
static void choose_precision(clipc_cpu_tower *tower, const clipc_kernels *kernels, clipc_precision precision,
                             const char *keep_precise)
{
    tower->kernels = kernels;
    tower->precision = precision;
    tower->keep_precise = keep_precise;
    tower->tallest_tile = SIZE_MAX;
    tower->dtype = precision == CLIPC_PRECISION_FP32 ? CLIPC_DTYPE_F32 : CLIPC_DTYPE_BF16;
    tower->layer_dtype = precision == CLIPC_PRECISION_INT8 ? CLIPC_DTYPE_I8 : tower->dtype;
}

clipc_dtype clipc_cpu_tower_pooling_dtype(const clipc_cpu_tower *tower)
{
    return tower->pooled_width / tower->pooling_heads % 2 == 0 ? tower->dtype : CLIPC_DTYPE_F32;
}

clipc_dtype clipc_cpu_tower_attention_dtype(const clipc_cpu_tower *tower)
{
    return tower->config.width / tower->config.heads % 2 == 0 ? tower->dtype : CLIPC_DTYPE_F32;
}

/* Token embeddings are not packed, so they are looked through on their own. */
static void scan_tokens(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    struct builder *builder = context;
    clipc_tensor rows = *builder->tower->token_embedding;
    const size_t width = builder->tower->config.width;
    rows.data = (const uint8_t *)rows.data + begin * width * clipc_dtype_size(rows.dtype);
    rows.count = (end - begin) * width;
    if (clipc_tensor_first_not_finite(&rows) != SIZE_MAX)
        atomic_store_explicit(&builder->base.not_finite, true, memory_order_relaxed);
}

static void scan_token_embedding(struct builder *builder)
{
    const size_t rows = builder->base.model->config.vocabulary_size;
    clipc_thread_pool_run(builder->base.pool, scan_tokens, builder, rows, clipc_max(rows / 64, 1));
}

static clipc_status build(clipc_cpu_tower *tower, const clipc_model *model, clipc_thread_pool *pool,
                          void (*build_tower)(struct builder *, const clipc_model *), const char *what,
                          clipc_error *error)
{
    struct builder builder = {.base = {.pool = pool,
                                       .kernels = tower->kernels,
                                       .precision = tower->precision,
                                       .keep_precise = tower->keep_precise,
                                       .tallest_tile = SIZE_MAX,
                                       .model = model,
                                       .image = tower->image,
                                       .error = error},
                              .tower = tower};
    build_tower(&builder, model);
    if (builder.base.status != CLIPC_OK)
        return builder.base.status;
    tower->repacked = builder.base.repacked;
    tower->weight_bytes = builder.base.arena.used;
    if (!builder.base.arena.overflow)
        tower->weights = clipc_allocate_aligned(1, tower->weight_bytes);
    if (!tower->weights)
        return clipc_fail_memory(error, tower->weight_bytes, what);
    builder.base.arena = (clipc_arena){.base = tower->weights};
    builder.base.linear = 0;
    build_tower(&builder, model);
    tower->keep_precise = NULL; /* the caller's */
    tower->tallest_tile = builder.base.tallest_tile;
    if (!builder.base.image && !model->known_finite)
        scan_token_embedding(&builder);
    if (!atomic_load(&builder.base.not_finite))
        return CLIPC_OK;
    return clipc_model_check_finite(model, builder.base.image, !builder.base.image, clipc_thread_pool_threads(pool),
                                    error);
}

static clipc_cpu_tower image_tower(const clipc_model *model, const clipc_kernels *kernels, clipc_precision precision,
                                   const char *keep_precise)
{
    clipc_cpu_tower tower = {.config = model->config.image,
                             .padded_width = clipc_padded_columns(model->config.image.width),
                             .most_tokens = model->config.image_tokens,
                             .image = true,
                             .class_tokens = model->config.class_token ? 1 : 0,
                             .pooling_kind = model->config.image_pooling,
                             .pooled_width = clipc_config_pooled_width(&model->config),
                             .pooling_heads = model->config.image_pooling == CLIPC_IMAGE_POOL_QUERY
                                                  ? model->config.pooling_heads
                                                  : model->config.image.heads,
                             .embedding_dimension = model->config.embedding_dimension,
                             .image_size = model->config.image_size,
                             .patch_size = model->config.patch_size};
    choose_precision(&tower, kernels, precision, keep_precise);
    return tower;
}

static clipc_cpu_tower text_tower(const clipc_model *model, const clipc_kernels *kernels, clipc_precision precision,
                                  const char *keep_precise)
{
    clipc_cpu_tower tower = {
        .config = model->config.text,
        .padded_width = clipc_padded_columns(model->config.text.width),
        .most_tokens = clipc_config_text_rows(&model->config),
        .causal = model->config.causal,
        .last_unseen = model->config.text_class_token,
        .class_embedding = model->config.text_class_token ? &model->weights.text.class_embedding : NULL,
        .placed_vocabulary = clipc_config_places_tokens(&model->config) ? model->config.vocabulary_size : 0,
        .embedding_dimension = model->config.embedding_dimension,
        .token_embedding = &model->weights.text.token_embedding};
    choose_precision(&tower, kernels, precision, keep_precise);
    return tower;
}

clipc_status clipc_cpu_image_tower_create(const clipc_model *model, const clipc_kernels *kernels,
                                          clipc_precision precision, const char *keep_precise, clipc_thread_pool *pool,
                                          clipc_cpu_tower *tower, clipc_error *error)
{
    *tower = image_tower(model, kernels, precision, keep_precise);
    return build(tower, model, pool, build_image_tower, "the packed weights of the image tower", error);
}

clipc_status clipc_cpu_text_tower_create(const clipc_model *model, const clipc_kernels *kernels,
                                         clipc_precision precision, const char *keep_precise, clipc_thread_pool *pool,
                                         clipc_cpu_tower *tower, clipc_error *error)
{
    *tower = text_tower(model, kernels, precision, keep_precise);
    return build(tower, model, pool, build_text_tower, "the packed weights of the text tower", error);
}

clipc_status clipc_cpu_tower_pack(const clipc_model *model, bool image, const clipc_kernels *kernels,
                                  clipc_precision precision, const char *keep_precise, clipc_thread_pool *pool,
                                  clipc_packed_function function, void *context, clipc_error *error)
{
    clipc_cpu_tower tower = image ? image_tower(model, kernels, precision, keep_precise)
                                  : text_tower(model, kernels, precision, keep_precise);
    struct builder builder = {.base = {.pool = pool,
                                       .kernels = kernels,
                                       .precision = precision,
                                       .keep_precise = keep_precise,
                                       .tallest_tile = SIZE_MAX,
                                       .model = model,
                                       .image = image,
                                       .function = function,
                                       .context = context,
                                       .error = error},
                              .tower = &tower};
    (image ? build_image_tower : build_text_tower)(&builder, model);
    if (builder.base.status == CLIPC_OK && builder.base.arena.overflow)
        return clipc_fail_memory(error, SIZE_MAX, "a packed matrix");
    return builder.base.status;
}

void clipc_cpu_tower_destroy(clipc_cpu_tower *tower)
{
    clipc_free_aligned(tower->weights);
    *tower = (clipc_cpu_tower){0};
}
