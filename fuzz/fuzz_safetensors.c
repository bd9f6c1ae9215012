/* Any bytes as a safetensors file: what is accepted can be read whole. */
#include "io/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    clipc_safetensors *file = NULL;
    if (clipc_safetensors_open(bytes, size, "fuzz", &file, NULL) != CLIPC_OK)
        return 0;
    for (size_t i = 0; i < clipc_safetensors_count(file); i++) {
        const clipc_tensor *tensor = clipc_safetensors_at(file, i);
        char text[CLIPC_SHAPE_TEXT];
        clipc_shape_text(tensor->shape, tensor->rank, text);
        if (clipc_safetensors_find(file, tensor->name) != tensor)
            abort();
        clipc_tensor_first_not_finite(tensor);
        float values[64];
        for (size_t at = 0; at < tensor->count && tensor->dtype != CLIPC_DTYPE_OTHER; at += 64)
            clipc_tensor_read(tensor, at, tensor->count - at < 64 ? tensor->count - at : 64, values);
    }
    clipc_safetensors_close(&file);
    return 0;
}
