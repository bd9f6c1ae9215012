/* A fixed set of threads that run one job at a time and sleep when idle. */
#ifndef CLIPC_BASE_THREAD_POOL_H
#define CLIPC_BASE_THREAD_POOL_H

#include "base/error.h"

typedef struct clipc_thread_pool clipc_thread_pool;

/* Does the work of indices begin … end-1. `thread` is 0 … threads-1 and may select scratch memory. */
typedef void (*clipc_task)(void *context, size_t begin, size_t end, size_t thread);

/* `threads` counts the calling thread, so 1 starts none; 0 means clipc_thread_count_default(). */
clipc_status clipc_thread_pool_create(size_t threads, clipc_thread_pool **out, clipc_error *error);
void clipc_thread_pool_destroy(clipc_thread_pool **pool);
size_t clipc_thread_pool_threads(const clipc_thread_pool *pool);

/* Runs task over 0 … count-1, cut into pieces of `grain` indices (the last may be shorter; a call never straddles a
 * piece's border), and returns when all are done. One caller at a time; the caller works too. Never allocates. Which
 * thread does which piece is not fixed, so results must not depend on it. */
void clipc_thread_pool_run(clipc_thread_pool *pool, clipc_task task, void *context, size_t count, size_t grain);

#endif
