/* Archives of numpy.savez: a zip file whose entries are .npy files. */
#include "api/npy.h"

#include "base/checked.h"
#include "base/memory.h"
#include "io/zip_archive.h"

#include <string.h>
#include <zlib.h>

#define SUFFIX ".npy"

struct clipc_npz {
    clipc_mapped_file file;
    clipc_zip_archive *archive;
    clipc_npy *arrays; /* [count], as the names */
    char **names;
    size_t count;
};

/* Names are shown in messages and compared: those with a NUL inside are not. */
static clipc_status read_name(const clipc_zip_entry *entry, const char *path, char **out, clipc_error *error)
{
    const size_t suffix = strlen(SUFFIX);
    const size_t length = entry->name_length;
    CLIPC_FAIL_IF(length <= suffix || memcmp(entry->name + length - suffix, SUFFIX, suffix) != 0 ||
                      memchr(entry->name, 0, length),
                  error, CLIPC_ERROR_FORMAT, "%s: holds '%.*s', which is no .npy array", path,
                  (int)clipc_min(length, 64), entry->name);
    char *name = clipc_allocate(length - suffix + 1, 1);
    if (!name)
        return clipc_fail_memory(error, length, path);
    memcpy(name, entry->name, length - suffix);
    *out = name;
    return CLIPC_OK;
}

/* The array where it lies, or a copy, which is no larger than the file. */
static clipc_status read_array(const clipc_zip_entry *entry, const char *path, const char *name, clipc_npy *array,
                               clipc_error *error)
{
    CLIPC_FAIL_IF(!entry->stored, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: '%s' is compressed; write it with numpy.savez, not numpy.savez_compressed", path, name);
    CLIPC_FAIL_IF(crc32_z(0, entry->bytes, entry->size) != entry->checksum, error, CLIPC_ERROR_FORMAT,
                  "%s: '%s' is damaged: its bytes do not have the checksum that the archive states", path, name);
    clipc_status status = clipc_npy_parse(entry->bytes, entry->size, name, &array->layout, error);
    if (status != CLIPC_OK)
        return clipc_fail_within(error, status, "%s", path);
    const size_t bytes = entry->size - array->layout.data_begin;
    array->data = entry->bytes + array->layout.data_begin;
    if ((uintptr_t)array->data % clipc_dtype_size(array->layout.dtype) == 0)
        return CLIPC_OK;
    array->copy = clipc_allocate(clipc_max(bytes, 1), 1);
    if (!array->copy)
        return clipc_fail_memory(error, bytes, path);
    memcpy(array->copy, array->data, bytes);
    array->data = array->copy;
    return CLIPC_OK;
}

static clipc_status read_all(clipc_npz *npz, const char *path, clipc_error *error)
{
    const size_t count = clipc_zip_count(npz->archive);
    npz->arrays = clipc_allocate(clipc_max(count, 1), sizeof *npz->arrays);
    npz->names = clipc_allocate(clipc_max(count, 1), sizeof *npz->names);
    if (!npz->arrays || !npz->names)
        return clipc_fail_memory(error, count * sizeof *npz->arrays, path);
    for (size_t i = 0; i < count; i++) {
        const clipc_zip_entry *entry = clipc_zip_at(npz->archive, i);
        CLIPC_TRY(read_name(entry, path, &npz->names[i], error));
        npz->count++;
        CLIPC_TRY(read_array(entry, path, npz->names[i], &npz->arrays[i], error));
    }
    return CLIPC_OK;
}

clipc_status clipc_npz_open(const char *path, clipc_npz **out, clipc_error *error)
{
    CLIPC_FAIL_IF(!out, error, CLIPC_ERROR_ARGUMENT, "clipc_npz_open: out is NULL");
    *out = NULL;
    CLIPC_FAIL_IF(!path, error, CLIPC_ERROR_ARGUMENT, "clipc_npz_open: path is NULL");
    clipc_npz *npz = clipc_allocate(1, sizeof *npz);
    if (!npz)
        return clipc_fail_memory(error, sizeof *npz, path);
    clipc_status status = CLIPC_OK;
    CLIPC_CHECK(clipc_mapped_file_open(path, 0, &npz->file, error));
    CLIPC_CHECK(clipc_zip_open(npz->file.bytes, npz->file.size, path, &npz->archive, error));
    CLIPC_CHECK(read_all(npz, path, error));
    *out = npz;
    return CLIPC_OK;
fail:
    clipc_npz_destroy(&npz);
    return status;
}

size_t clipc_npz_count(const clipc_npz *npz)
{
    return npz ? npz->count : 0;
}

const char *clipc_npz_name(const clipc_npz *npz, size_t index)
{
    return npz && index < npz->count ? npz->names[index] : NULL;
}

const clipc_npy *clipc_npz_array(const clipc_npz *npz, size_t index)
{
    return npz && index < npz->count ? &npz->arrays[index] : NULL;
}

void clipc_npz_destroy(clipc_npz **npz)
{
    if (!npz || !*npz)
        return;
    clipc_npz *made = *npz;
    for (size_t i = 0; i < made->count; i++) {
        clipc_free(made->names[i]);
        clipc_free(made->arrays[i].copy);
    }
    clipc_free(made->names);
    clipc_free(made->arrays);
    clipc_zip_close(&made->archive);
    clipc_mapped_file_close(&made->file);
    clipc_free(made);
    *npz = NULL;
}
