/* ONNX graphs. Every weight of a tower that is found is read. External data are the input itself. */
#include "model/family.h"
#include "onnx/import.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const uint8_t *bytes;
    size_t size;
} input;

static clipc_status find_external(void *user, const char *location, const uint8_t **bytes, size_t *size,
                                  clipc_error *error)
{
    const input *from = user;
    (void)location;
    (void)error;
    *bytes = from->bytes;
    *size = from->size;
    return CLIPC_OK;
}

static clipc_status read_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    float values[256];
    (void)context;
    (void)error;
    if (slot->tensor->count != slot->count)
        __builtin_trap();
    for (size_t begin = 0; begin < slot->count; begin += 256)
        clipc_tensor_read(slot->tensor, begin, slot->count - begin < 256 ? slot->count - begin : 256, values);
    clipc_tensor_first_not_finite(slot->tensor);
    return CLIPC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input from = {data, size};
    const clipc_onnx_external external = {find_external, &from};
    clipc_onnx_import found;
    clipc_error error;
    if (clipc_onnx_import_read(data, size, "fuzz", &external, &found, &error) == CLIPC_OK) {
        if (!found.image && !found.text)
            __builtin_trap();
        clipc_family_each(&clipc_family_transformers, &found.config, &found.weights, true, true, read_slot, NULL,
                          &error);
    }
    clipc_onnx_import_free(&found);
    return 0;
}
