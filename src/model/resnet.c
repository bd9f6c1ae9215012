#include "model/resnet.h"

#include "base/checked.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define STEM 3

const char *const clipc_resnet_sign = "visual.attnpool.positional_embedding";

size_t clipc_resnet_count(const clipc_config *config)
{
    if (!clipc_config_is_resnet(config))
        return 0;
    size_t count = STEM;
    for (size_t stage = 0; stage < 4; stage++)
        count += 3 * config->resnet.depths[stage] + 1;
    return count;
}

static clipc_convolution of_stem(const clipc_config *config, size_t index)
{
    const size_t width = config->resnet.width;
    const size_t half = config->image_size / 2;
    clipc_convolution made = {.role = index ? CLIPC_CONVOLUTION_STEM : CLIPC_CONVOLUTION_PIXELS,
                              .inputs = index ? width / 2 : 3,
                              .outputs = index < 2 ? width / 2 : width,
                              .kernel = 3,
                              .stride = index ? 1 : 2,
                              .pool = 1,
                              .input_side = index ? half : config->image_size,
                              .side = half};
    snprintf(made.name, sizeof made.name, "conv%zu", index + 1);
    snprintf(made.norm, sizeof made.norm, "bn%zu", index + 1);
    return made;
}

/* `within`: which of the block's. `side`: of the stage's result. */
static clipc_convolution of_block(const clipc_config *config, size_t stage, size_t block, size_t within)
{
    static const clipc_convolution_role first_roles[] = {CLIPC_CONVOLUTION_REDUCE, CLIPC_CONVOLUTION_SPREAD,
                                                         CLIPC_CONVOLUTION_DOWNSAMPLE, CLIPC_CONVOLUTION_EXPAND};
    static const clipc_convolution_role roles[] = {CLIPC_CONVOLUTION_REDUCE, CLIPC_CONVOLUTION_SPREAD,
                                                   CLIPC_CONVOLUTION_EXPAND};
    const bool first = block == 0;
    const size_t planes = config->resnet.width << stage;
    const size_t inputs = !first ? 4 * planes : stage ? 2 * planes : planes;
    const size_t side = config->image_size / 4 >> stage;
    clipc_convolution made = {.role = first ? first_roles[within] : roles[within],
                              .inputs = planes,
                              .outputs = planes,
                              .kernel = 1,
                              .stride = 1,
                              .pool = 1};
    /* The first stage's input is the stem's result, which is averaged; its blocks do no averaging of their own. */
    const bool shrinks = first && stage > 0;
    switch (made.role) {
    case CLIPC_CONVOLUTION_REDUCE:
        made.inputs = inputs;
        made.pool = first && stage == 0 ? 2 : 1;
        made.side = shrinks ? 2 * side : side;
        break;
    case CLIPC_CONVOLUTION_SPREAD:
        made.kernel = 3;
        made.side = shrinks ? 2 * side : side;
        break;
    case CLIPC_CONVOLUTION_DOWNSAMPLE:
        made.inputs = inputs;
        made.outputs = 4 * planes;
        made.pool = 2;
        made.side = side;
        break;
    default:
        made.outputs = 4 * planes;
        made.pool = shrinks ? 2 : 1;
        made.side = side;
        break;
    }
    made.input_side = made.side * made.pool;
    if (made.role == CLIPC_CONVOLUTION_DOWNSAMPLE) {
        snprintf(made.name, sizeof made.name, "layer%zu.%zu.downsample.0", stage + 1, block);
        snprintf(made.norm, sizeof made.norm, "layer%zu.%zu.downsample.1", stage + 1, block);
    } else {
        const size_t number = made.role == CLIPC_CONVOLUTION_REDUCE   ? 1
                              : made.role == CLIPC_CONVOLUTION_SPREAD ? 2
                                                                      : 3;
        snprintf(made.name, sizeof made.name, "layer%zu.%zu.conv%zu", stage + 1, block, number);
        snprintf(made.norm, sizeof made.norm, "layer%zu.%zu.bn%zu", stage + 1, block, number);
    }
    return made;
}

clipc_convolution clipc_resnet_at(const clipc_config *config, size_t index)
{
    if (index < STEM)
        return of_stem(config, index);
    index -= STEM;
    size_t stage = 0;
    while (stage < 3 && index >= 3 * config->resnet.depths[stage] + 1)
        index -= 3 * config->resnet.depths[stage++] + 1;
    if (index < 4)
        return of_block(config, stage, 0, index);
    return of_block(config, stage, (index - 1) / 3, (index - 1) % 3);
}

/* ---- names ---- */

#define AT(member) offsetof(clipc_weights, member)

#define WIDTH     CLIPC_EXTENT_WIDTH
#define TOKENS    CLIPC_EXTENT_TOKENS
#define EMBEDDING CLIPC_EXTENT_EMBEDDING

#define POOL "visual.attnpool."

static const struct {
    const char *name;
    size_t offset;
    clipc_initial initial;
    clipc_extent shape[2];
} pooling_roles[] = {
    {POOL "positional_embedding", AT(image.position_embedding), CLIPC_INITIAL_WIDTH, {TOKENS, WIDTH}},
    {POOL "q_proj.weight", AT(image.pooling.query_weight), CLIPC_INITIAL_WIDTH, {WIDTH, WIDTH}},
    {POOL "q_proj.bias", AT(image.pooling.query_bias), CLIPC_INITIAL_ZERO, {WIDTH}},
    {POOL "k_proj.weight", AT(image.pooling.key_weight), CLIPC_INITIAL_WIDTH, {WIDTH, WIDTH}},
    {POOL "k_proj.bias", AT(image.pooling.key_bias), CLIPC_INITIAL_ZERO, {WIDTH}},
    {POOL "v_proj.weight", AT(image.pooling.value_weight), CLIPC_INITIAL_WIDTH, {WIDTH, WIDTH}},
    {POOL "v_proj.bias", AT(image.pooling.value_bias), CLIPC_INITIAL_ZERO, {WIDTH}},
    {POOL "c_proj.weight", AT(image.projection), CLIPC_INITIAL_WIDTH, {EMBEDDING, WIDTH}},
    {POOL "c_proj.bias", AT(image.projection_bias), CLIPC_INITIAL_ZERO, {EMBEDDING}},
};
#define POOLING_ROLES (sizeof pooling_roles / sizeof pooling_roles[0])

static const char *const norm_parts[] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};

size_t clipc_resnet_count_blocks(const clipc_weight_file *files, size_t file_count, size_t stage)
{
    size_t blocks = 0;
    char name[CLIPC_TENSOR_NAME];
    for (; blocks <= CLIPC_MAX_LAYERS; blocks++) {
        snprintf(name, sizeof name, "visual.layer%zu.%zu.conv1.weight", stage + 1, blocks);
        if (!clipc_weight_files_find(files, file_count, name))
            break;
    }
    return blocks;
}

/* Whether `name` is conv.weight or a part of norm. */
static bool is_part(const char *name, const char *convolution, const char *norm)
{
    char wanted[CLIPC_TENSOR_NAME];
    snprintf(wanted, sizeof wanted, "%s.weight", convolution);
    if (strcmp(name, wanted) == 0)
        return true;
    const size_t length = strlen(norm);
    if (strncmp(name, norm, length) != 0 || name[length] != '.')
        return false;
    for (size_t i = 0; i < sizeof norm_parts / sizeof norm_parts[0]; i++)
        if (strcmp(name + length + 1, norm_parts[i]) == 0)
            return true;
    return false;
}

bool clipc_resnet_has_name(const clipc_config *config, const char *name)
{
    for (size_t i = 0; i < POOLING_ROLES; i++)
        if (strcmp(name, pooling_roles[i].name) == 0)
            return true;
    const char *at = name + strlen("visual.");
    size_t stage = 0;
    size_t block = 0;
    int length = 0;
    if (sscanf(at, "layer%1zu.%4zu.%n", &stage, &block, &length) == 2 && length > 0) {
        if (stage < 1 || stage > 4 || block >= config->resnet.depths[stage - 1])
            return false;
        at += length;
        if (block == 0 && is_part(at, "downsample.0", "downsample.1"))
            return true;
    }
    return is_part(at, "conv1", "bn1") || is_part(at, "conv2", "bn2") || is_part(at, "conv3", "bn3");
}

/* Deviation √(2 / inputs of a sum), which keeps the size of what passes a ReLU (He et al. 2015), to a power of 4. */
static clipc_initial initial_of(const clipc_convolution *convolution)
{
    const size_t inner = convolution->inputs * convolution->kernel * convolution->kernel;
    size_t kind = 0;
    while (kind < CLIPC_INITIAL_CONVOLUTIONS - 1 && (size_t)8 << 2 * kind < inner)
        kind++;
    return (clipc_initial)(CLIPC_INITIAL_CONVOLUTION + kind);
}

static clipc_status each_of_convolution(const clipc_config *config, size_t index, clipc_convolution_weights *weights,
                                        clipc_slot_function function, void *context, clipc_error *error)
{
    const clipc_convolution at = clipc_resnet_at(config, index);
    clipc_tensor *const tensors[] = {&weights->norm_weight, &weights->norm_bias, &weights->norm_mean,
                                     &weights->norm_variance};
    const clipc_initial gain = at.role == CLIPC_CONVOLUTION_EXPAND ? CLIPC_INITIAL_BRANCH : CLIPC_INITIAL_ONE;
    const clipc_initial initials[] = {gain, CLIPC_INITIAL_ZERO, CLIPC_INITIAL_ZERO, CLIPC_INITIAL_ONE};
    clipc_slot slot = {.image = true,
                       .layer = index,
                       .initial = initial_of(&at),
                       .rank = 4,
                       .shape = {at.outputs, at.inputs, at.kernel, at.kernel},
                       .count = at.outputs * at.inputs * at.kernel * at.kernel,
                       .tensor = &weights->kernel};
    snprintf(slot.name, sizeof slot.name, "visual.%s.weight", at.name);
    CLIPC_TRY(function(context, &slot, error));
    slot.rank = 1;
    slot.count = at.outputs;
    for (size_t i = 0; i < 4; i++) {
        snprintf(slot.name, sizeof slot.name, "visual.%s.%s", at.norm, norm_parts[i]);
        slot.initial = initials[i];
        slot.statistic = i >= 2;
        slot.tensor = tensors[i];
        CLIPC_TRY(function(context, &slot, error));
    }
    return CLIPC_OK;
}

static size_t extent_size(const clipc_config *config, clipc_extent extent)
{
    return extent == WIDTH    ? config->image.width
           : extent == TOKENS ? config->image_tokens
                              : config->embedding_dimension;
}

clipc_status clipc_resnet_each(const clipc_config *config, const clipc_weights *weights, clipc_slot_function function,
                               void *context, clipc_error *error)
{
    const size_t count = clipc_resnet_count(config);
    for (size_t i = 0; i < count; i++)
        CLIPC_TRY(each_of_convolution(config, i, &weights->image.convolutions[i], function, context, error));
    clipc_slot slot = {.image = true, .layer = count};
    for (size_t i = 0; i < POOLING_ROLES; i++) {
        snprintf(slot.name, sizeof slot.name, "%s", pooling_roles[i].name);
        slot.initial = pooling_roles[i].initial;
        slot.tensor = (clipc_tensor *)((char *)weights + pooling_roles[i].offset);
        slot.rank = 0;
        slot.count = 1;
        for (size_t j = 0; j < 2 && pooling_roles[i].shape[j] != CLIPC_EXTENT_NONE; j++) {
            slot.shape[slot.rank++] = extent_size(config, pooling_roles[i].shape[j]);
            slot.count *= slot.shape[j];
        }
        CLIPC_TRY(function(context, &slot, error));
    }
    return CLIPC_OK;
}

/* ---- folding ---- */

bool clipc_resnet_fold(const clipc_convolution *convolution, const clipc_convolution_weights *weights, size_t first,
                       size_t count, size_t tap_length, float *row, float *kernels, float *biases)
{
    const size_t taps = convolution->kernel * convolution->kernel;
    const size_t inner = convolution->inputs * taps;
    const size_t length = tap_length ? taps * tap_length : inner;
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        float *to = kernels + i * length;
        float norm[4];
        const clipc_tensor *const parts[] = {&weights->norm_weight, &weights->norm_bias, &weights->norm_mean,
                                             &weights->norm_variance};
        for (size_t j = 0; j < 4; j++)
            clipc_tensor_read(parts[j], first + i, 1, &norm[j]);
        clipc_tensor_read(&weights->kernel, (first + i) * inner, inner, row);
        const double scale = (double)norm[0] / sqrt((double)norm[3] + CLIPC_BATCH_NORM_EPSILON);
        biases[i] = (float)((double)norm[1] - (double)norm[2] * scale);
        if (tap_length)
            memset(to, 0, length * sizeof *to);
        for (size_t input = 0; input < convolution->inputs; input++)
            for (size_t tap = 0; tap < taps; tap++)
                to[tap_length ? tap * tap_length + input : input * taps + tap] =
                    (float)((double)row[input * taps + tap] * scale);
        finite = finite && clipc_all_finite(norm, 4) && isfinite(biases[i]) && clipc_all_finite(to, length);
    }
    return finite;
}
