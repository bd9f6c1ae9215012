#include "io/npy.h"

#include "base/checked.h"

#include <stdbool.h>
#include <string.h>

#define MAGIC      "\x93NUMPY"
#define MAGIC_SIZE ((size_t)6)
/* NumPy's own headers are below 300 bytes for eight dimensions; its reader stops at 10,000. */
#define MAX_HEADER ((size_t)10000)

/* The dictionary's text, and how far it has been read. */
typedef struct reader {
    const char *at;
    const char *end;
    const char *name;
} reader;

typedef struct fields {
    bool has_descr, has_order, has_shape;
} fields;

static const struct dtype_row {
    const char *descr;
    clipc_dtype dtype;
    const char *name;
} dtypes[] = {
    {"<f4", CLIPC_DTYPE_F32, "float32"},
    {"<f2", CLIPC_DTYPE_F16, "float16"},
    {"<i4", CLIPC_DTYPE_I32, "int32"},
    {"<i8", CLIPC_DTYPE_I64, "int64"},
};

static clipc_status fail_header(const reader *in, clipc_error *error, const char *what)
{
    return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: the .npy header has no valid %s", in->name, what);
}

static void skip_spaces(reader *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\n' || *in->at == '\t'))
        in->at++;
}

/* Takes `text` when it comes next, after spaces. */
static bool take(reader *in, const char *text)
{
    skip_spaces(in);
    const size_t length = strlen(text);
    if ((size_t)(in->end - in->at) < length || memcmp(in->at, text, length) != 0)
        return false;
    in->at += length;
    return true;
}

/* A quoted string without escapes, at most capacity-1 bytes. */
static bool take_string(reader *in, char *out, size_t capacity)
{
    skip_spaces(in);
    if (in->at == in->end || (*in->at != '\'' && *in->at != '"'))
        return false;
    const char quote = *in->at++;
    const char *close = memchr(in->at, quote, (size_t)(in->end - in->at));
    if (!close || (size_t)(close - in->at) >= capacity || memchr(in->at, '\\', (size_t)(close - in->at)) ||
        memchr(in->at, '\0', (size_t)(close - in->at)))
        return false;
    memcpy(out, in->at, (size_t)(close - in->at));
    out[close - in->at] = '\0';
    in->at = close + 1;
    return true;
}

static bool take_number(reader *in, size_t *out)
{
    skip_spaces(in);
    const char *begin = in->at;
    size_t value = 0;
    for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++)
        if (!clipc_multiply(value, 10, &value) || !clipc_add(value, (size_t)(*in->at - '0'), &value))
            return false;
    *out = value;
    return in->at > begin;
}

static clipc_status read_descr(reader *in, clipc_npy_layout *out, clipc_error *error)
{
    char descr[16];
    if (!take_string(in, descr, sizeof descr))
        return fail_header(in, error, "descr (structured types are not read)");
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (strcmp(dtypes[i].descr, descr) == 0) {
            out->dtype = dtypes[i].dtype;
            out->dtype_name = dtypes[i].name;
            return CLIPC_OK;
        }
    }
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "%s: dtype '%s', clipc reads <f4, <f2, <i4 and <i8", in->name,
                      descr);
}

static clipc_status read_order(reader *in, clipc_error *error)
{
    if (take(in, "False"))
        return CLIPC_OK;
    if (!take(in, "True"))
        return fail_header(in, error, "fortran_order");
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "%s: the array is in Fortran order, clipc reads C order",
                      in->name);
}

/* "()", "(3,)", "(3, 4)"; a comma may follow the last number. */
static clipc_status read_shape(reader *in, clipc_npy_layout *out, clipc_error *error)
{
    if (!take(in, "("))
        return fail_header(in, error, "shape");
    out->rank = 0;
    bool comma = true;
    while (!take(in, ")")) {
        size_t size = 0;
        if (!comma || !take_number(in, &size))
            return fail_header(in, error, "shape");
        CLIPC_FAIL_IF(out->rank == CLIPC_TENSOR_MAX_RANK, error, CLIPC_ERROR_LIMIT, "%s: more than %d dimensions",
                      in->name, CLIPC_TENSOR_MAX_RANK);
        out->shape[out->rank++] = size;
        comma = take(in, ",");
    }
    return out->rank == 1 && !comma ? fail_header(in, error, "shape") : CLIPC_OK; /* "(3)" is no tuple */
}

static clipc_status read_field(reader *in, fields *seen, clipc_npy_layout *out, clipc_error *error)
{
    char key[16];
    if (!take_string(in, key, sizeof key) || !take(in, ":"))
        return fail_header(in, error, "key");
    bool *which = strcmp(key, "descr") == 0           ? &seen->has_descr
                  : strcmp(key, "fortran_order") == 0 ? &seen->has_order
                  : strcmp(key, "shape") == 0         ? &seen->has_shape
                                                      : NULL;
    CLIPC_FAIL_IF(!which || *which, error, CLIPC_ERROR_FORMAT, "%s: the .npy header has the key '%s' %s", in->name,
                  key, which ? "twice" : "that it must not have");
    *which = true;
    return which == &seen->has_descr   ? read_descr(in, out, error)
           : which == &seen->has_order ? read_order(in, error)
                                       : read_shape(in, out, error);
}

static clipc_status read_dictionary(reader *in, clipc_npy_layout *out, clipc_error *error)
{
    fields seen = {0};
    if (!take(in, "{"))
        return fail_header(in, error, "dictionary");
    bool comma = true;
    while (!take(in, "}")) {
        if (!comma)
            return fail_header(in, error, "dictionary");
        CLIPC_TRY(read_field(in, &seen, out, error));
        comma = take(in, ",");
    }
    skip_spaces(in);
    if (in->at != in->end)
        return fail_header(in, error, "end");
    if (!seen.has_descr || !seen.has_order || !seen.has_shape)
        return fail_header(in, error, !seen.has_descr ? "descr" : !seen.has_order ? "fortran_order" : "shape");
    return CLIPC_OK;
}

static clipc_status check_data(const clipc_npy_layout *layout, size_t size, const char *name, clipc_error *error)
{
    size_t bytes = clipc_dtype_size(layout->dtype);
    CLIPC_FAIL_IF(layout->data_begin % bytes != 0, error, CLIPC_ERROR_FORMAT,
                  "%s: the data begins at byte %zu, not aligned to its type", name, layout->data_begin);
    for (size_t i = 0; i < layout->rank; i++)
        CLIPC_FAIL_IF(!clipc_multiply(bytes, layout->shape[i], &bytes), error, CLIPC_ERROR_FORMAT,
                      "%s: the shape's product overflows", name);
    const size_t held = size - layout->data_begin;
    CLIPC_FAIL_IF(bytes > held, error, CLIPC_ERROR_TRUNCATED, "%s: the shape asks for %zu bytes, the file holds %zu",
                  name, bytes, held);
    CLIPC_FAIL_IF(bytes < held, error, CLIPC_ERROR_FORMAT, "%s: %zu bytes after the array", name, held - bytes);
    return CLIPC_OK;
}

clipc_status clipc_npy_parse(const void *bytes, size_t size, const char *name, clipc_npy_layout *out,
                             clipc_error *error)
{
    *out = (clipc_npy_layout){0};
    const uint8_t *at = bytes;
    CLIPC_FAIL_IF(size < MAGIC_SIZE || memcmp(at, MAGIC, MAGIC_SIZE) != 0, error, CLIPC_ERROR_FORMAT,
                  "%s: not a .npy file", name);
    CLIPC_FAIL_IF(size < MAGIC_SIZE + 2, error, CLIPC_ERROR_TRUNCATED, "%s: the .npy header is cut short", name);
    const unsigned version = at[MAGIC_SIZE];
    CLIPC_FAIL_IF(version < 1 || version > 3 || at[MAGIC_SIZE + 1] != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: .npy version %u.%u, clipc reads 1.0, 2.0 and 3.0", name, version, at[MAGIC_SIZE + 1]);
    const size_t length_size = version == 1 ? 2 : 4;
    const size_t begin = MAGIC_SIZE + 2 + length_size;
    CLIPC_FAIL_IF(size < begin, error, CLIPC_ERROR_TRUNCATED, "%s: the .npy header is cut short", name);
    size_t length = 0;
    for (size_t i = 0; i < length_size; i++)
        length |= (size_t)at[MAGIC_SIZE + 2 + i] << (8 * i);
    CLIPC_FAIL_IF(length > MAX_HEADER, error, CLIPC_ERROR_LIMIT,
                  "%s: a .npy header of %zu bytes, over the limit of %zu", name, length, MAX_HEADER);
    CLIPC_FAIL_IF(length > size - begin, error, CLIPC_ERROR_TRUNCATED, "%s: the .npy header is cut short", name);
    reader in = {.at = (const char *)at + begin, .end = (const char *)at + begin + length, .name = name};
    CLIPC_TRY(read_dictionary(&in, out, error));
    out->data_begin = begin + length;
    return check_data(out, size, name, error);
}
