#define _GNU_SOURCE /* sched_setaffinity */

#include "base/thread_pool.h"

/* What cmocka.h needs before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST 1000

struct tally {
    unsigned char visits[MOST];
    size_t grain;
    size_t threads;
    int straddled; /* written only when something is wrong */
};

static void visit(void *context, size_t begin, size_t end, size_t thread)
{
    struct tally *tally = context;
    if (begin / tally->grain != (end - 1) / tally->grain || thread >= tally->threads)
        tally->straddled = 1;
    for (size_t i = begin; i < end; i++)
        tally->visits[i]++;
}

static void every_index_is_visited_once(void **state)
{
    (void)state;
    const size_t counts[] = {0, 1, 2, 7, 64, MOST};
    const size_t grains[] = {1, 3, 64, 5000};
    for (size_t threads = 1; threads <= 9; threads += 2) {
        clipc_thread_pool *pool = NULL;
        assert_int_equal(clipc_thread_pool_create(threads, &pool, NULL), CLIPC_OK);
        assert_int_equal(clipc_thread_pool_threads(pool), threads);
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            for (size_t g = 0; g < sizeof grains / sizeof grains[0]; g++) {
                struct tally tally = {.grain = grains[g], .threads = threads};
                clipc_thread_pool_run(pool, visit, &tally, counts[c], grains[g]);
                assert_false(tally.straddled);
                for (size_t i = 0; i < MOST; i++)
                    assert_int_equal(tally.visits[i], i < counts[c]);
            }
        }
        clipc_thread_pool_destroy(&pool);
        assert_null(pool);
    }
}

/* Jobs that follow one another at once, and now and then after the workers have gone to sleep. */
static void many_jobs_in_a_row(void **state)
{
    (void)state;
    clipc_thread_pool *pool = NULL;
    assert_int_equal(clipc_thread_pool_create(4, &pool, NULL), CLIPC_OK);
    for (int job = 0; job < 3000; job++) {
        struct tally tally = {.grain = 1, .threads = 4};
        const size_t count = (size_t)job % 17 + 1;
        clipc_thread_pool_run(pool, visit, &tally, count, 1);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(tally.visits[i], 1);
        if (job % 100 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    clipc_thread_pool_destroy(&pool);
}

static void idle_threads_sleep(void **state)
{
    (void)state;
    clipc_thread_pool *pool = NULL;
    assert_int_equal(clipc_thread_pool_create(8, &pool, NULL), CLIPC_OK);
    struct tally tally = {.grain = 1, .threads = 8};
    clipc_thread_pool_run(pool, visit, &tally, 100, 1);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    struct timespec before;
    struct timespec after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    const double busy = (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    assert_true(busy < 0.02);
    clipc_thread_pool_destroy(&pool);
}

static void count_threads_with_signals_open(void *context, size_t begin, size_t end, size_t thread)
{
    (void)begin;
    (void)end;
    int *unblocked = context;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (thread > 0 && !sigismember(&mask, SIGINT))
        __atomic_store_n(unblocked, 1, __ATOMIC_RELAXED);
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* let the others have a share */
}

static void workers_leave_signals_alone(void **state)
{
    (void)state;
    clipc_thread_pool *pool = NULL;
    assert_int_equal(clipc_thread_pool_create(4, &pool, NULL), CLIPC_OK);
    int unblocked = 0;
    clipc_thread_pool_run(pool, count_threads_with_signals_open, &unblocked, 40, 1);
    assert_int_equal(unblocked, 0);
    clipc_thread_pool_destroy(&pool);
}

static void count_respects_affinity(void **state)
{
    (void)state;
    assert_true(clipc_thread_count_default() >= 1);
    cpu_set_t before;
    cpu_set_t one;
    if (sched_getaffinity(0, sizeof before, &before) != 0)
        skip();
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(clipc_thread_count_default(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void bad_numbers_are_refused(void **state)
{
    (void)state;
    clipc_thread_pool *pool = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_thread_pool_create((size_t)-1, &pool, &error), CLIPC_ERROR_ARGUMENT);
    assert_null(pool);
    clipc_thread_pool_destroy(&pool);
    clipc_thread_pool_destroy(NULL);
    assert_int_equal(clipc_thread_pool_create(0, &pool, &error), CLIPC_OK);
    assert_int_equal(clipc_thread_pool_threads(pool), clipc_thread_count_default());
    clipc_thread_pool_destroy(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_is_visited_once), cmocka_unit_test(many_jobs_in_a_row),
        cmocka_unit_test(idle_threads_sleep),          cmocka_unit_test(workers_leave_signals_alone),
        cmocka_unit_test(count_respects_affinity),     cmocka_unit_test(bad_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
