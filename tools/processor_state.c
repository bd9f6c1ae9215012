#include "processor_state.h"

#include "message.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PACKAGES 64

/* False when there is no such file, or no number in it. */
static bool read_number(const char *root, const char *path, double *out)
{
    char *name = format_text("%s%s", root, path);
    FILE *file = fopen(name, "re");
    const bool found = file && fscanf(file, "%lf", out) == 1;
    if (file)
        fclose(file);
    free(name);
    return found;
}

/* ---- clocks ---- */

typedef struct clock_mean {
    double sum;
    int count;
} clock_mean;

static bool is_usable(int core, const cpu_set_t *usable)
{
    return core >= 0 && core < CPU_SETSIZE && CPU_ISSET((size_t)core, usable);
}

static clock_mean read_cpufreq(const char *root, const cpu_set_t *usable)
{
    clock_mean mean = {0};
    for (int core = 0; core < CPU_SETSIZE; core++) {
        double kilohertz = 0;
        char path[96];
        if (!is_usable(core, usable))
            continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", core);
        if (!read_number(root, path, &kilohertz))
            break;
        mean.sum += 1e-3 * kilohertz;
        mean.count++;
    }
    return mean;
}

static clock_mean read_cpuinfo(const char *root, const cpu_set_t *usable)
{
    clock_mean mean = {0};
    char *name = format_text("%s/proc/cpuinfo", root);
    FILE *file = fopen(name, "re");
    char line[512];
    int core = -1;
    while (file && fgets(line, sizeof line, file)) {
        double megahertz = 0;
        (void)sscanf(line, "processor : %d", &core);
        if (sscanf(line, "cpu MHz : %lf", &megahertz) == 1 && is_usable(core, usable)) {
            mean.sum += megahertz;
            mean.count++;
        }
    }
    if (file)
        fclose(file);
    free(name);
    return mean;
}

double processor_clock(const char *root, const char **source)
{
    cpu_set_t usable;
    CPU_ZERO(&usable);
    if (sched_getaffinity(0, sizeof usable, &usable) != 0)
        return 0;
    *source = "cpufreq";
    clock_mean mean = read_cpufreq(root, &usable);
    if (!mean.count) {
        *source = "/proc/cpuinfo";
        mean = read_cpuinfo(root, &usable);
    }
    return mean.count ? mean.sum / mean.count : 0;
}

/* ---- energy ---- */

/* The sum over packages of one of their files; negative when there is none to read. */
static double sum_packages(const char *root, const char *file)
{
    double sum = 0;
    int package = 0;
    for (; package < MOST_PACKAGES; package++) {
        double value = 0;
        char path[96];
        snprintf(path, sizeof path, "/sys/class/powercap/intel-rapl:%d/%s", package, file);
        if (!read_number(root, path, &value))
            break;
        sum += value;
    }
    return package ? 1e-6 * sum : -1;
}

double processor_energy(const char *root)
{
    return sum_packages(root, "energy_uj");
}

double processor_energy_between(const char *root, double before, double after)
{
    if (after >= before)
        return after - before;
    const double range = sum_packages(root, "max_energy_range_uj");
    return range > 0 ? after + range - before : 0;
}

/* ---- waiting ---- */

double processor_waited(const char *root)
{
    double nanoseconds = 0;
    size_t threads = 0;
    char *name = format_text("%s/proc/self/task", root);
    DIR *folder = opendir(name);
    for (const struct dirent *entry = NULL; folder && (entry = readdir(folder));) {
        unsigned long long running = 0;
        unsigned long long waiting = 0;
        if (entry->d_name[0] == '.')
            continue;
        char *path = format_text("%s/%s/schedstat", name, entry->d_name);
        FILE *file = fopen(path, "re");
        if (file && fscanf(file, "%llu %llu", &running, &waiting) == 2) {
            nanoseconds += (double)waiting;
            threads++;
        }
        if (file)
            fclose(file);
        free(path);
    }
    if (folder)
        closedir(folder);
    free(name);
    return threads ? 1e-9 * nanoseconds : -1;
}
