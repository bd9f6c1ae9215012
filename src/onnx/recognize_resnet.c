/* A ResNet's image tower (model/resnet.h), from its attention pooling back to the pixels. */
#include "model/resnet.h"
#include "onnx/recognize_parts.h"

typedef clipc_onnx_expression expression;
typedef clipc_onnx_walk walk;
#define stop   clipc_onnx_stop
#define expect clipc_onnx_expect

#define STAGES 4

/* Convolutions in the order of the network, the one that was found last being the first. */
typedef struct link {
    clipc_onnx_convolution at;
    struct link *next;
} link;

typedef struct trunk {
    link *first;
    size_t count;
    size_t depths[STAGES];
} trunk;

/* ---- steps ---- */

static bool is_relu(const expression *x)
{
    for (size_t i = 0; x->kind == CLIPC_ONNX_FUNCTION && i < CLIPC_ONNX_SAMPLES; i++)
        if (x->samples[i] != (clipc_onnx_sample_points[i] > 0 ? clipc_onnx_sample_points[i] : 0))
            return false;
    return x->kind == CLIPC_ONNX_FUNCTION;
}

static bool take_relu(walk *at, const expression **x)
{
    if (!is_relu(*x))
        return stop(at, *x, "a ReLU");
    *x = (*x)->base;
    return true;
}

/* The convolution that made x, BatchNorm or not; NULL when none did. */
static const expression *convolution_of(const expression *x)
{
    if (x->kind == CLIPC_ONNX_BATCH_NORM)
        x = x->base;
    return x->kind == CLIPC_ONNX_CONVOLVED ? x : NULL;
}

static bool put(walk *at, trunk *to, const clipc_onnx_convolution *found)
{
    link *made = clipc_onnx_arena_cut(at->in->arena, 1, sizeof *made);
    if (!made)
        return false;
    *made = (link){*found, to->first};
    to->first = made;
    to->count++;
    return true;
}

static bool take_convolution(walk *at, const expression **x, size_t kernel, size_t stride, clipc_onnx_convolution *out)
{
    const expression *norm = (*x)->kind == CLIPC_ONNX_BATCH_NORM ? *x : NULL;
    const expression *found = convolution_of(*x);
    if (!found)
        return stop(at, *x, "a convolution");
    if (found->patch != kernel || found->index != stride)
        return stop(at, found, kernel == 1 ? "one of 1 by 1 pixels" : "one of 3 by 3 pixels in the steps of a ResNet");
    if (norm && (float)norm->number != (float)CLIPC_BATCH_NORM_EPSILON)
        return stop(at, norm, "one with the epsilon 1e-5");
    if (norm && found->bias)
        return stop(at, found, "one without a bias before its BatchNorm");
    *out = (clipc_onnx_convolution){found, norm};
    *x = found->base;
    return true;
}

/* ---- blocks ---- */

/* Whether x is what a bottleneck adds to its input: through 1 × 1, 3 × 3 and 1 × 1 pixels. */
static bool is_branch(const expression *x)
{
    static const size_t kernels[3] = {1, 3, 1};
    for (size_t i = 0; i < 3; i++) {
        const expression *found = convolution_of(x);
        if (!found || found->patch != kernels[i])
            return false;
        x = found->base;
        if (i == 0 && x->kind == CLIPC_ONNX_HALVED)
            x = x->base;
        if (i < 2 && !is_relu(x))
            return false;
        x = i < 2 ? x->base : x;
    }
    return true;
}

/* Means may be computed for each that reads them. */
static bool same_map(const expression *a, const expression *b)
{
    return a == b || (a->kind == CLIPC_ONNX_HALVED && b->kind == CLIPC_ONNX_HALVED && a->base == b->base);
}

/* *begins: whether the block is the first of a stage, *halves: whether it makes a map of half the side. */
static bool take_block(walk *at, const expression **x, trunk *to, bool *begins, bool *halves)
{
    clipc_onnx_convolution reduce, spread, expand, downsample;
    if (!take_relu(at, x) || !expect(at, *x, CLIPC_ONNX_SUM, "the sum at the end of a bottleneck"))
        return false;
    const bool second = is_branch((*x)->other);
    const expression *branch = second ? (*x)->other : (*x)->base;
    const expression *beside = second ? (*x)->base : (*x)->other;
    if (!take_convolution(at, &branch, 1, 1, &expand) || !put(at, to, &expand))
        return false;
    *halves = branch->kind == CLIPC_ONNX_HALVED;
    branch = *halves ? branch->base : branch;
    if (!take_relu(at, &branch) || !take_convolution(at, &branch, 3, 1, &spread) || !take_relu(at, &branch) ||
        !take_convolution(at, &branch, 1, 1, &reduce))
        return false;
    *begins = !same_map(beside, branch);
    if (*begins) {
        if (!take_convolution(at, &beside, 1, 1, &downsample) || !put(at, to, &downsample))
            return false;
        if (*halves && !expect(at, beside, CLIPC_ONNX_HALVED, "means of 2 by 2 pixels, as in the block beside"))
            return false;
        beside = *halves ? beside->base : beside;
    }
    if (!same_map(beside, branch))
        return stop(at, beside, "the same input as the block's");
    *x = branch;
    return put(at, to, &spread) && put(at, to, &reduce);
}

static bool take_stages(walk *at, const expression **x, trunk *to)
{
    for (size_t stage = STAGES; stage > 0;) {
        const expression *end = *x;
        bool begins = false;
        bool halves = false;
        if (!take_block(at, x, to, &begins, &halves))
            return false;
        if (halves != (begins && stage > 1))
            return stop(at, end, "a map of half the side where the second, third and fourth stage begin");
        if (++to->depths[stage - 1] > CLIPC_MAX_LAYERS)
            return stop(at, end, "fewer blocks");
        stage -= begins;
    }
    return true;
}

static bool take_stem(walk *at, const expression **x, trunk *to)
{
    clipc_onnx_convolution found;
    if (!expect(at, *x, CLIPC_ONNX_HALVED, "means of 2 by 2 pixels after the first three convolutions"))
        return false;
    *x = (*x)->base;
    for (size_t i = 3; i-- > 0;)
        if (!take_relu(at, x) || !take_convolution(at, x, 3, i ? 1 : 2, &found) || !put(at, to, &found))
            return false;
    return expect(at, *x, CLIPC_ONNX_PIXELS, "the pixels");
}

/* ---- the whole ---- */

/* The channels of every convolution are as the width of the first three tells. */
static bool take_shapes(walk *at, const trunk *from)
{
    clipc_onnx_tower *tower = at->tower;
    clipc_config config = clipc_config_clip();
    tower->convolutions = clipc_onnx_arena_cut(at->in->arena, from->count, sizeof *tower->convolutions);
    if (!tower->convolutions)
        return false;
    for (link *next = from->first; next; next = next->next)
        tower->convolutions[tower->convolution_count++] = next->at;
    for (size_t stage = 0; stage < STAGES; stage++)
        config.resnet.depths[stage] = from->depths[stage];
    config.resnet.width = tower->convolutions[2].kernel->features;
    config.image_size = at->in->image_size;
    tower->resnet = config.resnet;
    for (size_t i = 0; i < from->count; i++) {
        const expression *found = tower->convolutions[i].kernel;
        const clipc_convolution wanted = clipc_resnet_at(&config, i);
        if (found->features != wanted.outputs || found->base->features != wanted.inputs)
            return stop(at, found, "as many channels as its place in a ResNet CLIP of this width has");
    }
    return true;
}

/* The mean's token alone asks, or all tokens do, of which that one is then taken. */
static const expression *projection_of(const expression *embedding)
{
    return embedding->kind == CLIPC_ONNX_ONE_TOKEN ? embedding->base : embedding;
}

bool clipc_onnx_is_resnet(const expression *embedding)
{
    const expression *projection = projection_of(embedding);
    return projection->kind == CLIPC_ONNX_LINEAR && projection->base->kind == CLIPC_ONNX_ATTENTION;
}

/* Queries, keys and values, and the rows that they are of. */
static bool take_pooling(walk *at, const expression *embedding, const expression **rows)
{
    clipc_onnx_tower *tower = at->tower;
    clipc_onnx_layer *layer = &tower->probe_layer;
    const expression *mixed = tower->projection->base;
    const expression *scores = mixed->base->base;
    layer->value = mixed->other;
    if (!clipc_onnx_take_scores(at, scores, &layer->query, &layer->key, &layer->query_factor) ||
        !expect(at, layer->query, CLIPC_ONNX_LINEAR, "the query of attention pooling") ||
        !expect(at, layer->key, CLIPC_ONNX_LINEAR, "the keys of attention pooling") ||
        !expect(at, layer->value, CLIPC_ONNX_LINEAR, "the values of attention pooling"))
        return false;
    const expression *asking = layer->query->base;
    *rows = layer->key->base;
    if (!expect(at, *rows, CLIPC_ONNX_POSITIONED, "pixels with positions, over which attention pools") ||
        !expect(at, (*rows)->base, CLIPC_ONNX_WITH_MEAN, "pixels after their mean"))
        return false;
    const expression *token = asking->kind == CLIPC_ONNX_ONE_TOKEN ? asking : embedding;
    const bool once = (asking->kind == CLIPC_ONNX_ONE_TOKEN) != (embedding->kind == CLIPC_ONNX_ONE_TOKEN);
    if (!once || token->index != 0 || (token == asking ? asking->base : asking) != *rows ||
        layer->value->base != *rows || scores->causal)
        return stop(at, mixed, "that of the mean's token over all tokens");
    tower->config.width = (*rows)->features;
    tower->config.heads = scores->heads;
    return (layer->query->features == (*rows)->features && layer->value->features == (*rows)->features) ||
           stop(at, mixed, "heads as wide as the map together");
}

bool clipc_onnx_take_resnet(walk *at, const expression *embedding)
{
    clipc_onnx_tower *tower = at->tower;
    const expression *rows = NULL;
    trunk found = {0};
    tower->image = true;
    tower->projection = projection_of(embedding);
    if (!take_pooling(at, embedding, &rows))
        return false;
    tower->positions = rows;
    const expression *x = rows->base->base;
    return take_stages(at, &x, &found) && take_stem(at, &x, &found) && take_shapes(at, &found);
}
