/* The header of NumPy's .npy format (numpy/lib/format.py): magic, version, length, a Python literal of a dictionary.
 */
#ifndef CLIPC_IO_NPY_H
#define CLIPC_IO_NPY_H

#include "base/error.h"
#include "io/tensor.h"

typedef struct clipc_npy_layout {
    clipc_dtype dtype; /* F32, F16, I32 or I64 */
    const char *dtype_name;
    size_t rank;
    size_t shape[CLIPC_TENSOR_MAX_RANK];
    size_t data_begin; /* of the array, in bytes from the file's first; a multiple of the element's size */
} clipc_npy_layout;

/* Reads and checks the header of a whole file of `size` bytes; the array must fill the rest of it exactly. */
clipc_status clipc_npy_parse(const void *bytes, size_t size, const char *name, clipc_npy_layout *out,
                             clipc_error *error);

#endif
