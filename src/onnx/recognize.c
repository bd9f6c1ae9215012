#include "onnx/recognize_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* How far samples of an activation may be from those of the function: constants of fp16 are off by 3e-5, GELU and its
 * tanh form differ by 4e-4. */
#define SAMPLE_LIMIT 1e-4
/* Two constants of fp16 come this near to the 1 / √(features of a head) that they stand for together. */
#define FACTOR_LIMIT 1e-3

typedef clipc_onnx_expression expression;

typedef clipc_onnx_walk walk;
#define stop   clipc_onnx_stop
#define expect clipc_onnx_expect

static const char *kind_name(clipc_onnx_kind kind)
{
    switch (kind) {
    case CLIPC_ONNX_PIXELS: return "the pixels";
    case CLIPC_ONNX_IDS: return "the token ids";
    case CLIPC_ONNX_PROBE: return "a query of constants";
    case CLIPC_ONNX_PATCHES: return "patches";
    case CLIPC_ONNX_EMBEDDED: return "embedded tokens";
    case CLIPC_ONNX_WITH_CLASS: return "patches with a class token";
    case CLIPC_ONNX_WITH_MEAN: return "tokens after their mean";
    case CLIPC_ONNX_POSITIONED: return "tokens with positions";
    case CLIPC_ONNX_LINEAR: return "a linear layer";
    case CLIPC_ONNX_FUNCTION: return "an activation function";
    case CLIPC_ONNX_SUM: return "a residual sum";
    case CLIPC_ONNX_ONE_TOKEN: return "one token";
    case CLIPC_ONNX_LATER_TOKENS: return "some of the tokens";
    case CLIPC_ONNX_MEAN_TOKEN: return "the mean of tokens";
    case CLIPC_ONNX_CONVOLVED: return "a convolution";
    case CLIPC_ONNX_BATCH_NORM: return "BatchNorm";
    case CLIPC_ONNX_HALVED: return "means of 2 by 2 pixels";
    case CLIPC_ONNX_POOLED: return "the end token";
    case CLIPC_ONNX_ATTENTION: return "attention";
    case CLIPC_ONNX_NORM: return "a layer normalisation";
    case CLIPC_ONNX_UNIT: return "rows of unit length";
    case CLIPC_ONNX_INTEGER_PRODUCT: return "a product of integers";
    default: break;
    }
    return "a step of something else";
}

bool clipc_onnx_stop(walk *at, const expression *found, const char *expected)
{
    char text[200];
    if (at->refusal->reason)
        return false;
    snprintf(text, sizeof text, "is %s, expected %s", kind_name(found->kind), expected);
    *at->refusal = (clipc_onnx_refusal){found->node, clipc_onnx_arena_text(at->in->arena, text, strlen(text))};
    return false;
}

bool clipc_onnx_expect(walk *at, const expression *found, clipc_onnx_kind kind, const char *expected)
{
    return found->kind == kind || stop(at, found, expected);
}

/* ---- what layers are made of ---- */

static bool same_norm(const expression *a, const expression *b)
{
    return a == b || (a->kind == CLIPC_ONNX_NORM && b->kind == CLIPC_ONNX_NORM && a->base == b->base &&
                      a->weight->data == b->weight->data && a->number == b->number);
}

/* All layer normalisations of a tower have one epsilon. */
static bool take_norm(walk *at, const expression *found, const expression **out)
{
    const float epsilon = (float)found->number;
    float *known = &at->tower->config.layer_norm_epsilon;
    if (out)
        *out = found;
    if (*known == 0)
        *known = epsilon;
    return (epsilon > 0 && epsilon == *known) || stop(at, found, "one with the same epsilon as the others");
}

static bool take_activation(walk *at, const expression *found, bool first)
{
    double worst[3] = {0};
    clipc_activation best = CLIPC_ACTIVATION_QUICK_GELU;
    for (size_t i = 0; i < CLIPC_ONNX_SAMPLES; i++) {
        const double x = clipc_onnx_sample_points[i];
        const double exact[3] = {x / (1 + exp(-1.702 * x)), 0.5 * x * (1 + erf(x / sqrt(2))),
                                 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)))};
        for (size_t j = 0; j < 3; j++)
            worst[j] = fmax(worst[j], fabs(found->samples[i] - exact[j]));
    }
    for (clipc_activation i = CLIPC_ACTIVATION_GELU; i <= CLIPC_ACTIVATION_GELU_TANH; i++)
        best = worst[i] < worst[best] ? i : best;
    if (!(worst[best] < SAMPLE_LIMIT))
        return stop(at, found, "QuickGELU or GELU");
    if (first)
        at->tower->config.activation = best;
    return at->tower->config.activation == best || stop(at, found, "the same one in all layers");
}

/* The number that the expression is multiplied by, which is then taken off. */
static bool take_factor(walk *at, const expression **found, double *factor)
{
    if ((*found)->kind != CLIPC_ONNX_FUNCTION)
        return true;
    const double ratio = (*found)->samples[0] / clipc_onnx_sample_points[0];
    for (size_t i = 0; i < CLIPC_ONNX_SAMPLES; i++)
        if (!(fabs((*found)->samples[i] - ratio * clipc_onnx_sample_points[i]) <= 1e-9 * fabs(ratio) * 10) ||
            ratio == 0)
            return stop(at, *found, "queries and keys that are only scaled");
    *factor *= ratio;
    *found = (*found)->base;
    return true;
}

static bool take_mlp(walk *at, const expression *branch, const expression *stream, clipc_onnx_layer *layer)
{
    clipc_tower_config *config = &at->tower->config;
    const bool first = config->mlp_width == 0; /* of those that are met */
    layer->fc2 = branch;
    if (!expect(at, branch->base, CLIPC_ONNX_FUNCTION, "the activation of an MLP, or attention") ||
        !take_activation(at, branch->base, first))
        return false;
    layer->fc1 = branch->base->base;
    if (!expect(at, layer->fc1, CLIPC_ONNX_LINEAR, "the first layer of an MLP") ||
        !expect(at, layer->fc1->base, CLIPC_ONNX_NORM, "the layer normalisation before an MLP") ||
        !take_norm(at, layer->fc1->base, &layer->norm2))
        return false;
    if (layer->norm2->base != stream)
        return stop(at, layer->norm2, "one of the stream that the MLP is added to");
    if (first)
        config->mlp_width = layer->fc1->features;
    return layer->fc1->features == config->mlp_width || stop(at, layer->fc1, "an MLP as wide as the others");
}

/* The three inputs are of the same normalised rows, but that a probe may ask. */
static bool take_inputs(walk *at, const expression *query, const expression *key, const expression *value, bool probe)
{
    const expression *const inputs[3] = {query, key, value};
    for (size_t i = 0; i < 3; i++) {
        if (!expect(at, inputs[i], CLIPC_ONNX_LINEAR, "the queries, keys or values of attention"))
            return false;
        if (i == 0 && probe) {
            if (!expect(at, query->base, CLIPC_ONNX_PROBE, "the one query of attention pooling"))
                return false;
            continue;
        }
        if (!expect(at, inputs[i]->base, CLIPC_ONNX_NORM, "the layer normalisation before attention") ||
            (!same_norm(inputs[i]->base, key->base) &&
             !stop(at, inputs[i], "queries, keys and values of the same tokens")))
            return false;
    }
    return take_norm(at, key->base, probe ? &at->tower->norm_post : NULL);
}

bool clipc_onnx_take_scores(walk *at, const expression *scores, const expression **query, const expression **key,
                            double *factor)
{
    *query = scores->base;
    *key = scores->other;
    *factor = scores->number;
    if (!take_factor(at, query, factor) || !take_factor(at, key, factor))
        return false;
    const double wanted = 1 / sqrt((double)((*key)->features / scores->heads));
    *factor = fabs(*factor / wanted - 1) <= FACTOR_LIMIT ? 1 : *factor / wanted;
    return (isfinite(*factor) && *factor != 0) || stop(at, scores, "scores that are scaled");
}

static bool same_key_mask(const expression *a, const expression *b)
{
    return a == b || (a && b && a->index == b->index && a->causal == b->causal);
}

/* From attention to its query, keys and values, and what these are scaled by. */
static bool take_heads(walk *at, const expression *branch, clipc_onnx_layer *layer, bool probe)
{
    clipc_tower_config *config = &at->tower->config;
    layer->attention_out = branch;
    const expression *mixed = branch->base;
    if (!expect(at, mixed, CLIPC_ONNX_ATTENTION, "attention"))
        return false;
    const expression *scores = mixed->base->base;
    if (!clipc_onnx_take_scores(at, scores, &layer->query, &layer->key, &layer->query_factor))
        return false;
    layer->value = mixed->other;
    if (!take_inputs(at, layer->query, layer->key, layer->value, probe))
        return false;
    layer->norm1 = layer->key->base;
    if (probe)
        config->width = layer->norm1->features;
    if (config->heads == 0) {
        config->heads = scores->heads;
        at->tower->causal = scores->causal;
        at->tower->key_mask = scores->mask;
    }
    if (layer->query->features != config->width || layer->value->features != config->width ||
        scores->heads != config->heads)
        return stop(at, mixed, "as many heads in all layers, as wide as the tower together");
    const expression *mask = scores->mask;
    if (scores->causal != at->tower->causal || (scores->causal && at->tower->image) ||
        !same_key_mask(mask, at->tower->key_mask))
        return stop(at, scores, at->tower->image ? "attention without a mask" : "the same mask in all layers");
    return true;
}

static bool take_attention(walk *at, const expression *branch, const expression *stream, clipc_onnx_layer *layer)
{
    return take_heads(at, branch, layer, false) &&
           (layer->norm1->base == stream || stop(at, layer->norm1, "one of the stream that attention is added to"));
}

/* ---- layers ---- */

/* The two sides of a residual sum: a linear layer is what is added. */
static bool split_sum(walk *at, const expression *sum, const expression **stream, const expression **branch)
{
    const bool second = sum->other->kind == CLIPC_ONNX_LINEAR;
    *branch = second ? sum->other : sum->base;
    *stream = second ? sum->base : sum->other;
    return expect(at, *branch, CLIPC_ONNX_LINEAR, "the output of attention or of an MLP") &&
           ((*branch)->features == at->tower->config.width || stop(at, *branch, "as many features as the tower has"));
}

static size_t count_sums(const expression *x)
{
    size_t count = 0;
    for (; x->kind == CLIPC_ONNX_SUM && count <= 2 * CLIPC_MAX_LAYERS; count++)
        x = x->other->kind == CLIPC_ONNX_LINEAR ? x->base : x->other;
    return count;
}

/* From the last layer to the first; *x becomes what the first one reads. */
static bool take_layers(walk *at, const expression **x)
{
    clipc_onnx_tower *tower = at->tower;
    const size_t sums = count_sums(*x);
    const expression *branch = NULL;
    if (sums == 0 || sums % 2 != 0 || sums > 2 * CLIPC_MAX_LAYERS)
        return stop(at, *x, "the last of the layers, each attention and an MLP added to the stream");
    tower->config.layers = sums / 2;
    tower->layers = clipc_onnx_arena_cut(at->in->arena, tower->config.layers, sizeof *tower->layers);
    if (!tower->layers)
        return false;
    for (size_t i = tower->config.layers; i-- > 0;) {
        const expression *stream = NULL;
        if (!split_sum(at, *x, &stream, &branch) || !take_mlp(at, branch, stream, &tower->layers[i]))
            return false;
        *x = stream;
        if (!expect(at, *x, CLIPC_ONNX_SUM, "attention added to the stream") || !split_sum(at, *x, &stream, &branch) ||
            !take_attention(at, branch, stream, &tower->layers[i]))
            return false;
        *x = stream;
    }
    return true;
}

/* ---- both ends ---- */

static bool take_positions(walk *at, const expression **x)
{
    if (!expect(at, *x, CLIPC_ONNX_POSITIONED, "tokens with positions"))
        return false;
    at->tower->positions = *x;
    *x = (*x)->base;
    return true;
}

static bool take_image_begin(walk *at, const expression *x)
{
    clipc_onnx_tower *tower = at->tower;
    if (x->kind == CLIPC_ONNX_NORM) {
        if (!take_norm(at, x, &tower->norm_pre))
            return false;
        x = x->base;
    }
    if (!take_positions(at, &x))
        return false;
    if (x->kind == CLIPC_ONNX_WITH_CLASS) {
        tower->class_token = x;
        x = x->base;
    } else if (tower->image_pooling == CLIPC_IMAGE_POOL_CLASS) {
        return stop(at, x, "patches with a class token");
    }
    tower->embedded = x;
    tower->patch_size = x->patch;
    const bool average =
        tower->image_pooling == CLIPC_IMAGE_POOL_AVERAGE || tower->image_pooling == CLIPC_IMAGE_POOL_NORMED_AVERAGE;
    if (average && tower->averages_all == (tower->class_token != NULL))
        return stop(at, x, "the mean of the patches' rows alone");
    return expect(at, x, CLIPC_ONNX_PATCHES, "patches");
}

static bool take_text_begin(walk *at, const expression *x)
{
    clipc_onnx_tower *tower = at->tower;
    if (!take_positions(at, &x))
        return false;
    if (x->kind == CLIPC_ONNX_WITH_CLASS) {
        tower->class_token = x;
        x = x->base;
    }
    if (!tower->class_token != !tower->key_mask || (tower->class_token && tower->pooling != CLIPC_POOL_LAST))
        return stop(at, x, "a class token after the others to be pooled, and keys hidden for it, or none of these");
    tower->embedded = x;
    return expect(at, x, CLIPC_ONNX_EMBEDDED, "embedded tokens");
}

/* One token of all may be taken before or after the last normalisation and the projection, which see one at a time. */
static bool take_pool(walk *at, const expression **x, const expression **pool)
{
    if ((*x)->kind != CLIPC_ONNX_ONE_TOKEN && (*x)->kind != CLIPC_ONNX_POOLED)
        return true;
    if (*pool)
        return stop(at, *x, "one token to be taken only once");
    *pool = *x;
    *x = (*x)->base;
    return true;
}

/* Whether the rows are of an image. */
static bool is_of_pixels(const expression *x)
{
    while (x->base)
        x = x->base;
    return x->kind == CLIPC_ONNX_PIXELS;
}

static bool take_pooling(walk *at, const expression *pool)
{
    clipc_onnx_tower *tower = at->tower;
    tower->image = is_of_pixels(pool->base);
    if (tower->image)
        return expect(at, pool, CLIPC_ONNX_ONE_TOKEN, "the class token") &&
               (pool->index == 0 || stop(at, pool, "the first"));
    if (pool->kind == CLIPC_ONNX_ONE_TOKEN) {
        tower->pooling = pool->index == 0 ? CLIPC_POOL_FIRST : CLIPC_POOL_LAST;
        return pool->index == 0 || pool->index + 1 == pool->base->tokens || stop(at, pool, "the first or last");
    }
    const expression *key = pool->other->base;
    tower->pooling = key->kind == CLIPC_ONNX_IDS ? CLIPC_POOL_LARGEST_ID : CLIPC_POOL_FIRST_EOT;
    tower->eot_token = key->kind == CLIPC_ONNX_IDS ? 49407 : (int32_t)key->index;
    return true;
}

/* SigLIP's: a probe attends to all rows, an MLP follows, and what comes of it is the embedding. */
static bool take_attention_pooling(walk *at, const expression **x)
{
    clipc_onnx_tower *tower = at->tower;
    const bool second = (*x)->other->kind == CLIPC_ONNX_LINEAR && (*x)->other->base->kind == CLIPC_ONNX_FUNCTION;
    const expression *branch = second ? (*x)->other : (*x)->base;
    const expression *stream = second ? (*x)->base : (*x)->other;
    tower->image = true;
    tower->image_pooling = CLIPC_IMAGE_POOL_ATTENTION;
    if (!expect(at, branch, CLIPC_ONNX_LINEAR, "the MLP of attention pooling") ||
        !take_mlp(at, branch, stream, &tower->probe_layer) ||
        !expect(at, stream, CLIPC_ONNX_LINEAR, "the output of attention pooling") ||
        !take_heads(at, stream, &tower->probe_layer, true))
        return false;
    tower->probe = tower->probe_layer.query->base;
    if (stream->features != tower->config.width || branch->features != tower->config.width)
        return stop(at, stream, "as many features as the tower has");
    *x = tower->norm_post->base;
    return true;
}

/* The mean of the patches' rows, of all that there are or without the class token's, before the last normalisation or
 * after it. */
static bool take_average(walk *at, const expression **x)
{
    clipc_onnx_tower *tower = at->tower;
    const bool before = (*x)->kind == CLIPC_ONNX_NORM;
    const expression *norm = *x;
    tower->image = true;
    tower->image_pooling = before ? CLIPC_IMAGE_POOL_AVERAGE : CLIPC_IMAGE_POOL_NORMED_AVERAGE;
    const expression *rows = before ? norm->base->base : (*x)->base;
    bool later = rows->kind == CLIPC_ONNX_LATER_TOKENS;
    rows = later ? rows->base : rows;
    if (!before) {
        norm = rows;
        if (!expect(at, norm, CLIPC_ONNX_NORM, "the last layer normalisation before the mean"))
            return false;
        rows = norm->base;
        if (!later && rows->kind == CLIPC_ONNX_LATER_TOKENS) {
            later = true;
            rows = rows->base;
        }
    }
    tower->averages_all = !later;
    tower->config.width = rows->features;
    *x = rows;
    return take_norm(at, norm, &tower->norm_post);
}

/* CoCa's: a query as wide as the embedding, through a LayerNorm of its own, attends to all rows; a third LayerNorm and
 * the projection follow. */
static bool take_query_pooling(walk *at, const expression **x)
{
    clipc_onnx_tower *tower = at->tower;
    clipc_onnx_layer *layer = &tower->probe_layer;
    tower->image = true;
    tower->image_pooling = CLIPC_IMAGE_POOL_QUERY;
    layer->attention_out = (*x)->base;
    const expression *mixed = layer->attention_out->base;
    const expression *scores = mixed->base->base;
    layer->value = mixed->other;
    if (!take_norm(at, *x, &layer->norm2) ||
        !clipc_onnx_take_scores(at, scores, &layer->query, &layer->key, &layer->query_factor) ||
        !expect(at, layer->query, CLIPC_ONNX_LINEAR, "the query of attentional pooling") ||
        !expect(at, layer->query->base, CLIPC_ONNX_NORM, "the layer normalisation of the query") ||
        !take_norm(at, layer->query->base, &layer->norm1) ||
        !expect(at, layer->norm1->base, CLIPC_ONNX_PROBE, "the query of attentional pooling") ||
        !expect(at, layer->key, CLIPC_ONNX_LINEAR, "the keys of attentional pooling") ||
        !expect(at, layer->value, CLIPC_ONNX_LINEAR, "the values of attentional pooling") ||
        !expect(at, layer->key->base, CLIPC_ONNX_NORM, "the last layer normalisation") ||
        !take_norm(at, layer->key->base, &tower->norm_post))
        return false;
    tower->probe = layer->norm1->base;
    tower->pooling_heads = scores->heads;
    if (!same_norm(layer->value->base, tower->norm_post) || scores->causal || scores->mask)
        return stop(at, mixed, "that of one query over all rows");
    if (layer->attention_out->features != layer->query->features || tower->probe->features != layer->query->features ||
        layer->value->features != layer->query->features || tower->projection->features != layer->query->features)
        return stop(at, mixed, "as many features as the embedding has");
    tower->config.width = tower->norm_post->features;
    *x = tower->norm_post->base;
    return true;
}

static bool take_end(walk *at, const expression **x)
{
    clipc_onnx_tower *tower = at->tower;
    const expression *pool = NULL;
    if ((*x)->kind == CLIPC_ONNX_SUM && (*x)->tokens == 1)
        return take_attention_pooling(at, x);
    if (!take_pool(at, x, &pool) || !expect(at, *x, CLIPC_ONNX_LINEAR, "the projection to the embedding"))
        return false;
    tower->projection = *x;
    *x = (*x)->base;
    if (!take_pool(at, x, &pool))
        return false;
    if ((*x)->kind == CLIPC_ONNX_MEAN_TOKEN ||
        ((*x)->kind == CLIPC_ONNX_NORM && (*x)->base->kind == CLIPC_ONNX_MEAN_TOKEN))
        return take_average(at, x);
    if ((*x)->kind == CLIPC_ONNX_NORM && (*x)->base->kind == CLIPC_ONNX_LINEAR &&
        (*x)->base->base->kind == CLIPC_ONNX_ATTENTION && (pool || (*x)->tokens == 1)) {
        tower->probe_row = pool ? pool->index : 0;
        return take_query_pooling(at, x);
    }
    if (!expect(at, *x, CLIPC_ONNX_NORM, "the last layer normalisation") || !take_norm(at, *x, &tower->norm_post))
        return false;
    tower->config.width = (*x)->features;
    *x = (*x)->base;
    if (!take_pool(at, x, &pool))
        return false;
    return pool ? take_pooling(at, pool)
                : stop(at, *x, "the class token or the end token to be taken, as an embedding is one row an item");
}

bool clipc_onnx_recognize(clipc_onnx_interpreter *in, const clipc_onnx_known *output, clipc_onnx_tower *out,
                          clipc_onnx_refusal *refusal)
{
    walk at = {in, out, refusal};
    const expression *x = output->expression;
    *out = (clipc_onnx_tower){0};
    *refusal = (clipc_onnx_refusal){NULL, NULL};
    if (output->refusal) {
        *refusal = *output->refusal;
        return false;
    }
    if (!x) {
        refusal->reason = "an output is a constant, expected an embedding";
        return false;
    }
    if (x->kind == CLIPC_ONNX_UNIT)
        x = x->base;
    if (clipc_onnx_is_resnet(x))
        return clipc_onnx_take_resnet(&at, x);
    if (!take_end(&at, &x) || !take_layers(&at, &x))
        return false;
    return out->image ? take_image_begin(&at, x) : take_text_begin(&at, x);
}
