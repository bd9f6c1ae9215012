/* A ResNet's image tower, one convolution after the other, BatchNorm as a step of its own. */
#include "backend/ref/ref_operations.h"
#include "backend/ref/ref_towers.h"
#include "model/resnet.h"

#include <string.h>

/* The whole tensor as fp32, in `place`. */
static const float *read_tensor(const clipc_tensor *tensor, float *place)
{
    clipc_tensor_read(tensor, 0, tensor->count, place);
    return place;
}

/* output = BatchNorm(convolution(the mean of each pool × pool pixels of input)) */
static void convolve(const clipc_convolution_weights *weights, const clipc_convolution *at,
                     clipc_ref_workspace *workspace, const float *input, float *output)
{
    const size_t longest = workspace->norm_length;
    const clipc_tensor *const parts[] = {&weights->norm_weight, &weights->norm_bias, &weights->norm_mean,
                                         &weights->norm_variance};
    if (at->pool > 1) {
        clipc_ref_average_pool(input, at->inputs, at->input_side, at->pool, workspace->pooled);
        input = workspace->pooled;
    }
    clipc_ref_convolution(input, at->inputs, at->input_side / at->pool,
                          read_tensor(&weights->kernel, workspace->weight), at->outputs, at->kernel, at->stride,
                          output);
    const float *norms[4];
    for (size_t i = 0; i < 4; i++)
        norms[i] = read_tensor(parts[i], workspace->norms + i * longest);
    clipc_ref_batch_norm(output, at->outputs, at->side * at->side, norms[0], norms[1], norms[2], norms[3],
                         CLIPC_BATCH_NORM_EPSILON);
}

/* Leaves the last stage's result in maps[0]. */
static void run_stages(const clipc_model *model, clipc_ref_workspace *workspace, const float *pixels)
{
    float **maps = workspace->maps;
    bool projected = false; /* maps[2] is the block's input as downsample has it */
    const float *input = pixels;
    const size_t count = clipc_resnet_count(&model->config);
    for (size_t i = 0; i < count; i++) {
        const clipc_convolution at = clipc_resnet_at(&model->config, i);
        const clipc_convolution_weights *weights = &model->weights.image.convolutions[i];
        const size_t values = at.outputs * at.side * at.side;
        switch (at.role) {
        case CLIPC_CONVOLUTION_PIXELS:
        case CLIPC_CONVOLUTION_STEM: {
            convolve(weights, &at, workspace, input, maps[1]);
            clipc_ref_relu(maps[1], values);
            float *made = maps[1];
            maps[1] = maps[0];
            maps[0] = made;
            input = made;
            break;
        }
        case CLIPC_CONVOLUTION_REDUCE:
            projected = false;
            convolve(weights, &at, workspace, maps[0], maps[1]);
            clipc_ref_relu(maps[1], values);
            break;
        case CLIPC_CONVOLUTION_SPREAD: {
            convolve(weights, &at, workspace, maps[1], maps[3]);
            clipc_ref_relu(maps[3], values);
            float *made = maps[3];
            maps[3] = maps[1];
            maps[1] = made;
            break;
        }
        case CLIPC_CONVOLUTION_DOWNSAMPLE:
            convolve(weights, &at, workspace, maps[0], maps[2]);
            projected = true;
            break;
        case CLIPC_CONVOLUTION_EXPAND:
            convolve(weights, &at, workspace, maps[1], maps[3]);
            clipc_ref_add(maps[3], projected ? maps[2] : maps[0], values);
            clipc_ref_relu(maps[3], values);
            memcpy(maps[0], maps[3], values * sizeof(float));
            break;
        }
    }
}

/* The pixels [width, area] as rows after their mean, plus positions. */
static void make_tokens(const clipc_model *model, clipc_ref_workspace *workspace)
{
    const size_t width = model->config.image.width;
    const size_t area = model->config.image_tokens - 1;
    float *rows = workspace->rows;
    for (size_t channel = 0; channel < width; channel++) {
        double sum = 0;
        for (size_t i = 0; i < area; i++) {
            rows[(i + 1) * width + channel] = workspace->maps[0][channel * area + i];
            sum += (double)rows[(i + 1) * width + channel];
        }
        rows[channel] = (float)(sum / (double)area);
    }
    clipc_ref_add(rows, read_tensor(&model->weights.image.position_embedding, workspace->normalized),
                  (area + 1) * width);
}

static void linear(clipc_ref_workspace *workspace, const float *input, size_t rows, const clipc_tensor *weight,
                   const clipc_tensor *bias, float *output)
{
    const float *values = read_tensor(weight, workspace->weight);
    clipc_ref_linear(input, rows, weight->shape[1], values, read_tensor(bias, workspace->bias), weight->shape[0],
                     output);
}

void clipc_ref_encode_resnet(const clipc_model *model, clipc_ref_workspace *workspace, const float *pixels,
                             float *embedding)
{
    const clipc_tower_config *tower = &model->config.image;
    const size_t tokens = model->config.image_tokens;
    run_stages(model, workspace, pixels);
    make_tokens(model, workspace);
    linear(workspace, workspace->rows, 1, &model->weights.image.pooling.query_weight,
           &model->weights.image.pooling.query_bias, workspace->query);
    linear(workspace, workspace->rows, tokens, &model->weights.image.pooling.key_weight,
           &model->weights.image.pooling.key_bias, workspace->key);
    linear(workspace, workspace->rows, tokens, &model->weights.image.pooling.value_weight,
           &model->weights.image.pooling.value_bias, workspace->value);
    clipc_ref_attention_pooling(workspace->query, workspace->key, workspace->value, tokens, tower->width, tower->heads,
                                workspace->scores, workspace->context);
    linear(workspace, workspace->context, 1, &model->weights.image.projection, &model->weights.image.projection_bias,
           embedding);
}
