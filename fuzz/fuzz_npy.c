/* Any bytes as a .npy file: an accepted array lies within them. */
#include "io/npy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    clipc_npy_layout layout;
    clipc_error error;
    if (clipc_npy_parse(bytes, size, "fuzz", &layout, &error) != CLIPC_OK)
        return 0;
    if (layout.data_begin > size)
        abort();
    size_t needed = clipc_dtype_size(layout.dtype);
    for (size_t i = 0; i < layout.rank; i++)
        needed *= layout.shape[i];
    if (needed != size - layout.data_begin)
        abort();
    return 0;
}
