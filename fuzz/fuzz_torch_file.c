/* Zip archives and pickles as torch.save writes them. Every tensor that is read is looked at. */
#include "io/torch_file.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    clipc_torch_file *file = NULL;
    if (!clipc_torch_file_matches(data, size))
        return 0;
    const clipc_status status = clipc_torch_file_open(data, size, "fuzz", &file, NULL);
    if (status != CLIPC_OK)
        return 0;
    const clipc_tensor_table *table = clipc_torch_file_table(file);
    for (size_t i = 0; i < table->count; i++) {
        const clipc_tensor *tensor = table->by_name[i];
        const uint8_t *bytes = tensor->data;
        volatile uint8_t sum = 0;
        for (size_t j = 0; j < tensor->count * clipc_dtype_size(tensor->dtype); j += 61)
            sum = (uint8_t)(sum + bytes[j]);
        if (clipc_tensor_table_find(table, tensor->name) != tensor)
            __builtin_trap();
    }
    clipc_torch_file_close(&file);
    return 0;
}
