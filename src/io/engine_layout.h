/* The fixed parts of an engine file as they lie on disk, little-endian. Every structure is free of padding. */
#ifndef CLIPC_IO_ENGINE_LAYOUT_H
#define CLIPC_IO_ENGINE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

/* A byte above 127 and a line break of DOS, as in PNG: a transfer as text damages it. */
#define CLIPC_ENGINE_MAGIC                                                                                            \
    "\x89"                                                                                                            \
    "clipc\r\n"
#define CLIPC_ENGINE_TRAILER    "clipcend"
#define CLIPC_BYTE_ORDER        0x01020304u /* reads as 0x04030201 on a machine of the other order */
#define CLIPC_SECTION_ALIGNMENT ((size_t)64)
/* Sections of at least this many bytes begin at a page of their own, for the mapping's sake. */
#define CLIPC_LARGE_SECTION ((size_t)1 << 16)
#define CLIPC_PAGE          ((size_t)4096)
#define CLIPC_MAX_SECTIONS  ((size_t)1 << 16)

typedef struct clipc_engine_header {
    char magic[8];
    uint32_t version;
    uint32_t byte_order;
    uint8_t reserved[44];
    uint32_t checksum; /* of the bytes before it */
} clipc_engine_header;

typedef struct clipc_engine_section {
    char name[64]; /* zeros after the text */
    uint32_t kind;
    uint32_t dtype;
    uint32_t rank;
    uint32_t checksum; /* of the section's bytes */
    uint64_t shape[4];
    uint64_t offset; /* from the file's first byte */
    uint64_t size;
    uint32_t panel_columns;
    uint32_t panel_count;
    uint32_t depth;
    uint32_t blocks;
    uint8_t reserved[16];
} clipc_engine_section;

/* The last bytes of the file. */
typedef struct clipc_engine_trailer {
    uint64_t table_offset;
    uint64_t section_count;
    uint32_t section_size; /* of an entry of the table */
    uint32_t table_checksum;
    uint8_t reserved[28];
    uint32_t checksum; /* of the bytes before it */
    char magic[8];
} clipc_engine_trailer;

_Static_assert(sizeof(clipc_engine_header) == 64 && sizeof(clipc_engine_section) == 160 &&
                   sizeof(clipc_engine_trailer) == 64,
               "the format's structures have no padding");

static inline uint32_t clipc_checksum(const void *bytes, size_t size)
{
    return (uint32_t)crc32_z(0, bytes, size);
}

#endif
