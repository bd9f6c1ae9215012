/* Rewriting ONNX graphs that others made. */
#include "base/mapped_file.h"
#include "onnx/replace_layer_norm.h"

#include <string.h>

#define SPARE_BYTES ((size_t)63 << 20)
#define MOST_BYTES  ((size_t)INT32_MAX) /* of a protocol buffer */

static void *allocate(void *arena, size_t size)
{
    return clipc_onnx_arena_cut(arena, size, 1);
}

static void keep(void *arena, void *pointer) /* until the arena goes */
{
    (void)arena;
    (void)pointer;
}

typedef struct output {
    ProtobufCBuffer base; /* first: protobuf-c knows only this part */
    clipc_write_function write;
    void *user;
    int failed;
} output;

static void append(ProtobufCBuffer *buffer, size_t size, const uint8_t *bytes)
{
    output *to = (output *)buffer;
    if (!to->failed && size)
        to->failed = to->write(to->user, bytes, size);
}

static clipc_status rewrite(const clipc_mapped_file *file, const char *path, clipc_onnx_arena *arena,
                            clipc_write_function write, void *user, clipc_onnx_replaced *replaced, clipc_error *error)
{
    ProtobufCAllocator allocator = {allocate, keep, arena};
    output to = {{append}, write, user, 0};
    CLIPC_FAIL_IF(file->size > MOST_BYTES, error, CLIPC_ERROR_LIMIT, "%s: is longer than the 2 GiB of an ONNX graph",
                  path);
    Onnx__ModelProto *model = onnx__model_proto__unpack(&allocator, file->size, file->bytes);
    if (!model && arena->status != CLIPC_OK)
        return arena->status;
    CLIPC_FAIL_IF(!model || !model->graph, error, CLIPC_ERROR_FORMAT, "%s: is no ONNX graph, or a damaged one", path);
    CLIPC_TRY(clipc_onnx_replace_in(model, arena, replaced));
    onnx__model_proto__pack_to_buffer(model, &to.base);
    CLIPC_FAIL_IF(to.failed, error, CLIPC_ERROR_IO, "ONNX graph: writing was stopped");
    return CLIPC_OK;
}

clipc_status clipc_onnx_replace_layer_norm(const char *path, clipc_write_function write, void *user,
                                           clipc_onnx_replaced *replaced, clipc_error *error)
{
    clipc_mapped_file file = {0};
    clipc_onnx_replaced found = {0};
    CLIPC_FAIL_IF(!path || !write, error, CLIPC_ERROR_ARGUMENT, "clipc_onnx_replace_layer_norm: %s is NULL",
                  path ? "write" : "path");
    CLIPC_TRY(clipc_mapped_file_open(path, 0, &file, error));
    clipc_onnx_arena arena = {.limit = 4 * file.size + SPARE_BYTES, .name = path, .what = "the graph", .error = error};
    const clipc_status status = rewrite(&file, path, &arena, write, user, &found, error);
    clipc_onnx_arena_free(&arena);
    clipc_mapped_file_close(&file);
    if (replaced)
        *replaced = found;
    return status;
}
