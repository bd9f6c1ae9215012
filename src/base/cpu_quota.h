/* How much processor time the control group of this process may use. */
#ifndef CLIPC_BASE_CPU_QUOTA_H
#define CLIPC_BASE_CPU_QUOTA_H

#include <stddef.h>

/* The smallest CPU quota of the process's control groups and their parents, in whole cores rounded up; 0 when there is
 * none or it cannot be read. `membership` is the file that lists the groups (/proc/self/cgroup) and `root` where they
 * are mounted (/sys/fs/cgroup): version 2 keeps the quota in cpu.max, version 1 in cpu.cfs_quota_us and
 * cpu.cfs_period_us (Linux, Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst). */
size_t clipc_cpu_quota(const char *membership, const char *root);

#endif
