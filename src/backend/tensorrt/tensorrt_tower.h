/* One tower as a TensorRT engine: the part that TensorRT forces to be C++, behind a C interface. TensorRT's libraries
 * are looked for when they are first asked for, as the driver is. */
#ifndef CLIPC_BACKEND_TENSORRT_TOWER_H
#define CLIPC_BACKEND_TENSORRT_TOWER_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* CLIPC_OK when libnvinfer and libnvonnxparser of the headers' major version are there; writes "10.16.1". */
clipc_status clipc_tensorrt_probe(char version[32], clipc_error *error);

typedef struct clipc_tensorrt_settings {
    const void
        *graph; /* an ONNX graph with one input "input" and one output "output", whose first side is the batch */
    size_t graph_bytes;
    const char *name;        /* of the tower, in messages */
    size_t input_item_bytes; /* of one item on the device */
    size_t output_items;     /* floats of one item of the output */
    clipc_batches batches;   /* the profile */
    int optimization_level;  /* 0 … 5; negative: TensorRT's own default */
    size_t workspace_bytes;  /* 0: TensorRT's own default */
    const char *cache;       /* a folder for plans and timings, or NULL: neither is kept */
    clipc_log_function log;  /* may be NULL */
    void *log_user;
} clipc_tensorrt_settings;

typedef struct clipc_tensorrt_tower clipc_tensorrt_tower;

/* Takes the plan from the cache if there is one of this graph, these settings, this device and this TensorRT, else
 * builds it, which takes minutes, and puts it there. */
clipc_status clipc_tensorrt_tower_create(const clipc_tensorrt_settings *settings, clipc_tensorrt_tower **out,
                                         clipc_error *error);
void clipc_tensorrt_tower_destroy(clipc_tensorrt_tower **tower);
/* Bytes of the plan and of what the device holds beside it. */
void clipc_tensorrt_tower_sizes(const clipc_tensorrt_tower *tower, size_t *plan, size_t *workspace);
/* Host memory to host memory: `count` items of input → [count, output_items], in as many runs as it takes. One caller
 * at a time. */
clipc_status clipc_tensorrt_tower_run(clipc_tensorrt_tower *tower, const void *input, size_t count, float *output,
                                      clipc_error *error);

#endif
