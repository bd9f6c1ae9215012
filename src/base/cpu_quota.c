#include "base/cpu_quota.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_LENGTH 4096

/* Reads the first line of root/controller/group/file; false when there is none. */
static bool read_line(const char *directory, const char *file, char *line, size_t capacity)
{
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s/%s", directory, file);
    if (length < 0 || (size_t)length >= sizeof path)
        return false;
    FILE *stream = fopen(path, "re");
    if (!stream)
        return false;
    const bool found = fgets(line, (int)capacity, stream) != NULL;
    fclose(stream);
    return found;
}

static size_t quota_in_cores(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    return (size_t)((quota - 1) / period + 1);
}

/* The quota that one group sets, or 0. */
static size_t group_quota(const char *directory)
{
    char line[LINE_LENGTH];
    if (read_line(directory, "cpu.max", line, sizeof line)) {
        long long quota = 0;
        long long period = 0;
        return sscanf(line, "%lld %lld", &quota, &period) == 2 ? quota_in_cores(quota, period) : 0;
    }
    char period_line[LINE_LENGTH];
    if (read_line(directory, "cpu.cfs_quota_us", line, sizeof line) &&
        read_line(directory, "cpu.cfs_period_us", period_line, sizeof period_line))
        return quota_in_cores(strtoll(line, NULL, 10), strtoll(period_line, NULL, 10));
    return 0;
}

/* The smallest quota on the way from root/mount/group up to root/mount, or 0. */
static size_t smallest_quota(const char *root, const char *mount, const char *group)
{
    char directory[PATH_MAX];
    const int length = snprintf(directory, sizeof directory, "%s%s%s%s", root, *mount ? "/" : "", mount, group);
    if (length < 0 || (size_t)length >= sizeof directory)
        return 0;
    const size_t top = strlen(root) + (*mount ? 1 + strlen(mount) : 0);
    size_t smallest = 0;
    for (;;) {
        const size_t quota = group_quota(directory);
        if (quota && (!smallest || quota < smallest))
            smallest = quota;
        char *slash = strrchr(directory + top, '/');
        if (!slash)
            return smallest;
        *slash = '\0';
    }
}

static bool lists_cpu(const char *controllers)
{
    for (const char *at = controllers; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == '\0' || at[3] == ','))
            return true;
    }
    return false;
}

size_t clipc_cpu_quota(const char *membership, const char *root)
{
    FILE *stream = fopen(membership, "re");
    if (!stream)
        return 0;
    size_t smallest = 0;
    char line[LINE_LENGTH];
    while (fgets(line, sizeof line, stream)) {
        /* hierarchy:controllers:/group, where version 2 has no controllers */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *controllers++ = '\0';
        *group++ = '\0';
        if (*controllers && !lists_cpu(controllers))
            continue;
        size_t quota = smallest_quota(root, controllers, group);
        if (!quota && *controllers)
            quota = smallest_quota(root, "cpu", group);
        if (quota && (!smallest || quota < smallest))
            smallest = quota;
    }
    fclose(stream);
    return smallest;
}
