/* Stands between libFuzzer and the target (the linker's --wrap) and counts what is allocated meanwhile. */
#include "allocation_limit.h"

#include <stdbool.h>
#include <stdint.h>

#define ALLOWANCE ((size_t)64 << 20)

int __real_LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int __wrap_LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Of the sanitizers (sanitizer/allocator_interface.h). */
size_t __sanitizer_get_allocated_size(const volatile void *block);
int __sanitizer_install_malloc_and_free_hooks(void (*on_allocate)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));

static bool watching;
static int64_t limit;
static int64_t held; /* below zero when blocks from before the watch are freed in it */

/* Atomic, as several threads may allocate. */
static void on_allocate(const volatile void *block, size_t size)
{
    (void)block;
    if (watching && __atomic_add_fetch(&held, (int64_t)size, __ATOMIC_RELAXED) > limit)
        __builtin_trap();
}

static void on_free(const volatile void *block)
{
    if (watching && block)
        __atomic_sub_fetch(&held, (int64_t)__sanitizer_get_allocated_size(block), __ATOMIC_RELAXED);
}

void set_file_size(size_t size)
{
    limit = (int64_t)(4 * size + ALLOWANCE);
}

void stop_watching(void)
{
    watching = false;
}

int __wrap_LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static bool hooked = false;
    if (!hooked && !__sanitizer_install_malloc_and_free_hooks(on_allocate, on_free))
        __builtin_trap();
    hooked = true;
    held = 0;
    set_file_size(size);
    watching = true;
    const int result = __real_LLVMFuzzerTestOneInput(bytes, size);
    watching = false;
    return result;
}
