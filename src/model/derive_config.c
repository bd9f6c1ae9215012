#include "model/derive_config.h"

#include "model/resnet.h"

#include <stddef.h>
#include <string.h>

/* OpenAI's build_model and open_clip: heads are this wide. */
#define HEAD_WIDTH ((size_t)64)

#define AT(member)       offsetof(clipc_weights, member)
#define LAYER_AT(member) offsetof(clipc_layer_weights, member)

static const clipc_role *role_at(const clipc_role *roles, size_t count, size_t offset)
{
    for (size_t i = 0; i < count; i++)
        if (roles[i].offset == offset)
            return &roles[i];
    return &roles[0];
}

static clipc_status find(const clipc_weight_files *in, const char *name, size_t rank, const clipc_tensor **out,
                         clipc_error *error)
{
    *out = clipc_weight_files_find(in->files, in->count, name);
    CLIPC_FAIL_IF(!*out, error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' is missing", in->files[0].name, name);
    char shape[CLIPC_SHAPE_TEXT];
    const size_t ones = (*out)->rank > rank && (*out)->shape[0] == 1 ? 1 : 0;
    CLIPC_FAIL_IF((*out)->rank - ones != rank, error, CLIPC_ERROR_FORMAT,
                  "%s: tensor '%s' has shape %s, not %zu dimensions", in->files[0].name, name,
                  clipc_shape_text((*out)->shape, (*out)->rank, shape), rank);
    return CLIPC_OK;
}

/* The last `rank` dimensions begin here: those before them are 1. */
static const size_t *sides_of(const clipc_tensor *tensor, size_t rank)
{
    return tensor->shape + (tensor->rank - rank);
}

/* The tensor of a role outside the layers. */
static clipc_status find_role(const clipc_weight_files *in, bool image, size_t offset, size_t rank,
                              const clipc_tensor **out, clipc_error *error)
{
    const clipc_tower_roles *tower = image ? &in->family->image : &in->family->text;
    return find(in, role_at(tower->roles, tower->role_count, offset)->name, rank, out, error);
}

static clipc_status check_size(const clipc_weight_files *in, const char *what, size_t value, size_t limit,
                               clipc_error *error)
{
    CLIPC_FAIL_IF(value < 1 || value > limit, error, CLIPC_ERROR_FORMAT,
                  "%s: %s is %zu by the tensors' shapes, must be 1 to %zu", in->files[0].name, what, value, limit);
    return CLIPC_OK;
}

/* A number of the config that the shapes tell, too; 0: the config says nothing. */
static clipc_status check_same(const clipc_weight_files *in, const char *what, size_t by_config, size_t by_shapes,
                               clipc_error *error)
{
    CLIPC_FAIL_IF(by_config && by_config != by_shapes, error, CLIPC_ERROR_FORMAT,
                  "%s: %s is %zu by the tensors' shapes, the config says %zu", in->files[0].name, what, by_shapes,
                  by_config);
    return CLIPC_OK;
}

static size_t count_layers(const clipc_weight_files *in, const clipc_tower_roles *tower)
{
    size_t layers = 0;
    char name[CLIPC_TENSOR_NAME];
    for (; layers <= CLIPC_MAX_LAYERS; layers++) {
        clipc_family_layer_name(tower, layers, &tower->layer_roles[0], name);
        if (!clipc_weight_files_find(in->files, in->count, name))
            break;
    }
    return layers;
}

/* `width` is known. */
static clipc_status derive_tower(const clipc_weight_files *in, bool image, size_t width,
                                 const clipc_open_clip_tower *config, clipc_activation activation,
                                 clipc_tower_config *out, clipc_error *error)
{
    const clipc_tower_roles *tower = image ? &in->family->image : &in->family->text;
    const char *name = image ? "the image tower's width" : "the text tower's width";
    const char *layers_name = image ? "the image tower's number of layers" : "the text tower's number of layers";
    char role[CLIPC_TENSOR_NAME];
    const clipc_tensor *mlp = NULL;
    *out = (clipc_tower_config){.width = width,
                                .layers = count_layers(in, tower),
                                .heads = config ? config->heads : width / HEAD_WIDTH,
                                .activation = config ? config->activation : activation,
                                .layer_norm_epsilon = config ? config->layer_norm_epsilon : 1e-5F};
    CLIPC_TRY(check_size(in, name, width, CLIPC_MAX_WIDTH, error));
    CLIPC_TRY(check_size(in, layers_name, out->layers, CLIPC_MAX_LAYERS, error));
    clipc_family_layer_name(tower, 0, role_at(tower->layer_roles, tower->layer_role_count, LAYER_AT(fc1_weight)),
                            role);
    CLIPC_TRY(find(in, role, 2, &mlp, error));
    out->mlp_width = sides_of(mlp, 2)[0];
    CLIPC_TRY(check_size(in, "the width of an MLP", out->mlp_width, CLIPC_MAX_WIDTH, error));
    CLIPC_TRY(check_same(in, name, config ? config->width : 0, width, error));
    CLIPC_TRY(check_same(in, layers_name, config ? config->layers : 0, out->layers, error));
    CLIPC_FAIL_IF(out->heads == 0 || width % out->heads != 0, error, CLIPC_ERROR_FORMAT,
                  "%s: a width of %zu is no multiple of the %zu heads", in->files[0].name, width, out->heads);
    return CLIPC_OK;
}

static clipc_status set_dimension(const clipc_weight_files *in, size_t dimension, clipc_config *out,
                                  clipc_error *error)
{
    CLIPC_TRY(check_size(in, "the dimension of embeddings", dimension, CLIPC_MAX_WIDTH, error));
    CLIPC_FAIL_IF(out->embedding_dimension && out->embedding_dimension != dimension, error, CLIPC_ERROR_FORMAT,
                  "%s: the two towers' projections have %zu and %zu dimensions", in->files[0].name,
                  out->embedding_dimension, dimension);
    out->embedding_dimension = dimension;
    return CLIPC_OK;
}

/* A projection that files hold as it is has D rows, else D columns. */
static clipc_status derive_dimension(const clipc_weight_files *in, bool image, clipc_config *out, clipc_error *error)
{
    const clipc_tower_roles *tower = image ? &in->family->image : &in->family->text;
    const size_t offset = image ? AT(image.projection) : AT(text.projection);
    const clipc_tensor *projection = NULL;
    size_t dimension = out->image.width;
    if (!image || out->image_projection) {
        const bool plain = role_at(tower->roles, tower->role_count, offset)->form == CLIPC_FORM_PLAIN;
        CLIPC_TRY(find_role(in, image, offset, 2, &projection, error));
        dimension = sides_of(projection, 2)[plain ? 0 : 1];
    }
    return set_dimension(in, dimension, out, error);
}

/* The side of the square that so many positions cover, the first of them standing beside it; rounded up. */
static size_t grid_of(size_t positions)
{
    size_t grid = 0;
    while ((grid + 1) * (grid + 1) < positions)
        grid++;
    return grid;
}

static clipc_status derive_resnet(const clipc_weight_files *in, const clipc_open_clip_config *config,
                                  clipc_config *out, clipc_error *error)
{
    const clipc_tensor *width = NULL;
    const clipc_tensor *positions = NULL;
    const clipc_tensor *projection = NULL;
    const clipc_resnet_config *told = config ? &config->resnet : NULL;
    CLIPC_TRY(find(in, "visual.layer1.0.conv1.weight", 4, &width, error));
    CLIPC_TRY(find(in, clipc_resnet_sign, 2, &positions, error));
    CLIPC_TRY(find(in, "visual.attnpool.c_proj.weight", 2, &projection, error));
    for (size_t stage = 0; stage < 4; stage++) {
        out->resnet.depths[stage] = clipc_resnet_count_blocks(in->files, in->count, stage);
        CLIPC_TRY(check_same(in, "the number of blocks in a stage", told ? told->depths[stage] : 0,
                             out->resnet.depths[stage], error));
    }
    out->resnet.width = sides_of(width, 4)[0];
    CLIPC_TRY(check_same(in, "the ResNet's width", told ? told->width : 0, out->resnet.width, error));
    CLIPC_TRY(check_size(in, "the number of image positions", sides_of(positions, 2)[0], CLIPC_MAX_TOKENS, error));
    out->image_size = CLIPC_RESNET_STRIDE * grid_of(sides_of(positions, 2)[0]);
    CLIPC_TRY(check_same(in, "the size of images", config ? config->image_size : 0, out->image_size, error));
    CLIPC_TRY(check_size(in, "the ResNet's width", out->resnet.width, CLIPC_MAX_WIDTH / 32, error));
    out->image.heads = config ? config->image.heads : 32 * out->resnet.width / HEAD_WIDTH;
    CLIPC_TRY(clipc_config_set_resnet(out, in->files[0].name, error));
    return set_dimension(in, sides_of(projection, 2)[0], out, error);
}

static clipc_status derive_image(const clipc_weight_files *in, const clipc_open_clip_config *config,
                                 clipc_activation activation, clipc_config *out, clipc_error *error)
{
    const clipc_tensor *patches = NULL;
    const clipc_tensor *positions = NULL;
    CLIPC_TRY(find_role(in, true, AT(image.patch_embedding), 4, &patches, error));
    CLIPC_TRY(find_role(in, true, AT(image.position_embedding), 2, &positions, error));
    CLIPC_TRY(derive_tower(in, true, sides_of(patches, 4)[0], config ? &config->image : NULL, activation, &out->image,
                           error));
    out->patch_size = sides_of(patches, 4)[3];
    CLIPC_TRY(check_size(in, "the size of patches", out->patch_size, CLIPC_MAX_WIDTH, error));
    CLIPC_TRY(check_same(in, "the size of patches", config ? config->patch_size : 0, out->patch_size, error));
    CLIPC_TRY(check_size(in, "the number of image positions", sides_of(positions, 2)[0], CLIPC_MAX_TOKENS, error));
    size_t grid = 0;
    while ((grid + 1) * (grid + 1) + (out->class_token ? 1 : 0) <= sides_of(positions, 2)[0])
        grid++;
    out->image_size = config ? config->image_size : grid * out->patch_size;
    CLIPC_TRY(check_size(in, "the size of images", out->image_size, CLIPC_MAX_WIDTH, error));
    CLIPC_TRY(clipc_config_set_image(out, in->files[0].name, error));
    return derive_dimension(in, true, out, error);
}

static clipc_status derive_text(const clipc_weight_files *in, const clipc_open_clip_config *config,
                                clipc_activation activation, clipc_config *out, clipc_error *error)
{
    const clipc_tensor *tokens = NULL;
    const clipc_tensor *positions = NULL;
    CLIPC_TRY(find_role(in, false, AT(text.token_embedding), 2, &tokens, error));
    CLIPC_TRY(find_role(in, false, AT(text.position_embedding), 2, &positions, error));
    CLIPC_TRY(
        derive_tower(in, false, sides_of(tokens, 2)[1], config ? &config->text : NULL, activation, &out->text, error));
    out->vocabulary_size = sides_of(tokens, 2)[0];
    out->max_positions = sides_of(positions, 2)[0];
    out->causal = !config || config->causal;
    out->text_projection_bias = config && config->text_projection_bias;
    out->text_class_token = config && config->text_class_token;
    out->pooling = config ? config->pooling : CLIPC_POOL_LARGEST_ID;
    out->pad_token = config ? config->pad_token : 0;
    out->eot_token = config ? config->eot_token : 49407;
    CLIPC_TRY(check_size(in, "the vocabulary", out->vocabulary_size, CLIPC_MAX_VOCABULARY, error));
    CLIPC_TRY(check_size(in, "the number of text positions", out->max_positions, CLIPC_MAX_TOKENS, error));
    CLIPC_TRY(check_same(in, "the vocabulary", config ? config->vocabulary_size : 0, out->vocabulary_size, error));
    const size_t context = config ? config->context_length : 0; /* the class token has a position of its own */
    CLIPC_TRY(check_same(in, "the number of text positions", context ? context + (out->text_class_token ? 1 : 0) : 0,
                         out->max_positions, error));
    return derive_dimension(in, false, out, error);
}

/* Models that were trained on sigmoids have one: open_clip's init_logit_bias. */
static bool has_logit_bias(const clipc_weight_files *in)
{
    return in->family->logit_bias && clipc_weight_files_find(in->files, in->count, in->family->logit_bias);
}

/* Which parts the model has, and what no shape tells of them. */
static clipc_status derive_parts(const clipc_weight_files *in, const clipc_open_clip_config *config, bool image,
                                 clipc_config *out, clipc_error *error)
{
    const bool timm = clipc_family_is_timm(in->family);
    *out = clipc_config_clip();
    out->scoring = has_logit_bias(in) ? CLIPC_SCORING_SIGMOID : CLIPC_SCORING_SOFTMAX;
    CLIPC_FAIL_IF(timm && !config, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: no open_clip_config.json beside it tells which of timm's image towers it has",
                  in->files[0].name);
    if (!config)
        return CLIPC_OK;
    CLIPC_FAIL_IF(image && config->timm != timm, error, CLIPC_ERROR_FORMAT,
                  "%s: has another image tower than its config says", in->files[0].name);
    out->class_token = config->class_token;
    out->patch_bias = config->patch_bias;
    out->norm_pre = config->norm_pre;
    out->image_pooling = config->image_pooling;
    out->pooling_heads = config->pooling_heads;
    out->image_projection = config->image_projection;
    out->image_projection_bias = config->image_projection_bias;
    return CLIPC_OK;
}

clipc_status clipc_config_derive(const clipc_weight_files *in, const clipc_open_clip_config *config,
                                 clipc_activation activation, bool image, bool text, clipc_config *out,
                                 clipc_error *error)
{
    if (image && clipc_weight_files_find(in->files, in->count, clipc_resnet_sign)) {
        *out = clipc_config_clip();
        CLIPC_TRY(derive_resnet(in, config, out, error));
    } else
        CLIPC_TRY(derive_parts(in, config, image, out, error));
    if (image && !clipc_config_is_resnet(out))
        CLIPC_TRY(derive_image(in, config, activation, out, error));
    if (text)
        CLIPC_TRY(derive_text(in, config, activation, out, error));
    CLIPC_TRY(clipc_config_check_parts(out, in->files[0].name, error));
    return check_same(in, "the dimension of embeddings", config ? config->embedding_dimension : 0,
                      out->embedding_dimension, error);
}
