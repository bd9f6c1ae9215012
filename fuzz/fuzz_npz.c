/* Any bytes as an archive of arrays: every accepted array lies within memory and has its elements. Checksums of inputs
 * of even size are repaired, as they would keep everything behind them from being reached. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "clipc/clipc.h"
#include "io/zip_archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static size_t element_size(const char *type)
{
    return strcmp(type, "float16") == 0 ? 2 : strcmp(type, "int64") == 0 ? 8 : 4;
}

/* A record of the directory states the checksum at 16 and its name from 46 on. */
static void repair(uint8_t *bytes, size_t size)
{
    clipc_zip_archive *archive = NULL;
    if (clipc_zip_open(bytes, size, "npz", &archive, NULL) != CLIPC_OK)
        return;
    for (size_t i = 0; i < clipc_zip_count(archive); i++) {
        const clipc_zip_entry *entry = clipc_zip_at(archive, i);
        const uint32_t checksum = (uint32_t)crc32_z(0, entry->bytes, entry->size);
        uint8_t *at = bytes + (entry->name - (const char *)bytes) - 46 + 16;
        for (size_t j = 0; j < 4; j++)
            at[j] = (uint8_t)(checksum >> 8 * j);
    }
    clipc_zip_close(&archive);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    char path[64];
    clipc_npz *npz = NULL;
    volatile uint8_t sum = 0;
    const int file = memfd_create("npz", 0);
    if (!copy)
        abort();
    memcpy(copy, bytes, size);
    if (size % 2 == 0)
        repair(copy, size);
    if (file < 0 || write(file, copy, size) != (ssize_t)size)
        abort();
    free(copy);
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
