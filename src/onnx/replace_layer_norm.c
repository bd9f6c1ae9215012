#include "onnx/replace_layer_norm.h"

#include "onnx/match_layer_norm.h"
#include "onnx/plugin.h"

#include <stdio.h>
#include <string.h>

typedef struct replacement {
    Onnx__GraphProto *graph;
    clipc_onnx_arena *arena;
    clipc_onnx_replaced *replaced;
} replacement;

static char *text_of(replacement *in, const char *text)
{
    return clipc_onnx_arena_text(in->arena, text, strlen(text));
}

/* ---- the node ---- */

static Onnx__AttributeProto *add_attribute(replacement *in, Onnx__NodeProto *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *attribute = clipc_onnx_arena_cut(in->arena, 1, sizeof *attribute);
    if (!attribute)
        return NULL;
    *attribute = (Onnx__AttributeProto)ONNX__ATTRIBUTE_PROTO__INIT;
    attribute->name = text_of(in, name);
    attribute->has_type = 1;
    attribute->type = type;
    node->attribute[node->n_attribute++] = attribute;
    return attribute;
}

static void add_text(replacement *in, Onnx__NodeProto *node, const char *name, const char *value)
{
    Onnx__AttributeProto *attribute = add_attribute(in, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    if (!attribute)
        return;
    attribute->has_s = 1;
    attribute->s = (ProtobufCBinaryData){strlen(value), (uint8_t *)text_of(in, value)};
}

/* The node keeps its name and its first output, and becomes the plugin's. */
static void become_plugin(replacement *in, Onnx__NodeProto *node, const clipc_onnx_layer_norm_match *match)
{
    enum { ATTRIBUTES = 4 };
    char **inputs = clipc_onnx_arena_cut(in->arena, 3, sizeof *inputs);
    Onnx__AttributeProto **attributes = clipc_onnx_arena_cut(in->arena, ATTRIBUTES, sizeof *attributes);
    if (!inputs || !attributes)
        return;
    inputs[0] = match->x;
    inputs[1] = match->weight;
    inputs[2] = match->bias;
    node->input = inputs;
    node->n_input = 3;
    node->n_output = 1;
    node->op_type = text_of(in, CLIPC_ONNX_PLUGIN);
    node->domain = text_of(in, CLIPC_ONNX_PLUGIN_DOMAIN);
    node->attribute = attributes;
    node->n_attribute = 0;
    Onnx__AttributeProto *axis = add_attribute(in, node, "axis", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    Onnx__AttributeProto *epsilon = add_attribute(in, node, "epsilon", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!axis || !epsilon)
        return;
    axis->has_i = 1;
    axis->i = match->axis;
    epsilon->has_f = 1;
    epsilon->f = match->epsilon;
    add_text(in, node, "plugin_version", CLIPC_ONNX_PLUGIN_VERSION);
    add_text(in, node, "plugin_namespace", "");
}

/* A bias of zeros for a LayerNormalization that has none: the plugin always adds one. */
static char *add_zero_bias(replacement *in, const clipc_onnx_layer_norm_match *match, size_t node)
{
    const Onnx__TensorProto *weight = match->weight_array;
    const size_t size = weight->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ? 4 : 2;
    Onnx__GraphProto *graph = in->graph;
    Onnx__TensorProto *bias = clipc_onnx_arena_cut(in->arena, 1, sizeof *bias);
    Onnx__TensorProto **list = clipc_onnx_arena_cut(in->arena, graph->n_initializer + 1, sizeof *list);
    uint8_t *zeros = clipc_onnx_arena_cut(in->arena, match->width, size);
    char name[64];
    if (!bias || !list || !zeros)
        return NULL;
    snprintf(name, sizeof name, "clipc/zero_bias_%zu", node);
    *bias = (Onnx__TensorProto)ONNX__TENSOR_PROTO__INIT;
    bias->name = text_of(in, name);
    bias->dims = weight->dims;
    bias->n_dims = weight->n_dims;
    bias->has_data_type = 1;
    bias->data_type = weight->data_type;
    bias->has_raw_data = 1;
    bias->raw_data = (ProtobufCBinaryData){match->width * size, zeros};
    if (graph->n_initializer)
        memcpy(list, graph->initializer, graph->n_initializer * sizeof *list);
    list[graph->n_initializer++] = bias;
    graph->initializer = list;
    return bias->name;
}

static const char *why_not(const clipc_onnx_layer_norm_match *match)
{
    if (match->reason)
        return match->reason;
    const int32_t type = match->weight_array->data_type;
    if (type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT && type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 &&
        type != ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
        return "its weight is none of fp32, fp16 and bf16";
    if (match->width < CLIPC_ONNX_PLUGIN_LEAST_WIDTH || match->width > CLIPC_ONNX_PLUGIN_MOST_WIDTH)
        return "its rows are none of 64 to 8192 numbers";
    return NULL;
}

static void replace(replacement *in, size_t index, clipc_onnx_layer_norm_match *match)
{
    Onnx__NodeProto *node = in->graph->node[index];
    const char *reason = why_not(match);
    if (reason) {
        if (!in->replaced->left++)
            snprintf(in->replaced->reason, sizeof in->replaced->reason, "%.80s: %s",
                     node->name && node->name[0] ? node->name : node->output[0], reason);
        return;
    }
    if (!match->bias)
        match->bias = add_zero_bias(in, match, index);
    if (!match->bias)
        return;
    become_plugin(in, node, match);
    *(match->chain ? &in->replaced->chains : &in->replaced->operators) += 1;
}

/* ---- what is left over ---- */

static bool is_read(const clipc_onnx_value_table *values, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_output; i++) {
        const clipc_onnx_value_entry *entry = clipc_onnx_value_table_find(values, node->output[i]);
        if (entry && entry->uses)
            return true;
    }
    return false;
}

/* From the last node to the first, as what goes frees what it read. Nodes that nobody read before stay. */
static clipc_status remove_unread(replacement *in, const bool *read_before)
{
    Onnx__GraphProto *graph = in->graph;
    clipc_onnx_value_table values;
    size_t kept = graph->n_node;
    CLIPC_TRY(clipc_onnx_value_table_create(graph, in->arena, &values));
    for (size_t i = graph->n_node; i-- > 0;) {
        Onnx__NodeProto *node = graph->node[i];
        if (!read_before[i] || is_read(&values, node)) {
            graph->node[--kept] = node;
            continue;
        }
        for (size_t j = 0; j < node->n_input; j++)
            clipc_onnx_value_table_drop(&values, node->input[j]);
    }
    graph->node += kept;
    graph->n_node -= kept;
    return CLIPC_OK;
}

static void import_domain(replacement *in, Onnx__ModelProto *model)
{
    for (size_t i = 0; i < model->n_opset_import; i++)
        if (model->opset_import[i]->domain && strcmp(model->opset_import[i]->domain, CLIPC_ONNX_PLUGIN_DOMAIN) == 0)
            return;
    Onnx__OperatorSetIdProto *import = clipc_onnx_arena_cut(in->arena, 1, sizeof *import);
    Onnx__OperatorSetIdProto **list = clipc_onnx_arena_cut(in->arena, model->n_opset_import + 1, sizeof *list);
    if (!import || !list)
        return;
    *import = (Onnx__OperatorSetIdProto)ONNX__OPERATOR_SET_ID_PROTO__INIT;
    import->domain = text_of(in, CLIPC_ONNX_PLUGIN_DOMAIN);
    import->has_version = 1;
    import->version = 1;
    if (model->n_opset_import)
        memcpy(list, model->opset_import, model->n_opset_import * sizeof *list);
    list[model->n_opset_import++] = import;
    model->opset_import = list;
}

clipc_status clipc_onnx_replace_in(Onnx__ModelProto *model, clipc_onnx_arena *arena, clipc_onnx_replaced *replaced)
{
    Onnx__GraphProto *graph = model->graph;
    replacement in = {graph, arena, replaced};
    clipc_onnx_value_table values;
    CLIPC_TRY(clipc_onnx_value_table_create(graph, arena, &values));
    bool *read_before = clipc_onnx_arena_cut(arena, graph->n_node, sizeof *read_before);
    if (!read_before)
        return arena->status;
    for (size_t i = 0; i < graph->n_node; i++)
        read_before[i] = is_read(&values, graph->node[i]);
    for (size_t i = 0; i < graph->n_node && arena->status == CLIPC_OK; i++) {
        clipc_onnx_layer_norm_match match;
        if (clipc_onnx_match_layer_norm(graph, &values, i, &match))
            replace(&in, i, &match);
    }
    if (replaced->operators + replaced->chains) {
        CLIPC_TRY(remove_unread(&in, read_before));
        import_domain(&in, model);
    }
    return arena->status;
}
