#include "onnx/interpret.h"

#include "base/checked.h"
#include "onnx/plugin.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LONGEST_REASON 200
#define MOST_WORK      ((size_t)1 << 26)
#define DEEPEST_BRANCH ((size_t)4)
#define BRANCH_FIELDS  (UINT64_C(1) << 1 | UINT64_C(1) << 5 | UINT64_C(1) << 12) /* nodes, arrays, outputs */

typedef clipc_onnx_known known;

/* ---- names ---- */

typedef struct name_entry {
    const char *name;
    known value;
} name_entry;

typedef struct clipc_onnx_names {
    struct clipc_onnx_names *outer; /* of the graph around it */
    size_t mask;                    /* entries - 1, a power of two */
    name_entry entries[];
} names;

static size_t hash_name(const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * UINT64_C(1099511628211);
    return (size_t)(hash ^ hash >> 32);
}

static name_entry *entry_for(names *all, const char *name)
{
    size_t at = hash_name(name) & all->mask;
    while (all->entries[at].name && strcmp(all->entries[at].name, name) != 0)
        at = (at + 1) & all->mask;
    return &all->entries[at];
}

/* What came first stays. */
static void set_value(clipc_onnx_interpreter *in, const char *name, const known *value)
{
    name_entry *entry = entry_for(in->names, name);
    if (name[0] && !entry->name)
        *entry = (name_entry){name, *value};
}

static size_t count_outputs(Onnx__NodeProto *const *nodes, size_t node_count)
{
    size_t count = 0;
    for (size_t i = 0; i < node_count; i++)
        count += nodes[i]->n_output;
    return count;
}

/* Room for `count` more names. */
static clipc_status open_names(clipc_onnx_interpreter *in, size_t count)
{
    size_t entries = 64;
    while (entries < 2 * count)
        entries *= 2;
    names *made = clipc_onnx_arena_cut(in->arena, 1, sizeof *made + entries * sizeof(name_entry));
    if (!made)
        return in->arena->status;
    made->mask = entries - 1;
    made->outer = in->names;
    in->names = made;
    return CLIPC_OK;
}

known clipc_onnx_find_value(const clipc_onnx_interpreter *in, const char *name)
{
    const name_entry *entry = entry_for(in->names, name);
    for (names *outer = in->names->outer; !entry->name && outer; outer = outer->outer)
        entry = entry_for(outer, name);
    return entry->value;
}

/* ---- making values ---- */

known clipc_onnx_refuse(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const char *format, ...)
{
    char text[LONGEST_REASON];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    clipc_onnx_refusal *refusal = clipc_onnx_arena_cut(in->arena, 1, sizeof *refusal);
    char *reason = clipc_onnx_arena_text(in->arena, text, strlen(text));
    if (!refusal || !reason)
        return (known){0};
    *refusal = (clipc_onnx_refusal){of ? of->node : NULL, reason};
    return (known){.refusal = refusal};
}

known clipc_onnx_of_constant(const clipc_onnx_constant *constant)
{
    return (known){.constant = constant};
}

known clipc_onnx_of_expression(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                               const clipc_onnx_expression *expression, const clipc_onnx_layout *layout)
{
    clipc_onnx_expression *copy = clipc_onnx_arena_cut(in->arena, 1, sizeof *copy);
    clipc_onnx_layout *layout_copy = clipc_onnx_arena_cut(in->arena, 1, sizeof *layout_copy);
    if (!copy || !layout_copy)
        return (known){0};
    *copy = *expression;
    copy->node = of ? of->node : NULL;
    *layout_copy = *layout;
    return (known){.expression = copy, .layout = layout_copy};
}

known clipc_onnx_relaid(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const known *value,
                        const clipc_onnx_layout *layout)
{
    (void)of;
    clipc_onnx_layout *copy = clipc_onnx_arena_cut(in->arena, 1, sizeof *copy);
    if (!copy)
        return (known){0};
    *copy = *layout;
    return (known){.expression = value->expression, .layout = copy};
}

clipc_onnx_expression clipc_onnx_derive(clipc_onnx_kind kind, const clipc_onnx_expression *base)
{
    return (clipc_onnx_expression){
        .kind = kind, .base = base, .tokens = base->tokens, .features = base->features, .heads = base->heads};
}

bool clipc_onnx_is(const known *value, clipc_onnx_kind kind)
{
    return value->expression && value->expression->kind == kind;
}

bool clipc_onnx_afford(clipc_onnx_interpreter *in, size_t count)
{
    if (count > in->work)
        return false;
    in->work -= count;
    return true;
}

/* ---- attributes ---- */

const Onnx__AttributeProto *clipc_onnx_attribute(const clipc_onnx_operation *of, const char *name)
{
    for (size_t i = 0; i < of->node->n_attribute; i++)
        if (of->node->attribute[i]->name && strcmp(of->node->attribute[i]->name, name) == 0)
            return of->node->attribute[i];
    return NULL;
}

int64_t clipc_onnx_integer_of(const clipc_onnx_operation *of, const char *attribute, int64_t absent)
{
    const Onnx__AttributeProto *found = clipc_onnx_attribute(of, attribute);
    return found && found->has_i ? found->i : absent;
}

double clipc_onnx_float_of(const clipc_onnx_operation *of, const char *attribute, double absent)
{
    const Onnx__AttributeProto *found = clipc_onnx_attribute(of, attribute);
    return found && found->has_f ? (double)found->f : absent;
}

bool clipc_onnx_integers_of(const clipc_onnx_operation *of, const char *attribute, size_t input, int64_t *out,
                            size_t room, size_t *count)
{
    const Onnx__AttributeProto *found = attribute ? clipc_onnx_attribute(of, attribute) : NULL;
    const clipc_onnx_constant *constant = input < of->input_count ? of->inputs[input].constant : NULL;
    if (found) {
        *count = found->n_ints;
        for (size_t i = 0; i < *count && i < room; i++)
            out[i] = found->ints[i];
        return true;
    }
    if (!constant || constant->rank > 1)
        return false;
    *count = clipc_onnx_constant_count(constant);
    for (size_t i = 0; i < *count && i < room; i++)
        out[i] = clipc_onnx_constant_integer(constant, clipc_onnx_constant_offset(constant, i));
    return true;
}

bool clipc_onnx_axis(int64_t axis, size_t rank, size_t *out)
{
    const int64_t sides = (int64_t)rank;
    if (axis < -sides || axis >= sides)
        return false;
    *out = (size_t)(axis < 0 ? axis + sides : axis);
    return true;
}

size_t clipc_onnx_rank_of(const known *value)
{
    return value->constant ? value->constant->rank : value->layout ? value->layout->rank : 0;
}

size_t clipc_onnx_side_of(const known *value, size_t side)
{
    return value->constant ? value->constant->shape[side] : clipc_onnx_layout_size(value->layout, side);
}

/* ---- inputs ---- */

static int64_t fixed_side(const Onnx__ValueInfoProto *info, size_t side)
{
    const Onnx__TensorShapeProto *shape = info->type->tensor_type->shape;
    return shape->dim[side]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
               ? shape->dim[side]->dim_value
               : 0;
}

static size_t input_rank(const Onnx__ValueInfoProto *info)
{
    const bool typed = info->name && info->type && info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    return typed && info->type->tensor_type->shape ? info->type->tensor_type->shape->n_dim : 0;
}

static bool is_stored(const clipc_onnx_interpreter *in, const Onnx__ValueInfoProto *info)
{
    return info->name && clipc_onnx_find_value(in, info->name).constant;
}

static known pixels_input(clipc_onnx_interpreter *in, const Onnx__ValueInfoProto *info)
{
    const clipc_onnx_expression pixels = {.kind = CLIPC_ONNX_PIXELS, .tokens = 1, .features = 3};
    clipc_onnx_layout layout = {0};
    size_t sides[2];
    for (size_t i = 0; i < 2; i++) {
        const int64_t fixed = fixed_side(info, 2 + i);
        sides[i] = fixed > 0 && fixed <= 65536 ? (size_t)fixed : in->image_size;
    }
    if (fixed_side(info, 1) > 0 && fixed_side(info, 1) != 3)
        return clipc_onnx_refuse(in, NULL, "the input '%s' has %lld channels, expected 3", info->name,
                                 (long long)fixed_side(info, 1));
    if (sides[0] == 0 || sides[0] != sides[1])
        return clipc_onnx_refuse(in, NULL, "the input '%s' is %zu by %zu pixels, expected a square of a known size",
                                 info->name, sides[0], sides[1]);
    const clipc_onnx_label labels[4] = {CLIPC_ONNX_BATCH, CLIPC_ONNX_FEATURE, CLIPC_ONNX_ROW, CLIPC_ONNX_COLUMN};
    const size_t sizes[4] = {in->batch, 3, sides[0], sides[1]};
    for (size_t i = 0; i < 4; i++)
        if (!clipc_onnx_layout_open_side(&layout) || !clipc_onnx_layout_add(&layout, labels[i], sizes[i], 1))
            return (known){0};
    in->image_size = sides[0];
    return clipc_onnx_of_expression(in, NULL, &pixels, &layout);
}

static known ids_input(clipc_onnx_interpreter *in, const Onnx__ValueInfoProto *info)
{
    const int64_t fixed = fixed_side(info, 1);
    const size_t tokens = fixed > 0 && fixed <= 65536 ? (size_t)fixed : in->tokens;
    const clipc_onnx_expression ids = {.kind = CLIPC_ONNX_IDS, .tokens = tokens, .features = 1};
    clipc_onnx_layout layout = {0};
    if (tokens == 0)
        return clipc_onnx_refuse(in, NULL, "the input '%s' is of any length, and nothing tells the longest",
                                 info->name);
    in->tokens = tokens;
    clipc_onnx_layout_open_side(&layout);
    clipc_onnx_layout_add(&layout, CLIPC_ONNX_BATCH, in->batch, 1);
    clipc_onnx_layout_open_side(&layout);
    clipc_onnx_layout_add(&layout, CLIPC_ONNX_TOKEN, tokens, 1);
    return clipc_onnx_of_expression(in, NULL, &ids, &layout);
}

static known input_value(clipc_onnx_interpreter *in, const Onnx__ValueInfoProto *info)
{
    const size_t rank = input_rank(info);
    const int type = rank ? info->type->tensor_type->elem_type : 0;
    const bool integer = type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 || type == ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    const bool real = type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT || type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
    if (rank == 4 && real)
        return pixels_input(in, info);
    if (rank == 2 && integer)
        return ids_input(in, info);
    return clipc_onnx_refuse(in, NULL,
                             "the input '%s' is neither pixels (floats, 4 dimensions) nor token ids (integers, 2)",
                             info->name ? info->name : "");
}

static void set_inputs(clipc_onnx_interpreter *in)
{
    const clipc_onnx_file *file = in->file;
    for (size_t i = 0; i < file->array_count; i++) {
        const known stored = clipc_onnx_of_constant(file->arrays[i]);
        set_value(in, file->arrays[i]->name, &stored);
    }
    for (size_t i = 0; i < file->input_count; i++) {
        const int64_t fixed =
            input_rank(file->inputs[i]) && !is_stored(in, file->inputs[i]) ? fixed_side(file->inputs[i], 0) : 0;
        if (fixed > 0 && fixed <= 65536)
            in->batch = (size_t)fixed;
    }
    for (size_t i = 0; i < file->input_count; i++) {
        if (is_stored(in, file->inputs[i]) || !file->inputs[i]->name)
            continue;
        const known input = input_value(in, file->inputs[i]);
        set_value(in, file->inputs[i]->name, &input);
    }
}

/* ---- nodes ---- */

static const clipc_onnx_operator_entry *const tables[] = {
    clipc_onnx_shape_operators,   clipc_onnx_constant_operators, clipc_onnx_arithmetic_operators,
    clipc_onnx_product_operators, clipc_onnx_map_operators,      clipc_onnx_integer_operators,
    clipc_onnx_token_operators,
};

static bool is_known_domain(const char *domain)
{
    return !domain || !domain[0] || strcmp(domain, "ai.onnx") == 0 || strcmp(domain, "com.microsoft") == 0 ||
           strcmp(domain, CLIPC_ONNX_PLUGIN_DOMAIN) == 0;
}

static clipc_onnx_operator find_operator(const Onnx__NodeProto *node)
{
    if (!node->op_type || !is_known_domain(node->domain))
        return NULL;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const clipc_onnx_operator_entry *entry = tables[i]; entry->name; entry++)
            if (strcmp(entry->name, node->op_type) == 0)
                return entry->run;
    return NULL;
}

/* A choice may leave out what could not be understood. */
static bool may_ignore(const Onnx__NodeProto *node)
{
    return node->op_type && strcmp(node->op_type, "Where") == 0;
}

static void run_node(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const Onnx__NodeProto *node = of->node;
    of->input_count = node->n_input;
    of->output_count = clipc_min(node->n_output, CLIPC_ONNX_OUTPUTS);
    memset(of->inputs, 0, sizeof of->inputs);
    memset(of->outputs, 0, sizeof of->outputs);
    for (size_t i = 0; i < of->input_count && i < CLIPC_ONNX_INPUTS; i++) {
        of->inputs[i] = clipc_onnx_find_value(in, node->input[i]);
        const known *input = &of->inputs[i];
        if (node->input[i][0] && !input->constant && !input->expression && !input->refusal)
            of->inputs[i] = clipc_onnx_refuse(in, of, "reads '%s', which nothing before it makes", node->input[i]);
        if (input->constant && input->constant->dtype == CLIPC_DTYPE_OTHER)
            of->inputs[i] = clipc_onnx_refuse(in, of, "'%s' is of a type that no CLIP tower has", node->input[i]);
        if (input->refusal && !may_ignore(node)) {
            of->outputs[0] = *input;
            return;
        }
    }
    const clipc_onnx_operator run = find_operator(node);
    if (!run || of->input_count > CLIPC_ONNX_INPUTS) {
        of->outputs[0] =
            clipc_onnx_refuse(in, of, run ? "has too many inputs" : "is an operator that no CLIP tower needs");
        return;
    }
    run(in, of);
}

static void set_outputs(clipc_onnx_interpreter *in, clipc_onnx_operation *of)
{
    const bool refused = of->outputs[0].refusal;
    for (size_t i = 0; i < of->node->n_output; i++) {
        known *value = i < of->output_count ? &of->outputs[i] : &of->outputs[0];
        if (refused || i >= of->output_count)
            value = &of->outputs[0];
        known made = *value;
        if (!made.constant && !made.expression && !made.refusal)
            made = clipc_onnx_refuse(in, of, "has an output that no CLIP tower needs");
        set_value(in, of->node->output[i], &made);
    }
}

static void run_nodes(clipc_onnx_interpreter *in, Onnx__NodeProto *const *nodes, size_t count)
{
    clipc_onnx_operation of;
    for (size_t i = 0; i < count && in->arena->status == CLIPC_OK; i++) {
        of.node = nodes[i];
        run_node(in, &of);
        set_outputs(in, &of);
    }
}

static void set_branch_arrays(clipc_onnx_interpreter *in, const Onnx__GraphProto *graph)
{
    for (size_t i = 0; i < graph->n_initializer; i++) {
        clipc_onnx_constant *array = NULL;
        clipc_error error;
        if (!graph->initializer[i]->name ||
            clipc_onnx_file_array_of(in->file, graph->initializer[i], &array, &error) != CLIPC_OK)
            continue;
        const known stored = clipc_onnx_of_constant(array);
        set_value(in, array->name, &stored);
    }
}

void clipc_onnx_interpret_branch(clipc_onnx_interpreter *in, clipc_onnx_operation *of, const uint8_t *bytes,
                                 size_t size)
{
    clipc_error error;
    names *outer = in->names;
    const Onnx__GraphProto *graph =
        in->depth < DEEPEST_BRANCH
            ? clipc_onnx_file_unpack(in->file, &onnx__graph_proto__descriptor, bytes, size, BRANCH_FIELDS, &error)
            : NULL;
    of->outputs[0] = clipc_onnx_refuse(in, of, "holds a graph that is malformed or too deep");
    if (!graph || graph->n_output < of->output_count ||
        open_names(in, graph->n_initializer + count_outputs(graph->node, graph->n_node)) != CLIPC_OK)
        return;
    in->depth++;
    set_branch_arrays(in, graph);
    run_nodes(in, graph->node, graph->n_node);
    for (size_t i = 0; i < of->output_count; i++)
        of->outputs[i] = graph->output[i]->name ? clipc_onnx_find_value(in, graph->output[i]->name) : (known){0};
    in->depth--;
    in->names = outer;
}

clipc_status clipc_onnx_interpret(clipc_onnx_interpreter *in)
{
    const clipc_onnx_file *file = in->file;
    in->work = MOST_WORK;
    in->names = NULL;
    CLIPC_TRY(open_names(in, file->array_count + file->input_count + count_outputs(file->nodes, file->node_count)));
    set_inputs(in);
    run_nodes(in, file->nodes, file->node_count);
    if (in->file->arena.status != CLIPC_OK)
        return in->file->arena.status;
    return in->arena->status;
}
