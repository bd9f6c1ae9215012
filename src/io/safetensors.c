/* The checks are those of the reference implementation (the safetensors crate): tensors, taken by offset, must cover
 * the data exactly, with no hole, no overlap and nothing left over. */
#include "io/safetensors.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* The reference's limit on the table. */
#define MAX_HEADER_SIZE ((size_t)100000000)
/* {"dtype":"F32","shape":[],"data_offsets":[0,4]} has 47 bytes. */
#define LEAST_ENTRY ((size_t)40)
#define LENGTH_SIZE ((size_t)8)

typedef struct entry {
    clipc_tensor tensor;
    size_t begin;
    size_t end;
} entry;

struct clipc_safetensors {
    json_t *header; /* owns the names */
    entry *entries; /* by offset */
    size_t count;
    clipc_tensor_table table;
};

static const struct dtype_row {
    const char *name;
    clipc_dtype dtype;
    size_t bits;
} dtypes[] = {
    {"F32", CLIPC_DTYPE_F32, 32},          {"F16", CLIPC_DTYPE_F16, 16},      {"BF16", CLIPC_DTYPE_BF16, 16},
    {"F64", CLIPC_DTYPE_F64, 64},          {"I8", CLIPC_DTYPE_I8, 8},         {"U8", CLIPC_DTYPE_U8, 8},
    {"I32", CLIPC_DTYPE_I32, 32},          {"I64", CLIPC_DTYPE_I64, 64},      {"BOOL", CLIPC_DTYPE_BOOL, 8},
    {"I16", CLIPC_DTYPE_OTHER, 16},        {"U16", CLIPC_DTYPE_OTHER, 16},    {"U32", CLIPC_DTYPE_OTHER, 32},
    {"U64", CLIPC_DTYPE_OTHER, 64},        {"C64", CLIPC_DTYPE_OTHER, 64},    {"F8_E4M3", CLIPC_DTYPE_OTHER, 8},
    {"F8_E5M2", CLIPC_DTYPE_OTHER, 8},     {"F8_E8M0", CLIPC_DTYPE_OTHER, 8}, {"F8_E4M3FNUZ", CLIPC_DTYPE_OTHER, 8},
    {"F4", CLIPC_DTYPE_OTHER, 4},          {"F6_E2M3", CLIPC_DTYPE_OTHER, 6}, {"F6_E3M2", CLIPC_DTYPE_OTHER, 6},
    {"F8_E5M2FNUZ", CLIPC_DTYPE_OTHER, 8},
};

static const struct dtype_row *find_dtype(const char *name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    return NULL;
}

/* A whole number that is not negative. */
static bool read_size(const json_t *value, size_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

static clipc_status read_shape(const json_t *shape, const char *file, clipc_tensor *tensor, clipc_error *error)
{
    CLIPC_FAIL_IF(!json_is_array(shape), error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' has no shape", file,
                  tensor->name);
    const size_t rank = json_array_size(shape);
    CLIPC_FAIL_IF(rank > CLIPC_TENSOR_MAX_RANK, error, CLIPC_ERROR_LIMIT,
                  "%s: tensor '%s' has %zu dimensions, more than %d", file, tensor->name, rank, CLIPC_TENSOR_MAX_RANK);
    tensor->rank = rank;
    tensor->count = 1;
    for (size_t i = 0; i < rank; i++) {
        CLIPC_FAIL_IF(!read_size(json_array_get(shape, i), &tensor->shape[i]), error, CLIPC_ERROR_FORMAT,
                      "%s: tensor '%s' has a shape that is not made of whole numbers from 0 up", file, tensor->name);
        CLIPC_FAIL_IF(!clipc_multiply(tensor->count, tensor->shape[i], &tensor->count), error, CLIPC_ERROR_FORMAT,
                      "%s: tensor '%s' has a shape whose product overflows", file, tensor->name);
    }
    return CLIPC_OK;
}

/* Everything about one tensor but its neighbours. */
static clipc_status read_entry(const json_t *value, const char *file, const uint8_t *data, size_t data_size,
                               entry *out, clipc_error *error)
{
    clipc_tensor *tensor = &out->tensor;
    const char *name = tensor->name;
    CLIPC_FAIL_IF(!json_is_object(value), error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' is not described by an object",
                  file, name);
    const char *dtype_name = json_string_value(json_object_get(value, "dtype"));
    CLIPC_FAIL_IF(!dtype_name, error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' has no dtype", file, name);
    const struct dtype_row *dtype = find_dtype(dtype_name);
    CLIPC_FAIL_IF(!dtype, error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' has the unknown dtype '%s'", file, name,
                  dtype_name);
    tensor->dtype = dtype->dtype;
    CLIPC_TRY(read_shape(json_object_get(value, "shape"), file, tensor, error));

    const json_t *offsets = json_object_get(value, "data_offsets");
    CLIPC_FAIL_IF(json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &out->begin) ||
                      !read_size(json_array_get(offsets, 1), &out->end),
                  error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' has data_offsets that are not two numbers from 0 up",
                  file, name);
    CLIPC_FAIL_IF(out->end < out->begin, error, CLIPC_ERROR_FORMAT,
                  "%s: tensor '%s' ends at offset %zu, before it begins at %zu", file, name, out->end, out->begin);
    CLIPC_FAIL_IF(out->end > data_size, error, CLIPC_ERROR_TRUNCATED,
                  "%s: tensor '%s' ends at offset %zu, but the file holds only %zu bytes of data", file, name,
                  out->end, data_size);
    size_t bits = 0;
    CLIPC_FAIL_IF(!clipc_multiply(tensor->count, dtype->bits, &bits) || bits % 8 != 0 ||
                      bits / 8 != out->end - out->begin,
                  error, CLIPC_ERROR_FORMAT,
                  "%s: tensor '%s' takes %zu bytes by its offsets, which does not fit its shape and dtype %s", file,
                  name, out->end - out->begin, dtype_name);
    tensor->data = data + out->begin;
    return CLIPC_OK;
}

static int compare_offsets(const void *left, const void *right)
{
    const entry *a = left;
    const entry *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
}

static clipc_status check_cover(const clipc_safetensors *file, const char *name, size_t data_size, clipc_error *error)
{
    size_t covered = 0;
    for (size_t i = 0; i < file->count; i++) {
        const entry *at = &file->entries[i];
        CLIPC_FAIL_IF(at->begin < covered, error, CLIPC_ERROR_FORMAT, "%s: tensors '%s' and '%s' overlap", name,
                      file->entries[i - 1].tensor.name, at->tensor.name);
        CLIPC_FAIL_IF(at->begin > covered, error, CLIPC_ERROR_FORMAT,
                      "%s: %zu bytes before tensor '%s' belong to no tensor", name, at->begin - covered,
                      at->tensor.name);
        covered = at->end;
    }
    CLIPC_FAIL_IF(covered != data_size, error, CLIPC_ERROR_FORMAT,
                  "%s: %zu bytes after the last tensor belong to no tensor", name, data_size - covered);
    return CLIPC_OK;
}

static clipc_status read_table(clipc_safetensors *file, size_t header_size, const char *name, const uint8_t *data,
                               size_t data_size, clipc_error *error)
{
    const size_t capacity = json_object_size(file->header);
    CLIPC_FAIL_IF(capacity > header_size / LEAST_ENTRY + 1, error, CLIPC_ERROR_FORMAT,
                  "%s: %zu tensors are too many for a header of %zu bytes", name, capacity, header_size);
    file->entries = clipc_allocate(capacity, sizeof *file->entries);
    file->table.by_name = clipc_allocate(capacity, sizeof *file->table.by_name);
    if (!file->entries || !file->table.by_name)
        return clipc_fail_memory(error, capacity * sizeof *file->entries, name);
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(file->header, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            CLIPC_FAIL_IF(!json_is_object(value), error, CLIPC_ERROR_FORMAT, "%s: __metadata__ is not an object",
                          name);
            continue;
        }
        entry *at = &file->entries[file->count];
        at->tensor.name = key;
        CLIPC_TRY(read_entry(value, name, data, data_size, at, error));
        file->count++;
    }
    qsort(file->entries, file->count, sizeof *file->entries, compare_offsets);
    CLIPC_TRY(check_cover(file, name, data_size, error));
    for (size_t i = 0; i < file->count; i++)
        file->table.by_name[i] = &file->entries[i].tensor;
    file->table.count = file->count;
    clipc_tensor_table_sort(&file->table);
    return CLIPC_OK;
}

clipc_status clipc_safetensors_open(const void *bytes, size_t size, const char *name, clipc_safetensors **out,
                                    clipc_error *error)
{
    *out = NULL;
    CLIPC_FAIL_IF(size < LENGTH_SIZE, error, CLIPC_ERROR_TRUNCATED, "%s: %zu bytes are too few for a safetensors file",
                  name, size);
    const uint8_t *at = bytes;
    uint64_t length = 0;
    for (size_t i = 0; i < LENGTH_SIZE; i++)
        length |= (uint64_t)at[i] << (8 * i);
    CLIPC_FAIL_IF(length > MAX_HEADER_SIZE, error, CLIPC_ERROR_FORMAT,
                  "%s: claims a header of %llu bytes, over the format's limit of %zu", name,
                  (unsigned long long)length, MAX_HEADER_SIZE);
    CLIPC_FAIL_IF(length > size - LENGTH_SIZE, error, CLIPC_ERROR_TRUNCATED,
                  "%s: claims a header of %llu bytes, but only %zu follow", name, (unsigned long long)length,
                  size - LENGTH_SIZE);
    CLIPC_FAIL_IF(length == 0 || at[LENGTH_SIZE] != '{', error, CLIPC_ERROR_FORMAT,
                  "%s: the header does not begin with '{': not a safetensors file", name);

    clipc_safetensors *file = clipc_allocate(1, sizeof *file);
    if (!file)
        return clipc_fail_memory(error, sizeof *file, name);
    clipc_status status = CLIPC_OK;
    const size_t data_begin = LENGTH_SIZE + (size_t)length;
    CLIPC_CHECK(clipc_json_parse(at + LENGTH_SIZE, (size_t)length, name, 0, &file->header, error));
    CLIPC_CHECK(read_table(file, (size_t)length, name, at + data_begin, size - data_begin, error));
    *out = file;
    return CLIPC_OK;
fail:
    clipc_safetensors_close(&file);
    return status;
}

void clipc_safetensors_close(clipc_safetensors **file)
{
    if (!file || !*file)
        return;
    json_decref((*file)->header);
    clipc_free((*file)->entries);
    clipc_free((*file)->table.by_name);
    clipc_free(*file);
    *file = NULL;
}

size_t clipc_safetensors_count(const clipc_safetensors *file)
{
    return file->count;
}

const clipc_tensor *clipc_safetensors_at(const clipc_safetensors *file, size_t index)
{
    return index < file->count ? &file->entries[index].tensor : NULL;
}

const clipc_tensor_table *clipc_safetensors_table(const clipc_safetensors *file)
{
    return &file->table;
}

const clipc_tensor *clipc_safetensors_find(const clipc_safetensors *file, const char *name)
{
    return clipc_tensor_table_find(&file->table, name);
}
