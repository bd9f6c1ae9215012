/* OUT.npy.json: which input each row of OUT.npy came from, and what was left out. Written as the rows come. */
#ifndef CLIPC_TOOLS_SIDECAR_H
#define CLIPC_TOOLS_SIDECAR_H

#include "json_line.h"
#include "npy_writer.h"
#include "options.h"

#include "clipc/clipc.h"

typedef struct sidecar_file sidecar_file;

/* For the array at `array_path`. Quits when it cannot be written. */
sidecar_file *sidecar_open(const char *array_path);
/* What every array's sidecar says: the program, the model and, unless NULL, how images were read. */
json_t *sidecar_head(const clipc_model_info *model, const tool_settings *images);
/* Takes over `head`. */
void sidecar_start(sidecar_file *sidecar, json_t *head);
/* The next row's input. `index` counts all inputs of the command from 0, those without a row, too. */
void sidecar_row(sidecar_file *sidecar, size_t index, const char *input, size_t length);
void sidecar_skip(sidecar_file *sidecar, size_t index, const char *input, size_t length, const char *reason);

/* Completes an array and its sidecar (which may be NULL), gives both their names, and frees. When every input failed,
 * a file that was there before stays: one mistyped path must not cost it. */
void outputs_finish(npy_writer **array, sidecar_file **sidecar, bool failed, const char *path);

#endif
