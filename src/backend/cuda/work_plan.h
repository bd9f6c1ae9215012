/* How a call's items are dealt to devices and streams: plain host code, tested with no GPU. */
#ifndef CLIPC_BACKEND_CUDA_WORK_PLAN_H
#define CLIPC_BACKEND_CUDA_WORK_PLAN_H

#include "base/error.h"

#define CLIPC_CUDA_DEVICES 64 /* the most that one engine uses */

/* "all", or numbers separated by commas, each below `present` and named once; NULL is "0". */
clipc_status clipc_cuda_devices_parse(const char *list, size_t present, int devices[CLIPC_CUDA_DEVICES], size_t *count,
                                      clipc_error *error);

/* Items of one pass of a call of `count` items over so many devices with so many streams each, when a pass takes at
 * most `most`. A call is cut only where the parts still fill a device: each device gets a share, and each share is cut
 * so that one part travels while another is computed. */
size_t clipc_cuda_pass_items(size_t count, size_t devices, size_t streams, size_t most);

/* Bytes that travel at once of an upload of so many by way of pinned areas of `area` bytes: few enough that the first
 * part, while which nothing travels, is short, enough that each is worth its start. */
size_t clipc_cuda_upload_part(size_t bytes, size_t area);

#endif
