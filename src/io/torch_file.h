/* Files of torch.save and torch.jit.save (.pt, .bin): the tensors of a state dict or of a TorchScript module, as
 * views.
 *
 * Read are zip archives (PyTorch 1.6 and later, TorchScript) and the older form, in which pickles and storages follow
 * one another. A tensor that is not dense in row-major order is copied into one that is; nothing else is. */
#ifndef CLIPC_IO_TORCH_FILE_H
#define CLIPC_IO_TORCH_FILE_H

#include "base/error.h"
#include "io/tensor_table.h"

#include <stdbool.h>

typedef struct clipc_torch_file clipc_torch_file;

/* Whether a file that begins so is of one of the two forms. */
bool clipc_torch_file_matches(const void *bytes, size_t size);
/* Reads `size` bytes at `bytes`, which must outlive the result; `name` is what messages call the file. The names are
 * those of the state dict: a TorchScript module's attributes joined with dots; of a training checkpoint, what is under
 * "state_dict"; without the "module." that data-parallel training puts before them. Every tensor lies within its
 * storage, and every storage within the file. */
clipc_status clipc_torch_file_open(const void *bytes, size_t size, const char *name, clipc_torch_file **out,
                                   clipc_error *error);
void clipc_torch_file_close(clipc_torch_file **file);
/* Owned by the file. */
const clipc_tensor_table *clipc_torch_file_table(const clipc_torch_file *file);
/* Whether it is a TorchScript module, not a state dict. */
bool clipc_torch_file_is_script(const clipc_torch_file *file);

#endif
