#include "api/npy.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

/* Version 1.0: magic, version, two bytes of length. */
#define PREFIX_SIZE ((size_t)10)
#define ALIGNMENT   ((size_t)64)
/* NumPy leaves room for the first dimension to grow to this many digits. */
#define FIRST_DIMENSION_DIGITS 21

/* The bytes are NumPy's own for the same shape (numpy/lib/format.py, _write_array_header), padding included; so the
 * length does not depend on the first dimension, and a header can be rewritten in place once the rows are counted. */
size_t clipc_npy_header(const size_t *shape, size_t rank, char header[256])
{
    if (!shape || !header || rank == 0 || rank > CLIPC_TENSOR_MAX_RANK)
        return 0;
    char text[256];
    size_t used = (size_t)snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    size_t first_digits = 0;
    for (size_t i = 0; i < rank; i++) {
        const size_t digits = (size_t)snprintf(text + used, sizeof text - used, "%zu", shape[i]);
        first_digits = i == 0 ? digits : first_digits;
        used += digits;
        if (i + 1 < rank || rank == 1)
            used += (size_t)snprintf(text + used, sizeof text - used, rank == 1 ? "," : ", ");
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "), }");
    const size_t grown = used + FIRST_DIMENSION_DIGITS - first_digits;
    const size_t total = (PREFIX_SIZE + grown + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    const size_t length = total - PREFIX_SIZE;
    memset(header, ' ', total);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)(length & 0xFF);
    header[9] = (char)(length >> 8);
    memcpy(header + PREFIX_SIZE, text, used);
    header[total - 1] = '\n';
    return total;
}

clipc_status clipc_npy_open(const char *path, clipc_npy **out, clipc_error *error)
{
    CLIPC_FAIL_IF(!out, error, CLIPC_ERROR_ARGUMENT, "clipc_npy_open: out is NULL");
    *out = NULL;
    CLIPC_FAIL_IF(!path, error, CLIPC_ERROR_ARGUMENT, "clipc_npy_open: path is NULL");
    clipc_npy *array = clipc_allocate(1, sizeof *array);
    if (!array)
        return clipc_fail_memory(error, sizeof *array, path);
    clipc_status status = CLIPC_OK;
    CLIPC_CHECK(clipc_mapped_file_open(path, 0, &array->file, error));
    CLIPC_CHECK(clipc_npy_parse(array->file.bytes, array->file.size, path, &array->layout, error));
    array->data = array->file.bytes + array->layout.data_begin;
    *out = array;
    return CLIPC_OK;
fail:
    clipc_npy_destroy(&array);
    return status;
}

size_t clipc_npy_rank(const clipc_npy *array)
{
    return array ? array->layout.rank : 0;
}

const size_t *clipc_npy_shape(const clipc_npy *array)
{
    return array ? array->layout.shape : NULL;
}

const char *clipc_npy_dtype(const clipc_npy *array)
{
    return array ? array->layout.dtype_name : NULL;
}

const void *clipc_npy_data(const clipc_npy *array)
{
    return array ? array->data : NULL;
}

void clipc_npy_destroy(clipc_npy **array)
{
    if (!array || !*array)
        return;
    clipc_mapped_file_close(&(*array)->file);
    clipc_free(*array);
    *array = NULL;
}
