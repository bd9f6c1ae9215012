/* Any bytes as an archive of arrays: every accepted array lies within memory and has its elements. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "clipc/clipc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static size_t element_size(const char *type)
{
    return strcmp(type, "float16") == 0 ? 2 : strcmp(type, "int64") == 0 ? 8 : 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[64];
    clipc_npz *npz = NULL;
    volatile uint8_t sum = 0;
    const int file = memfd_create("npz", 0);
    if (file < 0 || write(file, bytes, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (clipc_npz_open(path, &npz, NULL) == CLIPC_OK)
        for (size_t i = 0; i < clipc_npz_count(npz); i++) {
            const clipc_npy *array = clipc_npz_array(npz, i);
            size_t length = element_size(clipc_npy_dtype(array));
            for (size_t j = 0; j < clipc_npy_rank(array); j++)
                length *= clipc_npy_shape(array)[j];
            const uint8_t *data = clipc_npy_data(array);
            for (size_t j = 0; j < length; j++)
                sum = (uint8_t)(sum + data[j]);
            if (!clipc_npz_name(npz, i)[0])
                abort();
        }
    clipc_npz_destroy(&npz);
    close(file);
    return 0;
}
