/* What NVIDIA's management library says about a GPU while it works. The library (libnvidia-ml.so.1, which comes with
 * the driver) is looked for at run time; where there is none, all is unknown. */
#ifndef CLIPC_TOOLS_GPU_STATE_H
#define CLIPC_TOOLS_GPU_STATE_H

typedef struct gpu_state gpu_state;

typedef struct gpu_reading {
    double clock;        /* of the multiprocessors, MHz; 0: unknown, as below */
    double memory_clock; /* MHz */
    double power;        /* watts, of the whole card */
    double temperature;  /* degrees Celsius */
    char slowed[96];     /* why the clock is lower than it could be, "power cap"; "" when it is not, or unknown */
} gpu_reading;

/* The GPU at that place of the PCI bus, "0000:4f:00.0"; NULL when the library or the GPU is not there. */
gpu_state *gpu_state_open(const char *bus);
void gpu_state_close(gpu_state **state);
void gpu_state_read(const gpu_state *state, gpu_reading *reading);

#endif
