#include "gpu_state.h"

#include "message.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The few declarations of nvml.h that are used here; its numbers are a stable interface (NVIDIA's NVML API reference).
 */
typedef void *nvml_device;
enum {
    NVML_SUCCESS = 0,
    NVML_CLOCK_SM = 1,
    NVML_CLOCK_MEMORY = 2,
    NVML_TEMPERATURE_GPU = 0,
};

/* Bits of nvmlDeviceGetCurrentClocksThrottleReasons. */
static const struct {
    unsigned long long bit;
    const char *name;
} reasons[] = {
    {0x2, "clock set by the user"},      {0x4, "power cap"},
    {0x8, "hardware slowdown"},          {0x20, "thermal slowdown"},
    {0x40, "hardware thermal slowdown"}, {0x80, "hardware power brake"},
};

struct gpu_state {
    void *library;
    nvml_device device;
    int (*shutdown)(void);
    int (*get_clock)(nvml_device, int, unsigned *);
    int (*get_power)(nvml_device, unsigned *); /* milliwatts */
    int (*get_temperature)(nvml_device, int, unsigned *);
    int (*get_reasons)(nvml_device, unsigned long long *);
};

/* POSIX says that a function's address fits a pointer to data; C does not, so it is copied. */
static bool find(void *library, const char *name, void *function, size_t size)
{
    void *address = dlsym(library, name);
    memcpy(function, &address, size);
    return address != NULL;
}

gpu_state *gpu_state_open(const char *bus)
{
    int (*init)(void) = NULL;
    int (*get_handle)(const char *, nvml_device *) = NULL;
    void *library = *bus ? dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library)
        return NULL;
    gpu_state *state = allocate(1, sizeof *state);
    state->library = library;
    const bool complete =
        find(library, "nvmlInit_v2", &init, sizeof init) &&
        find(library, "nvmlDeviceGetHandleByPciBusId_v2", &get_handle, sizeof get_handle) &&
        find(library, "nvmlShutdown", &state->shutdown, sizeof state->shutdown) &&
        find(library, "nvmlDeviceGetClockInfo", &state->get_clock, sizeof state->get_clock) &&
        find(library, "nvmlDeviceGetPowerUsage", &state->get_power, sizeof state->get_power) &&
        find(library, "nvmlDeviceGetTemperature", &state->get_temperature, sizeof state->get_temperature) &&
        find(library, "nvmlDeviceGetCurrentClocksThrottleReasons", &state->get_reasons, sizeof state->get_reasons);
    if (complete && init() == NVML_SUCCESS) {
        if (get_handle(bus, &state->device) == NVML_SUCCESS)
            return state;
        state->shutdown();
    }
    dlclose(library);
    free(state);
    return NULL;
}

void gpu_state_close(gpu_state **state)
{
    if (!*state)
        return;
    (*state)->shutdown();
    dlclose((*state)->library);
    free(*state);
    *state = NULL;
}

void gpu_state_read(const gpu_state *state, gpu_reading *reading)
{
    unsigned value = 0;
    unsigned long long bits = 0;
    *reading = (gpu_reading){0};
    if (state->get_clock(state->device, NVML_CLOCK_SM, &value) == NVML_SUCCESS)
        reading->clock = value;
    if (state->get_clock(state->device, NVML_CLOCK_MEMORY, &value) == NVML_SUCCESS)
        reading->memory_clock = value;
    if (state->get_power(state->device, &value) == NVML_SUCCESS)
        reading->power = 1e-3 * value;
    if (state->get_temperature(state->device, NVML_TEMPERATURE_GPU, &value) == NVML_SUCCESS)
        reading->temperature = value;
    if (state->get_reasons(state->device, &bits) != NVML_SUCCESS)
        return;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        const size_t used = strlen(reading->slowed);
        if (bits & reasons[i].bit)
            snprintf(reading->slowed + used, sizeof reading->slowed - used, "%s%s", used ? ", " : "", reasons[i].name);
    }
}
