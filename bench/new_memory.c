/* How long the machine takes to hand out new memory, which packed weights are written to.
 *
 *     new_memory MIB
 *
 * Takes a block of MIB mebibytes as an engine does, touches a byte of every 4 KiB on all threads, and prints one JSON
 * object: milliseconds, those of the processor inside the kernel, and page faults. A virtual machine that hands pages
 * which lie idle back to its host (free page reporting) has them faulted in anew by the host, so that the same block
 * takes ten times as long after some seconds of rest. */
#include "base/memory.h"
#include "base/thread_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define PAGE ((size_t)4096)

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Each index is a huge page, so that no two threads touch the same. */
static void touch(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    volatile unsigned char *block = context;
    for (size_t at = begin << 21; at < end << 21; at += PAGE)
        block[at] = 1;
}

int main(int argc, char **argv)
{
    clipc_error error = {0};
    clipc_thread_pool *pool = NULL;
    const size_t pieces = argc == 2 ? strtoul(argv[1], NULL, 10) / 2 : 0;
    if (pieces == 0 || pieces > (size_t)1 << 20) {
        fprintf(stderr, "usage: new_memory MIB\n");
        return 2;
    }
    if (clipc_thread_pool_create(0, &pool, &error) != CLIPC_OK) {
        fprintf(stderr, "new_memory: %s\n", error.message);
        return 1;
    }
    const double begin = now_ms();
    unsigned char *block = clipc_allocate_aligned(pieces, (size_t)2 << 20);
    if (block)
        clipc_thread_pool_run(pool, touch, block, pieces, 1);
    const double end = now_ms();
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"touched_ms\": %.2f, \"system_ms\": %.1f, \"faults\": %ld}\n", end - begin,
           (double)usage.ru_stime.tv_sec * 1e3 + (double)usage.ru_stime.tv_usec / 1e3,
           usage.ru_minflt + usage.ru_majflt);
    clipc_free_aligned(block);
    clipc_thread_pool_destroy(&pool);
    return block ? 0 : 1;
}
