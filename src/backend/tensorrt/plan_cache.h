/* Files that save building a TensorRT engine again: plans, by what they were made of, and timings of kernels. */
#ifndef CLIPC_BACKEND_TENSORRT_PLAN_CACHE_H
#define CLIPC_BACKEND_TENSORRT_PLAN_CACHE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* "FOLDER/clipc-<two checksums of graph and settings>.plan"; false when it is too long. `settings` says in words all
 * that a plan depends on beside the graph. */
bool clipc_plan_cache_path(const char *folder, const void *graph, size_t bytes, const char *settings, char path[4096]);
/* The whole file, to be freed with clipc_free; NULL and 0 when it is not there or cannot be read. */
void *clipc_plan_cache_read(const char *path, size_t *bytes);
/* Under a temporary name first, so that no half of a plan is ever read. */
clipc_status clipc_plan_cache_write(const char *path, const void *data, size_t bytes, clipc_error *error);

#endif
