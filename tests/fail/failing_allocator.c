#include "fail/failing_allocator.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* The names that the linker's --wrap gives: calls to f become __wrap_f, and __real_f is the real one. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
void __real_free(void *block);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
void __wrap_free(void *block);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);

static atomic_size_t calls;
static atomic_size_t failing;
static atomic_bool failing_rest;
static atomic_ptrdiff_t blocks;

void failing_allocator_arm(size_t n, bool rest)
{
    atomic_store(&failing, n);
    atomic_store(&failing_rest, rest);
    atomic_store(&calls, 0);
}

size_t failing_allocator_calls(void)
{
    return atomic_load(&calls);
}

ptrdiff_t failing_allocator_blocks(void)
{
    return atomic_load(&blocks);
}

static bool fails(void)
{
    const size_t call = atomic_fetch_add(&calls, 1) + 1;
    const size_t n = atomic_load(&failing);
    return n != 0 && (call == n || (atomic_load(&failing_rest) && call > n));
}

static void *counted(void *block)
{
    if (block)
        atomic_fetch_add(&blocks, 1);
    return block;
}

static void *out_of_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? out_of_memory() : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? out_of_memory() : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
    if (fails())
        return out_of_memory();
    return block ? __real_realloc(block, size) : counted(__real_realloc(block, size));
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    if (fails())
        return ENOMEM;
    const int failure = __real_posix_memalign(out, alignment, size);
    if (failure == 0)
        counted(*out);
    return failure;
}

void __wrap_free(void *block)
{
    if (block)
        atomic_fetch_sub(&blocks, 1);
    __real_free(block);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    return fails() ? EAGAIN : __real_pthread_create(thread, attributes, start, argument);
}
