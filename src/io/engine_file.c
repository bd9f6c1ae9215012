#include "io/engine_file.h"

#include "base/checked.h"
#include "base/memory.h"
#include "io/engine_layout.h"

#include <string.h>

struct clipc_engine_file {
    const uint8_t *bytes;
    const char *name; /* what messages call the file */
    clipc_section *sections;
    size_t count;
};

bool clipc_engine_file_matches(const void *bytes, size_t size)
{
    return size >= sizeof CLIPC_ENGINE_MAGIC - 1 &&
           memcmp(bytes, CLIPC_ENGINE_MAGIC, sizeof CLIPC_ENGINE_MAGIC - 1) == 0;
}

static clipc_status check_header(const void *bytes, size_t size, const char *name, clipc_error *error)
{
    clipc_engine_header header;
    CLIPC_FAIL_IF(!clipc_engine_file_matches(bytes, size), error, CLIPC_ERROR_FORMAT,
                  "%s: not an engine file of clipc", name);
    CLIPC_FAIL_IF(size < sizeof header + sizeof(clipc_engine_trailer), error, CLIPC_ERROR_TRUNCATED,
                  "%s: %zu bytes are no whole engine file", name, size);
    memcpy(&header, bytes, sizeof header);
    CLIPC_FAIL_IF(header.byte_order == __builtin_bswap32(CLIPC_BYTE_ORDER), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: was made on a machine of the other byte order; convert the original again", name);
    CLIPC_FAIL_IF(header.checksum != clipc_checksum(&header, offsetof(clipc_engine_header, checksum)) ||
                      header.byte_order != CLIPC_BYTE_ORDER,
                  error, CLIPC_ERROR_FORMAT, "%s: damaged: the header does not match its checksum", name);
    CLIPC_FAIL_IF(header.version != CLIPC_ENGINE_FILE_VERSION, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: engine file of version %u, this clipc reads version %u; convert the original again", name,
                  header.version, CLIPC_ENGINE_FILE_VERSION);
    return CLIPC_OK;
}

/* The table lies between the sections and the trailer and fills that room. */
static clipc_status check_trailer(const uint8_t *bytes, size_t size, const char *name, clipc_engine_trailer *trailer,
                                  clipc_error *error)
{
    const size_t end = size - sizeof *trailer;
    memcpy(trailer, bytes + end, sizeof *trailer);
    CLIPC_FAIL_IF(memcmp(trailer->magic, CLIPC_ENGINE_TRAILER, sizeof trailer->magic) != 0, error,
                  CLIPC_ERROR_TRUNCATED, "%s: ends too early: its end is missing from %zu bytes; convert it again",
                  name, size);
    CLIPC_FAIL_IF(trailer->checksum != clipc_checksum(trailer, offsetof(clipc_engine_trailer, checksum)), error,
                  CLIPC_ERROR_FORMAT, "%s: damaged: the trailer does not match its checksum", name);
    CLIPC_FAIL_IF(trailer->section_size != sizeof(clipc_engine_section) ||
                      trailer->section_count > CLIPC_MAX_SECTIONS || trailer->table_offset > end ||
                      trailer->table_offset < sizeof(clipc_engine_header) ||
                      trailer->table_offset % CLIPC_SECTION_ALIGNMENT != 0 ||
                      trailer->section_count * sizeof(clipc_engine_section) != end - trailer->table_offset,
                  error, CLIPC_ERROR_FORMAT, "%s: damaged: the table of sections is out of place", name);
    CLIPC_FAIL_IF(trailer->table_checksum !=
                      clipc_checksum(bytes + trailer->table_offset, end - trailer->table_offset),
                  error, CLIPC_ERROR_FORMAT, "%s: damaged: the table of sections does not match its checksum", name);
    return CLIPC_OK;
}

/* Numbers of the format: pinned, whatever the order of clipc_dtype. */
static bool read_dtype(uint32_t number, clipc_dtype *out)
{
    static const clipc_dtype dtypes[] = {CLIPC_DTYPE_U8, CLIPC_DTYPE_F32, CLIPC_DTYPE_F16, CLIPC_DTYPE_BF16,
                                         CLIPC_DTYPE_I8};
    if (number >= sizeof dtypes / sizeof dtypes[0])
        return false;
    *out = dtypes[number];
    return true;
}

static uint32_t number_of_dtype(clipc_dtype dtype)
{
    clipc_dtype found = CLIPC_DTYPE_U8;
    for (uint32_t number = 1; read_dtype(number, &found); number++)
        if (found == dtype)
            return number;
    return 0;
}

/* The bytes of a tensor's shape; false on overflow. */
static bool tensor_bytes(const clipc_section *section, size_t *bytes)
{
    *bytes = clipc_dtype_size(section->dtype);
    for (size_t i = 0; i < section->rank; i++)
        if (!clipc_multiply(*bytes, section->shape[i], bytes))
            return false;
    return true;
}

static clipc_status read_section(const clipc_engine_file *file, const clipc_engine_section *from, size_t limit,
                                 clipc_section *to, clipc_error *error)
{
    size_t end = 0;
    size_t bytes = 0;
    const bool is_named = from->name[0] && memchr(from->name, 0, sizeof from->name);
    CLIPC_FAIL_IF(!is_named, error, CLIPC_ERROR_FORMAT, "%s: damaged: a section has no name", file->name);
    memcpy(to->name, from->name, sizeof to->name);
    CLIPC_FAIL_IF(from->kind < CLIPC_SECTION_BYTES || from->kind > CLIPC_SECTION_BLOCK ||
                      !read_dtype(from->dtype, &to->dtype) || from->rank > CLIPC_SECTION_MAX_RANK,
                  error, CLIPC_ERROR_FORMAT, "%s: damaged: section '%s' is of a kind that clipc does not know",
                  file->name, to->name);
    CLIPC_FAIL_IF(from->offset % CLIPC_SECTION_ALIGNMENT != 0 || from->offset < sizeof(clipc_engine_header) ||
                      !clipc_add(from->offset, from->size, &end) || end > limit,
                  error, CLIPC_ERROR_FORMAT, "%s: damaged: section '%s' lies outside the file", file->name, to->name);
    to->kind = (clipc_section_kind)from->kind;
    to->rank = from->rank;
    memcpy(to->shape, from->shape, sizeof to->shape);
    to->panel_columns = from->panel_columns;
    to->panel_count = from->panel_count;
    to->depth = from->depth;
    to->blocks = from->blocks;
    to->bytes = file->bytes + from->offset;
    to->size = from->size;
    to->checksum = from->checksum;
    CLIPC_FAIL_IF(to->kind == CLIPC_SECTION_TENSOR && (!tensor_bytes(to, &bytes) || bytes != to->size), error,
                  CLIPC_ERROR_FORMAT, "%s: damaged: section '%s' has %zu bytes, its shape says another number",
                  file->name, to->name, to->size);
    return CLIPC_OK;
}

/* At most so many bytes are read or handed on at once, so that a caller may let go of what was used. */
#define PIECE ((size_t)1 << 20)

/* `done` is told of each piece that was read; NULL: nobody is. */
static clipc_status verify_section(const clipc_engine_file *file, const clipc_section *section,
                                   void (*done)(void *user, const void *bytes, size_t size), void *user,
                                   clipc_error *error)
{
    const uint8_t *bytes = section->bytes;
    uint32_t checksum = clipc_checksum(NULL, 0);
    for (size_t at = 0; at < section->size; at += PIECE) {
        const size_t part = clipc_min(PIECE, section->size - at);
        checksum = (uint32_t)crc32_z(checksum, bytes + at, part);
        if (done)
            done(user, bytes + at, part);
    }
    CLIPC_FAIL_IF(checksum != section->checksum, error, CLIPC_ERROR_FORMAT,
                  "%s: damaged: '%s' does not match its checksum", file->name, section->name);
    return CLIPC_OK;
}

static clipc_status read_table(clipc_engine_file *file, const clipc_engine_trailer *trailer, clipc_error *error)
{
    file->sections = clipc_allocate(trailer->section_count, sizeof *file->sections);
    if (!file->sections)
        return clipc_fail_memory(error, trailer->section_count * sizeof *file->sections, "the table of sections");
    for (; file->count < trailer->section_count; file->count++) {
        clipc_engine_section entry;
        clipc_section *section = &file->sections[file->count];
        memcpy(&entry, file->bytes + trailer->table_offset + file->count * sizeof entry, sizeof entry);
        CLIPC_TRY(read_section(file, &entry, trailer->table_offset, section, error));
        if (section->kind == CLIPC_SECTION_BYTES &&
            strncmp(section->name, CLIPC_SECTION_SOURCE, sizeof CLIPC_SECTION_SOURCE - 1) != 0)
            CLIPC_TRY(verify_section(file, section, NULL, NULL, error));
    }
    return CLIPC_OK;
}

clipc_status clipc_engine_file_open(const void *bytes, size_t size, const char *name, clipc_engine_file **out,
                                    clipc_error *error)
{
    *out = NULL;
    clipc_status status = CLIPC_OK;
    clipc_engine_trailer trailer;
    CLIPC_TRY(check_header(bytes, size, name, error));
    CLIPC_FAIL_IF((uintptr_t)bytes % CLIPC_SECTION_ALIGNMENT != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: an engine file is used where it is mapped and cannot be read from a pipe", name);
    CLIPC_TRY(check_trailer(bytes, size, name, &trailer, error));
    clipc_engine_file *file = clipc_allocate(1, sizeof *file);
    if (!file)
        return clipc_fail_memory(error, sizeof *file, "an engine file");
    file->bytes = bytes;
    file->name = name;
    CLIPC_CHECK(read_table(file, &trailer, error));
    *out = file;
    return CLIPC_OK;
fail:
    clipc_engine_file_close(&file);
    return status;
}

void clipc_engine_file_close(clipc_engine_file **file)
{
    if (!file || !*file)
        return;
    clipc_free((*file)->sections);
    clipc_free(*file);
    *file = NULL;
}

size_t clipc_engine_file_count(const clipc_engine_file *file)
{
    return file->count;
}

const clipc_section *clipc_engine_file_at(const clipc_engine_file *file, size_t index)
{
    return &file->sections[index];
}

const clipc_section *clipc_engine_file_find(const clipc_engine_file *file, const char *name, size_t hint)
{
    for (size_t i = 0; i < file->count; i++) {
        const clipc_section *section = &file->sections[(hint + i) % file->count];
        if (strcmp(section->name, name) == 0)
            return section;
    }
    return NULL;
}

clipc_status clipc_engine_file_verify_section(const clipc_engine_file *file, size_t index, clipc_error *error)
{
    return verify_section(file, &file->sections[index], NULL, NULL, error);
}

clipc_status clipc_engine_file_verify_in_pieces(const clipc_engine_file *file, size_t index,
                                                void (*done)(void *user, const void *bytes, size_t size), void *user,
                                                clipc_error *error)
{
    return verify_section(file, &file->sections[index], done, user, error);
}

clipc_status clipc_engine_file_verify(const clipc_engine_file *file, clipc_error *error)
{
    for (size_t i = 0; i < file->count; i++)
        CLIPC_TRY(clipc_engine_file_verify_section(file, i, error));
    return CLIPC_OK;
}

/* ---- writing ---- */

struct clipc_engine_writer {
    clipc_write_function write;
    void *user;
    size_t position;
    clipc_engine_section *table;
    size_t count;
    size_t capacity;
};

static clipc_status put(clipc_engine_writer *writer, const void *bytes, size_t size, clipc_error *error)
{
    CLIPC_FAIL_IF(size && writer->write(writer->user, bytes, size) != 0, error, CLIPC_ERROR_IO,
                  "the engine file could not be written");
    writer->position += size;
    return CLIPC_OK;
}

static clipc_status pad(clipc_engine_writer *writer, size_t alignment, clipc_error *error)
{
    static const uint8_t zeros[CLIPC_PAGE];
    return put(writer, zeros, clipc_round_up(writer->position, alignment) - writer->position, error);
}

clipc_status clipc_engine_writer_create(clipc_write_function write, void *user, clipc_engine_writer **out,
                                        clipc_error *error)
{
    clipc_engine_header header = {.version = CLIPC_ENGINE_FILE_VERSION, .byte_order = CLIPC_BYTE_ORDER};
    memcpy(header.magic, CLIPC_ENGINE_MAGIC, sizeof header.magic);
    header.checksum = clipc_checksum(&header, offsetof(clipc_engine_header, checksum));
    *out = clipc_allocate(1, sizeof **out);
    if (!*out)
        return clipc_fail_memory(error, sizeof **out, "a writer of engine files");
    (*out)->write = write;
    (*out)->user = user;
    const clipc_status status = put(*out, &header, sizeof header, error);
    if (status != CLIPC_OK)
        clipc_engine_writer_destroy(out);
    return status;
}

static clipc_status grow_table(clipc_engine_writer *writer, clipc_error *error)
{
    if (writer->count < writer->capacity)
        return CLIPC_OK;
    const size_t capacity = writer->capacity ? 2 * writer->capacity : 64;
    clipc_engine_section *table = clipc_reallocate(writer->table, capacity, sizeof *table);
    if (!table)
        return clipc_fail_memory(error, capacity * sizeof *table, "the table of sections");
    writer->table = table;
    writer->capacity = capacity;
    return CLIPC_OK;
}

clipc_status clipc_engine_writer_begin(clipc_engine_writer *writer, const clipc_section *section, size_t size,
                                       clipc_error *error)
{
    CLIPC_FAIL_IF(writer->count == CLIPC_MAX_SECTIONS, error, CLIPC_ERROR_LIMIT,
                  "an engine file has at most %zu sections", CLIPC_MAX_SECTIONS);
    CLIPC_TRY(grow_table(writer, error));
    CLIPC_TRY(pad(writer, size < CLIPC_LARGE_SECTION ? CLIPC_SECTION_ALIGNMENT : CLIPC_PAGE, error));
    clipc_engine_section *entry = &writer->table[writer->count++];
    *entry = (clipc_engine_section){
        .kind = (uint32_t)section->kind,
        .dtype = number_of_dtype(section->dtype),
        .rank = (uint32_t)section->rank,
        .checksum = clipc_checksum(NULL, 0),
        .offset = writer->position,
        .panel_columns = (uint32_t)section->panel_columns,
        .panel_count = (uint32_t)section->panel_count,
        .depth = (uint32_t)section->depth,
        .blocks = (uint32_t)section->blocks,
    };
    memcpy(entry->name, section->name, strnlen(section->name, sizeof entry->name - 1));
    for (size_t i = 0; i < section->rank; i++)
        entry->shape[i] = section->shape[i];
    return CLIPC_OK;
}

clipc_status clipc_engine_writer_append(clipc_engine_writer *writer, const void *bytes, size_t size,
                                        clipc_error *error)
{
    clipc_engine_section *entry = &writer->table[writer->count - 1];
    const uint8_t *piece = bytes;
    for (size_t left = size; left > 0;) {
        const size_t part = clipc_min(left, PIECE);
        entry->checksum = (uint32_t)crc32_z(entry->checksum, piece, part);
        entry->size += part;
        CLIPC_TRY(put(writer, piece, part, error));
        piece += part;
        left -= part;
    }
    return CLIPC_OK;
}

clipc_status clipc_engine_writer_add(clipc_engine_writer *writer, const clipc_section *section, clipc_error *error)
{
    CLIPC_TRY(clipc_engine_writer_begin(writer, section, section->size, error));
    return section->size ? clipc_engine_writer_append(writer, section->bytes, section->size, error) : CLIPC_OK;
}

clipc_status clipc_engine_writer_add_bytes(clipc_engine_writer *writer, const char *name, const void *bytes,
                                           size_t size, clipc_error *error)
{
    clipc_section section = {.kind = CLIPC_SECTION_BYTES, .dtype = CLIPC_DTYPE_U8, .bytes = bytes, .size = size};
    memcpy(section.name, name, strnlen(name, sizeof section.name - 1));
    return clipc_engine_writer_add(writer, &section, error);
}

clipc_status clipc_engine_writer_finish(clipc_engine_writer *writer, clipc_error *error)
{
    CLIPC_TRY(pad(writer, CLIPC_SECTION_ALIGNMENT, error));
    const size_t size = writer->count * sizeof *writer->table;
    clipc_engine_trailer trailer = {.table_offset = writer->position,
                                    .section_count = writer->count,
                                    .section_size = sizeof *writer->table,
                                    .table_checksum = clipc_checksum(writer->table, size)};
    trailer.checksum = clipc_checksum(&trailer, offsetof(clipc_engine_trailer, checksum));
    memcpy(trailer.magic, CLIPC_ENGINE_TRAILER, sizeof trailer.magic);
    CLIPC_TRY(put(writer, writer->table, size, error));
    return put(writer, &trailer, sizeof trailer, error);
}

void clipc_engine_writer_destroy(clipc_engine_writer **writer)
{
    if (!writer || !*writer)
        return;
    clipc_free((*writer)->table);
    clipc_free(*writer);
    *writer = NULL;
}
