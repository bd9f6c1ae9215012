/* Any bytes as an ONNX graph whose LayerNorms are to be replaced: what is accepted can be written, and read again. */
#include "allocation_limit.h"
#include "onnx/replace_layer_norm.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void *allocate(void *arena, size_t size)
{
    return clipc_onnx_arena_cut(arena, size, 1);
}

static void keep(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    clipc_error error;
    clipc_onnx_arena arena = {
        .limit = 4 * size + ((size_t)63 << 20), .name = "fuzz", .what = "the graph", .error = &error};
    ProtobufCAllocator allocator = {allocate, keep, &arena};
    clipc_onnx_replaced replaced = {0};
    Onnx__ModelProto *model = onnx__model_proto__unpack(&allocator, size, bytes);
    if (model && model->graph && clipc_onnx_replace_in(model, &arena, &replaced) == CLIPC_OK) {
        stop_watching();
        const size_t length = onnx__model_proto__get_packed_size(model);
        uint8_t *packed = malloc(length + 1);
        if (!packed || onnx__model_proto__pack(model, packed) != length)
            abort();
        Onnx__ModelProto *again = onnx__model_proto__unpack(NULL, length, packed);
        if (!again || again->graph->n_node != model->graph->n_node)
            abort();
        onnx__model_proto__free_unpacked(again, NULL);
        free(packed);
    }
    clipc_onnx_arena_free(&arena);
    return 0;
}
