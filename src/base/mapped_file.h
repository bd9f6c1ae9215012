/* Read-only views of whole files. */
#ifndef CLIPC_BASE_MAPPED_FILE_H
#define CLIPC_BASE_MAPPED_FILE_H

#include "base/error.h"

#include <stdint.h>

typedef struct clipc_mapped_file {
    const uint8_t *bytes; /* not NULL even for an empty file */
    size_t size;
    void *mapping; /* NULL when the bytes are a heap copy */
    void *heap;    /* not NULL when the bytes are a heap copy */
} clipc_mapped_file;

/* Maps a regular file. A path that is not a regular file (a pipe, say) is read whole into memory, up to `limit` bytes
 * and 1 GiB at most.
 * Directories, files over `limit` (0: none) and whatever cannot be read fail with a sentence that begins with the
 * path. */
clipc_status clipc_mapped_file_open(const char *path, size_t limit, clipc_mapped_file *out, clipc_error *error);
/* The same bytes, always as a copy in memory. A mapped file that is cut short while it is used ends the process
 * (SIGBUS); a copy is merely incomplete. So what others may be writing, as images, is read. */
clipc_status clipc_mapped_file_read(const char *path, size_t limit, clipc_mapped_file *out, clipc_error *error);
/* Takes the pages of these bytes of a mapping, and what may lie in one folio with them, out of the process; they come
 * back from the file when they are read again. Does nothing to a copy in memory. */
void clipc_mapped_file_forget(const clipc_mapped_file *file, const void *bytes, size_t size);
/* Frees the view and zeroes *file. A zeroed *file is allowed. */
void clipc_mapped_file_close(clipc_mapped_file *file);

#endif
