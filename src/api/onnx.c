/* Writing ONNX graphs. */
#include "backend/backend.h"
#include "base/memory.h"
#include "model/linear.h"
#include "model/resnet.h"
#include "onnx/tower.h"

#include <stdio.h>
#include <string.h>

#define OLDEST_OPSET  12
#define NEWEST_OPSET  20
#define LAYER_WEIGHTS 16
/* Beside the layers: embeddings, LayerNorms, projection, and pooling with a layer of its own. */
#define OTHER_WEIGHTS (10 + LAYER_WEIGHTS + 1)
#define LONGEST_BATCH ((size_t)1 << 20)

void clipc_onnx_options_init(clipc_onnx_options *options)
{
    if (options)
        *options = (clipc_onnx_options){
            .size = sizeof *options,
            .opset = 17,
            .precision = CLIPC_PRECISION_FP32,
            .batch = 1,
            .input_name = "input",
            .output_name = "output",
            .input_axis = "batch",
            .output_axis = "batch",
            .fold = 1,
        };
}

static clipc_status check_options(const clipc_onnx_options *options, clipc_error *error)
{
    CLIPC_FAIL_IF(options->size != sizeof *options, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_onnx_options.size is %zu, must be %zu (clipc_onnx_options_init sets it)", options->size,
                  sizeof *options);
    CLIPC_FAIL_IF(options->opset < OLDEST_OPSET || options->opset > NEWEST_OPSET, error, CLIPC_ERROR_ARGUMENT,
                  "ONNX: opset %u, not %d to %d", options->opset, OLDEST_OPSET, NEWEST_OPSET);
    CLIPC_FAIL_IF(options->precision != CLIPC_PRECISION_FP32 && options->precision != CLIPC_PRECISION_FP16, error,
                  CLIPC_ERROR_UNSUPPORTED, "ONNX: graphs are fp32 or fp16, not %s",
                  clipc_precision_name(options->precision));
    CLIPC_FAIL_IF(!options->input_name || !options->input_name[0] || !options->output_name ||
                      !options->output_name[0] || strcmp(options->input_name, options->output_name) == 0,
                  error, CLIPC_ERROR_ARGUMENT, "ONNX: input and output need names, each its own");
    CLIPC_FAIL_IF(!options->input_axis != !options->output_axis, error, CLIPC_ERROR_ARGUMENT,
                  "ONNX: the batch is axis 0 of both input and output, so both vary or neither does");
    CLIPC_FAIL_IF(!options->input_axis && (options->batch == 0 || options->batch > LONGEST_BATCH), error,
                  CLIPC_ERROR_ARGUMENT, "ONNX: a fixed batch of %zu, not 1 to %zu", options->batch, LONGEST_BATCH);
    CLIPC_FAIL_IF(options->quantize_dynamic && options->precision != CLIPC_PRECISION_FP32, error,
                  CLIPC_ERROR_UNSUPPORTED, "ONNX: a quantised graph computes in integers and fp32, not %s",
                  clipc_precision_name(options->precision));
    CLIPC_FAIL_IF(options->quantize_dynamic && !options->fold, error, CLIPC_ERROR_UNSUPPORTED,
                  "ONNX: a quantised graph holds its weights turned, as products of integers read them");
    return CLIPC_OK;
}

/* What a reader needs to know that a graph cannot say. */
static clipc_status add_metadata(clipc_onnx_graph *graph, const clipc_model *model, const clipc_onnx_options *options,
                                 clipc_error *error)
{
    char *config = NULL;
    char *rule = NULL;
    clipc_status status = CLIPC_OK;
    CLIPC_CHECK(clipc_config_write(&model->config, &config, error));
    CLIPC_CHECK(clipc_preprocess_rule_write(&model->preprocess, &rule, error));
    clipc_onnx_metadata(graph, "clipc.tower", options->text ? "text" : "image");
    clipc_onnx_metadata(graph, "clipc.config", config);
    clipc_onnx_metadata(graph, "clipc.preprocessing", rule);
    clipc_onnx_metadata(graph, "clipc.preprocessing_order",
                        model->preprocess.order == CLIPC_ORDER_TORCHVISION ? "torchvision" : "transformers");
    clipc_onnx_metadata(graph, "clipc.template", model->default_template);
    if (options->text && clipc_config_places_tokens(&model->config))
        clipc_onnx_metadata(graph, "clipc.pad_token", clipc_onnx_text(graph, "%d", (int)model->config.pad_token));
    clipc_onnx_metadata(graph, "clipc.normalized", options->normalize ? "true" : "false");
    clipc_onnx_metadata(graph, "logit_scale", clipc_onnx_text(graph, "%.9g", (double)model->weights.logit_scale));
    if (model->config.scoring == CLIPC_SCORING_SIGMOID)
        clipc_onnx_metadata(graph, "logit_bias", clipc_onnx_text(graph, "%.9g", (double)model->weights.logit_bias));
fail:
    clipc_free(config);
    clipc_free(rule);
    return status;
}

/* ---- engine files ---- */

typedef struct search {
    const clipc_model *model;
    const clipc_tensor *tensor;
    float *values;
} search;

static clipc_status unpack_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    const search *of = context;
    clipc_linear_place place;
    if (slot->tensor != of->tensor)
        return CLIPC_OK;
    CLIPC_FAIL_IF(!clipc_slot_linear(&of->model->config, &of->model->weights, slot, &place) &&
                      !clipc_slot_folded(&of->model->config, &of->model->weights, slot, &place),
                  error, CLIPC_ERROR_INTERNAL, "%s: tensor '%s' has no bytes", of->model->path, slot->name);
    return clipc_backend_cpu.unpack(of->model, slot->image, &place, of->values, error);
}

/* Packed layers are those of backend cpu; packing fp32 moves numbers and changes none. */
static clipc_status unpack(const void *user, const clipc_tensor *tensor, float *values, clipc_error *error)
{
    const clipc_model *model = user;
    search of = {model, tensor, values};
    return clipc_family_each(model->family, &model->config, &model->weights, true, true, unpack_slot, &of, error);
}

clipc_status clipc_model_export_onnx(const clipc_model *model, const clipc_onnx_options *options,
                                     clipc_write_function write, void *user, clipc_write_function external,
                                     void *external_user, const char *external_name, clipc_error *error)
{
    clipc_onnx_options defaults;
    CLIPC_FAIL_IF(!model || !write || (external && !external_name), error, CLIPC_ERROR_ARGUMENT,
                  "clipc_model_export_onnx: %s is NULL",
                  !model   ? "model"
                  : !write ? "write"
                           : "external_name");
    clipc_onnx_options_init(&defaults);
    if (!options)
        options = &defaults;
    CLIPC_TRY(check_options(options, error));
    CLIPC_FAIL_IF(model->engine_file && model->precision != CLIPC_PRECISION_FP32, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: its weights were rounded to %s when it was made; only an engine file of fp32 still has the "
                  "original ones",
                  model->path, clipc_precision_name(model->precision));
    CLIPC_TRY(clipc_model_check_tower(model, !options->text, error));
    if (model->engine_file)
        CLIPC_TRY(clipc_model_check_source(model, 0, error));
    CLIPC_TRY(clipc_model_check_finite(model, !options->text, options->text, 0, error));

    const clipc_tower_config *tower = options->text ? &model->config.text : &model->config.image;
    const size_t convolutions = options->text ? 0 : clipc_resnet_count(&model->config);
    CLIPC_FAIL_IF(convolutions && options->quantize_dynamic, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: a ResNet's graph is made in floats alone", model->path);
    CLIPC_FAIL_IF(!options->text && options->quantize_dynamic && model->config.image_pooling == CLIPC_IMAGE_POOL_QUERY,
                  error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the graph of attentional pooling (CoCa) is made in floats alone", model->path);
    clipc_onnx_graph graph;
    clipc_onnx_graph_init(&graph, options->text ? "clip_textual" : "clip_visual", options->opset,
                          tower->layers * LAYER_WEIGHTS + convolutions * CLIPC_CONVOLUTION_PARTS + OTHER_WEIGHTS,
                          error);
    graph.dtype = options->precision == CLIPC_PRECISION_FP16 ? CLIPC_DTYPE_F16 : CLIPC_DTYPE_F32;
    graph.fold = options->fold != 0;
    graph.integers = options->quantize_dynamic != 0;
    graph.unpack = unpack;
    graph.unpack_user = model;
    graph.layer_norm_plugin = options->layer_norm_plugin != 0;
    clipc_status status = CLIPC_OK;
    CLIPC_CHECK(add_metadata(&graph, model, options, error));
    if (options->text)
        clipc_onnx_add_text_tower(&graph, model, options);
    else
        clipc_onnx_add_image_tower(&graph, model, options);
    status = clipc_onnx_graph_write(&graph, write, user, external, external_user, external_name);
fail:
    clipc_onnx_graph_free(&graph);
    return status;
}
