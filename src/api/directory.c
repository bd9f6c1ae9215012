/* Writing a model as a directory of transformers. */
#include "backend/backend.h"
#include "model/directory_write.h"

/* Packed layers are those of backend cpu (model/engine_file_model.c knows no others). */
static clipc_status unpack(const clipc_model *model, const clipc_slot *slot, float *values, clipc_error *error)
{
    clipc_linear_place place;
    CLIPC_FAIL_IF(!clipc_slot_linear(&model->config, &model->weights, slot, &place), error, CLIPC_ERROR_INTERNAL,
                  "%s: tensor '%s' has no bytes", model->path, slot->name);
    CLIPC_TRY(clipc_backend_cpu.unpack(model, slot->image, &place, values, error));
    const clipc_section *section = model->linears[slot->image][place.index];
    clipc_model_forget(model, section->bytes, section->size);
    return CLIPC_OK;
}

/* Whether transformers pools a text as the model does: end token 2 stands for the largest id there. */
static bool has_pooling(const clipc_config *config)
{
    if (clipc_config_is_siglip(config))
        return config->pooling == CLIPC_POOL_LAST;
    return config->pooling == CLIPC_POOL_LARGEST_ID ||
           (config->pooling == CLIPC_POOL_FIRST_EOT && config->eot_token != 2);
}

/* transformers has a CLIPModel and a SiglipModel, and nothing between them. */
static clipc_status check_parts(const clipc_model *model, clipc_error *error)
{
    const clipc_config *config = &model->config;
    const clipc_config known = clipc_config_is_siglip(config) ? clipc_config_siglip() : clipc_config_clip();
    const bool image = !clipc_config_has_tower(config, true) ||
                       (config->class_token == known.class_token && config->patch_bias == known.patch_bias &&
                        config->norm_pre == known.norm_pre && config->image_pooling == known.image_pooling &&
                        config->image_projection == known.image_projection && !config->image_projection_bias);
    CLIPC_FAIL_IF(clipc_config_is_resnet(config), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: its image tower is a ResNet, which transformers does not have as a CLIP's",
                  model->path[0] ? model->path : model->name);
    const bool text = !clipc_config_has_tower(config, false) ||
                      (config->causal == known.causal && config->text_projection_bias == known.text_projection_bias &&
                       !config->text_class_token && has_pooling(config));
    const bool both = clipc_config_has_tower(config, true) && clipc_config_has_tower(config, false);
    CLIPC_FAIL_IF(both && clipc_config_is_siglip(config) && config->scoring != CLIPC_SCORING_SIGMOID, error,
                  CLIPC_ERROR_UNSUPPORTED,
                  "%s: transformers' SiglipModel scores by sigmoids with a bias, which this model does not have",
                  model->path);
    CLIPC_FAIL_IF(!image || !text, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: transformers has no model of the parts of this %s tower", model->path,
                  image ? "text" : "image");
    return CLIPC_OK;
}

static clipc_status choose_dtype(const clipc_model *model, clipc_precision precision, clipc_dtype *out,
                                 clipc_error *error)
{
    switch (precision) {
    case CLIPC_PRECISION_AUTO: *out = clipc_directory_dtype(model); return CLIPC_OK;
    case CLIPC_PRECISION_FP32: *out = CLIPC_DTYPE_F32; return CLIPC_OK;
    case CLIPC_PRECISION_FP16: *out = CLIPC_DTYPE_F16; return CLIPC_OK;
    case CLIPC_PRECISION_BF16: *out = CLIPC_DTYPE_BF16; return CLIPC_OK;
    default: break;
    }
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED,
                      "a directory of transformers holds weights of fp32, fp16 or bf16, not %s",
                      clipc_precision_name(precision));
}

clipc_status clipc_model_write_directory(const clipc_model *model, clipc_precision precision,
                                         clipc_file_function begin, clipc_write_function write, void *user,
                                         clipc_error *error)
{
    clipc_dtype dtype = CLIPC_DTYPE_F32;
    CLIPC_FAIL_IF(!model || !begin || !write, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_model_write_directory needs a model and functions that begin a file and write");
    CLIPC_FAIL_IF(model->engine_file && model->precision != CLIPC_PRECISION_FP32, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: its weights were rounded to %s when it was made; only an engine file of fp32 still has the "
                  "original ones",
                  model->path, clipc_precision_name(model->precision));
    CLIPC_TRY(check_parts(model, error));
    CLIPC_TRY(choose_dtype(model, precision, &dtype, error));
    CLIPC_TRY(clipc_model_check_source(model, 1, error));
    const clipc_directory_sink sink = {.begin = begin, .write = write, .user = user, .unpack = unpack};
    return clipc_directory_write(model, dtype, &sink, error);
}
