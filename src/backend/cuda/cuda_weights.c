#include "backend/cuda/cuda_weights.h"

#include "backend/cuda/cuda_status.h"
#include "backend/cuda/gemm.h"
#include "backend/cuda/weight_pack.h"
#include "base/checked.h"
#include "base/memory.h"

#include <math.h>
#include <string.h>

/* The packed tower in host memory, in the order of the device's. The first pass only counts. */
typedef struct packed_tower {
    uint8_t *host; /* NULL while counting */
    uint8_t *device;
    size_t used;
    clipc_cuda_type type; /* of rows */
    clipc_cuda_type operand;
    float *row;     /* scratch: one row of the widest matrix */
    float *folded;  /* scratch: the same as it is packed, padding included */
    float *scratch; /* LayerNorm weights and biases */
    /* of attention pooling: the query of all images as a layer without weights */
    float *query; /* [width], then [width, width] of zeros */
    clipc_tensor query_weight;
    clipc_tensor query_bias;
} packed_tower;

/* Space for `bytes`; NULL while counting. *device gets its address. */
static void *take(packed_tower *packer, size_t bytes, void **device)
{
    const size_t at = packer->used;
    packer->used += clipc_round_up(bytes, 256);
    if (!packer->host)
        return NULL;
    *device = packer->device + at;
    return packer->host + at;
}

/* Where matrix rows go and come from when heads are padded: source row r of a head of `head` is packed row
 * r / head × head_stride + r % head. */
typedef struct head_layout {
    size_t head;
    size_t head_stride;
} head_layout;

static size_t padded_index(const head_layout *layout, size_t index)
{
    return layout ? index / layout->head * layout->head_stride + index % layout->head : index;
}

/* One source matrix into `weight` and `terms` from packed row `first` on. norm_weight and norm_bias [in] or NULL: the
 * LayerNorm before it. `columns_layout` pads the input side, `rows_layout` the output side. */
typedef struct matrix_source {
    const clipc_tensor *weight;
    const clipc_tensor *bias; /* NULL: zero */
    const float *norm_weight;
    const float *norm_bias;
    const head_layout *rows_layout;
    const head_layout *columns_layout;
    float scale;
    size_t first;
} matrix_source;

/* What a matrix is packed as. */
typedef struct matrix_shape {
    clipc_cuda_type type;
    size_t columns;
    size_t depth;
    /* bytes only */
    size_t value_bytes; /* of a value of the output */
    float input_scale;  /* what the input was multiplied by */
} matrix_shape;

/* One output's weights, LayerNorm's folded in, into packer->folded, and its bias. */
static double fold_row(packed_tower *packer, const matrix_source *source, size_t r)
{
    const size_t in = source->weight->count / source->weight->shape[0];
    float bias = 0;
    if (source->bias)
        clipc_tensor_read(source->bias, r, 1, &bias);
    clipc_tensor_read(source->weight, r * in, in, packer->row);
    double offset = bias;
    for (size_t c = 0; c < in; c++) {
        const float value = packer->row[c];
        if (source->norm_bias)
            offset += (double)value * source->norm_bias[c];
        packer->folded[padded_index(source->columns_layout, c)] =
            (source->norm_weight ? value * source->norm_weight[c] : value) * source->scale;
    }
    return offset * source->scale;
}

static void pack_rows(packed_tower *packer, const matrix_source *source, const matrix_shape *shape, uint8_t *weight,
                      float *terms)
{
    memset(packer->folded, 0, shape->depth * sizeof *packer->folded);
    for (size_t r = 0; r < source->weight->shape[0]; r++) {
        const double bias = fold_row(packer, source, r);
        size_t to = source->first + padded_index(source->rows_layout, r);
        if (clipc_cuda_is_bytes(shape->type)) {
            to = clipc_packed_column(shape->value_bytes, to);
            terms[2 * to + 1] =
                clipc_pack_bytes(shape->type, packer->folded, shape->depth, weight + to * shape->depth) /
                shape->input_scale;
        } else { /* the sum is that of what the products will see */
            const double sum = clipc_pack_halves(shape->type, packer->folded, shape->depth,
                                                 (uint16_t *)(void *)weight + to * shape->depth);
            terms[2 * to + 1] = source->norm_weight ? (float)sum : 0;
        }
        terms[2 * to] = (float)bias;
    }
}

/* The scale by which no output of a product that follows a LayerNorm leaves e4m3's range: a normalised row is √width
 * long, so by Cauchy and Schwarz |output| ≤ √width · |weights| + |bias|, whatever the input. That is more than what
 * occurs, by 10 or 20 times, which costs an 8-bit float nothing: its smallest normal number is 2¹⁵ below its largest.
 */
static float bounding_scale(packed_tower *packer, const matrix_source *source)
{
    const size_t in = source->weight->count / source->weight->shape[0];
    double bound = 0;
    for (size_t r = 0; packer->host && r < source->weight->shape[0]; r++) {
        const double bias = fold_row(packer, source, r);
        double squares = 0;
        for (size_t c = 0; c < in; c++)
            squares += (double)packer->folded[c] * packer->folded[c];
        bound = fmax(bound, sqrt((double)in * squares) + fabs(bias));
    }
    return bound > 0 ? (float)(448 / bound) : 1;
}

static void pack_matrix(packed_tower *packer, const matrix_source *sources, size_t count, const matrix_shape *shape,
                        clipc_cuda_matrix *out)
{
    const bool bytes = clipc_cuda_is_bytes(shape->type);
    const size_t rows = bytes ? CLIPC_CUDA_PADDED_COLUMNS(shape->columns) : shape->columns;
    void *device = NULL;
    uint8_t *weight = take(packer, rows * shape->depth * (bytes ? 1 : 2), &device);
    out->weight = device;
    float *terms = take(packer, rows * 2 * sizeof *terms, &device);
    out->terms = device;
    out->type = shape->type;
    out->columns = (int32_t)shape->columns;
    out->depth = (int32_t)shape->depth;
    out->output_scale = 1;
    for (size_t i = 0; weight && i < count; i++)
        pack_rows(packer, &sources[i], shape, weight, terms);
}

/* A table of rows, `stride` apart. */
static void *pack_table(packed_tower *packer, const clipc_tensor *tensor, size_t width, size_t stride)
{
    const size_t rows = tensor->count / width;
    void *device = NULL;
    uint16_t *table = take(packer, rows * stride * 2, &device);
    for (size_t r = 0; table && r < rows; r++) {
        clipc_tensor_read(tensor, r * width, width, packer->row);
        clipc_pack_halves(packer->type, packer->row, width, table + r * stride);
    }
    return device;
}

static float *pack_vector(packed_tower *packer, const clipc_tensor *tensor, const clipc_tensor *plus, size_t width)
{
    void *device = NULL;
    float *values = take(packer, width * sizeof *values, &device);
    if (values) {
        clipc_tensor_read(tensor, 0, width, values);
        if (plus) {
            clipc_tensor_read(plus, 0, width, packer->row);
            for (size_t i = 0; i < width; i++)
                values[i] += packer->row[i];
        }
    }
    return device;
}

/* Reads a LayerNorm's vectors into the scratch; `which` 0 or 1. */
static void read_norm(packed_tower *packer, const clipc_tensor *weight, const clipc_tensor *bias,
                      const float **norm_weight, const float **norm_bias)
{
    *norm_weight = packer->scratch;
    *norm_bias = packer->scratch + weight->count;
    if (packer->host) {
        clipc_tensor_read(weight, 0, weight->count, packer->scratch);
        clipc_tensor_read(bias, 0, bias->count, packer->scratch + weight->count);
    }
}

/* The probe goes through its projection once and for all. */
static clipc_status project_probe(packed_tower *packer, const clipc_weights *weights, clipc_error *error)
{
    const clipc_tensor *matrix = &weights->image.pooling.query_weight;
    const size_t width = matrix->shape[0];
    packer->query = clipc_allocate(width * (width + 1), sizeof *packer->query);
    if (!packer->query)
        return clipc_fail_memory(error, width * (width + 1) * sizeof *packer->query, "the query of pooling");
    clipc_tensor_read(&weights->image.pooling.query_bias, 0, width, packer->query);
    clipc_tensor_read(&weights->image.probe, 0, width, packer->folded);
    for (size_t i = 0; i < width; i++) {
        double sum = (double)packer->query[i];
        clipc_tensor_read(matrix, i * width, width, packer->row);
        for (size_t k = 0; k < width; k++)
            sum += (double)packer->row[k] * (double)packer->folded[k];
        packer->query[i] = (float)sum;
    }
    packer->query_bias =
        (clipc_tensor){.data = packer->query, .dtype = CLIPC_DTYPE_F32, .rank = 1, .shape = {width}, .count = width};
    packer->query_weight = (clipc_tensor){.data = packer->query + width,
                                          .dtype = CLIPC_DTYPE_F32,
                                          .rank = 2,
                                          .shape = {width, width},
                                          .count = width * width};
    return CLIPC_OK;
}

/* In halves whatever the layers are: but for keys and values it works on one row an item. The last LayerNorm of the
 * tower comes before it. */
static void pack_pooling(packed_tower *packer, const clipc_weights *weights, clipc_cuda_tower *tower)
{
    const clipc_layer_weights *pooling = &weights->image.pooling;
    const size_t stride = (size_t)tower->stride;
    const size_t inner = (size_t)tower->inner;
    const size_t hidden = (size_t)tower->mlp_stride;
    const clipc_cuda_type type = packer->type;
    const head_layout heads = {(size_t)(tower->width / tower->heads), (size_t)tower->head_stride};
    const float query_scale = (float)(1.4426950408889634 / sqrt((double)heads.head));
    const float *weight = NULL;
    const float *bias = NULL;
    read_norm(packer, &weights->image.norm_post_weight, &weights->image.norm_post_bias, &weight, &bias);
    const matrix_source qkv[3] = {
        {&packer->query_weight, &packer->query_bias, weight, bias, &heads, NULL, query_scale, 0},
        {&pooling->key_weight, &pooling->key_bias, weight, bias, &heads, NULL, 1, inner},
        {&pooling->value_weight, &pooling->value_bias, weight, bias, &heads, NULL, 1, 2 * inner},
    };
    pack_matrix(packer, qkv, 3, &(matrix_shape){type, 3 * inner, stride, 2, 1}, &tower->pooling.qkv);
    const matrix_source out = {
        &pooling->attention_out_weight, &pooling->attention_out_bias, NULL, NULL, NULL, &heads, 1, 0};
    pack_matrix(packer, &out, 1, &(matrix_shape){type, stride, inner, 2, 1}, &tower->pooling.out);
    read_norm(packer, &pooling->norm2_weight, &pooling->norm2_bias, &weight, &bias);
    const matrix_source fc1 = {&pooling->fc1_weight, &pooling->fc1_bias, weight, bias, NULL, NULL, 1, 0};
    pack_matrix(packer, &fc1, 1, &(matrix_shape){type, hidden, stride, 2, 1}, &tower->pooling.fc1);
    const matrix_source fc2 = {&pooling->fc2_weight, &pooling->fc2_bias, NULL, NULL, NULL, NULL, 1, 0};
    pack_matrix(packer, &fc2, 1, &(matrix_shape){type, stride, hidden, 2, 1}, &tower->pooling.fc2);
    take(packer, stride * 2, &tower->zero_row); /* zeros already */
}

static void pack_layer(packed_tower *packer, const clipc_layer_weights *layer, const clipc_cuda_tower *tower,
                       clipc_cuda_layer *out)
{
    const size_t width = (size_t)tower->width;
    const size_t stride = (size_t)tower->stride;
    const size_t inner = (size_t)tower->inner;
    const size_t hidden = (size_t)tower->mlp_stride;
    const clipc_cuda_type type = packer->operand;
    const bool e4m3 = type == CLIPC_CUDA_E4M3;
    const size_t normal = clipc_cuda_is_bytes(type) ? (size_t)tower->normal_stride : stride;
    const float normal_scale = e4m3 ? tower->normal_scale : 1;
    const head_layout heads = {width / (size_t)tower->heads, (size_t)tower->head_stride};
    const float *weight = NULL;
    const float *bias = NULL;
    /* exp(x) is computed as 2^(x log₂e): both factors ride on the queries. */
    const float query_scale = (float)(1.4426950408889634 / sqrt((double)heads.head));

    read_norm(packer, &layer->norm1_weight, &layer->norm1_bias, &weight, &bias);
    matrix_source qkv[3] = {
        {&layer->query_weight, &layer->query_bias, weight, bias, &heads, NULL, query_scale, 0},
        {&layer->key_weight, &layer->key_bias, weight, bias, &heads, NULL, 1, inner},
        {&layer->value_weight, &layer->value_bias, weight, bias, &heads, NULL, 1, 2 * inner},
    };
    /* What attention puts out is a mean of values, and so within their bounds. */
    if (e4m3)
        qkv[2].scale = bounding_scale(packer, &qkv[2]);
    pack_matrix(packer, qkv, 3, &(matrix_shape){type, 3 * inner, normal, 2, normal_scale}, &out->qkv);
    const matrix_source attention_out = {
        &layer->attention_out_weight, &layer->attention_out_bias, NULL, NULL, NULL, &heads, 1, 0};
    pack_matrix(packer, &attention_out, 1, &(matrix_shape){type, stride, inner, 2, qkv[2].scale}, &out->out);

    read_norm(packer, &layer->norm2_weight, &layer->norm2_bias, &weight, &bias);
    const matrix_source fc1 = {&layer->fc1_weight, &layer->fc1_bias, weight, bias, NULL, NULL, 1, 0};
    /* No activation puts out more than goes in. */
    const float hidden_scale = e4m3 ? bounding_scale(packer, &fc1) : 1;
    pack_matrix(packer, &fc1, 1, &(matrix_shape){type, hidden, normal, e4m3 ? 1 : 2, normal_scale}, &out->fc1);
    out->fc1.output_scale = hidden_scale;
    const matrix_source fc2 = {&layer->fc2_weight, &layer->fc2_bias, NULL, NULL, NULL, NULL, 1, 0};
    pack_matrix(packer, &fc2, 1, &(matrix_shape){type, stride, hidden, 2, hidden_scale}, &out->fc2);
}

static void pack_tower(packed_tower *packer, const clipc_model *model, bool image, clipc_cuda_tower *tower)
{
    const clipc_config *config = &model->config;
    const size_t width = (size_t)tower->width;
    const size_t stride = (size_t)tower->stride;
    const size_t dimension = clipc_round_up(config->embedding_dimension, 8);
    const float *weight = NULL;
    const float *bias = NULL;
    if (image) {
        const size_t patch = 3 * config->patch_size * config->patch_size;
        const clipc_tensor *patch_bias = config->patch_bias ? &model->weights.image.patch_bias : NULL;
        const matrix_source patches = {
            &model->weights.image.patch_embedding, patch_bias, NULL, NULL, NULL, NULL, 1, 0};
        pack_matrix(packer, &patches, 1, &(matrix_shape){packer->type, stride, clipc_round_up(patch, 8), 2, 1},
                    &tower->patch);
        tower->position = pack_table(packer, &model->weights.image.position_embedding, width, stride);
        if (config->class_token) {
            tower->class_row = pack_vector(packer, &model->weights.image.class_embedding,
                                           &model->weights.image.position_embedding, width);
            tower->norm_pre_weight = pack_vector(packer, &model->weights.image.norm_pre_weight, NULL, width);
            tower->norm_pre_bias = pack_vector(packer, &model->weights.image.norm_pre_bias, NULL, width);
        }
    } else {
        tower->position = pack_table(packer, &model->weights.text.position_embedding, width, stride);
        tower->embedding = pack_table(packer, &model->weights.text.token_embedding, width, stride);
    }
    for (int32_t i = 0; i < tower->layer_count; i++)
        pack_layer(packer, image ? &model->weights.image.layers[i] : &model->weights.text.layers[i], tower,
                   &tower->layers[i]);
    if (tower->pools_by_attention) {
        pack_pooling(packer, &model->weights, tower);
        return;
    }
    read_norm(packer, image ? &model->weights.image.norm_post_weight : &model->weights.text.norm_final_weight,
              image ? &model->weights.image.norm_post_bias : &model->weights.text.norm_final_bias, &weight, &bias);
    const clipc_tensor *projection_bias =
        !image && config->text_projection_bias ? &model->weights.text.projection_bias : NULL;
    const matrix_source projection = {image ? &model->weights.image.projection : &model->weights.text.projection,
                                      projection_bias,
                                      weight,
                                      bias,
                                      NULL,
                                      NULL,
                                      1,
                                      0};
    pack_matrix(packer, &projection, 1, &(matrix_shape){packer->type, dimension, stride, 2, 1}, &tower->projection);
}

static int32_t activation_of(clipc_activation activation)
{
    switch (activation) {
    case CLIPC_ACTIVATION_QUICK_GELU: return CLIPC_CUDA_ACTIVATION_QUICK_GELU;
    case CLIPC_ACTIVATION_GELU: return CLIPC_CUDA_ACTIVATION_GELU;
    case CLIPC_ACTIVATION_GELU_TANH: return CLIPC_CUDA_ACTIVATION_GELU_TANH;
    }
    return CLIPC_CUDA_ACTIVATION_NONE;
}

/* What the kernels are made for. */
static clipc_status check_parts(const clipc_config *config, bool image, clipc_error *error)
{
    CLIPC_FAIL_IF(image && (config->image_pooling == CLIPC_IMAGE_POOL_QUERY ||
                            config->image_pooling == CLIPC_IMAGE_POOL_AVERAGE ||
                            config->image_pooling == CLIPC_IMAGE_POOL_NORMED_AVERAGE),
                  error, CLIPC_ERROR_UNSUPPORTED, "the cuda backend cannot run an image tower with %s yet",
                  config->image_pooling == CLIPC_IMAGE_POOL_QUERY ? "attentional pooling (CoCa)"
                                                                  : "average pooling (CLIPA)");
    CLIPC_FAIL_IF(image && (config->class_token != config->norm_pre ||
                            config->class_token != (config->image_pooling == CLIPC_IMAGE_POOL_CLASS) ||
                            config->class_token != config->image_projection || config->image_projection_bias ||
                            (config->class_token && config->patch_bias)),
                  error, CLIPC_ERROR_UNSUPPORTED, "the cuda backend takes image towers of CLIP's and SigLIP's parts");
    CLIPC_FAIL_IF(!image && clipc_config_places_tokens(config), error, CLIPC_ERROR_UNSUPPORTED,
                  "the cuda backend cannot run a text tower with %s yet",
                  config->text_class_token ? "a class token (CoCa)" : "neither a causal mask nor its last row pooled");
    return CLIPC_OK;
}

clipc_status clipc_cuda_tower_pack(const clipc_model *model, bool image, clipc_cuda_type type, clipc_cuda_type operand,
                                   clipc_cuda_tower *out, clipc_error *error)
{
    const clipc_config *config = &model->config;
    const clipc_tower_config *shape = image ? &config->image : &config->text;
    const size_t head_stride = clipc_round_up(shape->width / shape->heads, 16);
    CLIPC_TRY(check_parts(config, image, error));
    CLIPC_FAIL_IF(head_stride > 128, error, CLIPC_ERROR_UNSUPPORTED,
                  "the cuda backend takes heads of up to 128 values, and the %s tower's have %zu",
                  image ? "image" : "text", shape->width / shape->heads);
    CLIPC_FAIL_IF(shape->width > 2048, error, CLIPC_ERROR_UNSUPPORTED,
                  "the cuda backend takes towers of up to 2048 values a row, and the %s tower has %zu",
                  image ? "image" : "text", shape->width);
    *out = (clipc_cuda_tower){
        .width = (int32_t)shape->width,
        .stride = (int32_t)clipc_round_up(shape->width, 8),
        .heads = (int32_t)shape->heads,
        .head_stride = (int32_t)head_stride,
        .inner = (int32_t)(shape->heads * head_stride),
        .operand = operand,
        .normal_stride = (int32_t)clipc_round_up(shape->width, 16),
        .normal_scale = exp2f(floorf(log2f(448 / sqrtf((float)shape->width)))),
        .mlp_stride = (int32_t)clipc_round_up(shape->mlp_width, clipc_cuda_is_bytes(operand) ? 16 : 8),
        .layer_count = (int32_t)shape->layers,
        .activation = activation_of(shape->activation),
        .epsilon = shape->layer_norm_epsilon,
        .pools_by_attention = image && config->image_pooling == CLIPC_IMAGE_POOL_ATTENTION,
    };
    clipc_status status = CLIPC_OK;
    packed_tower packer = {.type = type, .operand = operand};
    const size_t patch = 3 * config->patch_size * config->patch_size;
    const size_t inner = clipc_max((size_t)out->inner, shape->width);
    const size_t longest = clipc_max(clipc_max(inner, shape->mlp_width), image ? patch : 0);
    out->layers = clipc_allocate(shape->layers, sizeof *out->layers);
    packer.row = clipc_allocate(longest, sizeof *packer.row);
    packer.folded = clipc_allocate(longest + 16, sizeof *packer.folded);
    packer.scratch = clipc_allocate(2 * shape->width, sizeof *packer.scratch);
    if (!out->layers || !packer.row || !packer.folded || !packer.scratch) {
        status = clipc_fail_memory(error, longest * sizeof *packer.row, "a tower's weights");
        goto fail;
    }
    if (out->pools_by_attention)
        CLIPC_CHECK(project_probe(&packer, &model->weights, error));
    pack_tower(&packer, model, image, out);
    out->bytes = packer.used;
    CLIPC_CHECK(clipc_cuda_allocate(out->bytes, image ? "the image tower" : "the text tower", &out->memory, error));
    packer.device = out->memory;
    packer.used = 0;
    packer.host = clipc_allocate(out->bytes, 1);
    if (!packer.host) {
        status = clipc_fail_memory(error, out->bytes, "a tower's packed weights");
        goto fail;
    }
    pack_tower(&packer, model, image, out);
    CLIPC_CHECK(clipc_cuda_check(cudaMemcpy(out->memory, packer.host, out->bytes, cudaMemcpyHostToDevice),
                                 "copying weights to the device", error));
fail:
    clipc_free(packer.host);
    clipc_free(packer.row);
    clipc_free(packer.folded);
    clipc_free(packer.scratch);
    clipc_free(packer.query);
    if (status != CLIPC_OK)
        clipc_cuda_tower_free(out);
    return status;
}

void clipc_cuda_tower_free(clipc_cuda_tower *tower)
{
    if (tower->memory)
        cudaFree(tower->memory);
    clipc_free(tower->layers);
    *tower = (clipc_cuda_tower){0};
}
