#include "backend/tensorrt/plan_cache.h"

#include "base/mapped_file.h"
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* FNV-1a of 64 bits (Fowler, Noll and Vo). */
static uint64_t fnv(uint64_t hash, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ at[i]) * 0x100000001B3U;
    return hash;
}

bool clipc_plan_cache_path(const char *folder, const void *graph, size_t bytes, const char *settings, char path[4096])
{
    const uint64_t hash = fnv(fnv(0xCBF29CE484222325U, graph, bytes), settings, strlen(settings));
    uLong checksum = crc32_z(0, graph, bytes);
    checksum = crc32_z(checksum, (const Bytef *)settings, strlen(settings));
    const int length = snprintf(path, 4096, "%s/clipc-%08lx-%016llx.plan", folder, checksum, (unsigned long long)hash);
    return length > 0 && length < 4096;
}

void *clipc_plan_cache_read(const char *path, size_t *bytes)
{
    clipc_mapped_file file = {0};
    *bytes = 0;
    if (clipc_mapped_file_open(path, 0, &file, NULL) != CLIPC_OK)
        return NULL;
    void *copy = file.size ? clipc_allocate(file.size, 1) : NULL;
    if (copy) {
        memcpy(copy, file.bytes, file.size);
        *bytes = file.size;
    }
    clipc_mapped_file_close(&file);
    return copy;
}

clipc_status clipc_plan_cache_write(const char *path, const void *data, size_t bytes, clipc_error *error)
{
    char temporary[4200];
    snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    FILE *file = fopen(temporary, "wb");
    CLIPC_FAIL_IF(!file, error, CLIPC_ERROR_IO, "%s: cannot create: %s", temporary, strerror(errno));
    const bool written = fwrite(data, 1, bytes, file) == bytes;
    if (fclose(file) != 0 || !written || rename(temporary, path) != 0) {
        const int cause = errno;
        unlink(temporary);
        return clipc_fail(error, CLIPC_ERROR_IO, "%s: cannot write: %s", path, strerror(cause));
    }
    return CLIPC_OK;
}
