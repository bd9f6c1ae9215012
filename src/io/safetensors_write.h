/* The beginning of a safetensors file. The tensors' bytes follow, in the order of the table, dense and with nothing
 * between them: whoever writes them needs no more of the file in memory than what it writes at a time. */
#ifndef CLIPC_IO_SAFETENSORS_WRITE_H
#define CLIPC_IO_SAFETENSORS_WRITE_H

#include "base/error.h"
#include "io/tensor.h"

/* Writes the table of `count` tensors, of which name, dtype (F32, F16 or BF16), shape and count are looked at. With
 * the metadata {"format": "pt"}, which readers of PyTorch models ask for. */
clipc_status clipc_safetensors_write_table(const clipc_tensor *tensors, size_t count, clipc_write_function write,
                                           void *user, clipc_error *error);

#endif
