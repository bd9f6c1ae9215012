/* The linear layers of a model, one by one. */
#include "model/linear.h"

#include "backend/cuda/tower_file.h"
#include "model/model.h"

#include <string.h>

size_t clipc_model_linear_count(const clipc_model *model)
{
    return model ? clipc_linear_count(&model->config, true) + clipc_linear_count(&model->config, false) : 0;
}

clipc_status clipc_model_get_linear(const clipc_model *model, size_t index, clipc_linear_info *info,
                                    clipc_error *error)
{
    CLIPC_FAIL_IF(!model || !info, error, CLIPC_ERROR_ARGUMENT, "clipc_model_get_linear: %s is NULL",
                  model ? "info" : "model");
    CLIPC_FAIL_IF(info->size != sizeof *info, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_linear_info.size is %zu, must be %zu", info->size, sizeof *info);
    CLIPC_FAIL_IF(index >= clipc_model_linear_count(model), error, CLIPC_ERROR_ARGUMENT,
                  "clipc_model_get_linear: no linear layer has the index %zu", index);
    const size_t images = clipc_linear_count(&model->config, true);
    const bool image = index < images;
    const size_t place = image ? index : index - images;
    const clipc_linear linear = clipc_linear_at(&model->config, &model->weights, image, place);
    *info = (clipc_linear_info){.size = sizeof *info,
                                .parts = linear.parts,
                                .outputs = linear.outputs,
                                .inner = linear.inner,
                                .dtype = clipc_dtype_name(linear.weights[0]->dtype)};
    memcpy(info->name, linear.name, sizeof info->name);
    if (model->linears[image]) {
        const clipc_section *section = model->linears[image][place];
        info->dtype = clipc_dtype_name(section->dtype);
        info->bytes = section->size;
        info->panel_columns = section->panel_columns;
        return CLIPC_OK;
    }
    if (model->block_layout) {
        clipc_precision stored = CLIPC_PRECISION_AUTO;
        CLIPC_TRY(clipc_cuda_linear_describe(model, image, place, &stored, &info->bytes, error));
        info->dtype = clipc_precision_name(stored);
        return CLIPC_OK;
    }
    for (size_t part = 0; part < linear.parts; part++)
        info->bytes += linear.weights[part]->count * clipc_dtype_size(linear.weights[part]->dtype);
    return CLIPC_OK;
}
