#define _GNU_SOURCE /* sched_getaffinity */

#include "base/thread_pool.h"

#include "base/checked.h"
#include "base/cpu_quota.h"
#include "base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define MAX_THREADS ((size_t)4096)

/* How long an idle thread watches for the next job before it sleeps: tens of microseconds, longer than the serial
 * stretches between the steps of one encode and far shorter than a time slice. */
#define SPINS 2000

/* One job at a time. The caller fills the job, opens it and takes pieces like everybody else; a worker that notices an
 * open job enters it, takes pieces until none is left, and leaves. When no piece is left the caller closes the job and
 * waits only for the workers that are still inside: one that slept through the job is never waited for. A worker
 * counts itself inside before it looks whether the job is open, and the caller closes the job before it looks whether
 * anyone is inside; both orders are sequentially consistent, so the job's fields are never read while they change. */
struct clipc_thread_pool {
    size_t threads;
    size_t started; /* workers, at most threads - 1 */
    struct worker {
        struct clipc_thread_pool *pool;
        pthread_t handle;
        size_t thread;
    } * workers;

    clipc_task task;
    void *context;
    size_t count;
    size_t grain;
    _Alignas(64) atomic_size_t next; /* first index nobody has taken */
    _Alignas(64) atomic_uint generation;
    atomic_bool open;
    atomic_bool stopping;
    _Alignas(64) atomic_size_t inside;
    atomic_bool caller_waits;
    atomic_size_t sleepers;

    pthread_mutex_t mutex;
    pthread_cond_t work_arrived;
    pthread_cond_t all_left;
};

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_pieces(clipc_thread_pool *pool, size_t thread)
{
    for (;;) {
        const size_t begin = atomic_fetch_add(&pool->next, pool->grain);
        if (begin >= pool->count)
            return;
        pool->task(pool->context, begin, begin + clipc_min(pool->grain, pool->count - begin), thread);
    }
}

static void leave(clipc_thread_pool *pool)
{
    if (atomic_fetch_sub(&pool->inside, 1) == 1 && atomic_load(&pool->caller_waits)) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_signal(&pool->all_left);
        pthread_mutex_unlock(&pool->mutex);
    }
}

/* Returns once the generation is no longer `seen`: watches it for a while, then sleeps. */
static void await_generation(clipc_thread_pool *pool, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&pool->generation) != seen)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == seen)
        pthread_cond_wait(&pool->work_arrived, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void *work(void *argument)
{
    const struct worker *worker = argument;
    clipc_thread_pool *pool = worker->pool;
    unsigned seen = 0;
    for (;;) {
        await_generation(pool, seen);
        seen = atomic_load(&pool->generation);
        if (atomic_load(&pool->stopping))
            return NULL;
        atomic_fetch_add(&pool->inside, 1);
        if (atomic_load(&pool->open))
            take_pieces(pool, worker->thread);
        leave(pool);
    }
}

/* Moves to the next generation and wakes up to `count` sleepers. */
static void announce(clipc_thread_pool *pool, size_t count)
{
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    if (count >= pool->started)
        pthread_cond_broadcast(&pool->work_arrived);
    else
        for (size_t i = 0; i < count; i++)
            pthread_cond_signal(&pool->work_arrived);
    pthread_mutex_unlock(&pool->mutex);
}

static void await_workers(clipc_thread_pool *pool)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&pool->inside) == 0)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_waits, true);
    while (atomic_load(&pool->inside) != 0)
        pthread_cond_wait(&pool->all_left, &pool->mutex);
    atomic_store(&pool->caller_waits, false);
    pthread_mutex_unlock(&pool->mutex);
}

void clipc_thread_pool_run(clipc_thread_pool *pool, clipc_task task, void *context, size_t count, size_t grain)
{
    if (count == 0)
        return;
    pool->task = task;
    pool->context = context;
    pool->count = count;
    pool->grain = clipc_max(grain, 1);
    atomic_store(&pool->next, 0);
    const size_t pieces = (count - 1) / pool->grain + 1;
    if (pieces == 1 || pool->started == 0) {
        take_pieces(pool, 0);
        return;
    }
    atomic_store(&pool->open, true);
    announce(pool, pieces - 1);
    take_pieces(pool, 0);
    atomic_store(&pool->open, false);
    await_workers(pool);
}

/* Starts the workers with all signals blocked, so that the program's own threads get them. */
static clipc_status start_workers(clipc_thread_pool *pool, clipc_error *error)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = 0;
    while (pool->started < pool->threads - 1 && number == 0) {
        struct worker *worker = &pool->workers[pool->started];
        *worker = (struct worker){.pool = pool, .thread = pool->started + 1};
        number = pthread_create(&worker->handle, NULL, work, worker);
        pool->started += number == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    CLIPC_FAIL_IF(number != 0, error, CLIPC_ERROR_MEMORY, "cannot start thread %zu of %zu: %s", pool->started + 2,
                  pool->threads, strerror(number));
    return CLIPC_OK;
}

clipc_status clipc_thread_pool_create(size_t threads, clipc_thread_pool **out, clipc_error *error)
{
    *out = NULL;
    if (threads == 0)
        threads = clipc_min(clipc_thread_count_default(), MAX_THREADS);
    CLIPC_FAIL_IF(threads > MAX_THREADS, error, CLIPC_ERROR_ARGUMENT, "%zu threads, over the limit of %zu", threads,
                  MAX_THREADS);
    clipc_thread_pool *pool = clipc_allocate_aligned(1, sizeof *pool);
    struct worker *workers = clipc_allocate(threads, sizeof *workers);
    if (!pool || !workers) {
        clipc_free_aligned(pool);
        clipc_free(workers);
        return clipc_fail_memory(error, threads * sizeof *workers, "the thread pool");
    }
    memset(pool, 0, sizeof *pool);
    pool->threads = threads;
    pool->workers = workers;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work_arrived, NULL);
    pthread_cond_init(&pool->all_left, NULL);
    const clipc_status status = start_workers(pool, error);
    if (status != CLIPC_OK) {
        clipc_thread_pool_destroy(&pool);
        return status;
    }
    *out = pool;
    return CLIPC_OK;
}

void clipc_thread_pool_destroy(clipc_thread_pool **pool)
{
    if (!pool || !*pool)
        return;
    clipc_thread_pool *old = *pool;
    atomic_store(&old->stopping, true);
    announce(old, old->threads);
    for (size_t i = 0; i < old->started; i++)
        pthread_join(old->workers[i].handle, NULL);
    pthread_cond_destroy(&old->all_left);
    pthread_cond_destroy(&old->work_arrived);
    pthread_mutex_destroy(&old->mutex);
    clipc_free(old->workers);
    clipc_free_aligned(old);
    *pool = NULL;
}

size_t clipc_thread_pool_threads(const clipc_thread_pool *pool)
{
    return pool->threads;
}

/* Bits set in the affinity mask, whose size the kernel knows only by trial; 0 when it cannot be had. */
static size_t affinity_count(void)
{
    for (size_t cores = 1024; cores <= ((size_t)1 << 20); cores *= 2) {
        cpu_set_t *set = clipc_allocate(1, CPU_ALLOC_SIZE(cores));
        if (!set)
            return 0;
        const int result = sched_getaffinity(0, CPU_ALLOC_SIZE(cores), set);
        const int reason = errno;
        const int count = result == 0 ? CPU_COUNT_S(CPU_ALLOC_SIZE(cores), set) : 0;
        clipc_free(set);
        if (result == 0)
            return (size_t)count;
        if (reason != EINVAL)
            return 0;
    }
    return 0;
}

size_t clipc_thread_count_default(void)
{
    size_t count = affinity_count();
    const size_t quota = clipc_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota && (!count || quota < count))
        count = quota;
    return count ? count : 1;
}
