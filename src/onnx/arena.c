#include "onnx/arena.h"

#include "base/checked.h"
#include "base/memory.h"

#include <string.h>

#define BLOCK_BYTES ((size_t)1 << 16)

struct clipc_onnx_arena_block {
    struct clipc_onnx_arena_block *next;
    size_t used;
    size_t size;
    _Alignas(16) unsigned char bytes[];
};

static void *fail_limit(clipc_onnx_arena *arena)
{
    arena->status = clipc_fail(arena->error, CLIPC_ERROR_LIMIT, "%s: %s would take more than %zu MiB", arena->name,
                               arena->what, arena->limit >> 20);
    return NULL;
}

void *clipc_onnx_arena_cut(clipc_onnx_arena *arena, size_t count, size_t size)
{
    size_t bytes = 0;
    struct clipc_onnx_arena_block *block = arena->blocks;
    if (arena->status != CLIPC_OK)
        return NULL;
    if (!clipc_multiply(count, size, &bytes) || bytes > arena->limit - arena->used)
        return fail_limit(arena);
    bytes = clipc_round_up(bytes ? bytes : 1, 16);
    if (!block || block->size - block->used < bytes) {
        const size_t room = clipc_max(bytes, BLOCK_BYTES);
        if (room + sizeof *block > arena->limit - arena->used)
            return fail_limit(arena);
        block = clipc_allocate(1, sizeof *block + room);
        if (!block) {
            arena->status = clipc_fail_memory(arena->error, room, arena->what);
            return NULL;
        }
        *block = (struct clipc_onnx_arena_block){.next = arena->blocks, .size = room};
        arena->blocks = block;
        arena->used += room + sizeof *block;
    }
    block->used += bytes;
    return block->bytes + block->used - bytes;
}

char *clipc_onnx_arena_text(clipc_onnx_arena *arena, const char *text, size_t length)
{
    char *copy = clipc_onnx_arena_cut(arena, length + 1, 1);
    if (copy && length)
        memcpy(copy, text, length);
    return copy;
}

void clipc_onnx_arena_free(clipc_onnx_arena *arena)
{
    while (arena->blocks) {
        struct clipc_onnx_arena_block *next = arena->blocks->next;
        clipc_free(arena->blocks);
        arena->blocks = next;
    }
    arena->used = 0;
}
