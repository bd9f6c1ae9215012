/* Heap memory. Every allocation of the library is made here, with its size checked for overflow. */
#ifndef CLIPC_BASE_MEMORY_H
#define CLIPC_BASE_MEMORY_H

#include "base/error.h"

#include <stddef.h>

/* Widest vector the kernels load, and a cache line. */
#define CLIPC_ALIGNMENT ((size_t)64)

/* Each allocates count × size bytes and returns NULL on overflow or when there is no memory; a zero size gives one
 * byte. Zeroed; freed with clipc_free. */
void *clipc_allocate(size_t count, size_t size);
/* Keeps the contents as realloc does; new bytes are not zeroed. The old block stays valid when it returns NULL. */
void *clipc_reallocate(void *block, size_t count, size_t size);
/* A copy of `text`. */
char *clipc_duplicate_text(const char *text);
void clipc_free(void *block);

/* Large blocks: aligned to CLIPC_ALIGNMENT, not zeroed, transparent huge pages asked for. Freed with
 * clipc_free_aligned. */
void *clipc_allocate_aligned(size_t count, size_t size);
void clipc_free_aligned(void *block);

/* The failure of such a call, in words: "out of memory (N bytes for WHAT)". */
clipc_status clipc_fail_memory(clipc_error *error, size_t bytes, const char *what);

#endif
