/* The directory of a zip archive whose entries are used where they lie, as torch.save and torch.jit.save write it
 * (PKWARE's APPNOTE 6.3.10, zip64 included). Nothing is decompressed: tensors are always stored. */
#ifndef CLIPC_IO_ZIP_ARCHIVE_H
#define CLIPC_IO_ZIP_ARCHIVE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct clipc_zip_entry {
    const char *name; /* a view of the archive: not terminated */
    size_t name_length;
    const uint8_t *bytes; /* as they lie in the archive */
    size_t size;
    bool stored;       /* neither compressed nor encrypted: the bytes are the file's */
    uint32_t checksum; /* CRC-32 of the file, as the directory states it; clipc_zip_open does not compare it */
} clipc_zip_entry;

typedef struct clipc_zip_archive clipc_zip_archive;

/* Whether a file that begins so claims to be a zip archive. */
bool clipc_zip_matches(const void *bytes, size_t size);
/* Reads the directory of `size` bytes at `bytes`, which must outlive the result; `name` is what messages call the
 * file. Every entry's place and size are checked, and that no name is there twice. */
clipc_status clipc_zip_open(const void *bytes, size_t size, const char *name, clipc_zip_archive **out,
                            clipc_error *error);
void clipc_zip_close(clipc_zip_archive **archive);
size_t clipc_zip_count(const clipc_zip_archive *archive);
/* By name, in the order of memcmp. */
const clipc_zip_entry *clipc_zip_at(const clipc_zip_archive *archive, size_t index);
/* NULL when there is none of that name. */
const clipc_zip_entry *clipc_zip_find(const clipc_zip_archive *archive, const char *name, size_t name_length);

#endif
