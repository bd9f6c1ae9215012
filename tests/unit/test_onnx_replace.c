/* LayerNorms of graphs replaced by the plugin's node: both forms, what they may look like, what must stay. */
#include "onnx/replace_layer_norm.h"

#include "base/memory.h"
#include "onnx/plugin.h"

#include "clipc/clipc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT ((size_t)512 << 20)

/* ---- small graphs ---- */

typedef struct sample {
    clipc_onnx_arena arena;
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    clipc_error error;
} sample;

static char *text_of(sample *s, const char *text)
{
    return clipc_onnx_arena_text(&s->arena, text, strlen(text));
}

static Onnx__TensorProto *add_array(sample *s, const char *name, int64_t count, const float *one)
{
    Onnx__TensorProto *array = clipc_onnx_arena_cut(&s->arena, 1, sizeof *array);
    Onnx__TensorProto **list = clipc_onnx_arena_cut(&s->arena, s->graph.n_initializer + 1, sizeof *list);
    *array = (Onnx__TensorProto)ONNX__TENSOR_PROTO__INIT;
    array->name = text_of(s, name);
    array->has_data_type = 1;
    array->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    if (count) {
        array->dims = clipc_onnx_arena_cut(&s->arena, 1, sizeof *array->dims);
        array->dims[0] = count;
        array->n_dims = 1;
    }
    const size_t bytes = (count ? (size_t)count : 1) * sizeof(float);
    array->has_raw_data = 1;
    array->raw_data = (ProtobufCBinaryData){bytes, clipc_onnx_arena_cut(&s->arena, 1, bytes)};
    if (one)
        memcpy(array->raw_data.data, one, sizeof *one);
    if (s->graph.n_initializer)
        memcpy(list, s->graph.initializer, s->graph.n_initializer * sizeof *list);
    list[s->graph.n_initializer++] = array;
    s->graph.initializer = list;
    return array;
}

static Onnx__NodeProto *add_node(sample *s, const char *operator, const char * inputs, const char *output)
{
    Onnx__NodeProto *node = clipc_onnx_arena_cut(&s->arena, 1, sizeof *node);
    Onnx__NodeProto **list = clipc_onnx_arena_cut(&s->arena, s->graph.n_node + 1, sizeof *list);
    char *words = text_of(s, inputs);
    *node = (Onnx__NodeProto)ONNX__NODE_PROTO__INIT;
    node->op_type = text_of(s, operator);
    node->name = text_of(s, output);
    node->input = clipc_onnx_arena_cut(&s->arena, 4, sizeof *node->input);
    char *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        node->input[node->n_input++] = word;
    node->output = clipc_onnx_arena_cut(&s->arena, 2, sizeof *node->output);
    node->output[node->n_output++] = text_of(s, output);
    if (strcmp(operator, "ReduceMean") == 0) {
        Onnx__AttributeProto *axes = clipc_onnx_arena_cut(&s->arena, 1, sizeof *axes);
        *axes = (Onnx__AttributeProto)ONNX__ATTRIBUTE_PROTO__INIT;
        axes->name = text_of(s, "axes");
        axes->n_ints = 1;
        axes->ints = clipc_onnx_arena_cut(&s->arena, 1, sizeof *axes->ints);
        axes->ints[0] = -1;
        node->attribute = clipc_onnx_arena_cut(&s->arena, 1, sizeof *node->attribute);
        node->attribute[node->n_attribute++] = axes;
    }
    if (s->graph.n_node)
        memcpy(list, s->graph.node, s->graph.n_node * sizeof *list);
    list[s->graph.n_node++] = node;
    s->graph.node = list;
    return node;
}

static void add_output(sample *s, const char *name)
{
    Onnx__ValueInfoProto *info = clipc_onnx_arena_cut(&s->arena, 1, sizeof *info);
    Onnx__ValueInfoProto **list = clipc_onnx_arena_cut(&s->arena, s->graph.n_output + 1, sizeof *list);
    *info = (Onnx__ValueInfoProto)ONNX__VALUE_INFO_PROTO__INIT;
    info->name = text_of(s, name);
    if (s->graph.n_output)
        memcpy(list, s->graph.output, s->graph.n_output * sizeof *list);
    list[s->graph.n_output++] = info;
    s->graph.output = list;
}

static void begin(sample *s, int64_t width)
{
    const float epsilon = 1e-6F;
    const float two = 2;
    *s = (sample){.arena = {.limit = LIMIT, .name = "graph", .what = "the graph"}};
    s->arena.error = &s->error;
    s->model = (Onnx__ModelProto)ONNX__MODEL_PROTO__INIT;
    s->graph = (Onnx__GraphProto)ONNX__GRAPH_PROTO__INIT;
    s->model.graph = &s->graph;
    add_array(s, "weight", width, NULL);
    add_array(s, "bias", width, NULL);
    add_array(s, "epsilon", 0, &epsilon);
    add_array(s, "two", 0, &two);
}

/* x → y by nine operators. */
static void add_chain(sample *s)
{
    add_node(s, "ReduceMean", "x", "mean");
    add_node(s, "Sub", "x mean", "centered");
    add_node(s, "Pow", "centered two", "square");
    add_node(s, "ReduceMean", "square", "variance");
    add_node(s, "Add", "variance epsilon", "positive");
    add_node(s, "Sqrt", "positive", "deviation");
    add_node(s, "Div", "centered deviation", "normal");
    add_node(s, "Mul", "normal weight", "scaled");
    add_node(s, "Add", "scaled bias", "y");
}

static clipc_onnx_replaced replace(sample *s)
{
    clipc_onnx_replaced replaced = {0};
    assert_int_equal(clipc_onnx_replace_in(&s->model, &s->arena, &replaced), CLIPC_OK);
    return replaced;
}

static void end(sample *s)
{
    clipc_onnx_arena_free(&s->arena);
}

static float attribute_float(const Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (strcmp(node->attribute[i]->name, name) == 0)
            return node->attribute[i]->f;
    return NAN;
}

static void expect_plugin(const Onnx__NodeProto *node, const char *bias, float epsilon)
{
    assert_string_equal(node->op_type, CLIPC_ONNX_PLUGIN);
    assert_string_equal(node->domain, CLIPC_ONNX_PLUGIN_DOMAIN);
    assert_int_equal(node->n_input, 3);
    assert_string_equal(node->input[0], "x");
    assert_string_equal(node->input[1], "weight");
    assert_string_equal(node->input[2], bias);
    assert_string_equal(node->output[0], "y");
    assert_true(attribute_float(node, "epsilon") == epsilon);
}

/* ---- tests ---- */

static void test_chain_becomes_one_node(void **state)
{
    (void)state;
    sample s;
    begin(&s, 768);
    add_chain(&s);
    add_output(&s, "y");
    const clipc_onnx_replaced replaced = replace(&s);
    assert_int_equal(replaced.chains, 1);
    assert_int_equal(replaced.operators, 0);
    assert_int_equal(replaced.left, 0);
    assert_int_equal(s.graph.n_node, 1);
    expect_plugin(s.graph.node[0], "bias", 1e-6F);
    assert_int_equal(s.model.n_opset_import, 1);
    assert_string_equal(s.model.opset_import[0]->domain, CLIPC_ONNX_PLUGIN_DOMAIN);
    end(&s);
}

static void test_square_by_mul_and_operands_exchanged(void **state)
{
    (void)state;
    sample s;
    begin(&s, 64);
    add_node(&s, "ReduceMean", "x", "mean");
    add_node(&s, "Sub", "x mean", "centered");
    add_node(&s, "Sub", "x mean", "again");
    add_node(&s, "Mul", "again again", "square");
    add_node(&s, "ReduceMean", "square", "variance");
    add_node(&s, "Add", "epsilon variance", "positive");
    add_node(&s, "Sqrt", "positive", "deviation");
    add_node(&s, "Div", "centered deviation", "normal");
    add_node(&s, "Mul", "weight normal", "scaled");
    add_node(&s, "Add", "bias scaled", "y");
    add_output(&s, "y");
    assert_int_equal(replace(&s).chains, 1);
    assert_int_equal(s.graph.n_node, 1);
    expect_plugin(s.graph.node[0], "bias", 1e-6F);
    end(&s);
}

/* What somebody else reads stays, and so does what nobody ever read. */
static void test_shared_steps_stay(void **state)
{
    (void)state;
    sample s;
    begin(&s, 768);
    add_chain(&s);
    add_node(&s, "Sqrt", "x", "unread");
    add_output(&s, "y");
    add_output(&s, "centered");
    assert_int_equal(replace(&s).chains, 1);
    assert_int_equal(s.graph.n_node, 4); /* the mean, x less the mean, the plugin, the unread one */
    assert_string_equal(s.graph.node[0]->op_type, "ReduceMean");
    assert_string_equal(s.graph.node[1]->op_type, "Sub");
    expect_plugin(s.graph.node[2], "bias", 1e-6F);
    assert_string_equal(s.graph.node[3]->output[0], "unread");
    end(&s);
}

static void test_operator_without_bias(void **state)
{
    (void)state;
    sample s;
    begin(&s, 512);
    add_node(&s, "LayerNormalization", "x weight", "y");
    add_output(&s, "y");
    const clipc_onnx_replaced replaced = replace(&s);
    assert_int_equal(replaced.operators, 1);
    assert_int_equal(s.graph.n_initializer, 5);
    expect_plugin(s.graph.node[0], s.graph.initializer[4]->name, 1e-5F);
    assert_int_equal(s.graph.initializer[4]->raw_data.len, 512 * sizeof(float));
    end(&s);
}

/* Nearly LayerNorms: another power, another mean, another x. */
static void test_what_is_none_stays(void **state)
{
    (void)state;
    static const struct {
        size_t node;
        size_t input;
        const char *instead;
    } changes[] = {{1, 0, "z"}, {2, 1, "epsilon"}, {3, 0, "centered"}, {5, 0, "variance"}, {6, 0, "x"}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        sample s;
        begin(&s, 768);
        add_chain(&s);
        add_output(&s, "y");
        s.graph.node[changes[i].node]->input[changes[i].input] = text_of(&s, changes[i].instead);
        const clipc_onnx_replaced replaced = replace(&s);
        assert_int_equal(replaced.chains + replaced.operators + replaced.left, 0);
        assert_int_equal(s.graph.n_node, 9);
        assert_int_equal(s.model.n_opset_import, 0);
        end(&s);
    }
}

static void test_widths_and_reasons(void **state)
{
    (void)state;
    static const int64_t widths[] = {63, 64, 8192, 8193};
    for (size_t i = 0; i < 4; i++) {
        sample s;
        begin(&s, widths[i]);
        add_node(&s, "LayerNormalization", "x weight bias", "y");
        add_output(&s, "y");
        const clipc_onnx_replaced replaced = replace(&s);
        assert_int_equal(replaced.operators, i == 1 || i == 2);
        assert_int_equal(replaced.left, i == 0 || i == 3);
        if (replaced.left)
            assert_string_equal(replaced.reason, "y: its rows are none of 64 to 8192 numbers");
        end(&s);
    }
    sample s;
    begin(&s, 768);
    add_node(&s, "LayerNormalization", "x computed bias", "y");
    add_output(&s, "y");
    assert_int_equal(replace(&s).left, 1);
    end(&s);
}

/* ---- whole files ---- */

typedef struct bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
} bytes;

static int append(void *user, const void *from, size_t size)
{
    bytes *to = user;
    if (to->size + size > to->capacity) {
        to->capacity = 2 * (to->size + size);
        to->data = realloc(to->data, to->capacity);
    }
    assert_non_null(to->data);
    memcpy(to->data + to->size, from, size);
    to->size += size;
    return 0;
}

static int refuse(void *user, const void *from, size_t size)
{
    (void)user;
    (void)from;
    (void)size;
    return 1;
}

static const char path[] = "test_onnx_replace.onnx";

static void write_file(const bytes *from)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(from->data, 1, from->size, file), from->size);
    assert_int_equal(fclose(file), 0);
}

static size_t count_of(const bytes *in, const char *operator)
{
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, in->size, in->data);
    size_t count = 0;
    assert_non_null(model);
    for (size_t i = 0; i < model->graph->n_node; i++)
        count += strcmp(model->graph->node[i]->op_type, operator) == 0;
    onnx__model_proto__free_unpacked(model, NULL);
    return count;
}

/* clipc's own graphs at an opset of chains and at one of operators; and exported with the plugin at once. */
static void test_exported_graphs(void **state)
{
    (void)state;
    clipc_model *model = NULL;
    clipc_model_info info = {.size = sizeof info};
    clipc_error error = {0};
    assert_int_equal(clipc_model_open(NULL, NULL, &model, &error), CLIPC_OK);
    assert_int_equal(clipc_model_get_info(model, &info, &error), CLIPC_OK);
    const size_t norms = 2 * info.image.layers + 2;
    for (unsigned opset = 12; opset <= 17; opset += 5) {
        clipc_onnx_options options;
        clipc_onnx_options_init(&options);
        options.opset = opset;
        bytes plain = {0};
        bytes replaced = {0};
        bytes direct = {0};
        clipc_onnx_replaced found = {0};
        assert_int_equal(clipc_model_export_onnx(model, &options, append, &plain, NULL, NULL, NULL, &error), CLIPC_OK);
        write_file(&plain);
        assert_int_equal(clipc_onnx_replace_layer_norm(path, append, &replaced, &found, &error), CLIPC_OK);
        assert_int_equal(found.chains, opset == 12 ? norms : 0);
        assert_int_equal(found.operators, opset == 12 ? 0 : norms);
        assert_int_equal(found.left, 0);
        assert_int_equal(count_of(&replaced, CLIPC_ONNX_PLUGIN), norms);
        assert_int_equal(count_of(&replaced, "ReduceMean"), 0);
        assert_int_equal(count_of(&replaced, "LayerNormalization"), 0);
        options.layer_norm_plugin = 1;
        assert_int_equal(clipc_model_export_onnx(model, &options, append, &direct, NULL, NULL, NULL, &error),
                         CLIPC_OK);
        assert_int_equal(count_of(&direct, CLIPC_ONNX_PLUGIN), norms);
        assert_int_equal(count_of(&direct, "MatMul"), count_of(&replaced, "MatMul"));
        assert_int_equal(clipc_onnx_replace_layer_norm(path, refuse, NULL, NULL, &error), CLIPC_ERROR_IO);
        free(plain.data);
        free(replaced.data);
        free(direct.data);
    }
    clipc_model_destroy(&model);
    remove(path);
}

static void test_damaged_files(void **state)
{
    (void)state;
    clipc_error error = {0};
    bytes none = {0};
    assert_int_equal(clipc_onnx_replace_layer_norm("no such file", append, &none, NULL, &error),
                     CLIPC_ERROR_NOT_FOUND);
    assert_int_equal(clipc_onnx_replace_layer_norm(NULL, append, &none, NULL, &error), CLIPC_ERROR_ARGUMENT);
    static const char *const damaged[] = {"", "\x3a\x7f", "not an ONNX graph", "\x3a\x03\x0a\x7f\x01"};
    for (size_t i = 0; i < 4; i++) {
        const bytes from = {.data = (uint8_t *)(uintptr_t)damaged[i], .size = strlen(damaged[i])};
        write_file(&from);
        assert_int_equal(clipc_onnx_replace_layer_norm(path, append, &none, NULL, &error), CLIPC_ERROR_FORMAT);
    }
    remove(path);
    assert_int_equal(none.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_becomes_one_node), cmocka_unit_test(test_square_by_mul_and_operands_exchanged),
        cmocka_unit_test(test_shared_steps_stay),      cmocka_unit_test(test_operator_without_bias),
        cmocka_unit_test(test_what_is_none_stays),     cmocka_unit_test(test_widths_and_reasons),
        cmocka_unit_test(test_exported_graphs),        cmocka_unit_test(test_damaged_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
