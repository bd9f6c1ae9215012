/* What the processor says about itself while it works: clocks, energy, and time that threads waited for a core. */
#ifndef CLIPC_TOOLS_PROCESSOR_STATE_H
#define CLIPC_TOOLS_PROCESSOR_STATE_H

#include <stdbool.h>

/* Every function takes the folder in whose place of / it looks: "" outside tests. */

/* The mean clock now of the cores that the process may use, in MHz; 0 when unknown. By cpufreq, where there is that,
 * else by /proc/cpuinfo, which in a virtual machine often tells the nominal clock for ever; *source names which. */
double processor_clock(const char *root, const char **source);

/* The energy that the processor packages have used since some time ago, in joules, by Intel's RAPL counters (which
 * Linux lets root alone read); negative when unknown. */
double processor_energy(const char *root);
/* What it grew by between two such readings, of which neither is negative: the counters start over at the end. */
double processor_energy_between(const char *root, double before, double after);

/* Seconds that the process's threads, those that live now, have waited until a core was free for them, by
 * /proc/self/task/…/schedstat; negative when unknown. */
double processor_waited(const char *root);

#endif
