#include "backend/cuda/tower_pack.h"

#include "backend/cuda/tower_packer.h"
#include "base/checked.h"
#include "base/memory.h"
#include "model/keep_precise.h"
#include "model/linear.h"

#include <math.h>
#include <string.h>

/* The scale by which no output of a product that follows a LayerNorm leaves e4m3's range: a normalised row is √width
 * long, so by Cauchy and Schwarz |output| ≤ √width · |weights| + |bias|, whatever the input. That is more than what
 * occurs, by 10 or 20 times, which costs an 8-bit float nothing: its smallest normal number is 2¹⁵ below its largest.
 */
static float bounding_scale(clipc_tower_packer *packer, const clipc_matrix_source *source)
{
    const size_t in = source->weight->count / source->weight->shape[0];
    double bound = 0;
    for (size_t r = 0; packer->function && r < source->weight->shape[0]; r++) {
        const double bias = clipc_packer_fold_row(packer, source, r);
        double squares = 0;
        for (size_t c = 0; c < in; c++)
            squares += (double)packer->folded[c] * packer->folded[c];
        bound = fmax(bound, sqrt((double)in * squares) + fabs(bias));
    }
    return bound > 0 ? (float)(448 / bound) : 1;
}

static float *pack_vector(clipc_tower_packer *packer, const clipc_tensor *tensor, const clipc_tensor *plus,
                          size_t width)
{
    void *place = NULL;
    float *values = clipc_packer_begin_part(packer, width * sizeof *values, &place);
    if (values) {
        clipc_tensor_read(tensor, 0, width, values);
        if (plus) {
            clipc_tensor_read(plus, 0, width, packer->row);
            for (size_t i = 0; i < width; i++)
                values[i] += packer->row[i];
        }
    }
    clipc_packer_end_part(packer, values, width * sizeof *values);
    return place;
}

/* Reads a LayerNorm's vectors into the scratch. */
static void read_norm(clipc_tower_packer *packer, const clipc_tensor *weight, const clipc_tensor *bias,
                      const float **norm_weight, const float **norm_bias)
{
    *norm_weight = NULL;
    *norm_bias = NULL;
    if (packer->function) {
        *norm_weight = packer->scratch;
        *norm_bias = packer->scratch + weight->count;
        clipc_tensor_read(weight, 0, weight->count, packer->scratch);
        clipc_tensor_read(bias, 0, bias->count, packer->scratch + weight->count);
    }
}

/* The probe goes through its projection once and for all. */
static clipc_status project_probe(clipc_tower_packer *packer, const clipc_weights *weights)
{
    const clipc_tensor *matrix = &weights->image.pooling.query_weight;
    const size_t width = matrix->shape[0];
    packer->query = clipc_allocate(width * (width + 1), sizeof *packer->query);
    if (!packer->query)
        return clipc_fail_memory(packer->error, width * (width + 1) * sizeof *packer->query, "the query of pooling");
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
static void pack_pooling(clipc_tower_packer *packer, const clipc_weights *weights, clipc_cuda_tower *tower)
{
    const clipc_layer_weights *pooling = &weights->image.pooling;
    const size_t stride = (size_t)tower->stride;
    const size_t inner = (size_t)tower->inner;
    const size_t hidden = (size_t)tower->mlp_stride;
    const clipc_cuda_type type = tower->type;
    const clipc_head_layout heads = {(size_t)(tower->width / tower->heads), (size_t)tower->head_stride};
    const float query_scale = (float)(1.4426950408889634 / sqrt((double)heads.head));
    const float *weight = NULL;
    const float *bias = NULL;
    read_norm(packer, &weights->image.norm_post_weight, &weights->image.norm_post_bias, &weight, &bias);
    const clipc_matrix_source qkv[3] = {
        {&packer->query_weight, &packer->query_bias, weight, bias, &heads, NULL, query_scale, 0},
        {&pooling->key_weight, &pooling->key_bias, weight, bias, &heads, NULL, 1, inner},
        {&pooling->value_weight, &pooling->value_bias, weight, bias, &heads, NULL, 1, 2 * inner},
    };
    clipc_packer_matrix(packer, qkv, 3, &(clipc_matrix_shape){type, 3 * inner, stride, 2, 1}, &tower->pooling.qkv);
    const clipc_matrix_source out = {
        &pooling->attention_out_weight, &pooling->attention_out_bias, NULL, NULL, NULL, &heads, 1, 0};
    clipc_packer_matrix(packer, &out, 1, &(clipc_matrix_shape){type, stride, inner, 2, 1}, &tower->pooling.out);
    read_norm(packer, &pooling->norm2_weight, &pooling->norm2_bias, &weight, &bias);
    const clipc_matrix_source fc1 = {&pooling->fc1_weight, &pooling->fc1_bias, weight, bias, NULL, NULL, 1, 0};
    clipc_packer_matrix(packer, &fc1, 1, &(clipc_matrix_shape){type, hidden, stride, 2, 1}, &tower->pooling.fc1);
    const clipc_matrix_source fc2 = {&pooling->fc2_weight, &pooling->fc2_bias, NULL, NULL, NULL, NULL, 1, 0};
    clipc_packer_matrix(packer, &fc2, 1, &(clipc_matrix_shape){type, stride, hidden, 2, 1}, &tower->pooling.fc2);
    clipc_packer_end_part(packer, clipc_packer_begin_part(packer, stride * 2, &tower->zero_row),
                          stride * 2); /* zeros already */
}

/* What a layer's next product but `ahead` multiplies. */
static clipc_cuda_type type_ahead(const clipc_tower_packer *packer, size_t ahead)
{
    return (clipc_cuda_type)packer->tower->types[packer->linear + ahead];
}

/* Of a product that follows a LayerNorm: the depth, and what the input is multiplied by. */
static clipc_matrix_shape shape_after_norm(const clipc_cuda_tower *tower, clipc_cuda_type type, size_t columns,
                                           size_t value_bytes)
{
    return (clipc_matrix_shape){type, columns,
                                (size_t)(clipc_cuda_is_bytes(type) ? tower->normal_stride : tower->stride),
                                value_bytes, type == CLIPC_CUDA_E4M3 ? tower->normal_scale : 1};
}

static void pack_layer(clipc_tower_packer *packer, const clipc_layer_weights *layer, const clipc_cuda_tower *tower,
                       clipc_cuda_layer *out)
{
    const size_t width = (size_t)tower->width;
    const size_t stride = (size_t)tower->stride;
    const size_t inner = (size_t)tower->inner;
    const size_t hidden = (size_t)tower->mlp_stride;
    const clipc_cuda_type types[4] = {type_ahead(packer, 0), type_ahead(packer, 1), type_ahead(packer, 2),
                                      type_ahead(packer, 3)};
    const clipc_head_layout heads = {width / (size_t)tower->heads, (size_t)tower->head_stride};
    const float *weight = NULL;
    const float *bias = NULL;
    /* exp(x) is computed as 2^(x log₂e): both factors ride on the queries. */
    const float query_scale = (float)(1.4426950408889634 / sqrt((double)heads.head));

    read_norm(packer, &layer->norm1_weight, &layer->norm1_bias, &weight, &bias);
    clipc_matrix_source qkv[3] = {
        {&layer->query_weight, &layer->query_bias, weight, bias, &heads, NULL, query_scale, 0},
        {&layer->key_weight, &layer->key_bias, weight, bias, &heads, NULL, 1, inner},
        {&layer->value_weight, &layer->value_bias, weight, bias, &heads, NULL, 1, 2 * inner},
    };
    /* What attention puts out is a mean of values, and so within their bounds. */
    if (types[1] == CLIPC_CUDA_E4M3)
        qkv[2].scale = bounding_scale(packer, &qkv[2]);
    const clipc_matrix_shape qkv_shape = shape_after_norm(tower, types[0], 3 * inner, 2);
    clipc_packer_matrix(packer, qkv, 3, &qkv_shape, &out->qkv);
    const clipc_matrix_source attention_out = {
        &layer->attention_out_weight, &layer->attention_out_bias, NULL, NULL, NULL, &heads, 1, 0};
    clipc_packer_matrix(packer, &attention_out, 1, &(clipc_matrix_shape){types[1], stride, inner, 2, qkv[2].scale},
                        &out->out);

    read_norm(packer, &layer->norm2_weight, &layer->norm2_bias, &weight, &bias);
    const clipc_matrix_source fc1 = {&layer->fc1_weight, &layer->fc1_bias, weight, bias, NULL, NULL, 1, 0};
    const bool hidden_bytes = types[2] == CLIPC_CUDA_E4M3;
    /* No activation puts out more than goes in. */
    if (packer->function && hidden_bytes)
        packer->tower->scales[packer->linear] = bounding_scale(packer, &fc1);
    const float hidden_scale = packer->tower->scales[packer->linear];
    const clipc_matrix_shape fc1_shape = shape_after_norm(tower, types[2], hidden, hidden_bytes ? 1 : 2);
    clipc_packer_matrix(packer, &fc1, 1, &fc1_shape, &out->fc1);
    const clipc_matrix_source fc2 = {&layer->fc2_weight, &layer->fc2_bias, NULL, NULL, NULL, NULL, 1, 0};
    clipc_packer_matrix(packer, &fc2, 1, &(clipc_matrix_shape){types[3], stride, hidden, 2, hidden_scale}, &out->fc2);
}

static void pack_tower(clipc_tower_packer *packer, const clipc_model *model, bool image, clipc_cuda_tower *tower)
{
    const clipc_config *config = &model->config;
    const size_t width = (size_t)tower->width;
    const size_t stride = (size_t)tower->stride;
    const size_t dimension = clipc_round_up(config->embedding_dimension, 8);
    const float *weight = NULL;
    const float *bias = NULL;
    if (tower->convolution_count) {
        clipc_packer_resnet(packer, model, tower);
        return;
    }
    if (image) {
        const size_t patch = 3 * config->patch_size * config->patch_size;
        const clipc_tensor *patch_bias = config->patch_bias ? &model->weights.image.patch_bias : NULL;
        const clipc_matrix_source patches = {
            &model->weights.image.patch_embedding, patch_bias, NULL, NULL, NULL, NULL, 1, 0};
        clipc_packer_matrix(packer, &patches, 1,
                            &(clipc_matrix_shape){tower->type, stride, clipc_round_up(patch, 8), 2, 1}, &tower->patch);
        tower->position = clipc_packer_table(packer, &model->weights.image.position_embedding, width, stride);
        if (config->class_token) {
            tower->class_row = pack_vector(packer, &model->weights.image.class_embedding,
                                           &model->weights.image.position_embedding, width);
        }
        if (config->norm_pre) {
            tower->norm_pre_weight = pack_vector(packer, &model->weights.image.norm_pre_weight, NULL, width);
            tower->norm_pre_bias = pack_vector(packer, &model->weights.image.norm_pre_bias, NULL, width);
        }
    } else {
        tower->position = clipc_packer_table(packer, &model->weights.text.position_embedding, width, stride);
        tower->embedding = clipc_packer_table(packer, &model->weights.text.token_embedding, width, stride);
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
    const bool has_bias = image ? config->image_projection_bias : config->text_projection_bias;
    const clipc_tensor *projection_bias = !has_bias ? NULL
                                          : image   ? &model->weights.image.projection_bias
                                                    : &model->weights.text.projection_bias;
    const clipc_matrix_source projection = {image ? &model->weights.image.projection : &model->weights.text.projection,
                                            projection_bias,
                                            weight,
                                            bias,
                                            NULL,
                                            NULL,
                                            1,
                                            0};
    clipc_packer_matrix(packer, &projection, 1, &(clipc_matrix_shape){tower->type, dimension, stride, 2, 1},
                        &tower->projection);
}

/* ---- what it will be ---- */

/* What the kernels are made for. */
static clipc_status check_parts(const clipc_config *config, bool image, clipc_error *error)
{
    CLIPC_FAIL_IF(image && config->image_pooling == CLIPC_IMAGE_POOL_QUERY, error, CLIPC_ERROR_UNSUPPORTED,
                  "the cuda backend cannot run an image tower with attentional pooling (CoCa) yet");
    const bool attends = config->image_pooling == CLIPC_IMAGE_POOL_ATTENTION;
    CLIPC_FAIL_IF(image && (config->image_projection == attends || (attends && config->class_token) ||
                            (config->norm_pre && !config->class_token)),
                  error, CLIPC_ERROR_UNSUPPORTED,
                  "the cuda backend takes image towers of the parts of CLIP, EVA, CLIPA and SigLIP");
    CLIPC_FAIL_IF(!image && config->text_class_token, error, CLIPC_ERROR_UNSUPPORTED,
                  "the cuda backend cannot run a text tower with a class token (CoCa) yet");
    return CLIPC_OK;
}

static clipc_status check_tower(const clipc_model *model, bool image, const clipc_cuda_packing *packing,
                                clipc_error *error)
{
    const clipc_config *config = &model->config;
    const clipc_tower_config *shape = image ? &config->image : &config->text;
    const bool resnet = image && clipc_config_is_resnet(config);
    CLIPC_FAIL_IF(resnet && clipc_cuda_is_bytes(packing->operand), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: backend cuda runs ResNet image towers in fp16 and bf16, not in %s",
                  model->path[0] ? model->path : model->name, packing->operand == CLIPC_CUDA_S8 ? "int8" : "fp8");
    if (!resnet)
        CLIPC_TRY(check_parts(config, image, error));
    CLIPC_FAIL_IF(clipc_round_up(shape->width / shape->heads, 16) > 128, error, CLIPC_ERROR_UNSUPPORTED,
                  "the cuda backend takes heads of up to 128 values, and the %s tower's have %zu",
                  image ? "image" : "text", shape->width / shape->heads);
    CLIPC_FAIL_IF(!resnet && shape->width > 2048, error, CLIPC_ERROR_UNSUPPORTED,
                  "the cuda backend takes towers of up to 2048 values a row, and the %s tower has %zu",
                  image ? "image" : "text", shape->width);
    return CLIPC_OK;
}

static clipc_cuda_tower shape_of(const clipc_config *config, bool image, const clipc_cuda_packing *packing)
{
    const clipc_tower_config *shape = image ? &config->image : &config->text;
    const size_t head_stride = clipc_round_up(shape->width / shape->heads, 16);
    const bool resnet = image && clipc_config_is_resnet(config);
    return (clipc_cuda_tower){
        .type = packing->type,
        .operand = packing->operand,
        .width = (int32_t)shape->width,
        .stride = (int32_t)clipc_round_up(shape->width, 8),
        .heads = (int32_t)shape->heads,
        .head_stride = (int32_t)head_stride,
        .inner = (int32_t)(shape->heads * head_stride),
        .normal_stride = (int32_t)clipc_round_up(shape->width, 16),
        .normal_scale = exp2f(floorf(log2f(448 / sqrtf((float)shape->width)))),
        .mlp_stride = (int32_t)clipc_round_up(shape->mlp_width, clipc_cuda_is_bytes(packing->operand) ? 16 : 8),
        .layer_count = resnet ? 0 : (int32_t)shape->layers,
        .convolution_count = resnet ? (int32_t)clipc_resnet_count(config) : 0,
        .epsilon = shape->layer_norm_epsilon,
        .pools_by_attention = image && config->image_pooling == CLIPC_IMAGE_POOL_ATTENTION,
        .averages = image && (config->image_pooling == CLIPC_IMAGE_POOL_AVERAGE ||
                              config->image_pooling == CLIPC_IMAGE_POOL_NORMED_AVERAGE),
        .averages_normed = image && config->image_pooling == CLIPC_IMAGE_POOL_NORMED_AVERAGE,
        .places = !image && clipc_config_places_tokens(config) ? (int32_t)config->vocabulary_size + 1 : 0,
        .linear_count = clipc_linear_count(config, image),
    };
}

clipc_status clipc_cuda_tower_create(const clipc_model *model, bool image, const clipc_cuda_packing *packing,
                                     clipc_cuda_tower *out, clipc_error *error)
{
    CLIPC_TRY(check_tower(model, image, packing, error));
    *out = shape_of(&model->config, image, packing);
    out->layers = clipc_allocate((size_t)out->layer_count, sizeof *out->layers);
    out->convolutions = clipc_allocate((size_t)out->convolution_count, sizeof *out->convolutions);
    out->types = clipc_allocate(out->linear_count, sizeof *out->types);
    out->scales = clipc_allocate(out->linear_count, sizeof *out->scales);
    if (!out->layers || !out->convolutions || !out->types || !out->scales) {
        clipc_cuda_tower_destroy(out);
        return clipc_fail_memory(error, (size_t)out->layer_count * sizeof *out->layers, "a tower's weights");
    }
    for (size_t i = 0; i < (size_t)out->convolution_count; i++)
        out->convolutions[i].shape = clipc_resnet_at(&model->config, i);
    for (size_t i = 0; i < out->linear_count; i++) {
        out->types[i] = (uint8_t)packing->type;
        out->scales[i] = 1;
    }
    const size_t first = image ? 1 : 0;
    for (size_t i = 0; i < 4 * (size_t)out->layer_count; i++)
        out->types[first + i] = (uint8_t)packing->operand;
    return CLIPC_OK;
}

void clipc_cuda_tower_destroy(clipc_cuda_tower *tower)
{
    clipc_free(tower->layers);
    clipc_free(tower->convolutions);
    clipc_free(tower->types);
    clipc_free(tower->scales);
    tower->layers = NULL;
    tower->convolutions = NULL;
    tower->types = NULL;
    tower->scales = NULL;
}

void clipc_cuda_tower_keep(const clipc_model *model, bool image, const char *keep_precise, clipc_cuda_tower *tower)
{
    const size_t first = image ? 1 : 0;
    for (size_t i = 0; i < tower->linear_count; i++) {
        const clipc_linear linear = clipc_linear_at(&model->config, &model->weights, image, i);
        if (clipc_keep_precise_names(keep_precise, linear.name))
            tower->types[i] = (uint8_t)tower->type;
    }
    /* What goes from fc1 to fc2 is e4m3, or it is not. */
    for (size_t i = first; tower->operand == CLIPC_CUDA_E4M3 && i < first + 4 * (size_t)tower->layer_count; i += 4)
        if (tower->types[i + 2] != tower->types[i + 3]) {
            tower->types[i + 2] = (uint8_t)tower->type;
            tower->types[i + 3] = (uint8_t)tower->type;
        }
}

clipc_status clipc_cuda_tower_check(const clipc_cuda_tower *tower, bool image, const char *name, clipc_error *error)
{
    const size_t first = image ? 1 : 0;
    const size_t end = first + 4 * (size_t)tower->layer_count;
    for (size_t i = 0; i < tower->linear_count; i++) {
        const bool of_layer = i >= first && i < end;
        const bool known = tower->types[i] == tower->type || (of_layer && tower->types[i] == tower->operand);
        const bool is_fc2 = of_layer && (i - first) % 4 == 3;
        const bool alone = is_fc2 && tower->operand == CLIPC_CUDA_E4M3 && tower->types[i] != tower->types[i - 1];
        CLIPC_FAIL_IF(!known || alone, error, CLIPC_ERROR_FORMAT,
                      "%s: damaged: linear layer %zu of the %s tower is of a type that its engine does not have", name,
                      i, image ? "image" : "text");
        CLIPC_FAIL_IF(!isfinite(tower->scales[i]) || tower->scales[i] <= 0, error, CLIPC_ERROR_FORMAT,
                      "%s: damaged: the scale of linear layer %zu of the %s tower is no positive number", name, i,
                      image ? "image" : "text");
    }
    return CLIPC_OK;
}

/* ---- the block ---- */

void clipc_cuda_tower_place(const clipc_model *model, bool image, void *memory, clipc_cuda_tower *tower)
{
    clipc_tower_packer packer = {.base = memory, .tower = tower};
    tower->memory = memory;
    pack_tower(&packer, model, image, tower);
    tower->bytes = packer.used;
}

clipc_status clipc_cuda_tower_pack(const clipc_model *model, bool image, bool once, clipc_cuda_tower *tower,
                                   clipc_cuda_block_function function, void *context, clipc_error *error)
{
    const clipc_config *config = &model->config;
    const size_t width = (size_t)tower->width;
    const size_t patch = 3 * config->patch_size * config->patch_size;
    const size_t mlp_width = image ? config->image.mlp_width : config->text.mlp_width;
    const size_t inner = clipc_max((size_t)tower->inner, width);
    const size_t longest =
        clipc_max(clipc_max(clipc_max(inner, mlp_width), clipc_packer_resnet_row(tower)), image ? patch : 0);
    clipc_tower_packer packer = {.base = tower->memory,
                                 .function = function,
                                 .context = context,
                                 .forget = once ? model : NULL,
                                 .error = error,
                                 .tower = tower};
    packer.row = clipc_allocate(longest, sizeof *packer.row);
    packer.folded = clipc_allocate(longest + 16, sizeof *packer.folded);
    packer.scratch = clipc_allocate(2 * width, sizeof *packer.scratch);
    if (!packer.row || !packer.folded || !packer.scratch)
        packer.status = clipc_fail_memory(error, longest * sizeof *packer.row, "a tower's weights");
    if (packer.status == CLIPC_OK && tower->pools_by_attention)
        packer.status = project_probe(&packer, &model->weights);
    if (packer.status == CLIPC_OK)
        pack_tower(&packer, model, image, tower);
    clipc_free(packer.row);
    clipc_free(packer.folded);
    clipc_free(packer.scratch);
    clipc_free(packer.query);
    return packer.status;
}
