/* The safetensors format: 8 bytes of little-endian header length, a JSON table, data. Nothing is copied. */
#ifndef CLIPC_IO_SAFETENSORS_H
#define CLIPC_IO_SAFETENSORS_H

#include "base/error.h"
#include "io/tensor_table.h"

typedef struct clipc_safetensors clipc_safetensors;

/* Reads the table of `size` bytes at `bytes`, which must outlive the result; `name` is what messages call the file.
 * Checks the header's length, every offset, dtype × shape against the offsets, overlap, and duplicate names. */
clipc_status clipc_safetensors_open(const void *bytes, size_t size, const char *name, clipc_safetensors **out,
                                    clipc_error *error);
void clipc_safetensors_close(clipc_safetensors **file);
size_t clipc_safetensors_count(const clipc_safetensors *file);
const clipc_tensor *clipc_safetensors_at(const clipc_safetensors *file, size_t index);
/* Owned by the file. */
const clipc_tensor_table *clipc_safetensors_table(const clipc_safetensors *file);
/* NULL when there is none of that name. */
const clipc_tensor *clipc_safetensors_find(const clipc_safetensors *file, const char *name);

#endif
