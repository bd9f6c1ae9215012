#include "backend/ref/ref_towers.h"

#include "backend/ref/ref_operations.h"
#include "model/token_place.h"

#include <string.h>

/* One item on its way through a tower. */
typedef struct item {
    const clipc_tower_config *tower;
    bool image;
    bool causal;
    bool last_unseen; /* the last row does not see itself */
    size_t tokens;
    size_t pooled_row; /* the one that is read after the last layer; == tokens: all of them are */
} item;

/* The whole tensor as fp32, in `place`. */
static const float *read_tensor(const clipc_tensor *tensor, float *place)
{
    clipc_tensor_read(tensor, 0, tensor->count, place);
    return place;
}

static void linear(clipc_ref_workspace *workspace, const float *input, size_t rows, const clipc_tensor *weight,
                   const clipc_tensor *bias, float *output)
{
    const float *values = read_tensor(weight, workspace->weight);
    const float *offsets = bias ? read_tensor(bias, workspace->bias) : NULL;
    clipc_ref_linear(input, rows, weight->shape[1], values, offsets, weight->shape[0], output);
}

/* Of rows as wide as the weights. */
static void layer_norm(clipc_ref_workspace *workspace, const float *input, size_t rows,
                       const clipc_tower_config *tower, const clipc_tensor *weight, const clipc_tensor *bias,
                       float *output)
{
    const float *values = read_tensor(weight, workspace->weight);
    const float *offsets = read_tensor(bias, workspace->bias);
    clipc_ref_layer_norm(input, rows, weight->count, values, offsets, tower->layer_norm_epsilon, output);
}

/* Of the last layer the pooled row alone, where there is one. */
static void tap_layer(const clipc_ref_workspace *workspace, const item *of, clipc_tap_point point, size_t index)
{
    const size_t width = of->tower->width;
    const bool pooled = index + 1 == of->tower->layers && of->pooled_row < of->tokens;
    const float *rows = workspace->rows + (pooled ? of->pooled_row * width : 0);
    clipc_tap_give(&workspace->tap, of->image, point, index,
                   (clipc_tap_rows){rows, pooled ? 1 : of->tokens, width, width});
}

static void tap_row(const clipc_ref_workspace *workspace, bool image, clipc_tap_point point, const float *row,
                    size_t width)
{
    clipc_tap_give(&workspace->tap, image, point, 0, (clipc_tap_rows){row, 1, width, width});
}

/* rows += mlp(norm2(rows)) */
static void add_mlp(clipc_ref_workspace *workspace, const clipc_tower_config *tower, const clipc_layer_weights *layer,
                    size_t tokens)
{
    float *normalized = workspace->normalized;
    layer_norm(workspace, workspace->rows, tokens, tower, &layer->norm2_weight, &layer->norm2_bias, normalized);
    linear(workspace, normalized, tokens, &layer->fc1_weight, &layer->fc1_bias, workspace->hidden);
    clipc_ref_activation(tower->activation, workspace->hidden, tokens * tower->mlp_width);
    linear(workspace, workspace->hidden, tokens, &layer->fc2_weight, &layer->fc2_bias, normalized);
    clipc_ref_add(workspace->rows, normalized, tokens * tower->width);
}

/* rows += attention(norm1(rows)); rows += mlp(norm2(rows)) */
static void encoder_layer(clipc_ref_workspace *workspace, const item *of, const clipc_layer_weights *layers,
                          size_t index)
{
    const clipc_layer_weights *layer = &layers[index];
    const clipc_tower_config *tower = of->tower;
    const size_t tokens = of->tokens;
    float *rows = workspace->rows;
    float *normalized = workspace->normalized;

    layer_norm(workspace, rows, tokens, tower, &layer->norm1_weight, &layer->norm1_bias, normalized);
    linear(workspace, normalized, tokens, &layer->query_weight, &layer->query_bias, workspace->query);
    linear(workspace, normalized, tokens, &layer->key_weight, &layer->key_bias, workspace->key);
    linear(workspace, normalized, tokens, &layer->value_weight, &layer->value_bias, workspace->value);
    clipc_ref_attention(workspace->query, workspace->key, workspace->value, tokens, tower->width, tower->heads,
                        of->causal, of->last_unseen, workspace->scores, workspace->context);
    linear(workspace, workspace->context, tokens, &layer->attention_out_weight, &layer->attention_out_bias,
           normalized);
    clipc_ref_add(rows, normalized, tokens * tower->width);
    tap_layer(workspace, of, CLIPC_TAP_ATTENTION, index);
    add_mlp(workspace, tower, layer, tokens);
    tap_layer(workspace, of, CLIPC_TAP_MLP, index);
}

/* From X through all layers. */
static void run_layers(clipc_ref_workspace *workspace, const item *of, const clipc_layer_weights *layers)
{
    const size_t width = of->tower->width;
    clipc_tap_give(&workspace->tap, of->image, CLIPC_TAP_EMBEDDING, 0,
                   (clipc_tap_rows){workspace->rows, of->tokens, width, width});
    for (size_t i = 0; i < of->tower->layers; i++)
        encoder_layer(workspace, of, layers, i);
}

static void add_positions(clipc_ref_workspace *workspace, const clipc_tensor *positions, size_t tokens, size_t width)
{
    clipc_tensor_read(positions, 0, tokens * width, workspace->normalized);
    clipc_ref_add(workspace->rows, workspace->normalized, tokens * width);
}

/* ---- images ---- */

/* What X begins with: patches, and before them a class token. */
static void embed_image(const clipc_model *model, clipc_ref_workspace *workspace, const float *pixels)
{
    const clipc_config *config = &model->config;
    const clipc_tower_config *tower = &config->image;
    const size_t tokens = config->image_tokens;
    float *rows = workspace->rows;
    float *patches = rows + (config->class_token ? tower->width : 0);

    if (config->class_token)
        read_tensor(&model->weights.image.class_embedding, rows);
    const float *weight = read_tensor(&model->weights.image.patch_embedding, workspace->weight);
    clipc_ref_patch_embedding(pixels, config->image_size, config->patch_size, weight, tower->width, workspace->patch,
                              patches);
    if (config->patch_bias) {
        const float *bias = read_tensor(&model->weights.image.patch_bias, workspace->bias);
        for (float *row = patches; row < rows + tokens * tower->width; row += tower->width)
            clipc_ref_add(row, bias, tower->width);
    }
    add_positions(workspace, &model->weights.image.position_embedding, tokens, tower->width);
    if (config->norm_pre)
        layer_norm(workspace, rows, tokens, tower, &model->weights.image.norm_pre_weight,
                   &model->weights.image.norm_pre_bias, rows);
}

/* The probe attends to all rows, and what comes of it goes through an MLP: to row 0. */
static const float *pool_by_attention(const clipc_model *model, clipc_ref_workspace *workspace)
{
    const clipc_tower_config *tower = &model->config.image;
    const clipc_layer_weights *pooling = &model->weights.image.pooling;
    const size_t tokens = model->config.image_tokens;
    float *normalized = workspace->normalized;

    layer_norm(workspace, workspace->rows, tokens, tower, &model->weights.image.norm_post_weight,
               &model->weights.image.norm_post_bias, normalized);
    linear(workspace, normalized, tokens, &pooling->key_weight, &pooling->key_bias, workspace->key);
    linear(workspace, normalized, tokens, &pooling->value_weight, &pooling->value_bias, workspace->value);
    read_tensor(&model->weights.image.probe, normalized);
    linear(workspace, normalized, 1, &pooling->query_weight, &pooling->query_bias, workspace->query);
    clipc_ref_attention_pooling(workspace->query, workspace->key, workspace->value, tokens, tower->width, tower->heads,
                                workspace->scores, workspace->context);
    linear(workspace, workspace->context, 1, &pooling->attention_out_weight, &pooling->attention_out_bias,
           workspace->rows);
    add_mlp(workspace, tower, pooling, 1);
    return workspace->rows;
}

/* The same of a query as wide as the embedding, without an MLP. */
static const float *pool_by_query(const clipc_model *model, clipc_ref_workspace *workspace)
{
    const clipc_config *config = &model->config;
    const clipc_layer_weights *pooling = &model->weights.image.pooling;
    const size_t tokens = config->image_tokens;
    float *normalized = workspace->normalized;

    layer_norm(workspace, workspace->rows, tokens, &config->image, &model->weights.image.norm_post_weight,
               &model->weights.image.norm_post_bias, normalized);
    linear(workspace, normalized, tokens, &pooling->key_weight, &pooling->key_bias, workspace->key);
    linear(workspace, normalized, tokens, &pooling->value_weight, &pooling->value_bias, workspace->value);
    read_tensor(&model->weights.image.probe, normalized);
    layer_norm(workspace, normalized, 1, &config->image, &pooling->norm1_weight, &pooling->norm1_bias, normalized);
    linear(workspace, normalized, 1, &pooling->query_weight, &pooling->query_bias, workspace->query);
    clipc_ref_attention_pooling(workspace->query, workspace->key, workspace->value, tokens,
                                config->embedding_dimension, config->pooling_heads, workspace->scores,
                                workspace->context);
    linear(workspace, workspace->context, 1, &pooling->attention_out_weight, &pooling->attention_out_bias,
           workspace->rows);
    layer_norm(workspace, workspace->rows, 1, &config->image, &pooling->norm2_weight, &pooling->norm2_bias,
               normalized);
    tap_row(workspace, true, CLIPC_TAP_NORM, normalized, config->embedding_dimension);
    return normalized;
}

/* The mean of the patches' rows, before or after the LayerNorm. */
static const float *pool_average(const clipc_model *model, clipc_ref_workspace *workspace)
{
    const clipc_config *config = &model->config;
    const size_t width = config->image.width;
    const size_t first = config->class_token ? 1 : 0;
    const size_t patches = config->image_tokens - first;
    const clipc_tensor *weight = &model->weights.image.norm_post_weight;
    const clipc_tensor *bias = &model->weights.image.norm_post_bias;
    float *rows = workspace->rows + first * width;
    float *mean = workspace->normalized;

    if (config->image_pooling == CLIPC_IMAGE_POOL_NORMED_AVERAGE)
        layer_norm(workspace, rows, patches, &config->image, weight, bias, rows);
    clipc_ref_mean_rows(rows, patches, width, mean);
    if (config->image_pooling == CLIPC_IMAGE_POOL_AVERAGE)
        layer_norm(workspace, mean, 1, &config->image, weight, bias, mean);
    tap_row(workspace, true, CLIPC_TAP_NORM, mean, width);
    return mean;
}

/* Row 0 stands for the image. */
static const float *pool_class_token(const clipc_model *model, clipc_ref_workspace *workspace)
{
    const clipc_tower_config *tower = &model->config.image;
    layer_norm(workspace, workspace->rows, 1, tower, &model->weights.image.norm_post_weight,
               &model->weights.image.norm_post_bias, workspace->normalized);
    tap_row(workspace, true, CLIPC_TAP_NORM, workspace->normalized, tower->width);
    return workspace->normalized;
}

static const float *pool_image(const clipc_model *model, clipc_ref_workspace *workspace)
{
    switch (model->config.image_pooling) {
    case CLIPC_IMAGE_POOL_ATTENTION: return pool_by_attention(model, workspace);
    case CLIPC_IMAGE_POOL_QUERY: return pool_by_query(model, workspace);
    case CLIPC_IMAGE_POOL_AVERAGE:
    case CLIPC_IMAGE_POOL_NORMED_AVERAGE: return pool_average(model, workspace);
    case CLIPC_IMAGE_POOL_CLASS: break;
    }
    return pool_class_token(model, workspace);
}

void clipc_ref_encode_image(const clipc_model *model, clipc_ref_workspace *workspace, const float *pixels,
                            float *embedding)
{
    if (clipc_config_is_resnet(&model->config)) {
        clipc_ref_encode_resnet(model, workspace, pixels, embedding);
        return;
    }
    const clipc_config *config = &model->config;
    const item image = {.tower = &config->image,
                        .image = true,
                        .tokens = config->image_tokens,
                        .pooled_row = clipc_config_pools_rows(config) ? config->image_tokens : 0};

    embed_image(model, workspace, pixels);
    run_layers(workspace, &image, model->weights.image.layers);
    const float *pooled = pool_image(model, workspace);
    if (config->image_projection)
        linear(workspace, pooled, 1, &model->weights.image.projection,
               config->image_projection_bias ? &model->weights.image.projection_bias : NULL, embedding);
    else
        memcpy(embedding, pooled, config->embedding_dimension * sizeof *embedding);
    tap_row(workspace, true, CLIPC_TAP_PROJECTION, embedding, config->embedding_dimension);
}

/* ---- text ---- */

/* Rows that each say where they stand. */
static void embed_places(const clipc_model *model, clipc_ref_workspace *workspace, const int32_t *places, size_t count)
{
    const size_t width = model->config.text.width;
    const size_t vocabulary = model->config.vocabulary_size;
    for (size_t i = 0; i < count; i++) {
        const size_t id = clipc_token_place_id(vocabulary, places[i]);
        const size_t position = clipc_token_place_position(vocabulary, places[i]);
        float *row = workspace->rows + i * width;
        if (id == vocabulary)
            read_tensor(&model->weights.text.class_embedding, row);
        else
            clipc_tensor_read(&model->weights.text.token_embedding, id * width, width, row);
        clipc_tensor_read(&model->weights.text.position_embedding, position * width, width, workspace->normalized);
        clipc_ref_add(row, workspace->normalized, width);
    }
}

static void embed_text(const clipc_model *model, clipc_ref_workspace *workspace, const int32_t *ids, size_t tokens)
{
    const size_t width = model->config.text.width;
    for (size_t i = 0; i < tokens; i++)
        clipc_tensor_read(&model->weights.text.token_embedding, (size_t)ids[i] * width, width,
                          workspace->rows + i * width);
    add_positions(workspace, &model->weights.text.position_embedding, tokens, width);
}

void clipc_ref_encode_text(const clipc_model *model, clipc_ref_workspace *workspace, const int32_t *ids, size_t tokens,
                           float *embedding)
{
    const clipc_tower_config *tower = &model->config.text;
    const item text = {.tower = tower,
                       .causal = model->config.causal,
                       .last_unseen = model->config.text_class_token,
                       .tokens = tokens,
                       .pooled_row = tokens - 1};
    float *rows = workspace->rows;

    (clipc_config_places_tokens(&model->config) ? embed_places : embed_text)(model, workspace, ids, tokens);
    run_layers(workspace, &text, model->weights.text.layers);

    layer_norm(workspace, rows + text.pooled_row * tower->width, 1, tower, &model->weights.text.norm_final_weight,
               &model->weights.text.norm_final_bias, workspace->normalized);
    tap_row(workspace, false, CLIPC_TAP_NORM, workspace->normalized, tower->width);
    linear(workspace, workspace->normalized, 1, &model->weights.text.projection,
           model->config.text_projection_bias ? &model->weights.text.projection_bias : NULL, embedding);
    tap_row(workspace, false, CLIPC_TAP_PROJECTION, embedding, model->config.embedding_dimension);
}
