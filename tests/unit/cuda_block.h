/* What the tests of blocks for backend cuda share: models, and what is packed, in memory. */
#ifndef CLIPC_TESTS_CUDA_BLOCK_H
#define CLIPC_TESTS_CUDA_BLOCK_H

#include "backend/cuda/tower_file.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* NULL: the demo model. */
static inline clipc_model *open_model(const char *path)
{
    clipc_model *model = NULL;
    clipc_error error = {0};
    if (clipc_model_open(path, NULL, &model, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    return model;
}

typedef struct collected {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
} collected;

static inline clipc_status collect(void *context, const void *bytes, size_t size, clipc_error *error)
{
    collected *block = context;
    (void)error;
    assert_true(size <= block->capacity - block->size);
    memcpy(block->bytes + block->size, bytes, size);
    block->size += size;
    return CLIPC_OK;
}

/* Gives the tower's matrices their places in new memory for the block, which collect then fills. */
static inline collected place_tower(const clipc_model *model, bool image, clipc_cuda_tower *tower)
{
    clipc_cuda_tower_place(model, image, NULL, tower);
    collected block = {.bytes = clipc_allocate_aligned(1, tower->bytes), .capacity = tower->bytes};
    assert_non_null(block.bytes);
    clipc_cuda_tower_place(model, image, block.bytes, tower);
    return block;
}

#endif
