/* The tensors of a model, one by one. */
#include "backend/backend.h"
#include "io/engine_layout.h"
#include "model/linear.h"

#include "clipc/tensors.h"

#include <string.h>

struct search {
    size_t wanted;
    size_t passed;
    bool found;
    clipc_slot slot;
};

/* Stops the walk at the slot that is wanted. */
static clipc_status pass_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    (void)error;
    struct search *search = context;
    if (search->passed++ != search->wanted)
        return CLIPC_OK;
    search->slot = *slot;
    search->found = true;
    return CLIPC_ERROR_ARGUMENT;
}

/* Any config can be named in transformers' words. */
static struct search walk(const clipc_model *model, size_t wanted)
{
    struct search search = {.wanted = wanted};
    (void)clipc_family_each(&clipc_family_transformers, &model->config, &model->weights, true, true, pass_slot,
                            &search, NULL);
    return search;
}

size_t clipc_model_tensor_count(const clipc_model *model)
{
    return model ? walk(model, SIZE_MAX).passed : 0;
}

static clipc_status find(const clipc_model *model, size_t index, const char *function, clipc_slot *slot,
                         clipc_error *error)
{
    const struct search search = walk(model, index);
    CLIPC_FAIL_IF(!search.found, error, CLIPC_ERROR_ARGUMENT, "%s: no tensor has the index %zu", function, index);
    *slot = search.slot;
    return CLIPC_OK;
}

/* The packed layer that holds the slot's tensor; NULL when there is none. */
static const clipc_section *section_of(const clipc_model *model, const clipc_slot *slot, clipc_linear_place *place)
{
    const bool packed = !slot->tensor->data && model->linears[slot->image] &&
                        clipc_slot_linear(&model->config, &model->weights, slot, place);
    return packed ? model->linears[slot->image][place->index] : NULL;
}

/* Not what has its BatchNorm in it, nor a damaged layer, which is smaller than its shape asks for: nobody should make
 * room for that. */
static bool is_readable(const clipc_model *model, const clipc_slot *slot, const clipc_section *section, size_t bytes)
{
    const bool folded = slot->image && clipc_config_is_resnet(&model->config);
    return slot->tensor->data || (section && !folded && section->size >= bytes);
}

clipc_status clipc_model_get_tensor(const clipc_model *model, size_t index, clipc_tensor_info *info,
                                    clipc_error *error)
{
    CLIPC_FAIL_IF(!model || !info, error, CLIPC_ERROR_ARGUMENT, "clipc_model_get_tensor: %s is NULL",
                  model ? "info" : "model");
    CLIPC_FAIL_IF(info->size != sizeof *info, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_tensor_info.size is %zu, must be %zu", info->size, sizeof *info);
    clipc_slot slot;
    clipc_linear_place place = {0};
    CLIPC_TRY(find(model, index, "clipc_model_get_tensor", &slot, error));
    const clipc_section *section = section_of(model, &slot, &place);
    clipc_dtype dtype = slot.tensor->dtype;
    if (section)
        dtype = place.is_bias ? CLIPC_DTYPE_F32 : section->dtype;
    const size_t bytes = model->block_layout ? 0 : slot.count * clipc_dtype_size(dtype);
    *info = (clipc_tensor_info){.size = sizeof *info,
                                .image = slot.image,
                                .rank = slot.rank,
                                .count = slot.count,
                                .dtype = model->block_layout ? model->weights_dtype : clipc_dtype_name(dtype),
                                .bytes = bytes,
                                .readable = is_readable(model, &slot, section, bytes)};
    _Static_assert(sizeof info->name == sizeof slot.name, "a name fits");
    memcpy(info->name, slot.name, sizeof info->name);
    memcpy(info->shape, slot.shape, slot.rank * sizeof *info->shape);
    return CLIPC_OK;
}

clipc_status clipc_model_read_tensor(const clipc_model *model, size_t index, float *values, clipc_error *error)
{
    CLIPC_FAIL_IF(!model || !values, error, CLIPC_ERROR_ARGUMENT, "clipc_model_read_tensor: %s is NULL",
                  model ? "values" : "model");
    clipc_slot slot;
    clipc_linear_place place = {0};
    CLIPC_TRY(find(model, index, "clipc_model_read_tensor", &slot, error));
    const clipc_tensor *tensor = slot.tensor;
    if (tensor->data) {
        clipc_tensor_read(tensor, 0, slot.count, values);
        clipc_model_forget_tensor(model, tensor);
        return CLIPC_OK;
    }
    const clipc_section *section = section_of(model, &slot, &place);
    CLIPC_FAIL_IF(!is_readable(model, &slot, section, 0), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: tensor '%s' is packed so that its numbers cannot be read", model->path, slot.name);
    CLIPC_TRY(clipc_backend_cpu.unpack(model, slot.image, &place, values, error));
    clipc_model_forget(model, section->bytes, section->size);
    return CLIPC_OK;
}

uint32_t clipc_model_tokenizer_checksum(const clipc_model *model)
{
    const void *bytes = NULL;
    size_t size = 0;
    if (!model || !model->tokenizer)
        return 0;
    clipc_tokenizer_packed(model->tokenizer, &bytes, &size);
    return clipc_checksum(bytes, size);
}
