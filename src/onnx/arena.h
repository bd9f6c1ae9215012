/* Small things of one file, released together, with a limit on how much they may take. The first failure sticks: after
 * it every cut is NULL. */
#ifndef CLIPC_ONNX_ARENA_H
#define CLIPC_ONNX_ARENA_H

#include "base/error.h"

typedef struct clipc_onnx_arena {
    struct clipc_onnx_arena_block *blocks;
    size_t used;
    size_t limit;     /* bytes */
    const char *name; /* of the file, in messages */
    const char *what; /* is kept here, in messages */
    clipc_status status;
    clipc_error *error;
} clipc_onnx_arena;

/* Zeroed, aligned to 16 bytes. NULL sets `status` and *error. */
void *clipc_onnx_arena_cut(clipc_onnx_arena *arena, size_t count, size_t size);
/* A copy of `length` bytes and a NUL. */
char *clipc_onnx_arena_text(clipc_onnx_arena *arena, const char *text, size_t length);
void clipc_onnx_arena_free(clipc_onnx_arena *arena);

#endif
