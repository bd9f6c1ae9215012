#include "onnx/file.h"

#include "base/checked.h"
#include "base/wire.h"

#include <string.h>

#define DESCRIPTION_BYTES ((size_t)32 << 20)
#define MOST_OF_A_KIND    ((size_t)1 << 16)

/* Field numbers of ONNX's messages. */
enum {
    MODEL_GRAPH = 7,
    MODEL_METADATA = 14,
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12
};

#define BIT(field) (UINT64_C(1) << (field))
/* Everything but documentation and metadata, which may be longer than the graph. */
#define NODE_FIELDS (BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(7))

static clipc_status fail_malformed(const clipc_onnx_file *file, clipc_error *error)
{
    return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: is no ONNX file, or a damaged one: a message is malformed",
                      file->name);
}

/* ---- protobuf-c ---- */

static void *allocate_message(void *data, size_t size)
{
    return clipc_onnx_arena_cut(data, size, 1);
}

static void free_message(void *data, void *pointer)
{
    (void)data;
    (void)pointer; /* goes with the arena */
}

/* The fields that are kept, one after the other; the message itself when that is all of them. */
static const uint8_t *keep_fields(clipc_onnx_file *file, const uint8_t *bytes, size_t *size, uint64_t keep)
{
    clipc_wire wire = {.at = bytes, .end = bytes + *size};
    clipc_wire_field field;
    size_t kept = 0;
    while (clipc_wire_next(&wire, &field))
        kept += field.number < 64 && keep >> field.number & 1 ? field.whole : 0;
    if (wire.malformed || kept == *size)
        return bytes;
    uint8_t *copy = clipc_onnx_arena_cut(&file->arena, kept, 1);
    if (!copy)
        return NULL;
    wire = (clipc_wire){.at = bytes, .end = bytes + *size};
    *size = 0;
    while (clipc_wire_next(&wire, &field)) {
        if (field.number >= 64 || !(keep >> field.number & 1))
            continue;
        memcpy(copy + *size, field.begin, field.whole);
        *size += field.whole;
    }
    return copy;
}

void *clipc_onnx_file_unpack(clipc_onnx_file *file, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                             size_t size, uint64_t keep, clipc_error *error)
{
    ProtobufCAllocator allocator = {allocate_message, free_message, &file->arena};
    const uint8_t *kept = keep_fields(file, bytes, &size, keep);
    void *message = kept ? protobuf_c_message_unpack(descriptor, &allocator, size, kept) : NULL;
    if (!message && file->arena.status == CLIPC_OK)
        fail_malformed(file, error);
    return message;
}

/* ---- the graph ---- */

typedef struct part {
    uint32_t field;
    const ProtobufCMessageDescriptor *descriptor;
    uint64_t keep;
    void ***list;
    size_t *count;
} part;

static clipc_status read_array(clipc_onnx_file *file, const clipc_wire_field *field, clipc_error *error)
{
    clipc_onnx_constant *array = NULL;
    CLIPC_TRY(clipc_onnx_file_array(file, field->bytes, field->size, &array, error));
    file->arrays[file->array_count++] = array;
    file->array_bytes += clipc_onnx_constant_count(array) * clipc_dtype_size(array->dtype);
    return CLIPC_OK;
}

static clipc_status read_part(clipc_onnx_file *file, const part *kind, const clipc_wire_field *field,
                              clipc_error *error)
{
    if (!kind->descriptor)
        return read_array(file, field, error);
    void *message = clipc_onnx_file_unpack(file, kind->descriptor, field->bytes, field->size, kind->keep, error);
    if (!message)
        return file->arena.status != CLIPC_OK ? file->arena.status : CLIPC_ERROR_FORMAT;
    (*kind->list)[(*kind->count)++] = message;
    return CLIPC_OK;
}

/* All fields of one kind within a message: counted, then read. */
static clipc_status read_parts(clipc_onnx_file *file, const uint8_t *bytes, size_t size, const part *kind,
                               clipc_error *error)
{
    clipc_wire wire = {.at = bytes, .end = bytes + size};
    clipc_wire_field field;
    size_t count = 0;
    while (clipc_wire_next(&wire, &field))
        count += field.number == kind->field && field.type == CLIPC_WIRE_BYTES;
    if (wire.malformed)
        return fail_malformed(file, error);
    CLIPC_FAIL_IF(count > MOST_OF_A_KIND, error, CLIPC_ERROR_LIMIT, "%s: more than %zu parts of one kind", file->name,
                  MOST_OF_A_KIND);
    *kind->list = clipc_onnx_arena_cut(&file->arena, count, sizeof **kind->list);
    if (!*kind->list)
        return file->arena.status;
    wire = (clipc_wire){.at = bytes, .end = bytes + size};
    while (clipc_wire_next(&wire, &field))
        if (field.number == kind->field && field.type == CLIPC_WIRE_BYTES)
            CLIPC_TRY(read_part(file, kind, &field, error));
    return CLIPC_OK;
}

static clipc_status read_graph(clipc_onnx_file *file, const uint8_t *bytes, size_t size, clipc_error *error)
{
    const part kinds[] = {
        {GRAPH_NODE, &onnx__node_proto__descriptor, NODE_FIELDS, (void ***)&file->nodes, &file->node_count},
        {GRAPH_INITIALIZER, NULL, 0, (void ***)&file->arrays, &file->array_count},
        {GRAPH_INPUT, &onnx__value_info_proto__descriptor, BIT(1) | BIT(2), (void ***)&file->inputs,
         &file->input_count},
        {GRAPH_OUTPUT, &onnx__value_info_proto__descriptor, BIT(1) | BIT(2), (void ***)&file->outputs,
         &file->output_count},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        CLIPC_TRY(read_parts(file, bytes, size, &kinds[i], error));
    return CLIPC_OK;
}

static clipc_status read_model(clipc_onnx_file *file, const uint8_t *bytes, size_t size, clipc_error *error)
{
    const part metadata = {MODEL_METADATA, &onnx__string_string_entry_proto__descriptor, BIT(1) | BIT(2),
                           (void ***)&file->metadata, &file->metadata_count};
    clipc_wire wire = {.at = bytes, .end = bytes + size};
    clipc_wire_field field;
    const uint8_t *graph = NULL;
    size_t graph_size = 0;
    while (clipc_wire_next(&wire, &field)) {
        if (field.number != MODEL_GRAPH || field.type != CLIPC_WIRE_BYTES)
            continue;
        CLIPC_FAIL_IF(graph, error, CLIPC_ERROR_FORMAT, "%s: has two graphs", file->name);
        graph = field.bytes;
        graph_size = field.size;
    }
    if (wire.malformed)
        return fail_malformed(file, error);
    CLIPC_FAIL_IF(!graph, error, CLIPC_ERROR_FORMAT, "%s: is no ONNX file: it holds no graph", file->name);
    CLIPC_TRY(read_parts(file, bytes, size, &metadata, error));
    return read_graph(file, graph, graph_size, error);
}

clipc_status clipc_onnx_file_read(const uint8_t *bytes, size_t size, const char *name,
                                  const clipc_onnx_external *external, clipc_onnx_file *out, clipc_error *error)
{
    *out = (clipc_onnx_file){
        .name = name,
        .arena = {.limit = DESCRIPTION_BYTES, .name = name, .what = "the description of the graph", .error = error},
        .external = *external};
    return read_model(out, bytes, size, error);
}

void clipc_onnx_file_free(clipc_onnx_file *file)
{
    clipc_onnx_arena_free(&file->arena);
}

const char *clipc_onnx_file_metadata(const clipc_onnx_file *file, const char *key)
{
    for (size_t i = 0; i < file->metadata_count; i++) {
        const Onnx__StringStringEntryProto *entry = file->metadata[i];
        if (entry->key && entry->value && strcmp(entry->key, key) == 0)
            return entry->value;
    }
    return NULL;
}
