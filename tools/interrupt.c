#include "interrupt.h"

#include "progress.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An array and a sidecar, a result sheet, or the files of a directory. */
#define TEMPORARY_LIMIT 16

static char temporaries[TEMPORARY_LIMIT][PATH_MAX];
static atomic_int temporary_used[TEMPORARY_LIMIT];
/* A deeper path has more that are made than are remembered: those stay. */
static char directories[TEMPORARY_LIMIT][PATH_MAX];
static atomic_size_t directory_count;

void temporaries_remove(void)
{
    for (size_t i = 0; i < TEMPORARY_LIMIT; i++)
        if (atomic_load(&temporary_used[i]))
            unlink(temporaries[i]);
    for (size_t i = atomic_load(&directory_count); i-- > 0;)
        rmdir(directories[i]); /* which leaves those that hold something */
}

int directory_create(const char *path)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const int result = mkdir(path, 0777);
    const int number = errno;
    const size_t slot = atomic_load(&directory_count);
    if (result == 0 && slot < TEMPORARY_LIMIT && strlen(path) < PATH_MAX) {
        memcpy(directories[slot], path, strlen(path) + 1);
        atomic_store(&directory_count, slot + 1);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = number;
    return result;
}

/* Ends the program here and not at the next safe place: it may be waiting for a pipe or deep inside a long encode.
 * Only async-signal-safe calls. */
static void on_signal(int number)
{
    temporaries_remove();
    progress_abandon();
    _exit(128 + number);
}

void interrupt_install(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigfillset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGQUIT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction before;
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) /* nohup stays in force */
        sigaction(SIGHUP, &action, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

/* Signals wait while a file exists that is not yet remembered. */
int temporary_create(char *path_template, size_t *slot)
{
    size_t free_slot = 0;
    while (free_slot < TEMPORARY_LIMIT && atomic_load(&temporary_used[free_slot]))
        free_slot++;
    if (free_slot == TEMPORARY_LIMIT || strlen(path_template) >= PATH_MAX) {
        errno = free_slot == TEMPORARY_LIMIT ? EMFILE : ENAMETOOLONG;
        return -1;
    }
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const int descriptor = mkostemp(path_template, 0);
    const int number = errno;
    if (descriptor >= 0) {
        memcpy(temporaries[free_slot], path_template, strlen(path_template) + 1);
        atomic_store(&temporary_used[free_slot], 1);
        *slot = free_slot;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = number;
    return descriptor;
}

bool temporary_is_ours(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < TEMPORARY_LIMIT; i++) {
        if (!atomic_load(&temporary_used[i]))
            continue;
        const char *own = strrchr(temporaries[i], '/');
        if (strcmp(name, own ? own + 1 : temporaries[i]) == 0)
            return true;
    }
    return false;
}

void temporary_forget(size_t slot)
{
    atomic_store(&temporary_used[slot], 0);
}
