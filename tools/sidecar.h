/* OUT.npy.json: which input each row of OUT.npy came from, and what was left out. Written as the rows come. */
#ifndef CLIPC_TOOLS_SIDECAR_H
#define CLIPC_TOOLS_SIDECAR_H

#include "clipc/clipc.h"

typedef struct sidecar_file sidecar_file;

/* For the array at `array_path`. Quits when it cannot be written. */
sidecar_file *sidecar_open(const char *array_path);
void sidecar_start(sidecar_file *sidecar, const clipc_model_info *model, const clipc_engine_info *engine);
/* The next row's input. */
void sidecar_row(sidecar_file *sidecar, const char *input, size_t length);
void sidecar_skip(sidecar_file *sidecar, const char *input, size_t length, const char *reason);
void sidecar_close(sidecar_file *sidecar);
/* Gives it its name, and frees. */
void sidecar_publish(sidecar_file **sidecar);

#endif
