#include "progress.h"

#include "inputs.h"
#include "message.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define FIRST_SECONDS 1.0
#define EVERY_SECONDS 0.1
#define BAR_COLUMNS   24

static struct {
    const char *unit;
    const string_list *operands;
    atomic_size_t total;
    bool enabled;
    bool counting;
    atomic_bool shown;
    double start;
    double last;
} progress;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void progress_start(const char *unit, const string_list *operands, size_t total, bool results_shown)
{
    progress.unit = unit;
    progress.operands = operands;
    atomic_store(&progress.total, total);
    progress.start = now();
    progress.enabled =
        message_get_level() != MESSAGE_QUIET && isatty(STDERR_FILENO) && !(results_shown && isatty(STDOUT_FILENO));
}

double progress_seconds(void)
{
    return now() - progress.start;
}

static void *count_operands(void *unused)
{
    (void)unused;
    atomic_store(&progress.total, inputs_count(progress.operands));
    return NULL;
}

/* Nobody waits for the count: it is a comfort. */
static void start_counting(void)
{
    progress.counting = true;
    pthread_t thread;
    if (progress.operands && pthread_create(&thread, NULL, count_operands, NULL) == 0)
        pthread_detach(thread);
}

static void format_seconds(double seconds, char text[32])
{
    const unsigned long whole = (unsigned long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, 32, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, 32, "%lu:%02lu", whole / 60, whole % 60);
}

static void draw(size_t done, double elapsed)
{
    const size_t total = atomic_load(&progress.total);
    const double rate = (double)done / elapsed;
    char line[256];
    if (total >= done && total > 0 && done > 0) {
        char bar[BAR_COLUMNS + 1];
        for (size_t i = 0; i < BAR_COLUMNS; i++)
            bar[i] = i < BAR_COLUMNS * done / total ? '#' : '-';
        bar[BAR_COLUMNS] = '\0';
        char left[32];
        format_seconds((double)(total - done) / rate, left);
        snprintf(line, sizeof line, "[%s] %zu/%zu %s  %.1f/s  %s left", bar, done, total, progress.unit, rate, left);
    } else {
        snprintf(line, sizeof line, "%zu %s  %.1f/s", done, progress.unit, rate);
    }
    atomic_store(&progress.shown, true);
    fprintf(stderr, "\r\033[K%s", line);
}

void progress_update(size_t done)
{
    if (!progress.enabled)
        return;
    const double time = now();
    if (time - progress.start < FIRST_SECONDS || time - progress.last < EVERY_SECONDS)
        return;
    progress.last = time;
    if (!progress.counting)
        start_counting();
    draw(done, time - progress.start);
}

void progress_hide(void)
{
    if (atomic_exchange(&progress.shown, false))
        fputs("\r\033[K", stderr);
}

void progress_finish(void)
{
    progress_hide();
    progress.enabled = false;
}

void progress_abandon(void)
{
    if (atomic_exchange(&progress.shown, false)) {
        const ssize_t written = write(STDERR_FILENO, "\n", 1);
        (void)written;
    }
}
