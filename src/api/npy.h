/* What an array of NumPy's is made of: a file of its own, or an entry of an archive. */
#ifndef CLIPC_API_NPY_H
#define CLIPC_API_NPY_H

#include "base/mapped_file.h"
#include "io/npy.h"

struct clipc_npy {
    clipc_mapped_file file; /* zeroed in an archive */
    void *copy;             /* of an array that does not lie aligned in an archive; else NULL */
    const void *data;
    clipc_npy_layout layout;
};

#endif
