#include "backend/ref/ref_towers.h"

#include "backend/ref/ref_operations.h"

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

static void layer_norm(clipc_ref_workspace *workspace, const float *input, size_t rows,
                       const clipc_tower_config *tower, const clipc_tensor *weight, const clipc_tensor *bias,
                       float *output)
{
    const float *values = read_tensor(weight, workspace->weight);
    const float *offsets = read_tensor(bias, workspace->bias);
    clipc_ref_layer_norm(input, rows, tower->width, values, offsets, tower->layer_norm_epsilon, output);
}

/* Of the last layer the pooled row alone: the last one of a text, the first of an image. */
static void tap_layer(const clipc_ref_workspace *workspace, const clipc_tower_config *tower, clipc_tap_point point,
                      size_t index, size_t tokens, bool causal)
{
    const bool pooled = index + 1 == tower->layers;
    const float *rows = workspace->rows + (pooled && causal ? (tokens - 1) * tower->width : 0);
    clipc_tap_give(&workspace->tap, !causal, point, index,
                   (clipc_tap_rows){rows, pooled ? 1 : tokens, tower->width, tower->width});
}

static void tap_row(const clipc_ref_workspace *workspace, bool image, clipc_tap_point point, const float *row,
                    size_t width)
{
    clipc_tap_give(&workspace->tap, image, point, 0, (clipc_tap_rows){row, 1, width, width});
}

/* rows += attention(norm1(rows)); rows += mlp(norm2(rows)) */
static void encoder_layer(clipc_ref_workspace *workspace, const clipc_tower_config *tower,
                          const clipc_layer_weights *layers, size_t index, size_t tokens, bool causal)
{
    const clipc_layer_weights *layer = &layers[index];
    float *rows = workspace->rows;
    float *normalized = workspace->normalized;

    layer_norm(workspace, rows, tokens, tower, &layer->norm1_weight, &layer->norm1_bias, normalized);
    linear(workspace, normalized, tokens, &layer->query_weight, &layer->query_bias, workspace->query);
    linear(workspace, normalized, tokens, &layer->key_weight, &layer->key_bias, workspace->key);
    linear(workspace, normalized, tokens, &layer->value_weight, &layer->value_bias, workspace->value);
    clipc_ref_attention(workspace->query, workspace->key, workspace->value, tokens, tower->width, tower->heads, causal,
                        workspace->scores, workspace->context);
    linear(workspace, workspace->context, tokens, &layer->attention_out_weight, &layer->attention_out_bias,
           normalized);
    clipc_ref_add(rows, normalized, tokens * tower->width);
    tap_layer(workspace, tower, CLIPC_TAP_ATTENTION, index, tokens, causal);

    layer_norm(workspace, rows, tokens, tower, &layer->norm2_weight, &layer->norm2_bias, normalized);
    linear(workspace, normalized, tokens, &layer->fc1_weight, &layer->fc1_bias, workspace->hidden);
    clipc_ref_activation(tower->activation, workspace->hidden, tokens * tower->mlp_width);
    linear(workspace, workspace->hidden, tokens, &layer->fc2_weight, &layer->fc2_bias, normalized);
    clipc_ref_add(rows, normalized, tokens * tower->width);
    tap_layer(workspace, tower, CLIPC_TAP_MLP, index, tokens, causal);
}

static void add_positions(clipc_ref_workspace *workspace, const clipc_tensor *positions, size_t tokens, size_t width)
{
    clipc_tensor_read(positions, 0, tokens * width, workspace->normalized);
    clipc_ref_add(workspace->rows, workspace->normalized, tokens * width);
}

void clipc_ref_encode_image(const clipc_model *model, clipc_ref_workspace *workspace, const float *pixels,
                            float *embedding)
{
    const clipc_config *config = &model->config;
    const clipc_tower_config *tower = &config->image;
    const size_t tokens = config->image_tokens;
    float *rows = workspace->rows;

    read_tensor(&model->weights.image.class_embedding, rows);
    const float *weight = read_tensor(&model->weights.image.patch_embedding, workspace->weight);
    clipc_ref_patch_embedding(pixels, config->image_size, config->patch_size, weight, tower->width, workspace->patch,
                              rows + tower->width);
    add_positions(workspace, &model->weights.image.position_embedding, tokens, tower->width);
    layer_norm(workspace, rows, tokens, tower, &model->weights.image.norm_pre_weight,
               &model->weights.image.norm_pre_bias, rows);
    clipc_tap_give(&workspace->tap, true, CLIPC_TAP_EMBEDDING, 0,
                   (clipc_tap_rows){rows, tokens, tower->width, tower->width});

    for (size_t i = 0; i < tower->layers; i++)
        encoder_layer(workspace, tower, model->weights.image.layers, i, tokens, false);

    /* The class token, row 0, stands for the image. */
    layer_norm(workspace, rows, 1, tower, &model->weights.image.norm_post_weight, &model->weights.image.norm_post_bias,
               workspace->normalized);
    tap_row(workspace, true, CLIPC_TAP_NORM, workspace->normalized, tower->width);
    linear(workspace, workspace->normalized, 1, &model->weights.image.projection, NULL, embedding);
    tap_row(workspace, true, CLIPC_TAP_PROJECTION, embedding, config->embedding_dimension);
}

void clipc_ref_encode_text(const clipc_model *model, clipc_ref_workspace *workspace, const int32_t *ids, size_t tokens,
                           float *embedding)
{
    const clipc_tower_config *tower = &model->config.text;
    float *rows = workspace->rows;

    for (size_t i = 0; i < tokens; i++)
        clipc_tensor_read(&model->weights.text.token_embedding, (size_t)ids[i] * tower->width, tower->width,
                          rows + i * tower->width);
    add_positions(workspace, &model->weights.text.position_embedding, tokens, tower->width);
    clipc_tap_give(&workspace->tap, false, CLIPC_TAP_EMBEDDING, 0,
                   (clipc_tap_rows){rows, tokens, tower->width, tower->width});

    for (size_t i = 0; i < tower->layers; i++)
        encoder_layer(workspace, tower, model->weights.text.layers, i, tokens, true);

    layer_norm(workspace, rows + (tokens - 1) * tower->width, 1, tower, &model->weights.text.norm_final_weight,
               &model->weights.text.norm_final_bias, workspace->normalized);
    tap_row(workspace, false, CLIPC_TAP_NORM, workspace->normalized, tower->width);
    linear(workspace, workspace->normalized, 1, &model->weights.text.projection, NULL, embedding);
    tap_row(workspace, false, CLIPC_TAP_PROJECTION, embedding, model->config.embedding_dimension);
}
