/* Clocks and power, read every fifth of a second beside a loop that is timed. */
#ifndef CLIPC_TOOLS_MACHINE_STATE_H
#define CLIPC_TOOLS_MACHINE_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Of the readings of one quantity; without any, all is unknown. */
typedef struct reading_summary {
    size_t count;
    double minimum;
    double mean;
    double maximum;
} reading_summary;

typedef struct machine_summary {
    reading_summary processor_clock; /* MHz */
    const char *processor_source;    /* where that comes from; NULL when unknown */
    double processor_power;          /* watts, of all packages; 0: unknown */
    bool has_gpu;
    double waited_share; /* of the time of the threads that compute, spent waiting for a core; negative: unknown */
    reading_summary gpu_clock;
    reading_summary gpu_memory_clock;
    reading_summary gpu_power;
    reading_summary gpu_temperature;
    char gpu_slowed[96]; /* why the GPU's clock was lower than it could be at any reading; "" when not or unknown */
} machine_summary;

typedef struct machine_state machine_state;

/* Starts to read, in a thread of its own. `bus` is the GPU's place, "" without one. */
machine_state *machine_state_start(const char *bus);
/* Ends it after `seconds` of `threads` threads. */
void machine_state_stop(machine_state **state, double seconds, size_t threads, machine_summary *summary);

json_t *machine_summary_to_json(const machine_summary *summary);
/* For people: a line of the processor, and one of the GPU. */
void machine_summary_print(const machine_summary *summary);

#endif
