#include "machine_state.h"

#include "gpu_state.h"
#include "json_line.h"
#include "message.h"
#include "output.h"
#include "processor_state.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define EVERY_NANOSECONDS 200000000L
#define BILLION           1000000000L

struct machine_state {
    pthread_t thread;
    pthread_mutex_t lock; /* guards `ended` */
    pthread_cond_t end;
    bool ended;
    gpu_state *gpu; /* NULL: none to be read */
    double energy;  /* at the start; negative: unknown */
    double waited;
    machine_summary summary;
};

static void add(reading_summary *summary, double value)
{
    if (value <= 0)
        return;
    if (!summary->count || value < summary->minimum)
        summary->minimum = value;
    if (value > summary->maximum)
        summary->maximum = value;
    summary->mean += (value - summary->mean) / (double)++summary->count;
}

static void read_all(machine_state *state)
{
    machine_summary *summary = &state->summary;
    add(&summary->processor_clock, processor_clock("", &summary->processor_source));
    if (!state->gpu)
        return;
    gpu_reading reading;
    gpu_state_read(state->gpu, &reading);
    add(&summary->gpu_clock, reading.clock);
    add(&summary->gpu_memory_clock, reading.memory_clock);
    add(&summary->gpu_power, reading.power);
    add(&summary->gpu_temperature, reading.temperature);
    if (reading.slowed[0])
        snprintf(summary->gpu_slowed, sizeof summary->gpu_slowed, "%s", reading.slowed);
}

static struct timespec next_time(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_nsec += EVERY_NANOSECONDS;
    time.tv_sec += time.tv_nsec / BILLION;
    time.tv_nsec %= BILLION;
    return time;
}

/* However short the loop is, it is read once. */
static void *watch(void *context)
{
    machine_state *state = context;
    bool ended = false;
    while (!ended) {
        const struct timespec time = next_time();
        read_all(state);
        pthread_mutex_lock(&state->lock);
        while (!state->ended && pthread_cond_timedwait(&state->end, &state->lock, &time) == 0) {
        }
        ended = state->ended;
        pthread_mutex_unlock(&state->lock);
    }
    return NULL;
}

machine_state *machine_state_start(const char *bus)
{
    machine_state *state = allocate(1, sizeof *state);
    pthread_condattr_t attributes;
    state->gpu = gpu_state_open(bus);
    state->summary.has_gpu = *bus != '\0';
    state->energy = processor_energy("");
    state->waited = processor_waited("");
    pthread_mutex_init(&state->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&state->end, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&state->thread, NULL, watch, state) != 0)
        quit(STATUS_SYSTEM, "bench: cannot start a thread to read clocks");
    return state;
}

void machine_state_stop(machine_state **stopped, double seconds, size_t threads, machine_summary *summary)
{
    machine_state *state = *stopped;
    pthread_mutex_lock(&state->lock);
    state->ended = true;
    pthread_cond_signal(&state->end);
    pthread_mutex_unlock(&state->lock);
    pthread_join(state->thread, NULL);
    const double energy = processor_energy("");
    const double waited = processor_waited("");
    *summary = state->summary;
    if (!summary->processor_clock.count)
        summary->processor_source = NULL;
    if (state->energy >= 0 && energy >= 0 && seconds > 0)
        summary->processor_power = processor_energy_between("", state->energy, energy) / seconds;
    summary->waited_share = -1;
    if (state->waited >= 0 && waited >= state->waited && seconds > 0 && threads)
        summary->waited_share = fmin((waited - state->waited) / (seconds * (double)threads), 1); /* others wait, too */
    gpu_state_close(&state->gpu);
    pthread_cond_destroy(&state->end);
    pthread_mutex_destroy(&state->lock);
    free(state);
    *stopped = NULL;
}

/* ---- for scripts ---- */

static json_t *reading_to_json(const reading_summary *reading)
{
    if (!reading->count)
        return json_null();
    json_t *object = json_object();
    json_put(object, "min", json_real(reading->minimum));
    json_put(object, "mean", json_real(reading->mean));
    json_put(object, "max", json_real(reading->maximum));
    return object;
}

json_t *machine_summary_to_json(const machine_summary *summary)
{
    json_t *object = json_object();
    json_put(object, "cpu_mhz", reading_to_json(&summary->processor_clock));
    json_put(object, "cpu_mhz_source",
             summary->processor_source ? json_string(summary->processor_source) : json_null());
    json_put(object, "cpu_watts", summary->processor_power > 0 ? json_real(summary->processor_power) : json_null());
    json_put(object, "waited_share", summary->waited_share >= 0 ? json_real(summary->waited_share) : json_null());
    json_put(object, "gpu_mhz", reading_to_json(&summary->gpu_clock));
    json_put(object, "gpu_memory_mhz", reading_to_json(&summary->gpu_memory_clock));
    json_put(object, "gpu_watts", reading_to_json(&summary->gpu_power));
    json_put(object, "gpu_celsius", reading_to_json(&summary->gpu_temperature));
    json_put(object, "gpu_slowed", summary->gpu_slowed[0] ? json_string(summary->gpu_slowed) : json_null());
    return object;
}

/* ---- for people ---- */

static void print_reading(const char *name, const reading_summary *reading, const char *unit)
{
    print_format("%s ", name);
    if (!reading->count)
        print_text("unknown");
    else if (reading->maximum - reading->minimum < 0.5)
        print_format("%.0f %s", reading->mean, unit);
    else
        print_format("%.0f %s (%.0f to %.0f)", reading->mean, unit, reading->minimum, reading->maximum);
}

void machine_summary_print(const machine_summary *summary)
{
    print_reading("machine      CPU clock", &summary->processor_clock, "MHz");
    if (summary->processor_source)
        print_format(" by %s", summary->processor_source);
    if (summary->processor_power > 0)
        print_format(", CPU power %.1f W", summary->processor_power);
    else
        print_text(", CPU power unknown");
    if (summary->waited_share >= 0)
        print_format(", threads waited for a core %.1f %% of the time", 100 * summary->waited_share);
    print_text("\n");
    if (!summary->has_gpu)
        return;
    print_reading("             GPU clock", &summary->gpu_clock, "MHz");
    print_reading(", memory", &summary->gpu_memory_clock, "MHz");
    print_reading(", power", &summary->gpu_power, "W");
    print_reading(", temperature", &summary->gpu_temperature, "°C");
    print_format("%s%s\n", summary->gpu_slowed[0] ? ", held back by " : "", summary->gpu_slowed);
}
