/* Random weights of any size in a few megabytes. Each kind of role has one block of random bfloat16 values, drawn at
 * OpenAI CLIP's deviation for it (initialize_parameters in its model.py) and mapped over and over into a range of
 * addresses as long as the kind's largest tensor; every tensor of the kind is a view that begins elsewhere in the
 * block. So ViT-bigG-14's 2.5 thousand million weights take no more memory than ViT-B-32's, all of it shared. */
#define _GNU_SOURCE /* memfd_create */
#include "base/checked.h"
#include "base/memory.h"
#include "model/model.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A multiple of every page size that Linux has. A prime number of them, so that few rows of a matrix repeat. */
#define PAGE_BYTES       ((size_t)65536)
#define BLOCK_BYTES      (61 * PAGE_BYTES)
#define VALUES_IN(bytes) ((bytes) / sizeof(uint16_t))
/* How far apart neighbouring tensors of a kind begin, in values. */
#define TENSOR_STEP ((size_t)4999)

typedef struct block {
    float deviation;
    float mean;
    size_t largest; /* values the largest tensor has */
    size_t used;    /* tensors placed */
    size_t block_bytes;
    void *range;
    size_t range_bytes;
} block;

struct clipc_random_weights {
    block blocks[2][CLIPC_INITIAL_COUNT]; /* [text, image] */
};

/* A bijective mix of 32 bits (constants: Chris Wellons' hash prospector, lowbias32). */
static uint32_t mix(uint32_t value)
{
    value ^= value >> 16;
    value *= 0x7FEB352DU;
    value ^= value >> 15;
    value *= 0x846CA68BU;
    return value ^ value >> 16;
}

/* Uniform values of the wanted mean and deviation: value i depends on the seed and i alone. */
static void draw(uint16_t *values, size_t count, uint32_t seed, float mean, float deviation)
{
    const float scale = deviation * 1.7320508F / 2147483648.0F; /* a uniform value in ±√3 has deviation 1 */
    for (size_t i = 0; i < count; i++) {
        const float value = mean + scale * (float)(int32_t)mix((uint32_t)i ^ seed);
        uint32_t bits = 0;
        memcpy(&bits, &value, sizeof bits);
        values[i] = (uint16_t)(bits >> 16);
    }
}

static void set_scale(block *at, clipc_initial initial, const clipc_tower_config *tower)
{
    const float width = (float)tower->width;
    const float layers = (float)tower->layers;
    switch (initial) {
    case CLIPC_INITIAL_ONE: *at = (block){.mean = 1.0F, .deviation = 0.02F}; break;
    case CLIPC_INITIAL_ZERO: *at = (block){.deviation = 0.01F}; break;
    case CLIPC_INITIAL_WIDTH: *at = (block){.deviation = 1 / sqrtf(width)}; break;
    case CLIPC_INITIAL_RESIDUAL: *at = (block){.deviation = 1 / sqrtf(width * 2 * layers)}; break;
    case CLIPC_INITIAL_MLP: *at = (block){.deviation = 1 / sqrtf(2 * width)}; break;
    case CLIPC_INITIAL_TOKEN: *at = (block){.deviation = 0.02F}; break;
    case CLIPC_INITIAL_POSITION: *at = (block){.deviation = 0.01F}; break;
    case CLIPC_INITIAL_BRANCH: *at = (block){.mean = 0.25F, .deviation = 0.005F}; break;
    default: /* of convolutions */
        *at = (block){.deviation = sqrtf(2.0F / (float)((size_t)16 << 2 * (initial - CLIPC_INITIAL_CONVOLUTION)))};
        break;
    }
}

static clipc_status measure_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    (void)error;
    struct clipc_random_weights *random = context;
    block *at = &random->blocks[slot->image][slot->initial];
    at->largest = clipc_max(at->largest, slot->count);
    return CLIPC_OK;
}

static clipc_status fail_map(clipc_error *error, const char *action)
{
    return clipc_fail(error, CLIPC_ERROR_MEMORY, "random weights: cannot %s: %s", action, strerror(errno));
}

/* Fills the file behind the block and maps it again and again. */
static clipc_status map_block(block *at, int file, uint32_t seed, clipc_error *error)
{
    uint16_t *values = mmap(NULL, at->block_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (values == MAP_FAILED)
        return fail_map(error, "map memory");
    draw(values, VALUES_IN(at->block_bytes), seed, at->mean, at->deviation);
    munmap(values, at->block_bytes);

    const size_t copies = at->largest / VALUES_IN(at->block_bytes) + 2; /* one for the views' first values */
    at->range_bytes = copies * at->block_bytes;
    at->range = mmap(NULL, at->range_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at->range == MAP_FAILED) {
        at->range = NULL;
        return fail_map(error, "reserve addresses");
    }
    for (size_t i = 0; i < copies; i++) {
        void *place = (char *)at->range + i * at->block_bytes;
        if (mmap(place, at->block_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED)
            return fail_map(error, "map memory");
    }
    return CLIPC_OK;
}

static clipc_status make_block(block *at, uint32_t seed, clipc_error *error)
{
    const int file = memfd_create("clipc random weights", MFD_CLOEXEC);
    if (file < 0)
        return fail_map(error, "make a memory file");
    at->block_bytes = at->largest > VALUES_IN(PAGE_BYTES) ? BLOCK_BYTES : PAGE_BYTES;
    clipc_status status = CLIPC_OK;
    if (ftruncate(file, (off_t)at->block_bytes) != 0)
        status = fail_map(error, "size a memory file");
    else
        status = map_block(at, file, seed, error);
    close(file);
    return status;
}

static clipc_status place_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    (void)error;
    struct clipc_random_weights *random = context;
    block *at = &random->blocks[slot->image][slot->initial];
    const size_t begin = at->used++ * TENSOR_STEP % VALUES_IN(at->block_bytes);
    *slot->tensor = (clipc_tensor){.name = "random",
                                   .data = (const uint16_t *)at->range + begin,
                                   .dtype = CLIPC_DTYPE_BF16,
                                   .rank = slot->rank,
                                   .count = slot->count};
    memcpy(slot->tensor->shape, slot->shape, slot->rank * sizeof slot->shape[0]);
    return CLIPC_OK;
}

clipc_status clipc_random_weights_create(clipc_model *model, uint64_t seed, clipc_error *error)
{
    struct clipc_random_weights *random = clipc_allocate(1, sizeof *random);
    if (!random)
        return clipc_fail_memory(error, sizeof *random, "random weights");
    model->random_weights = random;
    const clipc_config *config = &model->config;
    for (size_t tower = 0; tower < 2; tower++)
        for (size_t i = 0; i < CLIPC_INITIAL_COUNT; i++)
            set_scale(&random->blocks[tower][i], (clipc_initial)i, tower ? &config->image : &config->text);
    CLIPC_TRY(clipc_weights_allocate(config, &model->weights, error));
    CLIPC_TRY(clipc_family_each(model->family, config, &model->weights, true, true, measure_slot, random, error));
    const uint32_t folded = mix((uint32_t)seed) ^ mix((uint32_t)(seed >> 32) + 0x9E3779B9U);
    for (size_t tower = 0; tower < 2; tower++)
        for (size_t i = 0; i < CLIPC_INITIAL_COUNT; i++)
            if (random->blocks[tower][i].largest)
                CLIPC_TRY(make_block(&random->blocks[tower][i],
                                     mix(folded + (uint32_t)(tower * CLIPC_INITIAL_COUNT + i)), error));
    CLIPC_TRY(clipc_family_each(model->family, config, &model->weights, true, true, place_slot, random, error));
    const bool sigmoid = config->scoring == CLIPC_SCORING_SIGMOID;
    model->weights.logit_scale = sigmoid ? 10.0F : 1 / 0.07F; /* initial values of SigLIP and OpenAI's CLIP */
    model->weights.logit_bias = sigmoid ? -10.0F : 0.0F;
    return CLIPC_OK;
}

void clipc_random_weights_destroy(struct clipc_random_weights **weights)
{
    if (!weights || !*weights)
        return;
    for (size_t tower = 0; tower < 2; tower++)
        for (size_t i = 0; i < CLIPC_INITIAL_COUNT; i++)
            if ((*weights)->blocks[tower][i].range)
                munmap((*weights)->blocks[tower][i].range, (*weights)->blocks[tower][i].range_bytes);
    clipc_free(*weights);
    *weights = NULL;
}
