#include "npz_writer.h"

#include "message.h"
#include "output.h"

#include "clipc/clipc.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* PKWARE's APPNOTE 6.3.10, entries stored, without zip64. */
#define LOCAL_SIZE  30
#define RECORD_SIZE 46
#define END_SIZE    22
#define VERSION     20
#define FIRST_DAY   0x0021 /* 1980-01-01: the same arrays give the same bytes */
#define MOST_BYTES  ((uint64_t)UINT32_MAX)

typedef struct npz_entry {
    char *name; /* with .npy */
    uint32_t checksum;
    uint32_t size;
    uint32_t offset; /* of its local header */
} npz_entry;

struct npz_writer {
    output_file *output;
    const char *path;
    npz_entry *entries;
    size_t count;
    uint64_t written;
};

npz_writer *npz_writer_open(const char *path)
{
    npz_writer *writer = allocate(1, sizeof *writer);
    writer->output = output_open(path);
    writer->path = path;
    return writer;
}

static void put(npz_writer *writer, const void *bytes, size_t size)
{
    output_write(writer->output, bytes, size);
    writer->written += size;
}

static unsigned char *put_16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)value;
    at[1] = (unsigned char)(value >> 8);
    return at + 2;
}

static unsigned char *put_32(unsigned char *at, uint32_t value)
{
    return put_16(put_16(at, value & 0xFFFF), value >> 16);
}

/* What a local header and a record of the directory share. */
static unsigned char *put_common(unsigned char *at, const npz_entry *entry)
{
    at = put_16(at, VERSION);
    at = put_16(at, 0); /* flags */
    at = put_16(at, 0); /* stored */
    at = put_16(at, 0); /* midnight */
    at = put_16(at, FIRST_DAY);
    at = put_32(at, entry->checksum);
    at = put_32(at, entry->size);
    at = put_32(at, entry->size);
    at = put_16(at, (unsigned)strlen(entry->name));
    return put_16(at, 0); /* no extra field */
}

static void add(npz_writer *writer, const char *name, const char *type, const size_t *shape, size_t rank,
                const void *values)
{
    char header[256];
    const size_t length = clipc_npy_header(shape, rank, header);
    size_t size = 4; /* both types' */
    for (size_t i = 0; i < rank; i++)
        size *= shape[i];
    char *descr = memchr(header, '<', length); /* of "'descr': '<f4'" */
    if (descr)
        memcpy(descr, type, strlen(type));
    if (writer->written + length + size + 1024 > MOST_BYTES)
        quit(STATUS_SYSTEM, "%s: would pass 4 GiB, the most that this archive can hold", writer->path);
    writer->entries = reallocate(writer->entries, writer->count + 1, sizeof *writer->entries);
    npz_entry *entry = &writer->entries[writer->count++];
    *entry = (npz_entry){
        .name = format_text("%s.npy", name), .size = (uint32_t)(length + size), .offset = (uint32_t)writer->written};
    entry->checksum = (uint32_t)crc32_z(crc32_z(0, (const Bytef *)header, length), values, size);
    unsigned char local[LOCAL_SIZE];
    put_common(put_32(local, 0x04034B50u), entry);
    put(writer, local, sizeof local);
    put(writer, entry->name, strlen(entry->name));
    put(writer, header, length);
    put(writer, values, size);
}

void npz_writer_floats(npz_writer *writer, const char *name, const size_t *shape, size_t rank, const float *values)
{
    add(writer, name, "<f4", shape, rank, values);
}

void npz_writer_integers(npz_writer *writer, const char *name, const size_t *shape, size_t rank, const int32_t *values)
{
    add(writer, name, "<i4", shape, rank, values);
}

static void put_record(npz_writer *writer, const npz_entry *entry)
{
    unsigned char record[RECORD_SIZE];
    unsigned char *at = put_common(put_16(put_32(record, 0x02014B50u), VERSION), entry);
    at = put_16(at, 0); /* no comment */
    at = put_16(at, 0); /* disk */
    at = put_16(at, 0);
    at = put_32(at, 0);
    put_32(at, entry->offset);
    put(writer, record, sizeof record);
    put(writer, entry->name, strlen(entry->name));
}

void npz_writer_close(npz_writer **writer)
{
    npz_writer *made = *writer;
    const uint32_t directory = (uint32_t)made->written;
    for (size_t i = 0; i < made->count; i++)
        put_record(made, &made->entries[i]);
    unsigned char end[END_SIZE];
    unsigned char *at = put_32(put_32(end, 0x06054B50u), 0);
    at = put_16(put_16(at, (unsigned)made->count), (unsigned)made->count);
    at = put_32(put_32(at, (uint32_t)(made->written - directory)), directory);
    put_16(at, 0);
    put(made, end, sizeof end);
    output_close(made->output);
    output_publish(&made->output);
    for (size_t i = 0; i < made->count; i++)
        free(made->entries[i].name);
    free(made->entries);
    free(made);
    *writer = NULL;
}
