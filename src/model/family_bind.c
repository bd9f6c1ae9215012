/* Finding a family's tensors in files. */
#include "base/memory.h"
#include "model/resnet.h"

#include <math.h>
#include <string.h>

/* In the order in which they are looked for. */
static const clipc_family *const families[] = {&clipc_family_siglip,           &clipc_family_siglip_alone,
                                               &clipc_family_transformers,     &clipc_family_openai,
                                               &clipc_family_open_clip_siglip, &clipc_family_open_clip_eva,
                                               &clipc_family_open_clip_timm,   &clipc_family_open_clip};
#define FAMILY_COUNT (sizeof families / sizeof families[0])

typedef struct search {
    const clipc_weight_file *files;
    size_t file_count;
    clipc_weights *weights;
} search;

const clipc_tensor *clipc_weight_files_find(const clipc_weight_file *files, size_t file_count, const char *name)
{
    const clipc_tensor *found = NULL;
    for (size_t i = 0; i < file_count && !found; i++)
        found = clipc_tensor_table_find(files[i].tensors, name);
    return found;
}

const clipc_family *clipc_family_detect(const clipc_weight_file *files, size_t file_count, bool *image, bool *text)
{
    const clipc_family *found = NULL;
    int most = 0;
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        const clipc_family *family = families[i];
        const bool has_image = clipc_weight_files_find(files, file_count, family->image.sign) ||
                               (family->resnet && clipc_weight_files_find(files, file_count, clipc_resnet_sign));
        const bool has_text = clipc_weight_files_find(files, file_count, family->text.sign);
        const int rank = 2 * has_text + has_image;
        if (rank <= most)
            continue;
        found = family;
        most = rank;
        *image = has_image;
        *text = has_text;
    }
    return found;
}

static clipc_status find(const search *in, const char *name, const clipc_tensor **tensor, const char **file,
                         clipc_error *error)
{
    *tensor = NULL;
    *file = in->files[0].name;
    for (size_t i = 0; i < in->file_count; i++) {
        const clipc_tensor *found = clipc_tensor_table_find(in->files[i].tensors, name);
        CLIPC_FAIL_IF(found && *tensor, error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' is in %s too", in->files[i].name,
                      name, *file);
        if (found) {
            *tensor = found;
            *file = in->files[i].name;
        }
    }
    CLIPC_FAIL_IF(!*tensor, error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' is missing%s", *file, name,
                  in->file_count > 1 ? " (from the other shards too)" : "");
    return CLIPC_OK;
}

static clipc_status check_dtype(const clipc_tensor *tensor, const char *file, clipc_error *error)
{
    CLIPC_FAIL_IF(tensor->dtype != CLIPC_DTYPE_F32 && tensor->dtype != CLIPC_DTYPE_F16 &&
                      tensor->dtype != CLIPC_DTYPE_BF16,
                  error, CLIPC_ERROR_UNSUPPORTED, "%s: tensor '%s' has dtype %s, clipc reads fp32, fp16 and bf16",
                  file, tensor->name, clipc_dtype_name(tensor->dtype));
    return CLIPC_OK;
}

/* ---- forms ---- */

/* The shape that the slot's tensor has in the file. */
static void stored_shape(const clipc_slot *slot, size_t shape[4])
{
    memcpy(shape, slot->shape, sizeof slot->shape);
    switch (slot->form) {
    case CLIPC_FORM_TRANSPOSED:
        shape[0] = slot->shape[1];
        shape[1] = slot->shape[0];
        break;
    case CLIPC_FORM_FIRST_THIRD:
    case CLIPC_FORM_SECOND_THIRD:
    case CLIPC_FORM_LAST_THIRD: shape[0] *= 3; break;
    case CLIPC_FORM_FIRST_HALF:
    case CLIPC_FORM_LAST_HALF: shape[0] *= 2; break;
    case CLIPC_FORM_PLAIN:
    case CLIPC_FORM_FIRST_ROW:
    case CLIPC_FORM_ZEROS: break;
    }
}

/* How many roles of the slot's size come before it in the stored tensor. */
static size_t place_of(clipc_form form)
{
    switch (form) {
    case CLIPC_FORM_SECOND_THIRD:
    case CLIPC_FORM_LAST_HALF: return 1;
    case CLIPC_FORM_LAST_THIRD: return 2;
    default: return 0;
    }
}

/* Whether the tensor has the shape, but for dimensions of 1 before it. */
static bool has_shape(const clipc_tensor *tensor, const size_t *shape, size_t rank)
{
    size_t ones = 0;
    while (tensor->rank - ones > rank && tensor->shape[ones] == 1)
        ones++;
    return tensor->rank - ones == rank && memcmp(tensor->shape + ones, shape, rank * sizeof *shape) == 0;
}

/* A matrix of rows like the slot's vector, one at least. */
static bool has_rows(const clipc_tensor *tensor, const clipc_slot *slot)
{
    return tensor->rank == 2 && tensor->shape[0] > 0 && tensor->shape[1] == slot->count;
}

static void transpose(const clipc_tensor *from, uint8_t *to)
{
    const size_t size = clipc_dtype_size(from->dtype);
    const size_t rows = from->shape[0];
    const size_t columns = from->shape[1];
    const uint8_t *bytes = from->data;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            memcpy(to + (j * rows + i) * size, bytes + (i * columns + j) * size, size);
}

/* A projection of at most a few megabytes; everything else stays where it is. */
static clipc_status take_transposed(const search *in, const clipc_slot *slot, clipc_error *error)
{
    clipc_tensor *tensor = slot->tensor;
    void **copy = &in->weights->transposed[slot->image];
    const size_t size = clipc_dtype_size(tensor->dtype);
    *copy = clipc_allocate(slot->count, size);
    if (!*copy)
        return clipc_fail_memory(error, slot->count * size, slot->name);
    transpose(tensor, *copy);
    tensor->data = *copy;
    return CLIPC_OK;
}

/* All tensors of zeros of a model are equally long: biases of one tower's layers. */
static clipc_status bind_zeros(const search *in, const clipc_slot *slot, clipc_error *error)
{
    if (!in->weights->zeros)
        in->weights->zeros = clipc_allocate(slot->count, sizeof(float));
    if (!in->weights->zeros)
        return clipc_fail_memory(error, slot->count * sizeof(float), slot->name);
    *slot->tensor = (clipc_tensor){.name = "zeros",
                                   .dtype = CLIPC_DTYPE_F32,
                                   .rank = slot->rank,
                                   .count = slot->count,
                                   .data = in->weights->zeros};
    memcpy(slot->tensor->shape, slot->shape, sizeof slot->shape);
    return CLIPC_OK;
}

static clipc_status bind_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    const search *in = context;
    const clipc_tensor *tensor = NULL;
    const char *file = NULL;
    size_t shape[4];
    if (slot->form == CLIPC_FORM_ZEROS)
        return bind_zeros(in, slot, error);
    CLIPC_TRY(find(in, slot->name, &tensor, &file, error));
    stored_shape(slot, shape);
    if (slot->form == CLIPC_FORM_FIRST_ROW ? !has_rows(tensor, slot) : !has_shape(tensor, shape, slot->rank)) {
        char found[CLIPC_SHAPE_TEXT];
        char expected[CLIPC_SHAPE_TEXT];
        return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' has shape %s, config says %s", file, slot->name,
                          clipc_shape_text(tensor->shape, tensor->rank, found),
                          clipc_shape_text(shape, slot->rank, expected));
    }
    CLIPC_TRY(check_dtype(tensor, file, error));
    *slot->tensor = *tensor;
    if (slot->form == CLIPC_FORM_TRANSPOSED)
        CLIPC_TRY(take_transposed(in, slot, error));
    slot->tensor->data =
        (const uint8_t *)slot->tensor->data + place_of(slot->form) * slot->count * clipc_dtype_size(tensor->dtype);
    memcpy(slot->tensor->shape, slot->shape, sizeof slot->shape);
    slot->tensor->rank = slot->rank;
    slot->tensor->count = slot->count;
    return CLIPC_OK;
}

/* ---- what else files may not have ---- */

/* The config's number of layers against the files, before anything is allocated by it. */
static clipc_status check_layers(const clipc_tower_roles *tower, size_t layers, const search *in, clipc_error *error)
{
    char name[CLIPC_TENSOR_NAME];
    const clipc_tensor *tensor = NULL;
    const char *file = NULL;
    if (layers == 0)
        return CLIPC_OK;
    clipc_family_layer_name(tower, layers - 1, &tower->layer_roles[0], name);
    CLIPC_TRY(find(in, name, &tensor, &file, error));
    clipc_family_layer_name(tower, layers, &tower->layer_roles[0], name);
    for (size_t i = 0; i < in->file_count; i++)
        CLIPC_FAIL_IF(clipc_tensor_table_find(in->files[i].tensors, name), error, CLIPC_ERROR_FORMAT,
                      "%s: has tensor '%s', but config says the tower has %zu layers", in->files[i].name, name,
                      layers);
    return CLIPC_OK;
}

static bool is_among(const clipc_role *roles, size_t count, const clipc_config *config, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (roles[i].form != CLIPC_FORM_ZEROS && strcmp(roles[i].name, name) == 0 &&
            clipc_config_has_part(config, roles[i].part))
            return true;
    return false;
}

static bool is_role(const clipc_tower_roles *tower, const clipc_config *config, const char *name)
{
    const char *prefix = tower->layer_prefix;
    const size_t before = strcspn(prefix, "#");
    if (strncmp(name, prefix, before) == 0) {
        const char *after = name + before + strspn(name + before, "0123456789");
        const size_t rest = strlen(prefix + before + 1);
        if (strncmp(after, prefix + before + 1, rest) == 0 &&
            is_among(tower->layer_roles, tower->layer_role_count, config, after + rest))
            return true;
    }
    return is_among(tower->roles, tower->role_count, config, name);
}

static bool is_image_role(const clipc_family *family, const clipc_config *config, const char *name)
{
    if (clipc_config_is_resnet(config))
        return strncmp(name, "visual.", strlen("visual.")) == 0 && clipc_resnet_has_name(config, name);
    return is_role(&family->image, config, name);
}

static bool is_other(const char *const *others, const char *name)
{
    for (; *others; others++) {
        const size_t length = strlen(*others);
        if (strcmp(*others, name) == 0 || ((*others)[length - 1] == '.' && strncmp(*others, name, length) == 0))
            return true;
    }
    return false;
}

/* A part that clipc does not know would be left out without a word: tensors that belong to none are refused. Where a
 * tower is absent, its tensors may be of any name. */
static clipc_status check_others(const clipc_family *family, const clipc_config *config, const search *in,
                                 clipc_error *error)
{
    if (!family->others || !clipc_config_has_tower(config, true) || !clipc_config_has_tower(config, false))
        return CLIPC_OK;
    for (size_t i = 0; i < in->file_count; i++) {
        for (size_t j = 0; j < in->files[i].tensors->count; j++) {
            const char *name = in->files[i].tensors->by_name[j]->name;
            CLIPC_FAIL_IF(
                !is_image_role(family, config, name) && !is_role(&family->text, config, name) &&
                    strcmp(name, family->logit_scale) != 0 &&
                    (!family->logit_bias || strcmp(name, family->logit_bias) != 0) && !is_other(family->others, name),
                error, CLIPC_ERROR_UNSUPPORTED,
                "%s: tensor '%s' belongs to a part of a network that clipc does not know", in->files[i].name, name);
        }
    }
    return CLIPC_OK;
}

static clipc_status read_scalar(const search *in, const char *name, float *out, const char **file, clipc_error *error)
{
    const clipc_tensor *tensor = NULL;
    CLIPC_TRY(find(in, name, &tensor, file, error));
    CLIPC_TRY(check_dtype(tensor, *file, error));
    CLIPC_FAIL_IF(tensor->count != 1, error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' has %zu values, must be one", *file,
                  tensor->name, tensor->count);
    clipc_tensor_read(tensor, 0, 1, out);
    return CLIPC_OK;
}

static clipc_status bind_logit_scale(const clipc_family *family, const clipc_config *config, const search *in,
                                     float *out, clipc_error *error)
{
    const char *file = NULL;
    float logarithm = 0;
    *out = 1;
    const bool both = clipc_config_has_tower(config, true) && clipc_config_has_tower(config, false);
    if (!both && !clipc_weight_files_find(in->files, in->file_count, family->logit_scale))
        return CLIPC_OK;
    CLIPC_TRY(read_scalar(in, family->logit_scale, &logarithm, &file, error));
    *out = expf(logarithm);
    CLIPC_FAIL_IF(!isfinite(*out) || *out <= 0, error, CLIPC_ERROR_FORMAT,
                  "%s: tensor '%s' is %g, which is no usable logit scale", file, family->logit_scale,
                  (double)logarithm);
    return CLIPC_OK;
}

/* Models that score by sigmoid have one, but for towers alone. */
static clipc_status bind_logit_bias(const clipc_family *family, const clipc_config *config, const search *in,
                                    float *out, clipc_error *error)
{
    const char *file = NULL;
    const bool both = clipc_config_has_tower(config, true) && clipc_config_has_tower(config, false);
    *out = 0;
    if (!family->logit_bias || config->scoring != CLIPC_SCORING_SIGMOID ||
        (!both && !clipc_weight_files_find(in->files, in->file_count, family->logit_bias)))
        return CLIPC_OK;
    CLIPC_TRY(read_scalar(in, family->logit_bias, out, &file, error));
    CLIPC_FAIL_IF(!isfinite(*out), error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' is %g, which is no usable logit bias",
                  file, family->logit_bias, (double)*out);
    return CLIPC_OK;
}

clipc_status clipc_family_bind(const clipc_family *family, const clipc_config *config, const clipc_weight_file *files,
                               size_t file_count, clipc_weights *weights, clipc_error *error)
{
    search in = {.files = files, .file_count = file_count, .weights = weights};
    if (!clipc_config_is_resnet(config)) /* whose depths are counted in the files */
        CLIPC_TRY(check_layers(&family->image, config->image.layers, &in, error));
    CLIPC_TRY(check_layers(&family->text, config->text.layers, &in, error));
    CLIPC_TRY(check_others(family, config, &in, error));
    CLIPC_TRY(clipc_weights_allocate(config, weights, error));
    CLIPC_TRY(clipc_family_each(family, config, weights, true, true, bind_slot, &in, error));
    CLIPC_TRY(bind_logit_scale(family, config, &in, &weights->logit_scale, error));
    return bind_logit_bias(family, config, &in, &weights->logit_bias, error);
}
