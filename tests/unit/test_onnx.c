/* Exported graphs, read back as messages: names, shapes, the weights' bytes, and what is refused. Other runtimes run
 * them in tests/interop. */
#include "base/memory.h"
#include "io/half.h"
#include "io/read_f16.h"
#include "model/model.h"
#include "onnx/graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SMALL_MODEL CLIPC_SOURCE_DIR "/tests/golden/models/odd_widths"
#define HALF_MODEL  CLIPC_SOURCE_DIR "/tests/golden/models/fp16"

typedef struct memory_file {
    uint8_t bytes[1 << 22];
    size_t size;
    size_t limit; /* writing fails beyond it */
} memory_file;

static memory_file graph_file;
static memory_file data_file;

static int append(void *user, const void *bytes, size_t size)
{
    memory_file *file = user;
    if (size > file->limit - file->size)
        return 1;
    memcpy(file->bytes + file->size, bytes, size);
    file->size += size;
    return 0;
}

static void clear(memory_file *file)
{
    file->size = 0;
    file->limit = sizeof file->bytes;
}

static clipc_model *open_model(const char *path)
{
    clipc_error error = {0};
    clipc_model *model = NULL;
    if (clipc_model_open(path, NULL, &model, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    return model;
}

static Onnx__ModelProto *export_graph(const clipc_model *model, const clipc_onnx_options *options, bool external)
{
    clipc_error error = {0};
    clear(&graph_file);
    clear(&data_file);
    if (clipc_model_export_onnx(model, options, append, &graph_file, external ? append : NULL, &data_file, "weights",
                                &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    Onnx__ModelProto *message = onnx__model_proto__unpack(NULL, graph_file.size, graph_file.bytes);
    assert_non_null(message);
    return message;
}

static const Onnx__TensorProto *find_tensor(const Onnx__ModelProto *message, const char *name)
{
    for (size_t i = 0; i < message->graph->n_initializer; i++)
        if (strcmp(message->graph->initializer[i]->name, name) == 0)
            return message->graph->initializer[i];
    fail_msg("the graph has no weight %s", name);
    return NULL;
}

static size_t count_nodes(const Onnx__ModelProto *message, const char *operator)
{
    size_t count = 0;
    for (size_t i = 0; i < message->graph->n_node; i++)
        count += strcmp(message->graph->node[i]->op_type, operator) == 0;
    return count;
}

/* Every input of every node was made before it; the output was made. */
static void check_order(const Onnx__ModelProto *message)
{
    const Onnx__GraphProto *graph = message->graph;
    for (size_t i = 0; i < graph->n_node; i++) {
        for (size_t j = 0; j < graph->node[i]->n_input; j++) {
            const char *name = graph->node[i]->input[j];
            bool known = strcmp(name, graph->input[0]->name) == 0;
            for (size_t k = 0; k < graph->n_initializer && !known; k++)
                known = strcmp(name, graph->initializer[k]->name) == 0;
            for (size_t k = 0; k < i && !known; k++)
                known = strcmp(name, graph->node[k]->output[0]) == 0;
            if (!known)
                fail_msg("%s reads %s, which nothing makes", graph->node[i]->name, name);
        }
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(graph->node[i]->output[0], graph->node[k]->output[0]);
    }
    assert_string_equal(graph->node[graph->n_node - 1]->output[0], graph->output[0]->name);
}

static void check_matrix(const Onnx__TensorProto *stored, const clipc_tensor *tensor, bool turned)
{
    const size_t rows = tensor->shape[0];
    const size_t columns = tensor->shape[1];
    assert_int_equal(stored->n_dims, 2);
    assert_int_equal(stored->dims[0], turned ? columns : rows);
    assert_int_equal(stored->dims[1], turned ? rows : columns);
    assert_int_equal(stored->raw_data.len, tensor->count * sizeof(float));
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < columns; column++) {
            float expected = 0;
            float value = 0;
            const size_t place = turned ? column * rows + row : row * columns + column;
            clipc_tensor_read(tensor, row * columns + column, 1, &expected);
            memcpy(&value, stored->raw_data.data + place * sizeof value, sizeof value);
            assert_memory_equal(&value, &expected, sizeof value);
        }
}

static void test_weights_and_order(void **state)
{
    (void)state;
    clipc_model *model = open_model(SMALL_MODEL);
    for (int text = 0; text < 2; text++)
        for (int fold = 0; fold < 2; fold++) {
            clipc_onnx_options options;
            clipc_onnx_options_init(&options);
            options.text = text;
            options.fold = fold;
            Onnx__ModelProto *message = export_graph(model, &options, false);
            const clipc_layer_weights *layer = text ? model->weights.text.layers : model->weights.image.layers;
            const clipc_tensor *projection = text ? &model->weights.text.projection : &model->weights.image.projection;
            check_order(message);
            check_matrix(find_tensor(message, "layers.0/mlp/fc1/weight"), &layer->fc1_weight, fold);
            check_matrix(find_tensor(message, "layers.0/attention/key/weight"), &layer->key_weight, fold);
            check_matrix(find_tensor(message, "projection/weight"), projection, fold);
            if (text)
                check_matrix(find_tensor(message, "token_embedding"), &model->weights.text.token_embedding, false);
            assert_string_equal(message->graph->name, text ? "clip_textual" : "clip_visual");
            onnx__model_proto__free_unpacked(message, NULL);
        }
    clipc_model_destroy(&model);
}

static void test_opsets(void **state)
{
    (void)state;
    clipc_model *model = open_model(SMALL_MODEL);
    const size_t norms = 2 * model->config.image.layers + 2;
    for (unsigned opset = 12; opset <= 20; opset++) {
        clipc_onnx_options options;
        clipc_onnx_options_init(&options);
        options.opset = opset;
        options.normalize = 1;
        Onnx__ModelProto *message = export_graph(model, &options, false);
        check_order(message);
        assert_int_equal(message->opset_import[0]->version, opset);
        assert_int_equal(count_nodes(message, "LayerNormalization"), opset >= 17 ? norms : 0);
        assert_int_equal(count_nodes(message, "Sqrt"), opset >= 17 ? 0 : norms);
        assert_int_equal(count_nodes(message, "ReduceL2"), 1);
        onnx__model_proto__free_unpacked(message, NULL);
    }
    clipc_model_destroy(&model);
}

static void test_names_and_axes(void **state)
{
    (void)state;
    clipc_model *model = open_model(SMALL_MODEL);
    clipc_onnx_options options;
    clipc_onnx_options_init(&options);
    options.input_name = "pixels";
    options.output_name = "embedding";
    options.input_axis = options.output_axis = NULL;
    options.batch = 5;
    Onnx__ModelProto *message = export_graph(model, &options, false);
    const Onnx__TensorShapeProto *input = message->graph->input[0]->type->tensor_type->shape;
    const Onnx__TensorShapeProto *output = message->graph->output[0]->type->tensor_type->shape;
    assert_string_equal(message->graph->input[0]->name, "pixels");
    assert_string_equal(message->graph->output[0]->name, "embedding");
    assert_int_equal(input->dim[0]->dim_value, 5);
    assert_int_equal(input->dim[2]->dim_value, model->config.image_size);
    assert_int_equal(output->dim[0]->dim_value, 5);
    assert_int_equal(output->dim[1]->dim_value, model->config.embedding_dimension);
    assert_int_equal(count_nodes(message, "Shape"), 0);
    onnx__model_proto__free_unpacked(message, NULL);

    options.input_axis = "N";
    options.output_axis = "M";
    message = export_graph(model, &options, false);
    assert_string_equal(message->graph->input[0]->type->tensor_type->shape->dim[0]->dim_param, "N");
    assert_string_equal(message->graph->output[0]->type->tensor_type->shape->dim[0]->dim_param, "M");
    onnx__model_proto__free_unpacked(message, NULL);
    clipc_model_destroy(&model);
}

static void test_external_data(void **state)
{
    (void)state;
    clipc_model *model = open_model(SMALL_MODEL);
    Onnx__ModelProto *inside = export_graph(model, NULL, false);
    Onnx__ModelProto *outside = export_graph(model, NULL, true);
    size_t referred = 0;
    for (size_t i = 0; i < inside->graph->n_initializer; i++) {
        const Onnx__TensorProto *whole = inside->graph->initializer[i];
        const Onnx__TensorProto *part = outside->graph->initializer[i];
        if (part->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
            assert_memory_equal(part->raw_data.data, whole->raw_data.data, whole->raw_data.len);
            continue;
        }
        assert_int_equal(part->n_external_data, 3);
        assert_string_equal(part->external_data[0]->value, "weights");
        const size_t offset = strtoull(part->external_data[1]->value, NULL, 10);
        assert_int_equal(strtoull(part->external_data[2]->value, NULL, 10), whole->raw_data.len);
        assert_true(offset % CLIPC_ALIGNMENT == 0 && offset + whole->raw_data.len <= data_file.size);
        assert_memory_equal(data_file.bytes + offset, whole->raw_data.data, whole->raw_data.len);
        referred++;
    }
    assert_true(referred > 10);
    onnx__model_proto__free_unpacked(inside, NULL);
    onnx__model_proto__free_unpacked(outside, NULL);
    clipc_model_destroy(&model);
}

/* Every binary16 comes back from fp32, and what lies between two goes to the nearer, or to the even one. */
static void test_half(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x7C00; bits++) {
        const uint16_t pair[2] = {(uint16_t)bits, (uint16_t)(bits + 1)};
        float values[2];
        clipc_read_f16__c((const uint8_t *)pair, 2, values);
        if (bits + 1 == 0x7C00)
            values[1] = 65536; /* where the next would be: infinity begins half way there */
        const float middle = values[0] / 2 + values[1] / 2;
        assert_int_equal(clipc_half_from_float(values[0]), bits);
        assert_int_equal(clipc_half_from_float(-values[0]), bits | 0x8000);
        assert_int_equal(clipc_half_from_float(middle), bits + (bits & 1));
        assert_int_equal(clipc_half_from_float(nextafterf(middle, 0)), bits);
        assert_int_equal(clipc_half_from_float(nextafterf(middle, INFINITY)), bits + 1);
    }
    assert_int_equal(clipc_half_from_float(INFINITY), 0x7C00);
    assert_int_equal(clipc_half_from_float(1e30F), 0x7C00);
    assert_int_equal(clipc_half_from_float(NAN) & 0x7E00, 0x7E00);
}

static void test_fp16_graph(void **state)
{
    (void)state;
    clipc_model *model = open_model(HALF_MODEL);
    clipc_onnx_options options;
    clipc_onnx_options_init(&options);
    options.precision = CLIPC_PRECISION_FP16;
    Onnx__ModelProto *message = export_graph(model, &options, false);
    const Onnx__TensorProto *weight = find_tensor(message, "layers.0/mlp/fc1/bias");
    assert_int_equal(weight->data_type, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16);
    assert_memory_equal(weight->raw_data.data, model->weights.image.layers->fc1_bias.data, weight->raw_data.len);
    assert_int_equal(find_tensor(message, "layers.0/norm1/weight")->data_type, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    assert_int_equal(message->graph->output[0]->type->tensor_type->elem_type, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    onnx__model_proto__free_unpacked(message, NULL);
    clipc_model_destroy(&model);
}

static void expect(const clipc_model *model, const clipc_onnx_options *options, clipc_status status)
{
    clipc_error error = {0};
    clear(&graph_file);
    assert_int_equal(clipc_model_export_onnx(model, options, append, &graph_file, NULL, NULL, NULL, &error), status);
    assert_true(error.message[0] != '\0');
}

static void test_refusals(void **state)
{
    (void)state;
    clipc_model *model = open_model(SMALL_MODEL);
    clipc_onnx_options good;
    clipc_onnx_options_init(&good);
    clipc_onnx_options options = good;
    options.opset = 11;
    expect(model, &options, CLIPC_ERROR_ARGUMENT);
    options.opset = 21;
    expect(model, &options, CLIPC_ERROR_ARGUMENT);
    options = good;
    options.precision = CLIPC_PRECISION_INT8;
    expect(model, &options, CLIPC_ERROR_UNSUPPORTED);
    options = good;
    options.output_name = "input";
    expect(model, &options, CLIPC_ERROR_ARGUMENT);
    options = good;
    options.input_axis = NULL;
    expect(model, &options, CLIPC_ERROR_ARGUMENT);
    options.output_axis = NULL;
    options.batch = 0;
    expect(model, &options, CLIPC_ERROR_ARGUMENT);
    options = good;
    options.size--;
    expect(model, &options, CLIPC_ERROR_ARGUMENT);
    expect(NULL, &good, CLIPC_ERROR_ARGUMENT);

    clipc_error error = {0};
    clear(&graph_file);
    graph_file.limit = 100;
    assert_int_equal(clipc_model_export_onnx(model, NULL, append, &graph_file, NULL, NULL, NULL, &error),
                     CLIPC_ERROR_IO);
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_and_order), cmocka_unit_test(test_opsets), cmocka_unit_test(test_names_and_axes),
        cmocka_unit_test(test_external_data),     cmocka_unit_test(test_half),   cmocka_unit_test(test_fp16_graph),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
