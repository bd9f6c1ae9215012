#include "onnx/graph.h"

#include "base/checked.h"
#include "base/memory.h"
#include "io/half.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)1 << 16)

/* Small things are cut from blocks and released together. */
struct clipc_onnx_block {
    struct clipc_onnx_block *next;
    size_t used;
    size_t size;
    _Alignas(16) unsigned char bytes[];
};

static bool stopped(const clipc_onnx_graph *graph)
{
    return graph->status != CLIPC_OK;
}

static void *cut(clipc_onnx_graph *graph, size_t count, size_t size)
{
    size_t bytes = 0;
    if (stopped(graph))
        return NULL;
    if (clipc_multiply(count, size, &bytes) && bytes <= SIZE_MAX / 4) {
        bytes = (bytes + 15) / 16 * 16;
        struct clipc_onnx_block *block = graph->memory;
        if (!block || block->size - block->used < bytes) {
            const size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
            block = clipc_allocate(1, sizeof *block + room);
            if (block) {
                *block = (struct clipc_onnx_block){.next = graph->memory, .size = room};
                graph->memory = block;
            }
        }
        if (block) {
            block->used += bytes;
            return block->bytes + block->used - bytes;
        }
    }
    graph->status = clipc_fail_memory(graph->error, bytes, "an ONNX graph");
    return NULL;
}

const char *clipc_onnx_text(clipc_onnx_graph *graph, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, arguments);
    char *text = cut(graph, (size_t)(length < 0 ? 0 : length) + 1, 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(arguments);
    return text ? text : "";
}

/* protobuf-c's messages hold strings that they could free; none of these is ever freed by it. */
static char *message_text(clipc_onnx_graph *graph, const char *text)
{
    return (char *)(uintptr_t)clipc_onnx_text(graph, "%s", text);
}

/* Makes room for one more pointer in a list that lives in the graph's memory. */
static bool grow(clipc_onnx_graph *graph, void *list, size_t count, size_t *capacity)
{
    void **items = NULL;
    if (stopped(graph))
        return false;
    if (count < *capacity)
        return true;
    const size_t wanted = *capacity ? 2 * *capacity : 64;
    void **larger = cut(graph, wanted, sizeof *larger);
    if (!larger)
        return false;
    memcpy(&items, list, sizeof items);
    if (count)
        memcpy(larger, items, count * sizeof *larger);
    memcpy(list, &larger, sizeof larger);
    *capacity = wanted;
    return true;
}

void clipc_onnx_graph_init(clipc_onnx_graph *graph, const char *name, unsigned opset, size_t weights,
                           clipc_error *error)
{
    *graph = (clipc_onnx_graph){.opset = opset, .dtype = CLIPC_DTYPE_F32, .fold = true, .error = error};
    graph->model = (Onnx__ModelProto)ONNX__MODEL_PROTO__INIT;
    graph->graph = (Onnx__GraphProto)ONNX__GRAPH_PROTO__INIT;
    graph->model.graph = &graph->graph;
    graph->graph.name = message_text(graph, name);
    graph->model.producer_name = message_text(graph, "clipc");
    graph->model.producer_version = message_text(graph, clipc_version());
    graph->model.has_ir_version = 1;
    graph->model.ir_version = opset >= 19 ? 9 : opset >= 15 ? 8 : 7; /* the first that knows the opset */
    graph->weight_capacity = weights;
    graph->weights = cut(graph, weights, sizeof *graph->weights);
    graph->weight_marks = cut(graph, weights, 1);
    Onnx__OperatorSetIdProto *set = cut(graph, 1, sizeof *set);
    Onnx__OperatorSetIdProto **sets = cut(graph, 1, sizeof(void *));
    if (!set || !sets)
        return;
    *set = (Onnx__OperatorSetIdProto)ONNX__OPERATOR_SET_ID_PROTO__INIT;
    set->domain = message_text(graph, "");
    set->has_version = 1;
    set->version = opset;
    sets[0] = set;
    graph->model.opset_import = sets;
    graph->model.n_opset_import = 1;
}

void clipc_onnx_graph_free(clipc_onnx_graph *graph)
{
    while (graph->memory) {
        struct clipc_onnx_block *next = graph->memory->next;
        clipc_free(graph->memory);
        graph->memory = next;
    }
    *graph = (clipc_onnx_graph){0};
}

/* ---- inputs and outputs ---- */

static Onnx__TypeProto *tensor_type(clipc_onnx_graph *graph, int element_type, const clipc_onnx_side *sides,
                                    size_t rank)
{
    Onnx__TypeProto *type = cut(graph, 1, sizeof *type);
    Onnx__TypeProto__Tensor *tensor = cut(graph, 1, sizeof *tensor);
    Onnx__TensorShapeProto *shape = cut(graph, 1, sizeof *shape);
    Onnx__TensorShapeProto__Dimension *all = cut(graph, rank, sizeof *all);
    Onnx__TensorShapeProto__Dimension **pointers = cut(graph, rank, sizeof(void *));
    if (!type || !tensor || !shape || !all || !pointers)
        return NULL;
    for (size_t i = 0; i < rank; i++) {
        all[i] = (Onnx__TensorShapeProto__Dimension)ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT;
        pointers[i] = &all[i];
        if (sides[i].name) {
            all[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            all[i].dim_param = message_text(graph, sides[i].name);
        } else {
            all[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            all[i].dim_value = (int64_t)sides[i].size;
        }
    }
    *shape = (Onnx__TensorShapeProto)ONNX__TENSOR_SHAPE_PROTO__INIT;
    shape->n_dim = rank;
    shape->dim = pointers;
    *tensor = (Onnx__TypeProto__Tensor)ONNX__TYPE_PROTO__TENSOR__INIT;
    tensor->has_elem_type = 1;
    tensor->elem_type = element_type;
    tensor->shape = shape;
    *type = (Onnx__TypeProto)ONNX__TYPE_PROTO__INIT;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    return type;
}

static Onnx__ValueInfoProto **value_info(clipc_onnx_graph *graph, const char *name, int element_type,
                                         const clipc_onnx_side *sides, size_t rank)
{
    Onnx__ValueInfoProto *info = cut(graph, 1, sizeof *info);
    Onnx__ValueInfoProto **list = cut(graph, 1, sizeof(void *));
    if (!info || !list)
        return NULL;
    *info = (Onnx__ValueInfoProto)ONNX__VALUE_INFO_PROTO__INIT;
    info->name = message_text(graph, name);
    info->type = tensor_type(graph, element_type, sides, rank);
    list[0] = info;
    return list;
}

clipc_onnx_value clipc_onnx_input(clipc_onnx_graph *graph, const char *name, int element_type,
                                  const clipc_onnx_side *sides, size_t rank)
{
    graph->graph.input = value_info(graph, name, element_type, sides, rank);
    graph->graph.n_input = graph->graph.input ? 1 : 0;
    return clipc_onnx_text(graph, "%s", name);
}

void clipc_onnx_output(clipc_onnx_graph *graph, const char *name, const clipc_onnx_side *sides, size_t rank)
{
    graph->graph.output = value_info(graph, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, sides, rank);
    graph->graph.n_output = graph->graph.output ? 1 : 0;
}

/* ---- constants and weights ---- */

static Onnx__TensorProto *add_tensor(clipc_onnx_graph *graph, const char *name, int type, const size_t *shape,
                                     size_t rank)
{
    if (!grow(graph, &graph->graph.initializer, graph->graph.n_initializer, &graph->tensor_capacity))
        return NULL;
    Onnx__TensorProto *tensor = cut(graph, 1, sizeof *tensor);
    int64_t *sides = cut(graph, rank, sizeof *sides);
    if (!tensor || !sides)
        return NULL;
    *tensor = (Onnx__TensorProto)ONNX__TENSOR_PROTO__INIT;
    for (size_t i = 0; i < rank; i++)
        sides[i] = (int64_t)shape[i];
    tensor->n_dims = rank;
    tensor->dims = sides;
    tensor->has_data_type = 1;
    tensor->data_type = type;
    tensor->name = message_text(graph, name);
    tensor->has_raw_data = 1;
    graph->graph.initializer[graph->graph.n_initializer++] = tensor;
    return tensor;
}

static int element_type(clipc_dtype dtype)
{
    if (dtype == CLIPC_DTYPE_U8)
        return ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
    return dtype == CLIPC_DTYPE_F16 ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
}

clipc_onnx_value clipc_onnx_weight_value(clipc_onnx_graph *graph, const char *name, const clipc_tensor *tensor,
                                         clipc_onnx_layout layout, clipc_dtype dtype)
{
    const bool transposed = layout == CLIPC_ONNX_TRANSPOSED;
    const size_t turned[2] = {tensor->shape[1], tensor->shape[0]};
    Onnx__TensorProto *message =
        add_tensor(graph, name, element_type(dtype), transposed ? turned : tensor->shape, tensor->rank);
    if (!message)
        return "";
    if (graph->weight_count == graph->weight_capacity) {
        graph->status = clipc_fail(graph->error, CLIPC_ERROR_LIMIT, "ONNX graph: more weights than were announced");
        return "";
    }
    const size_t bytes = tensor->count * clipc_dtype_size(dtype);
    graph->weights[graph->weight_count] =
        (clipc_onnx_weight){.tensor = tensor, .layout = layout, .dtype = dtype, .step = 1, .bytes = bytes};
    message->raw_data = (ProtobufCBinaryData){bytes, (uint8_t *)graph->weight_marks + graph->weight_count++};
    return message->name;
}

static void set_bytes(clipc_onnx_graph *graph, Onnx__TensorProto *tensor, const void *bytes, size_t size)
{
    uint8_t *copy = cut(graph, size, 1);
    if (!copy)
        return;
    memcpy(copy, bytes, size);
    tensor->raw_data = (ProtobufCBinaryData){size, copy};
}

clipc_status clipc_onnx_unpack(const clipc_onnx_graph *graph, const clipc_tensor *tensor, clipc_tensor *out,
                               float **block, clipc_error *error)
{
    *block = NULL;
    *out = *tensor;
    if (tensor->data)
        return CLIPC_OK;
    CLIPC_FAIL_IF(!graph->unpack, error, CLIPC_ERROR_INTERNAL, "ONNX graph: a weight has no bytes");
    *block = clipc_allocate_aligned(tensor->count, sizeof **block);
    if (!*block)
        return clipc_fail_memory(error, tensor->count * sizeof **block, "an unpacked weight");
    out->name = tensor->name ? tensor->name : "a packed weight";
    out->data = *block;
    out->dtype = CLIPC_DTYPE_F32;
    return graph->unpack(graph->unpack_user, tensor, *block, error);
}

/* The least and the largest number, zero among them. */
static clipc_status find_range(const clipc_onnx_graph *graph, const clipc_tensor *tensor, float range[2])
{
    enum { ROOM = 1024 };
    float values[ROOM];
    float *block = NULL;
    clipc_tensor weight;
    const clipc_status status = clipc_onnx_unpack(graph, tensor, &weight, &block, graph->error);
    range[0] = range[1] = 0;
    for (size_t begin = 0; status == CLIPC_OK && begin < weight.count; begin += ROOM) {
        const size_t count = clipc_min(ROOM, weight.count - begin);
        clipc_tensor_read(&weight, begin, count, values);
        for (size_t i = 0; i < count; i++) {
            range[0] = values[i] < range[0] ? values[i] : range[0];
            range[1] = values[i] > range[1] ? values[i] : range[1];
        }
    }
    clipc_free_aligned(block);
    return status;
}

clipc_onnx_bytes clipc_onnx_weight_bytes(clipc_onnx_graph *graph, const char *name, const clipc_tensor *tensor,
                                         clipc_onnx_layout layout)
{
    float range[2];
    clipc_onnx_bytes made = {.bytes = "", .step = "", .zero = ""};
    if (stopped(graph))
        return made;
    graph->status = find_range(graph, tensor, range);
    if (stopped(graph))
        return made;
    const double exact = ((double)range[1] - (double)range[0]) / 255;
    const bool usable = exact >= (double)FLT_MIN; /* else all numbers are as good as zero */
    const float step = usable ? (float)exact : 1;
    const uint8_t zero = usable ? (uint8_t)rint(-(double)range[0] / exact) : 0;
    made.bytes = clipc_onnx_weight_value(graph, name, tensor, layout, CLIPC_DTYPE_U8);
    if (stopped(graph))
        return made;
    graph->weights[graph->weight_count - 1].step = step;
    graph->weights[graph->weight_count - 1].zero = zero;
    made.step = clipc_onnx_scalar(graph, clipc_onnx_text(graph, "%s/step", name), step);
    Onnx__TensorProto *tensor_of_zero =
        add_tensor(graph, clipc_onnx_text(graph, "%s/zero", name), ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, NULL, 0);
    if (!tensor_of_zero)
        return made;
    set_bytes(graph, tensor_of_zero, &zero, 1);
    made.zero = tensor_of_zero->name;
    return made;
}

clipc_onnx_value clipc_onnx_integers(clipc_onnx_graph *graph, const char *name, const int64_t *values, size_t count)
{
    Onnx__TensorProto *tensor = add_tensor(graph, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, &count, 1);
    if (!tensor)
        return "";
    set_bytes(graph, tensor, values, count * sizeof *values);
    return tensor->name;
}

clipc_onnx_value clipc_onnx_numbers(clipc_onnx_graph *graph, const char *name, const float *values,
                                    const size_t *shape, size_t rank)
{
    size_t count = 1;
    for (size_t i = 0; i < rank; i++)
        count *= shape[i];
    Onnx__TensorProto *tensor = add_tensor(graph, name, element_type(graph->dtype), shape, rank);
    if (!tensor)
        return "";
    if (graph->dtype == CLIPC_DTYPE_F32) {
        set_bytes(graph, tensor, values, count * sizeof *values);
        return tensor->name;
    }
    uint16_t *halves = cut(graph, count, sizeof *halves);
    if (!halves)
        return "";
    for (size_t i = 0; i < count; i++)
        halves[i] = clipc_half_from_float(values[i]);
    tensor->raw_data = (ProtobufCBinaryData){count * sizeof *halves, (uint8_t *)halves};
    return tensor->name;
}

clipc_onnx_value clipc_onnx_scalar(clipc_onnx_graph *graph, const char *name, float value)
{
    return clipc_onnx_numbers(graph, name, &value, NULL, 0);
}

/* ---- nodes ---- */

clipc_onnx_value clipc_onnx_node(clipc_onnx_graph *graph, const char *operator, const char * output,
                                 const clipc_onnx_value *inputs)
{
    size_t count = 0;
    while (inputs[count])
        count++;
    if (!grow(graph, &graph->graph.node, graph->graph.n_node, &graph->node_capacity))
        return "";
    Onnx__NodeProto *node = cut(graph, 1, sizeof *node);
    char **names = cut(graph, count + 1, sizeof *names);
    if (!node || !names)
        return "";
    for (size_t i = 0; i < count; i++)
        names[i] = (char *)(uintptr_t)inputs[i];
    names[count] = message_text(graph, output);
    *node = (Onnx__NodeProto)ONNX__NODE_PROTO__INIT;
    node->input = names;
    node->n_input = count;
    node->output = names + count;
    node->n_output = 1;
    node->op_type = message_text(graph, operator);
    node->name = names[count];
    graph->graph.node[graph->graph.n_node++] = node;
    return names[count];
}

clipc_onnx_value clipc_onnx_another_output(clipc_onnx_graph *graph, const char *output)
{
    if (stopped(graph))
        return "";
    Onnx__NodeProto *node = graph->graph.node[graph->graph.n_node - 1];
    char **names = cut(graph, node->n_output + 1, sizeof *names);
    if (!names)
        return "";
    memcpy(names, node->output, node->n_output * sizeof *names);
    names[node->n_output] = message_text(graph, output);
    node->output = names;
    node->n_output++;
    return names[node->n_output - 1];
}

static Onnx__AttributeProto *add_attribute(clipc_onnx_graph *graph, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    if (stopped(graph))
        return NULL;
    Onnx__NodeProto *node = graph->graph.node[graph->graph.n_node - 1];
    Onnx__AttributeProto *attribute = cut(graph, 1, sizeof *attribute);
    Onnx__AttributeProto **list = cut(graph, node->n_attribute + 1, sizeof(void *));
    if (!attribute || !list)
        return NULL;
    *attribute = (Onnx__AttributeProto)ONNX__ATTRIBUTE_PROTO__INIT;
    attribute->name = message_text(graph, name);
    attribute->has_type = 1;
    attribute->type = type;
    for (size_t i = 0; i < node->n_attribute; i++)
        list[i] = node->attribute[i];
    list[node->n_attribute++] = attribute;
    node->attribute = list;
    return attribute;
}

void clipc_onnx_set_integer(clipc_onnx_graph *graph, const char *name, int64_t value)
{
    Onnx__AttributeProto *attribute = add_attribute(graph, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!attribute)
        return;
    attribute->has_i = 1;
    attribute->i = value;
}

void clipc_onnx_set_float(clipc_onnx_graph *graph, const char *name, float value)
{
    Onnx__AttributeProto *attribute = add_attribute(graph, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!attribute)
        return;
    attribute->has_f = 1;
    attribute->f = value;
}

void clipc_onnx_set_integers(clipc_onnx_graph *graph, const char *name, const int64_t *values, size_t count)
{
    Onnx__AttributeProto *attribute = add_attribute(graph, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *copy = cut(graph, count, sizeof *copy);
    if (!attribute || !copy)
        return;
    memcpy(copy, values, count * sizeof *copy);
    attribute->n_ints = count;
    attribute->ints = copy;
}

void clipc_onnx_set_string(clipc_onnx_graph *graph, const char *name, const char *value)
{
    Onnx__AttributeProto *attribute = add_attribute(graph, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    if (!attribute)
        return;
    attribute->has_s = 1;
    attribute->s = (ProtobufCBinaryData){strlen(value), (uint8_t *)message_text(graph, value)};
}

void clipc_onnx_set_domain(clipc_onnx_graph *graph, const char *domain)
{
    if (stopped(graph))
        return;
    char *name = message_text(graph, domain);
    graph->graph.node[graph->graph.n_node - 1]->domain = name;
    if (graph->model.n_opset_import == 1) {
        Onnx__OperatorSetIdProto *import = cut(graph, 1, sizeof *import);
        Onnx__OperatorSetIdProto **list = cut(graph, 2, sizeof(void *));
        if (!import || !list)
            return;
        *import = (Onnx__OperatorSetIdProto)ONNX__OPERATOR_SET_ID_PROTO__INIT;
        import->domain = name;
        import->has_version = 1;
        import->version = 1;
        list[0] = graph->model.opset_import[0];
        list[1] = import;
        graph->model.opset_import = list;
        graph->model.n_opset_import = 2;
    }
}

void clipc_onnx_metadata(clipc_onnx_graph *graph, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *entry = cut(graph, 1, sizeof *entry);
    if (!entry || !grow(graph, &graph->model.metadata_props, graph->model.n_metadata_props, &graph->metadata_capacity))
        return;
    *entry = (Onnx__StringStringEntryProto)ONNX__STRING_STRING_ENTRY_PROTO__INIT;
    entry->key = message_text(graph, key);
    entry->value = message_text(graph, value);
    graph->model.metadata_props[graph->model.n_metadata_props++] = entry;
}
