/* Where the storages of a torch file lie, in its two forms. */
#ifndef CLIPC_IO_TORCH_FILE_STORAGES_H
#define CLIPC_IO_TORCH_FILE_STORAGES_H

#include "io/pickle.h"
#include "io/zip_archive.h"

/* The elements of one storage: `count` of them at `bytes`, which are in the file. */
typedef struct clipc_torch_storage {
    const uint8_t *bytes;
    size_t count;
} clipc_torch_storage;

typedef struct clipc_torch_parts {
    clipc_pickle *pickle;          /* of the state dict or module */
    clipc_torch_storage *storages; /* [clipc_pickle_storage_count] */
} clipc_torch_parts;

/* Both read the pickle and find every storage; free *out with clipc_torch_parts_free, also after a failure. */
clipc_status clipc_torch_parts_read_zip(const void *bytes, size_t size, const char *name, clipc_torch_parts *out,
                                        clipc_error *error);
clipc_status clipc_torch_parts_read_old(const void *bytes, size_t size, const char *name, clipc_torch_parts *out,
                                        clipc_error *error);
void clipc_torch_parts_free(clipc_torch_parts *parts);
/* Whether a file that begins so is of the older form. */
bool clipc_torch_is_old(const void *bytes, size_t size);

#endif
