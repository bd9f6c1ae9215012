/* One block of memory handed out in aligned pieces. The same code runs twice: with base NULL it only adds up what is
 * needed, and then, with that much memory, it gives out the pieces. */
#ifndef CLIPC_BACKEND_CPU_ARENA_H
#define CLIPC_BACKEND_CPU_ARENA_H

#include "base/checked.h"
#include "base/memory.h"

#include <stdint.h>

typedef struct clipc_arena {
    unsigned char *base;
    size_t used;
    bool overflow; /* the sum does not fit in size_t; what was given out must not be used */
} clipc_arena;

/* rows × columns values of `size` bytes, aligned to CLIPC_ALIGNMENT; NULL in the first pass. */
static inline void *clipc_arena_take(clipc_arena *arena, size_t rows, size_t columns, size_t size)
{
    size_t bytes = 0;
    size_t end = 0;
    if (!clipc_multiply(rows, columns, &bytes) || !clipc_multiply(bytes, size, &bytes) ||
        !clipc_add(bytes, CLIPC_ALIGNMENT - 1, &bytes) ||
        !clipc_add(arena->used, bytes & ~(CLIPC_ALIGNMENT - 1), &end)) {
        arena->overflow = true;
        return NULL;
    }
    void *piece = arena->base ? arena->base + arena->used : NULL;
    arena->used = end;
    return piece;
}

static inline float *clipc_arena_floats(clipc_arena *arena, size_t rows, size_t columns)
{
    return clipc_arena_take(arena, rows, columns, sizeof(float));
}

#endif
