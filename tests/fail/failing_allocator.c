#include "fail/failing_allocator.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* NAME(f) is what the program's calls to f reach, REAL(f) the function itself. Either the linker's --wrap redirects
 * the library's own calls, or malloc and its kin are defined here, for libc and the shared libraries too, over the
 * names that glibc keeps for that. */
#ifdef CLIPC_WRAPPED_ALLOCATOR
#define NAME(function) __wrap_##function
#define REAL(function) __real_##function
#else
#define NAME(function) function
#pragma GCC visibility push(default) /* else the shared libraries do not see them */
#define REAL(function) __libc_##function
void *__libc_memalign(size_t alignment, size_t size);
#endif
void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void *REAL(realloc)(void *block, size_t size);
void REAL(free)(void *block);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
void *NAME(malloc)(size_t size);
void *NAME(calloc)(size_t count, size_t size);
void *NAME(realloc)(void *block, size_t size);
int NAME(posix_memalign)(void **out, size_t alignment, size_t size);
void NAME(free)(void *block);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);

#ifndef CLIPC_WRAPPED_ALLOCATOR
#pragma GCC visibility pop
#endif

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

void *NAME(malloc)(size_t size)
{
    return fails() ? out_of_memory() : counted(REAL(malloc)(size));
}

void *NAME(calloc)(size_t count, size_t size)
{
    return fails() ? out_of_memory() : counted(REAL(calloc)(count, size));
}

void *NAME(realloc)(void *block, size_t size)
{
    if (fails())
        return out_of_memory();
    return block ? REAL(realloc)(block, size) : counted(REAL(realloc)(block, size));
}

int NAME(posix_memalign)(void **out, size_t alignment, size_t size)
{
    if (fails())
        return ENOMEM;
#ifdef CLIPC_WRAPPED_ALLOCATOR
    if (__real_posix_memalign(out, alignment, size) != 0)
        return ENOMEM;
#else
    *out = __libc_memalign(alignment, size);
#endif
    return counted(*out) ? 0 : ENOMEM;
}

void NAME(free)(void *block)
{
    if (block)
        atomic_fetch_sub(&blocks, 1);
    REAL(free)(block);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    return fails() ? EAGAIN : __real_pthread_create(thread, attributes, start, argument);
}
