#include "onnx/import_weights.h"

#include "base/memory.h"
#include "io/half.h"
#include "model/resnet.h"

#include <stdio.h>
#include <string.h>

typedef clipc_onnx_expression expression;

typedef struct taker {
    clipc_onnx_import *import;
    const char *file;
    clipc_error *error;
} taker;

static const char *keep_name(const taker *to, const clipc_onnx_constant *from)
{
    const char *name = from->name[0] ? from->name : "a constant";
    return clipc_onnx_arena_text(&to->import->kept, name, strlen(name));
}

static bool is_real(const clipc_onnx_constant *from)
{
    return from->dtype == CLIPC_DTYPE_F32 || from->dtype == CLIPC_DTYPE_F16 || from->dtype == CLIPC_DTYPE_BF16;
}

/* ---- copies ---- */

/* A number of each output, or one for all. */
static double of_output(const clipc_onnx_constant *from, size_t output, double absent)
{
    if (!from)
        return absent;
    return clipc_onnx_constant_real(from, from->rank && from->shape[0] != 1 ? output * from->strides[0] : 0);
}

static float value_at(const expression *source, const clipc_onnx_constant *from, size_t flat, size_t output,
                      double factor)
{
    const size_t offset = clipc_onnx_constant_offset(from, flat);
    if (source && source->scale) {
        const int64_t zero = (int64_t)of_output(source->zero, output, 0);
        const float step = (float)of_output(source->scale, output, 1);
        return (float)((double)((float)(clipc_onnx_constant_integer(from, offset) - zero) * step) * factor);
    }
    return (float)(clipc_onnx_constant_real(from, offset) * factor);
}

/* Row-major: fp16 when the stored values are, else fp32. `outputs`: how many of the first sides share a zero and step.
 */
static clipc_status copy(const taker *to, const expression *source, const clipc_onnx_constant *from, double factor,
                         clipc_tensor *out)
{
    const bool integer = clipc_onnx_constant_is_integer(from);
    const bool half = factor == 1 && !integer && (from->halved || from->dtype == CLIPC_DTYPE_F16);
    const size_t count = out->count;
    const size_t row = from->rank > 1 ? count / from->shape[0] : 1;
    CLIPC_FAIL_IF(integer && (!source || !source->scale), to->error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: weight '%s' is %s, expected floats", to->file, from->name, clipc_dtype_name(from->dtype));
    uint8_t *values = clipc_onnx_arena_cut(&to->import->kept, count, half ? 2 : 4);
    if (!values)
        return to->import->kept.status;
    for (size_t i = 0; i < count; i++) {
        const float value = value_at(source, from, i, i / row, factor);
        const uint16_t bits = clipc_half_from_float(value);
        memcpy(values + i * (half ? 2 : 4), half ? (const void *)&bits : (const void *)&value, half ? 2 : 4);
    }
    out->data = values;
    out->dtype = half ? CLIPC_DTYPE_F16 : CLIPC_DTYPE_F32;
    return CLIPC_OK;
}

static void set_shape(clipc_tensor *out, const clipc_onnx_constant *from)
{
    out->rank = from->rank;
    out->count = clipc_onnx_constant_count(from);
    memcpy(out->shape, from->shape, sizeof out->shape);
}

/* Where it lies, if it lies so. */
static clipc_status take(const taker *to, const expression *source, const clipc_onnx_constant *from, double factor,
                         clipc_tensor *out)
{
    *out = (clipc_tensor){.name = keep_name(to, from)};
    if (!out->name)
        return to->import->kept.status;
    set_shape(out, from);
    if (from->lasting && !from->halved && is_real(from) && factor == 1) {
        out->data = from->data;
        out->dtype = from->dtype;
        if (clipc_onnx_constant_is_dense(from))
            return CLIPC_OK;
        if (from->rank == 2 && (from->strides[0] == 1 || from->shape[0] == 1) && from->strides[1] >= from->shape[0]) {
            out->pitch = from->strides[1];
            return CLIPC_OK;
        }
    }
    return copy(to, source, from, factor, out);
}

static clipc_status zeros(const taker *to, size_t count, clipc_tensor *out)
{
    *out = (clipc_tensor){
        .name = "an absent bias", .dtype = CLIPC_DTYPE_F32, .rank = 1, .shape = {count}, .count = count};
    out->data = clipc_onnx_arena_cut(&to->import->kept, count, sizeof(float));
    return out->data ? CLIPC_OK : to->import->kept.status;
}

/* ---- roles ---- */

static clipc_status take_vector(const taker *to, const clipc_onnx_constant *from, size_t count, double factor,
                                clipc_tensor *out)
{
    return from ? take(to, NULL, from, factor, out) : zeros(to, count, out);
}

/* The graph multiplies by [inner, outputs]; the model has [outputs, inner]. */
static clipc_status take_matrix(const taker *to, const expression *linear, double factor, clipc_tensor *out)
{
    clipc_onnx_constant turned = *linear->weight;
    turned.shape[0] = linear->weight->shape[1];
    turned.shape[1] = linear->weight->shape[0];
    turned.strides[0] = linear->weight->strides[1];
    turned.strides[1] = linear->weight->strides[0];
    to->import->integers |= linear->scale != NULL;
    return take(to, linear, &turned, factor, out);
}

static clipc_status take_linear(const taker *to, const expression *linear, double factor, clipc_tensor *weight,
                                clipc_tensor *bias)
{
    CLIPC_TRY(take_matrix(to, linear, factor, weight));
    return take_vector(to, linear->bias, linear->features, factor, bias);
}

static clipc_status take_norm(const taker *to, const expression *norm, clipc_tensor *weight, clipc_tensor *bias)
{
    CLIPC_TRY(take_vector(to, norm->weight, norm->features, 1, weight));
    return take_vector(to, norm->bias, norm->features, 1, bias);
}

static clipc_status take_norm2_and_mlp(const taker *to, const clipc_onnx_layer *from, clipc_layer_weights *out)
{
    CLIPC_TRY(take_norm(to, from->norm2, &out->norm2_weight, &out->norm2_bias));
    CLIPC_TRY(take_linear(to, from->fc1, 1, &out->fc1_weight, &out->fc1_bias));
    return take_linear(to, from->fc2, 1, &out->fc2_weight, &out->fc2_bias);
}

static clipc_status take_attention(const taker *to, const clipc_onnx_layer *from, clipc_layer_weights *out)
{
    CLIPC_TRY(take_linear(to, from->query, from->query_factor, &out->query_weight, &out->query_bias));
    CLIPC_TRY(take_linear(to, from->key, 1, &out->key_weight, &out->key_bias));
    CLIPC_TRY(take_linear(to, from->value, 1, &out->value_weight, &out->value_bias));
    return take_linear(to, from->attention_out, 1, &out->attention_out_weight, &out->attention_out_bias);
}

static clipc_status take_layer(const taker *to, const clipc_onnx_layer *from, clipc_layer_weights *out)
{
    CLIPC_TRY(take_norm(to, from->norm1, &out->norm1_weight, &out->norm1_bias));
    CLIPC_TRY(take_attention(to, from, out));
    return take_norm2_and_mlp(to, from, out);
}

/* Of attention pooling; the probe has the shape that SigLIP's has. */
static clipc_status take_probe(const taker *to, const clipc_onnx_tower *from)
{
    clipc_weights *out = &to->import->weights;
    clipc_tensor *probe = &out->image.probe;
    clipc_onnx_constant row = *from->probe->weight;
    row.data += from->probe_row * row.strides[0] * clipc_dtype_size(row.dtype);
    row.rank = 1;
    row.shape[0] = row.shape[1];
    row.strides[0] = row.strides[1];
    CLIPC_TRY(take(to, NULL, &row, 1, probe));
    CLIPC_TRY(take_attention(to, &from->probe_layer, &out->image.pooling));
    if (from->image_pooling == CLIPC_IMAGE_POOL_QUERY) {
        CLIPC_TRY(
            take_norm(to, from->probe_layer.norm1, &out->image.pooling.norm1_weight, &out->image.pooling.norm1_bias));
        return take_norm(to, from->probe_layer.norm2, &out->image.pooling.norm2_weight,
                         &out->image.pooling.norm2_bias);
    }
    probe->rank = 3;
    probe->shape[2] = probe->shape[0];
    probe->shape[0] = probe->shape[1] = 1;
    return take_norm2_and_mlp(to, &from->probe_layer, &out->image.pooling);
}

/* ---- of a ResNet ---- */

/* A vector of one number; see below for what it stands for. */
static clipc_status repeat(const taker *to, const char *name, float value, size_t count, clipc_tensor *out)
{
    *out = (clipc_tensor){.name = name, .dtype = CLIPC_DTYPE_F32, .rank = 1, .shape = {count}, .count = count};
    float *values = clipc_onnx_arena_cut(&to->import->kept, count, sizeof *values);
    for (size_t i = 0; values && i < count; i++)
        values[i] = value;
    out->data = (const uint8_t *)values;
    return values ? CLIPC_OK : to->import->kept.status;
}

/* Where exporters have folded BatchNorm into the kernel, one that changes nothing stands in its place: its variance
 * and epsilon make 1 to within 2^-25, so that folding gives each kernel's value again, bit for bit. */
static clipc_status take_convolution(const taker *to, const clipc_onnx_convolution *from,
                                     clipc_convolution_weights *out)
{
    const expression *kernel = from->kernel;
    const expression *norm = from->norm;
    const size_t outputs = kernel->features;
    CLIPC_TRY(take(to, NULL, kernel->weight, 1, &out->kernel));
    if (norm) {
        CLIPC_TRY(take(to, NULL, norm->weight, 1, &out->norm_weight));
        CLIPC_TRY(take(to, NULL, norm->bias, 1, &out->norm_bias));
        CLIPC_TRY(take(to, NULL, norm->mean, 1, &out->norm_mean));
        return take(to, NULL, norm->variance, 1, &out->norm_variance);
    }
    CLIPC_TRY(repeat(to, "an absent gain", 1, outputs, &out->norm_weight));
    CLIPC_TRY(take_vector(to, kernel->bias, outputs, 1, &out->norm_bias));
    CLIPC_TRY(zeros(to, outputs, &out->norm_mean));
    return repeat(to, "an absent variance", (float)(1 - CLIPC_BATCH_NORM_EPSILON), outputs, &out->norm_variance);
}

static clipc_status take_resnet(const taker *to, const clipc_onnx_tower *from)
{
    clipc_weights *out = &to->import->weights;
    clipc_layer_weights *pooling = &out->image.pooling;
    const clipc_onnx_layer *layer = &from->probe_layer;
    out->image.convolutions = clipc_allocate(from->convolution_count, sizeof *out->image.convolutions);
    if (!out->image.convolutions)
        return clipc_fail_memory(to->error, from->convolution_count * sizeof *out->image.convolutions,
                                 "the tables of weights");
    for (size_t i = 0; i < from->convolution_count; i++)
        CLIPC_TRY(take_convolution(to, &from->convolutions[i], &out->image.convolutions[i]));
    CLIPC_TRY(take(to, NULL, from->positions->weight, 1, &out->image.position_embedding));
    CLIPC_TRY(take_linear(to, layer->query, layer->query_factor, &pooling->query_weight, &pooling->query_bias));
    CLIPC_TRY(take_linear(to, layer->key, 1, &pooling->key_weight, &pooling->key_bias));
    CLIPC_TRY(take_linear(to, layer->value, 1, &pooling->value_weight, &pooling->value_bias));
    return take_linear(to, from->projection, 1, &out->image.projection, &out->image.projection_bias);
}

static clipc_status take_image(const taker *to, const clipc_onnx_tower *from)
{
    clipc_weights *out = &to->import->weights;
    CLIPC_TRY(take(to, from->embedded, from->embedded->weight, 1, &out->image.patch_embedding));
    if (from->class_token)
        CLIPC_TRY(take(to, NULL, from->class_token->weight, 1, &out->image.class_embedding));
    if (from->embedded->bias)
        CLIPC_TRY(take(to, NULL, from->embedded->bias, 1, &out->image.patch_bias));
    CLIPC_TRY(take(to, NULL, from->positions->weight, 1, &out->image.position_embedding));
    if (from->norm_pre)
        CLIPC_TRY(take_norm(to, from->norm_pre, &out->image.norm_pre_weight, &out->image.norm_pre_bias));
    CLIPC_TRY(take_norm(to, from->norm_post, &out->image.norm_post_weight, &out->image.norm_post_bias));
    to->import->integers |= from->embedded->scale != NULL;
    if (from->probe)
        CLIPC_TRY(take_probe(to, from));
    if (!from->projection)
        return CLIPC_OK;
    if (from->projection->bias)
        CLIPC_TRY(take(to, NULL, from->projection->bias, 1, &out->image.projection_bias));
    return take_matrix(to, from->projection, 1, &out->image.projection);
}

static clipc_status take_text(const taker *to, const clipc_onnx_tower *from)
{
    clipc_weights *out = &to->import->weights;
    CLIPC_TRY(take(to, from->embedded, from->embedded->weight, 1, &out->text.token_embedding));
    if (from->class_token)
        CLIPC_TRY(take(to, NULL, from->class_token->weight, 1, &out->text.class_embedding));
    CLIPC_TRY(take(to, NULL, from->positions->weight, 1, &out->text.position_embedding));
    CLIPC_TRY(take_norm(to, from->norm_post, &out->text.norm_final_weight, &out->text.norm_final_bias));
    to->import->integers |= from->embedded->scale != NULL;
    if (from->projection->bias)
        CLIPC_TRY(take(to, NULL, from->projection->bias, 1, &out->text.projection_bias));
    return take_matrix(to, from->projection, 1, &out->text.projection);
}

/* ---- config ---- */

static clipc_status check(const taker *to, const char *what, size_t value, size_t least, size_t limit)
{
    CLIPC_FAIL_IF(value < least || value > limit, to->error, CLIPC_ERROR_FORMAT, "%s: %s is %zu, must be %zu to %zu",
                  to->file, what, value, least, limit);
    return CLIPC_OK;
}

static clipc_status take_config(const taker *to, const clipc_onnx_interpreter *in, const clipc_onnx_tower *tower)
{
    clipc_config *config = &to->import->config;
    const size_t dimension = tower->projection ? tower->projection->features : tower->config.width;
    CLIPC_TRY(check(to, "a tower's width", tower->config.width, 1, CLIPC_MAX_WIDTH));
    if (!tower->convolutions)
        CLIPC_TRY(check(to, "the width of an MLP", tower->config.mlp_width, 1, CLIPC_MAX_WIDTH));
    CLIPC_TRY(check(to, "the dimension of embeddings", dimension, 1, CLIPC_MAX_WIDTH));
    CLIPC_FAIL_IF(config->embedding_dimension && config->embedding_dimension != dimension, to->error,
                  CLIPC_ERROR_FORMAT, "%s: the two towers' embeddings have %zu and %zu dimensions", to->file,
                  config->embedding_dimension, dimension);
    config->embedding_dimension = dimension;
    if (tower->convolutions) {
        config->image.heads = tower->config.heads;
        config->resnet = tower->resnet;
        config->image_size = in->image_size;
        return clipc_config_set_resnet(config, to->file, to->error);
    }
    if (tower->image) {
        config->image = tower->config;
        config->patch_size = tower->patch_size;
        config->image_size = in->image_size;
        config->class_token = tower->class_token != NULL;
        config->patch_bias = tower->embedded->bias != NULL;
        config->norm_pre = tower->norm_pre != NULL;
        config->image_pooling = tower->image_pooling;
        config->pooling_heads = tower->pooling_heads;
        config->image_projection = tower->projection != NULL;
        config->image_projection_bias = tower->projection && tower->projection->bias;
        return clipc_config_set_image(config, to->file, to->error);
    }
    config->text = tower->config;
    config->vocabulary_size = tower->embedded->weight->shape[0];
    config->max_positions = tower->positions->tokens;
    config->causal = tower->causal;
    config->pooling = tower->pooling;
    config->eot_token = tower->eot_token;
    config->text_class_token = tower->class_token != NULL;
    config->pad_token = tower->key_mask ? (int32_t)tower->key_mask->index : 0;
    config->text_projection_bias = tower->projection->bias != NULL;
    CLIPC_TRY(check(to, "the vocabulary", config->vocabulary_size, 2, CLIPC_MAX_VOCABULARY));
    return check(to, "the number of text positions", config->max_positions, 2, CLIPC_MAX_TOKENS);
}

clipc_status clipc_onnx_import_tower(clipc_onnx_import *import, clipc_onnx_interpreter *in,
                                     const clipc_onnx_tower *tower, clipc_error *error)
{
    const taker to = {import, in->file->name, error};
    CLIPC_TRY(take_config(&to, in, tower));
    if (tower->convolutions) {
        import->dtype = tower->convolutions[0].kernel->weight->dtype;
        return take_resnet(&to, tower);
    }
    clipc_layer_weights **layers = tower->image ? &import->weights.image.layers : &import->weights.text.layers;
    *layers = clipc_allocate(tower->config.layers, sizeof **layers);
    if (!*layers)
        return clipc_fail_memory(error, tower->config.layers * sizeof **layers, "the tables of weights");
    for (size_t i = 0; i < tower->config.layers; i++)
        CLIPC_TRY(take_layer(&to, &tower->layers[i], &(*layers)[i]));
    CLIPC_TRY(tower->image ? take_image(&to, tower) : take_text(&to, tower));
    import->dtype = tower->embedded->weight->dtype;
    return CLIPC_OK;
}
