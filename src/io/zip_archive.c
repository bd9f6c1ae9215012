#include "io/zip_archive.h"

#include "base/checked.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* Sizes of the fixed parts, and the numbers they begin with. */
#define LOCAL_SIZE         ((size_t)30)
#define LOCAL_MAGIC        0x04034B50u
#define RECORD_SIZE        ((size_t)46)
#define RECORD_MAGIC       0x02014B50u
#define END_SIZE           ((size_t)22)
#define END_MAGIC          0x06054B50u
#define LOCATOR_SIZE       ((size_t)20)
#define LOCATOR_MAGIC      0x07064B50u
#define WIDE_END_SIZE      ((size_t)56)
#define WIDE_END_MAGIC     0x06064B50u
#define WIDE_EXTRA         0x0001u
#define MAX_COMMENT        ((size_t)65535)
#define MAX_ENTRIES        ((size_t)1 << 18)
#define IN_WIDE            0xFFFFFFFFu /* the number is in the zip64 field */
#define FLAG_ENCRYPTED     0x0001u
#define FLAG_STRONG        0x0040u
#define FLAG_MASKED_HEADER 0x2000u

struct clipc_zip_archive {
    clipc_zip_entry *entries; /* by name */
    size_t count;
};

/* The whole file, while its directory is read. */
typedef struct reader {
    const uint8_t *bytes;
    size_t size;
    const char *name;
} reader;

typedef struct directory {
    uint64_t count;
    uint64_t size;
    uint64_t offset;
} directory;

static uint32_t read_16(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t read_32(const uint8_t *at)
{
    return read_16(at) | read_16(at + 2) << 16;
}

static uint64_t read_64(const uint8_t *at)
{
    return (uint64_t)read_32(at) | (uint64_t)read_32(at + 4) << 32;
}

/* Whether `length` bytes from `offset` on are in the file. */
static bool is_inside(const reader *in, uint64_t offset, uint64_t length)
{
    return offset <= in->size && length <= in->size - offset;
}

bool clipc_zip_matches(const void *bytes, size_t size)
{
    return size >= 4 && read_32(bytes) == LOCAL_MAGIC;
}

/* ---- the end of the directory ---- */

/* The last place where an end record with its comment fills the rest of the file. */
static clipc_status find_end(const reader *in, size_t *out, clipc_error *error)
{
    CLIPC_FAIL_IF(in->size < END_SIZE, error, CLIPC_ERROR_TRUNCATED, "%s: %zu bytes are too few for a zip archive",
                  in->name, in->size);
    const size_t last = in->size - END_SIZE;
    for (size_t back = 0; back <= clipc_min(last, MAX_COMMENT); back++) {
        const uint8_t *at = in->bytes + last - back;
        if (read_32(at) == END_MAGIC && read_16(at + 20) == back) {
            *out = last - back;
            return CLIPC_OK;
        }
    }
    return clipc_fail(error, CLIPC_ERROR_TRUNCATED,
                      "%s: the zip archive has no directory at its end: the file is cut short", in->name);
}

static clipc_status read_wide_end(const reader *in, size_t end, directory *out, clipc_error *error)
{
    const uint8_t *locator = in->bytes + end - LOCATOR_SIZE;
    const uint64_t offset = read_64(locator + 8);
    CLIPC_FAIL_IF(!is_inside(in, offset, WIDE_END_SIZE) || read_32(in->bytes + offset) != WIDE_END_MAGIC, error,
                  CLIPC_ERROR_FORMAT, "%s: the zip64 directory is not where its locator says", in->name);
    const uint8_t *at = in->bytes + offset;
    *out = (directory){.count = read_64(at + 32), .size = read_64(at + 40), .offset = read_64(at + 48)};
    return CLIPC_OK;
}

static clipc_status read_end(const reader *in, directory *out, clipc_error *error)
{
    size_t end = 0;
    CLIPC_TRY(find_end(in, &end, error));
    const uint8_t *at = in->bytes + end;
    *out = (directory){.count = read_16(at + 10), .size = read_32(at + 12), .offset = read_32(at + 16)};
    if (end >= LOCATOR_SIZE && read_32(at - LOCATOR_SIZE) == LOCATOR_MAGIC)
        CLIPC_TRY(read_wide_end(in, end, out, error));
    CLIPC_FAIL_IF(!is_inside(in, out->offset, out->size) || out->count > out->size / RECORD_SIZE, error,
                  CLIPC_ERROR_FORMAT, "%s: the zip archive's directory does not fit into the file", in->name);
    CLIPC_FAIL_IF(out->count > MAX_ENTRIES, error, CLIPC_ERROR_LIMIT, "%s: the zip archive has more than %zu entries",
                  in->name, MAX_ENTRIES);
    return CLIPC_OK;
}

/* ---- entries ---- */

/* What a record of the directory says. */
typedef struct record {
    uint64_t size;
    uint64_t packed_size;
    uint64_t offset;
} record;

/* Takes one number of the zip64 field when the record has none; false when the field is too short. */
static bool take_wide(uint64_t *number, const uint8_t **at, size_t *left)
{
    if (*number != IN_WIDE)
        return true;
    if (*left < 8)
        return false;
    *number = read_64(*at);
    *at += 8;
    *left -= 8;
    return true;
}

static bool read_wide_extra(const uint8_t *extra, size_t length, record *out)
{
    while (length >= 4) {
        const size_t field = read_16(extra + 2);
        if (field > length - 4)
            return false;
        if (read_16(extra) == WIDE_EXTRA) {
            const uint8_t *at = extra + 4;
            size_t left = field;
            return take_wide(&out->size, &at, &left) && take_wide(&out->packed_size, &at, &left) &&
                   take_wide(&out->offset, &at, &left);
        }
        extra += 4 + field;
        length -= 4 + field;
    }
    return true;
}

/* The entry's bytes follow its local header, whose name and extra field may be of other lengths than the record's. */
static clipc_status locate(const reader *in, const record *from, clipc_zip_entry *entry, clipc_error *error)
{
    const int length = (int)entry->name_length;
    CLIPC_FAIL_IF(!is_inside(in, from->offset, LOCAL_SIZE) || read_32(in->bytes + from->offset) != LOCAL_MAGIC, error,
                  CLIPC_ERROR_FORMAT, "%s: entry '%.*s' is not where the zip archive's directory says", in->name,
                  length, entry->name);
    const uint8_t *local = in->bytes + from->offset;
    const uint64_t begin = from->offset + LOCAL_SIZE + read_16(local + 26) + read_16(local + 28);
    CLIPC_FAIL_IF(!is_inside(in, begin, from->packed_size), error, CLIPC_ERROR_TRUNCATED,
                  "%s: entry '%.*s' reaches past the end of the file", in->name, length, entry->name);
    CLIPC_FAIL_IF(entry->stored && from->size != from->packed_size, error, CLIPC_ERROR_FORMAT,
                  "%s: entry '%.*s' is stored, but states two sizes", in->name, length, entry->name);
    entry->bytes = in->bytes + begin;
    entry->size = (size_t)from->packed_size;
    return CLIPC_OK;
}

/* Reads the record at *at and moves on to the next; `end` is the directory's. */
static clipc_status read_record(const reader *in, const uint8_t **at, const uint8_t *end, clipc_zip_entry *entry,
                                clipc_error *error)
{
    const uint8_t *begin = *at;
    const size_t left = (size_t)(end - begin);
    CLIPC_FAIL_IF(left < RECORD_SIZE || read_32(begin) != RECORD_MAGIC, error, CLIPC_ERROR_FORMAT,
                  "%s: the zip archive's directory is damaged", in->name);
    const size_t name_length = read_16(begin + 28);
    const size_t extra_length = read_16(begin + 30);
    const size_t total = RECORD_SIZE + name_length + extra_length + read_16(begin + 32);
    CLIPC_FAIL_IF(total > left, error, CLIPC_ERROR_FORMAT, "%s: the zip archive's directory is damaged", in->name);
    const uint32_t flags = read_16(begin + 8);
    record from = {.packed_size = read_32(begin + 20), .size = read_32(begin + 24), .offset = read_32(begin + 42)};
    *entry = (clipc_zip_entry){
        .name = (const char *)begin + RECORD_SIZE,
        .name_length = name_length,
        .stored = read_16(begin + 10) == 0 && !(flags & (FLAG_ENCRYPTED | FLAG_STRONG | FLAG_MASKED_HEADER)),
        .checksum = read_32(begin + 16),
    };
    CLIPC_FAIL_IF(!read_wide_extra(begin + RECORD_SIZE + name_length, extra_length, &from), error, CLIPC_ERROR_FORMAT,
                  "%s: entry '%.*s' has a damaged extra field", in->name, (int)name_length, entry->name);
    *at = begin + total;
    return locate(in, &from, entry, error);
}

static int compare_name(const char *name, size_t length, const clipc_zip_entry *entry)
{
    const int order = memcmp(name, entry->name, clipc_min(length, entry->name_length));
    if (order != 0)
        return order;
    return length < entry->name_length ? -1 : length > entry->name_length;
}

static int compare_entries(const void *left, const void *right)
{
    const clipc_zip_entry *a = left;
    return compare_name(a->name, a->name_length, right);
}

static clipc_status read_directory(const reader *in, const directory *where, clipc_zip_archive *archive,
                                   clipc_error *error)
{
    const uint8_t *at = in->bytes + where->offset;
    const uint8_t *end = at + where->size;
    for (; archive->count < where->count; archive->count++)
        CLIPC_TRY(read_record(in, &at, end, &archive->entries[archive->count], error));
    qsort(archive->entries, archive->count, sizeof *archive->entries, compare_entries);
    for (size_t i = 1; i < archive->count; i++)
        CLIPC_FAIL_IF(compare_entries(&archive->entries[i - 1], &archive->entries[i]) == 0, error, CLIPC_ERROR_FORMAT,
                      "%s: entry '%.*s' is there twice", in->name, (int)archive->entries[i].name_length,
                      archive->entries[i].name);
    return CLIPC_OK;
}

clipc_status clipc_zip_open(const void *bytes, size_t size, const char *name, clipc_zip_archive **out,
                            clipc_error *error)
{
    *out = NULL;
    const reader in = {.bytes = bytes, .size = size, .name = name};
    directory where;
    CLIPC_TRY(read_end(&in, &where, error));
    clipc_status status = CLIPC_OK;
    clipc_zip_archive *archive = clipc_allocate(1, sizeof *archive);
    if (!archive)
        return clipc_fail_memory(error, sizeof *archive, name);
    archive->entries = clipc_allocate((size_t)where.count, sizeof *archive->entries);
    if (!archive->entries) {
        status = clipc_fail_memory(error, (size_t)where.count * sizeof *archive->entries, name);
        goto fail;
    }
    CLIPC_CHECK(read_directory(&in, &where, archive, error));
    *out = archive;
    return CLIPC_OK;
fail:
    clipc_zip_close(&archive);
    return status;
}

void clipc_zip_close(clipc_zip_archive **archive)
{
    if (!archive || !*archive)
        return;
    clipc_free((*archive)->entries);
    clipc_free(*archive);
    *archive = NULL;
}

size_t clipc_zip_count(const clipc_zip_archive *archive)
{
    return archive->count;
}

const clipc_zip_entry *clipc_zip_at(const clipc_zip_archive *archive, size_t index)
{
    return index < archive->count ? &archive->entries[index] : NULL;
}

const clipc_zip_entry *clipc_zip_find(const clipc_zip_archive *archive, const char *name, size_t name_length)
{
    size_t low = 0;
    size_t high = archive->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare_name(name, name_length, &archive->entries[middle]);
        if (order == 0)
            return &archive->entries[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
