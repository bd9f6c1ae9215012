#include "base/memory.h"

#include "base/checked.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

void *clipc_allocate(size_t count, size_t size)
{
    size_t bytes = 0;
    if (!clipc_multiply(count, size, &bytes))
        return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *clipc_reallocate(void *block, size_t count, size_t size)
{
    size_t bytes = 0;
    if (!clipc_multiply(count, size, &bytes))
        return NULL;
    return realloc(block, bytes ? bytes : 1);
}

char *clipc_duplicate_text(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = malloc(bytes);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

void clipc_free(void *block)
{
    free(block);
}

void *clipc_allocate_aligned(size_t count, size_t size)
{
    size_t bytes = 0;
    if (!clipc_multiply(count, size, &bytes) || bytes > SIZE_MAX - HUGE_PAGE)
        return NULL;
    bytes = clipc_round_up(bytes ? bytes : 1, CLIPC_ALIGNMENT);
    const size_t alignment = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : CLIPC_ALIGNMENT;
    void *block = NULL;
    if (posix_memalign(&block, alignment, bytes) != 0)
        return NULL;
    if (alignment == HUGE_PAGE)
        madvise(block, bytes & ~(HUGE_PAGE - 1), MADV_HUGEPAGE); /* a wish: refusal costs only speed */
    return block;
}

void clipc_free_aligned(void *block)
{
    free(block);
}

clipc_status clipc_fail_memory(clipc_error *error, size_t bytes, const char *what)
{
    return clipc_fail(error, CLIPC_ERROR_MEMORY, "out of memory (%zu bytes for %s)", bytes, what);
}
