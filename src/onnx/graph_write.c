/* Serialises a graph front to back. protobuf-c hands every field's bytes to `append`; those of weights are marks, and
 * the weight is read, converted and turned there, a block at a time. */
#include "onnx/graph.h"

#include "base/memory.h"
#include "io/half.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES     ((size_t)1 << 18)
#define LARGE_BYTES     ((size_t)1 << 14)
#define LONGEST_MESSAGE ((size_t)INT32_MAX) /* of protocol buffers */
#define EXTERNAL_BYTES  1024                /* shorter weights stay in the graph */
#define EXTERNAL_ALIGN  64
#define TURNED_COLUMNS  32 /* of a stored matrix, read together: two cache lines of fp32 */

typedef struct sink {
    ProtobufCBuffer base; /* first: protobuf-c knows only this part */
    const clipc_onnx_graph *graph;
    clipc_write_function write;
    void *user;
    clipc_status status;
    clipc_error *error;
    unsigned char *block;
    size_t used;
} sink;

static void hand_on(sink *out, const void *bytes, size_t size)
{
    if (out->status == CLIPC_OK && size && out->write(out->user, bytes, size) != 0)
        out->status = clipc_fail(out->error, CLIPC_ERROR_IO, "ONNX graph: writing was stopped");
}

static void flush(sink *out)
{
    hand_on(out, out->block, out->used);
    out->used = 0;
}

/* Small parts are gathered, large ones go on as they are. */
static void put(sink *out, const void *bytes, size_t size)
{
    const unsigned char *from = bytes;
    if (size >= LARGE_BYTES) {
        flush(out);
        hand_on(out, bytes, size);
        return;
    }
    while (size && out->status == CLIPC_OK) {
        const size_t room = BLOCK_BYTES - out->used;
        const size_t part = size < room ? size : room;
        memcpy(out->block + out->used, from, part);
        out->used += part;
        from += part;
        size -= part;
        if (out->used == BLOCK_BYTES)
            flush(out);
    }
}

/* ---- weights ---- */

/* Rounded to even, as all of it is computed in fp32. */
static void put_bytes(sink *out, const clipc_onnx_weight *weight, const float *values, size_t count)
{
    uint8_t bytes[1024];
    for (size_t begin = 0; begin < count; begin += sizeof bytes) {
        const size_t part = count - begin < sizeof bytes ? count - begin : sizeof bytes;
        for (size_t i = 0; i < part; i++) {
            const float value = rintf(values[begin + i] / weight->step) + (float)weight->zero;
            bytes[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
        }
        put(out, bytes, part);
    }
}

static void put_values(sink *out, const clipc_onnx_weight *weight, const float *values, size_t count)
{
    if (weight->dtype == CLIPC_DTYPE_U8) {
        put_bytes(out, weight, values, count);
        return;
    }
    if (weight->dtype == CLIPC_DTYPE_F32) {
        put(out, values, count * sizeof *values);
        return;
    }
    for (size_t i = 0; i < count && out->status == CLIPC_OK; i++) {
        const uint16_t half = clipc_half_from_float(values[i]);
        if ((half & 0x7FFF) == 0x7C00 && isfinite(values[i]))
            out->status = clipc_fail(out->error, CLIPC_ERROR_UNSUPPORTED, "%s: holds %g, which fp16 cannot",
                                     weight->tensor->name, (double)values[i]);
        put(out, &half, sizeof half);
    }
}

static void put_as_stored(sink *out, const clipc_onnx_weight *weight, float *values, size_t room)
{
    const clipc_tensor *tensor = weight->tensor;
    if (tensor->dtype == weight->dtype && !tensor->pitch) {
        put(out, tensor->data, weight->bytes);
        return;
    }
    for (size_t begin = 0; begin < tensor->count; begin += room) {
        const size_t count = tensor->count - begin < room ? tensor->count - begin : room;
        clipc_tensor_read(tensor, begin, count, values);
        put_values(out, weight, values, count);
    }
}

/* Some columns of the stored matrix at a time, which are rows of what is written. */
static void put_transposed(sink *out, const clipc_onnx_weight *weight, float *values)
{
    const size_t rows = weight->tensor->shape[0];
    const size_t columns = weight->tensor->shape[1];
    float line[TURNED_COLUMNS];
    for (size_t begin = 0; begin < columns && out->status == CLIPC_OK; begin += TURNED_COLUMNS) {
        const size_t count = columns - begin < TURNED_COLUMNS ? columns - begin : TURNED_COLUMNS;
        for (size_t row = 0; row < rows; row++) {
            clipc_tensor_read(weight->tensor, row * columns + begin, count, line);
            for (size_t i = 0; i < count; i++)
                values[i * rows + row] = line[i];
        }
        put_values(out, weight, values, count * rows);
    }
}

static void put_numbers(sink *out, const clipc_onnx_weight *weight)
{
    const bool transposed = weight->layout == CLIPC_ONNX_TRANSPOSED;
    const size_t room = transposed ? weight->tensor->shape[0] * TURNED_COLUMNS : BLOCK_BYTES / sizeof(float);
    float *values = clipc_allocate_aligned(room, sizeof *values);
    if (!values)
        out->status = clipc_fail_memory(out->error, room * sizeof *values, weight->tensor->name);
    else if (transposed)
        put_transposed(out, weight, values);
    else
        put_as_stored(out, weight, values, room);
    clipc_free_aligned(values);
}

static void put_weight(sink *out, const clipc_onnx_weight *weight)
{
    clipc_tensor tensor;
    float *block = NULL;
    clipc_onnx_weight unpacked = *weight;
    out->status = clipc_onnx_unpack(out->graph, weight->tensor, &tensor, &block, out->error);
    unpacked.tensor = &tensor;
    if (out->status == CLIPC_OK)
        put_numbers(out, &unpacked);
    clipc_free_aligned(block);
}

static void append(ProtobufCBuffer *base, size_t size, const uint8_t *bytes)
{
    sink *out = (sink *)(void *)base;
    const uintptr_t mark = (uintptr_t)bytes - (uintptr_t)out->graph->weight_marks;
    if (out->status != CLIPC_OK)
        return;
    if ((uintptr_t)bytes >= (uintptr_t)out->graph->weight_marks && mark < out->graph->weight_count)
        put_weight(out, &out->graph->weights[mark]);
    else
        put(out, bytes, size);
}

/* ---- files ---- */

static clipc_status open_sink(sink *out, const clipc_onnx_graph *graph, clipc_write_function write, void *user,
                              clipc_error *error)
{
    *out = (sink){.base = {append}, .graph = graph, .write = write, .user = user, .error = error};
    out->block = clipc_allocate(BLOCK_BYTES, 1);
    return out->block ? CLIPC_OK : clipc_fail_memory(error, BLOCK_BYTES, "an ONNX graph");
}

static clipc_status close_sink(sink *out)
{
    flush(out);
    clipc_free(out->block);
    return out->status;
}

static Onnx__StringStringEntryProto entry_of(const char *key, const char *value)
{
    Onnx__StringStringEntryProto entry = ONNX__STRING_STRING_ENTRY_PROTO__INIT;
    entry.key = (char *)(uintptr_t)key;
    entry.value = (char *)(uintptr_t)value;
    return entry;
}

/* Where a weight lies in the external file, in the words of ONNX. */
typedef struct external_place {
    Onnx__StringStringEntryProto entries[3];
    Onnx__StringStringEntryProto *list[3];
    char offset[24];
    char length[24];
} external_place;

static void refer(Onnx__TensorProto *tensor, external_place *place, const char *name, uint64_t offset, size_t bytes)
{
    snprintf(place->offset, sizeof place->offset, "%llu", (unsigned long long)offset);
    snprintf(place->length, sizeof place->length, "%zu", bytes);
    place->entries[0] = entry_of("location", name);
    place->entries[1] = entry_of("offset", place->offset);
    place->entries[2] = entry_of("length", place->length);
    for (size_t i = 0; i < 3; i++)
        place->list[i] = &place->entries[i];
    tensor->has_raw_data = 0;
    tensor->external_data = place->list;
    tensor->n_external_data = 3;
    tensor->has_data_location = 1;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

static clipc_status write_external(clipc_onnx_graph *graph, clipc_write_function write, void *user, const char *name,
                                   external_place *places, clipc_error *error)
{
    static const unsigned char zeros[EXTERNAL_ALIGN];
    uint64_t offset = 0;
    sink out;
    CLIPC_TRY(open_sink(&out, graph, write, user, error));
    for (size_t i = 0; i < graph->graph.n_initializer; i++) {
        Onnx__TensorProto *tensor = graph->graph.initializer[i];
        const size_t bytes = tensor->raw_data.len;
        if (bytes <= EXTERNAL_BYTES)
            continue;
        append(&out.base, bytes, tensor->raw_data.data);
        refer(tensor, &places[i], name, offset, bytes);
        const size_t padding = (EXTERNAL_ALIGN - bytes % EXTERNAL_ALIGN) % EXTERNAL_ALIGN;
        put(&out, zeros, padding);
        offset += bytes + padding;
    }
    return close_sink(&out);
}

clipc_status clipc_onnx_graph_write(clipc_onnx_graph *graph, clipc_write_function write, void *user,
                                    clipc_write_function external, void *external_user, const char *external_name)
{
    external_place *places = NULL;
    clipc_status status = graph->status;
    clipc_error *error = graph->error;
    sink out;
    if (status != CLIPC_OK)
        return status;
    if (external) {
        places = clipc_allocate(graph->graph.n_initializer, sizeof *places);
        if (!places)
            return clipc_fail_memory(error, graph->graph.n_initializer * sizeof *places, "an ONNX graph");
        CLIPC_CHECK(write_external(graph, external, external_user, external_name, places, error));
    }
    if (onnx__model_proto__get_packed_size(&graph->model) > LONGEST_MESSAGE) {
        status = clipc_fail(error, CLIPC_ERROR_LIMIT,
                            "ONNX graph: longer than the 2 GiB of a protocol buffer; weights must go to a file of "
                            "their own (external data)");
        goto fail;
    }
    CLIPC_CHECK(open_sink(&out, graph, write, user, error));
    onnx__model_proto__pack_to_buffer(&graph->model, &out.base);
    status = close_sink(&out);
fail:
    clipc_free(places);
    return status;
}
