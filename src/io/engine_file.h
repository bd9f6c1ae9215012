/* The container of an engine file (.clipc): named sections that are used where they lie. docs/formats.md draws it.
 *
 * It is written front to back in one pass, so the table of sections and what tells its place come last. This file
 * knows bytes, checksums and places; what the sections mean is settled by model/engine_file_model.c and the backends.
 */
#ifndef CLIPC_IO_ENGINE_FILE_H
#define CLIPC_IO_ENGINE_FILE_H

#include "base/error.h"
#include "io/tensor.h"

#include <stdbool.h>

#define CLIPC_ENGINE_FILE_VERSION 1u
#define CLIPC_SECTION_NAME        64        /* bytes, the terminating NUL included */
#define CLIPC_SECTION_SOURCE      "source/" /* names of files that only a conversion back reads begin so */
#define CLIPC_SECTION_MAX_RANK    4

typedef enum clipc_section_kind {
    CLIPC_SECTION_BYTES = 1,  /* JSON, text, the tokenizer's block: checksummed when the file is opened */
    CLIPC_SECTION_TENSOR = 2, /* row-major and dense */
    CLIPC_SECTION_PACKED = 3, /* a linear layer in the layout of backend cpu's kernels (backend/cpu/pack.h) */
    CLIPC_SECTION_BLOCK = 4   /* a tower in the layout of backend cuda's kernels (backend/cuda/tower_pack.h) */
} clipc_section_kind;

typedef struct clipc_section {
    char name[CLIPC_SECTION_NAME];
    clipc_section_kind kind;
    clipc_dtype dtype; /* F32, F16, BF16 or I8; U8 for CLIPC_SECTION_BYTES and _BLOCK */
    size_t rank;       /* 0 for CLIPC_SECTION_BYTES and _BLOCK; packed: 3, parts × outputs × inner */
    size_t shape[CLIPC_SECTION_MAX_RANK];
    /* CLIPC_SECTION_PACKED: as in clipc_packed_layout; else 0 */
    size_t panel_columns;
    size_t panel_count;
    size_t depth;
    size_t blocks;
    const void *bytes; /* aligned to CLIPC_ALIGNMENT */
    size_t size;
    uint32_t checksum; /* CRC-32 of the bytes; set by the reader */
} clipc_section;

/* ---- reading ---- */

typedef struct clipc_engine_file clipc_engine_file;

/* Whether a file that begins so claims to be an engine file. */
bool clipc_engine_file_matches(const void *bytes, size_t size);
/* Reads the table of `size` bytes at `bytes`, which are aligned to CLIPC_ALIGNMENT and must outlive the result; `name`
 * is what messages call the file. Checks header, trailer, table, every place and size, and the checksums of the
 * sections of bytes but those of CLIPC_SECTION_SOURCE. A tensor's size agrees with its shape; a packed section's and a
 * block's are left to the backend. */
clipc_status clipc_engine_file_open(const void *bytes, size_t size, const char *name, clipc_engine_file **out,
                                    clipc_error *error);
void clipc_engine_file_close(clipc_engine_file **file);
size_t clipc_engine_file_count(const clipc_engine_file *file);
const clipc_section *clipc_engine_file_at(const clipc_engine_file *file, size_t index);
/* The first section of that name at or after index `hint`, else before it; NULL when there is none. */
const clipc_section *clipc_engine_file_find(const clipc_engine_file *file, const char *name, size_t hint);
/* Compares one section with its checksum, which reads it, or every one. */
clipc_status clipc_engine_file_verify_section(const clipc_engine_file *file, size_t index, clipc_error *error);
/* The same, calling `done` for every MiB that was read. */
clipc_status clipc_engine_file_verify_in_pieces(const clipc_engine_file *file, size_t index,
                                                void (*done)(void *user, const void *bytes, size_t size), void *user,
                                                clipc_error *error);
clipc_status clipc_engine_file_verify(const clipc_engine_file *file, clipc_error *error);

/* ---- writing ---- */

typedef struct clipc_engine_writer clipc_engine_writer;

/* Writes the header through `write`, to which everything goes in order, at most a MiB at a time. */
clipc_status clipc_engine_writer_create(clipc_write_function write, void *user, clipc_engine_writer **out,
                                        clipc_error *error);
/* Appends a section; its checksum is computed. */
clipc_status clipc_engine_writer_add(clipc_engine_writer *writer, const clipc_section *section, clipc_error *error);
clipc_status clipc_engine_writer_add_bytes(clipc_engine_writer *writer, const char *name, const void *bytes,
                                           size_t size, clipc_error *error);
/* Begins a section of `size` bytes, which clipc_engine_writer_append then gives in parts, before any other section. */
clipc_status clipc_engine_writer_begin(clipc_engine_writer *writer, const clipc_section *section, size_t size,
                                       clipc_error *error);
clipc_status clipc_engine_writer_append(clipc_engine_writer *writer, const void *bytes, size_t size,
                                        clipc_error *error);
/* Writes the table and the trailer. */
clipc_status clipc_engine_writer_finish(clipc_engine_writer *writer, clipc_error *error);
void clipc_engine_writer_destroy(clipc_engine_writer **writer);

#endif
