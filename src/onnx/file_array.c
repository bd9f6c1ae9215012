/* Stored arrays of an ONNX file. Their data stay where they lie; only numbers that were written as lists of varints
 * are unpacked. */
#include "base/checked.h"
#include "base/wire.h"
#include "onnx/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Field numbers of TensorProto. */
enum { FLOAT_DATA = 4, RAW_DATA = 9, DOUBLE_DATA = 10 };
#define BIT(field) (UINT64_C(1) << (field))
#define FIELDS     (BIT(1) | BIT(2) | BIT(5) | BIT(7) | BIT(8) | BIT(13) | BIT(14))

/* Where the data of an array were found. */
typedef struct place {
    const uint8_t *bytes;
    size_t size;
} place;

static clipc_dtype dtype_of(int type)
{
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT: return CLIPC_DTYPE_F32;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16: return CLIPC_DTYPE_F16;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16: return CLIPC_DTYPE_BF16;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE: return CLIPC_DTYPE_F64;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8: return CLIPC_DTYPE_I8;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8: return CLIPC_DTYPE_U8;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32: return CLIPC_DTYPE_I32;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64: return CLIPC_DTYPE_I64;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL: return CLIPC_DTYPE_BOOL;
    default: return CLIPC_DTYPE_OTHER;
    }
}

/* ---- external data ---- */

static bool is_inside(const char *location)
{
    if (!location || !location[0] || location[0] == '/')
        return false;
    for (const char *at = location; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || !at[2]))
            return false;
    return true;
}

static bool read_size(const char *text, size_t *out)
{
    if (!text)
        return true;
    errno = 0;
    char *end = NULL;
    const unsigned long long value = strtoull(text, &end, 10);
    *out = (size_t)value;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

static const char *entry_of(const Onnx__TensorProto *message, const char *key)
{
    for (size_t i = 0; i < message->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = message->external_data[i];
        if (entry->key && strcmp(entry->key, key) == 0)
            return entry->value;
    }
    return NULL;
}

static clipc_status find_external(clipc_onnx_file *file, const Onnx__TensorProto *message, const char *name,
                                  size_t needed, place *out, clipc_error *error)
{
    const char *location = entry_of(message, "location");
    size_t offset = 0;
    size_t length = needed;
    size_t size = 0;
    CLIPC_FAIL_IF(!is_inside(location), error, CLIPC_ERROR_FORMAT,
                  "%s: array '%s' lies in '%s', which is no file inside the graph's directory", file->name, name,
                  location ? location : "");
    CLIPC_FAIL_IF(!read_size(entry_of(message, "offset"), &offset) || !read_size(entry_of(message, "length"), &length),
                  error, CLIPC_ERROR_FORMAT, "%s: array '%s': offset or length of its external data is no number",
                  file->name, name);
    CLIPC_TRY(file->external.find(file->external.user, location, &out->bytes, &size, error));
    CLIPC_FAIL_IF(offset > size || length > size - offset, error, CLIPC_ERROR_TRUNCATED,
                  "%s: array '%s' lies at %zu, %zu bytes long, in '%s', which has %zu", file->name, name, offset,
                  length, location, size);
    out->bytes += offset;
    out->size = length;
    return CLIPC_OK;
}

/* ---- numbers that are written as varints ---- */

static clipc_status unpack_numbers(clipc_onnx_file *file, const Onnx__TensorProto *message, clipc_dtype dtype,
                                   place *out)
{
    const bool wide = dtype == CLIPC_DTYPE_I64;
    const size_t count = wide ? message->n_int64_data : message->n_int32_data;
    const size_t size = clipc_dtype_size(dtype);
    uint8_t *bytes = clipc_onnx_arena_cut(&file->arena, count, size);
    if (!bytes)
        return file->arena.status;
    for (size_t i = 0; i < count; i++) { /* the low bytes, on the little-endian machines clipc runs on */
        if (wide)
            memcpy(bytes + i * size, &message->int64_data[i], size);
        else
            memcpy(bytes + i * size, &message->int32_data[i], size);
    }
    *out = (place){bytes, count * size};
    return CLIPC_OK;
}

/* ---- arrays ---- */

static clipc_status set_shape(const clipc_onnx_file *file, const Onnx__TensorProto *message, clipc_onnx_constant *out,
                              size_t *bytes, clipc_error *error)
{
    CLIPC_FAIL_IF(message->n_dims > CLIPC_ONNX_RANK, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: array '%s' has %zu dimensions, more than %d", file->name, out->name, message->n_dims,
                  CLIPC_ONNX_RANK);
    *bytes = clipc_dtype_size(out->dtype);
    out->rank = message->n_dims;
    for (size_t i = 0; i < out->rank; i++) {
        out->shape[i] = (size_t)message->dims[i];
        CLIPC_FAIL_IF(message->dims[i] < 0 || !clipc_multiply(*bytes, out->shape[i], bytes), error, CLIPC_ERROR_FORMAT,
                      "%s: the shape of array '%s' makes no sense", file->name, out->name);
    }
    clipc_onnx_constant_set_dense(out);
    return CLIPC_OK;
}

/* `found` is empty where the numbers are varints; `lasting`: it lies in the file. */
static clipc_status make_array(clipc_onnx_file *file, const Onnx__TensorProto *message, const place *found,
                               bool lasting, clipc_onnx_constant **out, clipc_error *error)
{
    place data = *found;
    size_t needed = 0;
    clipc_onnx_constant *array = clipc_onnx_arena_cut(&file->arena, 1, sizeof *array);
    if (!array)
        return file->arena.status;
    *out = array;
    *array = (clipc_onnx_constant){.name = message->name ? message->name : "",
                                   .dtype = dtype_of(message->has_data_type ? message->data_type : 0)};
    CLIPC_TRY(set_shape(file, message, array, &needed, error));
    if (array->dtype == CLIPC_DTYPE_OTHER) /* strings and the like, which no tower reads: refused where it is used */
        return CLIPC_OK;
    const bool external = message->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    array->lasting = external || (lasting && data.bytes);
    if (external)
        CLIPC_TRY(find_external(file, message, array->name, needed, &data, error));
    else if (!data.bytes)
        CLIPC_TRY(unpack_numbers(file, message, array->dtype, &data));
    CLIPC_FAIL_IF(data.size != needed, error, CLIPC_ERROR_FORMAT,
                  "%s: array '%s' has %zu bytes, its shape and type need %zu", file->name, array->name, data.size,
                  needed);
    array->data = data.bytes;
    return CLIPC_OK;
}

clipc_status clipc_onnx_file_array(clipc_onnx_file *file, const uint8_t *bytes, size_t size, clipc_onnx_constant **out,
                                   clipc_error *error)
{
    clipc_wire wire = {.at = bytes, .end = bytes + size};
    clipc_wire_field field;
    place data = {NULL, 0};
    size_t parts = 0;
    while (clipc_wire_next(&wire, &field)) {
        if (field.type != CLIPC_WIRE_BYTES ||
            (field.number != FLOAT_DATA && field.number != RAW_DATA && field.number != DOUBLE_DATA))
            continue;
        data = (place){field.bytes, field.size};
        parts++;
    }
    Onnx__TensorProto *message =
        clipc_onnx_file_unpack(file, &onnx__tensor_proto__descriptor, bytes, size, FIELDS, error);
    if (!message)
        return file->arena.status != CLIPC_OK ? file->arena.status : CLIPC_ERROR_FORMAT;
    CLIPC_FAIL_IF(parts > 1, error, CLIPC_ERROR_FORMAT, "%s: array '%s' is stored in %zu parts", file->name,
                  message->name ? message->name : "", parts);
    return make_array(file, message, &data, true, out, error);
}

clipc_status clipc_onnx_file_array_of(clipc_onnx_file *file, const Onnx__TensorProto *message,
                                      clipc_onnx_constant **out, clipc_error *error)
{
    place data = {NULL, 0};
    if (message->has_raw_data)
        data = (place){message->raw_data.data, message->raw_data.len};
    else if (message->n_float_data)
        data = (place){(const uint8_t *)message->float_data, message->n_float_data * sizeof(float)};
    else if (message->n_double_data)
        data = (place){(const uint8_t *)message->double_data, message->n_double_data * sizeof(double)};
    return make_array(file, message, &data, false, out, error);
}
