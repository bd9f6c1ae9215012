#include "backend/ref/ref_towers.h"
#include "base/checked.h"
#include "base/memory.h"
#include "model/resnet.h"

/* The largest of each dimension over the towers in use. The config's limits keep every product within 64 bits. */
typedef struct clipc_ref_dimensions {
    size_t tokens;
    size_t width;
    size_t mlp_width;
    size_t patch;  /* values of one patch */
    size_t weight; /* values of the largest matrix */
    size_t bias;   /* values of the longest vector */
    size_t map;    /* of a ResNet: values of the largest map of features */
} clipc_ref_dimensions;

static void widen(clipc_ref_dimensions *dimensions, const clipc_tower_config *tower, size_t tokens,
                  size_t embedding_dimension)
{
    dimensions->tokens = clipc_max(dimensions->tokens, tokens);
    dimensions->width = clipc_max(dimensions->width, tower->width);
    dimensions->mlp_width = clipc_max(dimensions->mlp_width, tower->mlp_width);
    const size_t rows = clipc_max(embedding_dimension, clipc_max(tower->width, tower->mlp_width));
    dimensions->weight = clipc_max(dimensions->weight, rows * tower->width);
    dimensions->bias = clipc_max(dimensions->bias, rows);
}

static void measure_resnet(const clipc_config *config, clipc_ref_dimensions *dimensions)
{
    const size_t count = clipc_resnet_count(config);
    for (size_t i = 0; i < count; i++) {
        const clipc_convolution at = clipc_resnet_at(config, i);
        dimensions->map = clipc_max(dimensions->map, at.outputs * at.side * at.side);
        dimensions->weight = clipc_max(dimensions->weight, at.outputs * at.inputs * at.kernel * at.kernel);
    }
}

static clipc_ref_dimensions measure(const clipc_model *model, bool image_tower, bool text_tower)
{
    const clipc_config *config = &model->config;
    clipc_ref_dimensions dimensions = {.patch = 1};
    if (image_tower) {
        widen(&dimensions, &config->image, config->image_tokens, config->embedding_dimension);
        measure_resnet(config, &dimensions);
        const size_t kernel = model->weights.image.patch_embedding.count;
        dimensions.patch = kernel / config->image.width;
        dimensions.weight = clipc_max(dimensions.weight, kernel);
    }
    if (text_tower)
        widen(&dimensions, &config->text, clipc_config_text_rows(config), config->embedding_dimension);
    return dimensions;
}

clipc_status clipc_ref_workspace_create(const clipc_model *model, bool image_tower, bool text_tower,
                                        clipc_ref_workspace *out, clipc_error *error)
{
    const clipc_ref_dimensions size = measure(model, image_tower, text_tower);
    clipc_ref_workspace made = {.norm_length = size.bias};
    const struct {
        float **array;
        size_t rows;
        size_t columns;
    } plan[] = {
        {&made.rows, size.tokens, size.width},
        {&made.normalized, size.tokens, size.width},
        {&made.query, size.tokens, size.width},
        {&made.key, size.tokens, size.width},
        {&made.value, size.tokens, size.width},
        {&made.context, size.tokens, size.width},
        {&made.hidden, size.tokens, size.mlp_width},
        {&made.patch, 1, size.patch},
        {&made.weight, 1, size.weight},
        {&made.bias, 1, size.bias},
        {&made.maps[0], 1, size.map},
        {&made.maps[1], 1, size.map},
        {&made.maps[2], 1, size.map},
        {&made.maps[3], 1, size.map},
        {&made.pooled, 1, size.map},
        {&made.norms, size.map ? 4 : 0, size.bias},
    };
    for (size_t i = 0; i < sizeof plan / sizeof *plan; i++) {
        const size_t count = plan[i].rows * plan[i].columns;
        *plan[i].array = clipc_allocate(count, sizeof(float));
        if (!*plan[i].array)
            goto fail;
        made.bytes += count * sizeof(float);
    }
    made.scores = clipc_allocate(size.tokens, sizeof *made.scores);
    if (!made.scores)
        goto fail;
    made.bytes += size.tokens * sizeof *made.scores;
    *out = made;
    return CLIPC_OK;
fail:
    clipc_ref_workspace_destroy(&made);
    return clipc_fail(error, CLIPC_ERROR_MEMORY, "out of memory (the workspace of the reference backend)");
}

void clipc_ref_workspace_destroy(clipc_ref_workspace *workspace)
{
    clipc_free(workspace->rows);
    clipc_free(workspace->normalized);
    clipc_free(workspace->query);
    clipc_free(workspace->key);
    clipc_free(workspace->value);
    clipc_free(workspace->context);
    clipc_free(workspace->hidden);
    clipc_free(workspace->patch);
    clipc_free(workspace->weight);
    clipc_free(workspace->bias);
    clipc_free(workspace->scores);
    for (size_t i = 0; i < 4; i++)
        clipc_free(workspace->maps[i]);
    clipc_free(workspace->pooled);
    clipc_free(workspace->norms);
    *workspace = (clipc_ref_workspace){0};
}
