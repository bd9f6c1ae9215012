#include "io/torch_file_storages.h"

#include "base/checked.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

#define PICKLE_NAME "data.pkl"
/* Longest prefix of an archive's entries, and longest key of a storage. */
#define MOST_PREFIX ((size_t)1024)
#define MOST_KEY    ((size_t)256)
/* Of the older form, where each key is looked for among all. */
#define MOST_OLD_STORAGES ((size_t)8192)
/* A pickle of names and shapes; larger ones are refused. */
#define MAX_PICKLE ((size_t)64 << 20)

static clipc_status allocate_storages(clipc_torch_parts *out, const char *name, clipc_error *error)
{
    const size_t count = clipc_pickle_storage_count(out->pickle);
    out->storages = clipc_allocate(count, sizeof *out->storages);
    if (!out->storages)
        return clipc_fail_memory(error, count * sizeof *out->storages, name);
    return CLIPC_OK;
}

void clipc_torch_parts_free(clipc_torch_parts *parts)
{
    clipc_pickle_free(&parts->pickle);
    clipc_free(parts->storages);
    parts->storages = NULL;
}

/* `left`: bytes from the storage's first to the end of what holds it. */
static clipc_status set_storage(const clipc_pickle_storage *storage, const uint8_t *bytes, size_t left,
                                const char *name, clipc_torch_storage *out, clipc_error *error)
{
    size_t needed = 0;
    CLIPC_FAIL_IF(!clipc_multiply(storage->count, clipc_dtype_size(storage->dtype), &needed) || needed > left, error,
                  CLIPC_ERROR_TRUNCATED, "%s: storage '%.*s' has %zu elements of %s by the pickle, but %zu bytes",
                  name, (int)clipc_min(storage->key_length, MOST_KEY), storage->key, storage->count,
                  clipc_dtype_name(storage->dtype), left);
    *out = (clipc_torch_storage){.bytes = bytes, .count = storage->count};
    return CLIPC_OK;
}

/* ---- zip archives ---- */

/* All entries lie in one folder, which is called after the file as it was when it was saved. */
static const clipc_zip_entry *find_pickle(const clipc_zip_archive *archive)
{
    const size_t length = strlen(PICKLE_NAME);
    for (size_t i = 0; i < clipc_zip_count(archive); i++) {
        const clipc_zip_entry *entry = clipc_zip_at(archive, i);
        if (entry->name_length < length || entry->name_length - length > MOST_PREFIX)
            continue;
        const size_t prefix = entry->name_length - length;
        const char *slash = memchr(entry->name, '/', prefix);
        if (memcmp(entry->name + prefix, PICKLE_NAME, length) == 0 &&
            (prefix == 0 || slash == entry->name + prefix - 1))
            return entry;
    }
    return NULL;
}

/* The entry `suffix` in the folder of `pickle`. */
static const clipc_zip_entry *find_beside(const clipc_zip_archive *archive, const clipc_zip_entry *pickle,
                                          const char *suffix)
{
    char name[MOST_PREFIX + MOST_KEY + 16];
    const size_t prefix = pickle->name_length - strlen(PICKLE_NAME);
    const size_t length = strlen(suffix);
    memcpy(name, pickle->name, prefix);
    memcpy(name + prefix, suffix, length);
    return clipc_zip_find(archive, name, prefix + length);
}

static clipc_status check_byte_order(const clipc_zip_archive *archive, const clipc_zip_entry *pickle, const char *name,
                                     clipc_error *error)
{
    const clipc_zip_entry *order = find_beside(archive, pickle, "byteorder");
    CLIPC_FAIL_IF(order && (order->size != 6 || memcmp(order->bytes, "little", 6) != 0), error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: was saved on a machine of another byte order", name);
    return CLIPC_OK;
}

static clipc_status find_storage(const clipc_zip_archive *archive, const clipc_zip_entry *pickle, const char *name,
                                 const clipc_pickle_storage *storage, clipc_torch_storage *out, clipc_error *error)
{
    char path[MOST_KEY + 8];
    CLIPC_FAIL_IF(storage->key_length > MOST_KEY, error, CLIPC_ERROR_FORMAT,
                  "%s: a storage has a key of %zu characters", name, storage->key_length);
    snprintf(path, sizeof path, "data/%.*s", (int)storage->key_length, storage->key);
    const clipc_zip_entry *entry = find_beside(archive, pickle, path);
    CLIPC_FAIL_IF(!entry, error, CLIPC_ERROR_FORMAT, "%s: entry '%s' of the archive is missing", name, path);
    CLIPC_FAIL_IF(!entry->stored, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: entry '%s' of the archive is compressed; torch stores tensors as they are", name, path);
    return set_storage(storage, entry->bytes, entry->size, name, out, error);
}

static clipc_status read_zip(const clipc_zip_archive *archive, const char *name, clipc_torch_parts *out,
                             clipc_error *error)
{
    const clipc_zip_entry *pickle = find_pickle(archive);
    CLIPC_FAIL_IF(!pickle, error, CLIPC_ERROR_FORMAT,
                  "%s: is a zip archive without " PICKLE_NAME ": not a file of torch.save", name);
    CLIPC_FAIL_IF(!pickle->stored || pickle->size > MAX_PICKLE, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: " PICKLE_NAME " is %s", name,
                  pickle->stored ? "larger than any model's" : "compressed; torch stores it as it is");
    CLIPC_TRY(check_byte_order(archive, pickle, name, error));
    CLIPC_TRY(clipc_pickle_read(pickle->bytes, pickle->size, name, &out->pickle, NULL, error));
    CLIPC_TRY(allocate_storages(out, name, error));
    for (size_t i = 0; i < clipc_pickle_storage_count(out->pickle); i++)
        CLIPC_TRY(find_storage(archive, pickle, name, clipc_pickle_storage_at(out->pickle, (uint32_t)i),
                               &out->storages[i], error));
    return CLIPC_OK;
}

clipc_status clipc_torch_parts_read_zip(const void *bytes, size_t size, const char *name, clipc_torch_parts *out,
                                        clipc_error *error)
{
    clipc_zip_archive *archive = NULL;
    *out = (clipc_torch_parts){0};
    CLIPC_TRY(clipc_zip_open(bytes, size, name, &archive, error));
    const clipc_status status = read_zip(archive, name, out, error);
    clipc_zip_close(&archive);
    return status;
}

/* ---- the older form ----
 * Pickles one after another: a magic number, the protocol 1001, a dict about the machine, the object, and the list of
 * storage keys; then for each key the number of elements in 8 bytes, and the elements (torch/serialization.py,
 * _legacy_load). */

static const uint8_t old_begin[] = {0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46,
                                    0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, '.'};

bool clipc_torch_is_old(const void *bytes, size_t size)
{
    return size >= sizeof old_begin && memcmp(bytes, old_begin, sizeof old_begin) == 0;
}

/* Reads the next pickle and moves on. */
static clipc_status next_pickle(const uint8_t *bytes, size_t size, size_t *at, const char *name, clipc_pickle **out,
                                clipc_error *error)
{
    size_t used = 0;
    CLIPC_TRY(clipc_pickle_read(bytes + *at, clipc_min(size - *at, MAX_PICKLE), name, out, &used, error));
    *at += used;
    return CLIPC_OK;
}

static clipc_status skip_pickles(const uint8_t *bytes, size_t size, size_t count, size_t *at, const char *name,
                                 clipc_error *error)
{
    for (size_t i = 0; i < count; i++) {
        clipc_pickle *skipped = NULL;
        CLIPC_TRY(next_pickle(bytes, size, at, name, &skipped, error));
        clipc_pickle_free(&skipped);
    }
    return CLIPC_OK;
}

/* The storages of the object that have the key; all that have one are the same. */
static clipc_status place_storage(const uint8_t *bytes, size_t size, size_t *at, const char *name,
                                  const clipc_pickle_value *key, clipc_torch_parts *out, clipc_error *error)
{
    bool found = false;
    CLIPC_FAIL_IF(key->kind != CLIPC_PICKLE_TEXT, error, CLIPC_ERROR_FORMAT, "%s: a storage has a key that is no text",
                  name);
    CLIPC_FAIL_IF(size - *at < 8, error, CLIPC_ERROR_TRUNCATED, "%s: ends before its last storage", name);
    *at += 8;
    size_t length = 0;
    for (size_t i = 0; i < clipc_pickle_storage_count(out->pickle); i++) {
        const clipc_pickle_storage *storage = clipc_pickle_storage_at(out->pickle, (uint32_t)i);
        if (storage->key_length != key->text.length || memcmp(storage->key, key->text.bytes, storage->key_length) != 0)
            continue;
        CLIPC_TRY(set_storage(storage, bytes + *at, size - *at, name, &out->storages[i], error));
        length = clipc_max(length, storage->count * clipc_dtype_size(storage->dtype));
        found = true;
    }
    CLIPC_FAIL_IF(!found, error, CLIPC_ERROR_FORMAT, "%s: has a storage that no tensor names", name);
    *at += length;
    return CLIPC_OK;
}

static clipc_status place_storages(const uint8_t *bytes, size_t size, size_t at, const char *name,
                                   const clipc_pickle *keys, clipc_torch_parts *out, clipc_error *error)
{
    const clipc_pickle_value *list = clipc_pickle_at(keys, clipc_pickle_root(keys));
    const size_t count = clipc_pickle_storage_count(out->pickle);
    CLIPC_FAIL_IF(list->kind != CLIPC_PICKLE_LIST || list->count > count, error, CLIPC_ERROR_FORMAT,
                  "%s: has no list of its storages", name);
    CLIPC_FAIL_IF(count > MOST_OLD_STORAGES, error, CLIPC_ERROR_LIMIT, "%s: has more storages than any model", name);
    for (uint32_t link = list->items.first; link != CLIPC_PICKLE_END; link = clipc_pickle_link_at(keys, link)->next)
        CLIPC_TRY(place_storage(bytes, size, &at, name, clipc_pickle_at(keys, clipc_pickle_link_at(keys, link)->value),
                                out, error));
    for (size_t i = 0; i < count; i++)
        CLIPC_FAIL_IF(!out->storages[i].bytes, error, CLIPC_ERROR_FORMAT, "%s: storage '%.*s' is missing", name,
                      (int)clipc_min(clipc_pickle_storage_at(out->pickle, (uint32_t)i)->key_length, MOST_KEY),
                      clipc_pickle_storage_at(out->pickle, (uint32_t)i)->key);
    return CLIPC_OK;
}

clipc_status clipc_torch_parts_read_old(const void *bytes, size_t size, const char *name, clipc_torch_parts *out,
                                        clipc_error *error)
{
    size_t at = sizeof old_begin;
    clipc_pickle *keys = NULL;
    *out = (clipc_torch_parts){0};
    CLIPC_TRY(skip_pickles(bytes, size, 2, &at, name, error));
    CLIPC_TRY(next_pickle(bytes, size, &at, name, &out->pickle, error));
    CLIPC_TRY(allocate_storages(out, name, error));
    CLIPC_TRY(next_pickle(bytes, size, &at, name, &keys, error));
    const clipc_status status = place_storages(bytes, size, at, name, keys, out, error);
    clipc_pickle_free(&keys);
    return status;
}
