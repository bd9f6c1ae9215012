/* Zip archives and pickles as torch.save writes them. Every tensor that is read is looked at. The allocator watches
 * that no input takes more than four times its size and 64 MiB. */
#include "io/torch_file.h"

#include <stdint.h>
#include <stdlib.h>

#define ALLOWANCE ((size_t)64 << 20)

/* Of libFuzzer's sanitizers (sanitizer/allocator_interface.h). */
size_t __sanitizer_get_current_allocated_bytes(void);
int __sanitizer_install_malloc_and_free_hooks(void (*on_allocate)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t before;
static size_t limit = SIZE_MAX;

static void on_allocate(const volatile void *block, size_t size)
{
    (void)block;
    (void)size;
    if (limit != SIZE_MAX && __sanitizer_get_current_allocated_bytes() > before + limit)
        __builtin_trap();
}

static void on_free(const volatile void *block)
{
    (void)block;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int hooked = 0;
    if (!hooked)
        hooked = __sanitizer_install_malloc_and_free_hooks(on_allocate, on_free);
    clipc_torch_file *file = NULL;
    if (!clipc_torch_file_matches(data, size))
        return 0;
    before = __sanitizer_get_current_allocated_bytes();
    limit = 4 * size + ALLOWANCE;
    const clipc_status status = clipc_torch_file_open(data, size, "fuzz", &file, NULL);
    limit = SIZE_MAX;
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
