/* A named array inside a mapped file: what the readers of weight files hand on. */
#ifndef CLIPC_IO_TENSOR_H
#define CLIPC_IO_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum clipc_dtype {
    CLIPC_DTYPE_F32,
    CLIPC_DTYPE_F16,
    CLIPC_DTYPE_BF16,
    CLIPC_DTYPE_F64,
    CLIPC_DTYPE_I8,
    CLIPC_DTYPE_U8,
    CLIPC_DTYPE_I32,
    CLIPC_DTYPE_I64,
    CLIPC_DTYPE_BOOL,
    CLIPC_DTYPE_OTHER /* carried in the table, never read */
} clipc_dtype;

#define CLIPC_TENSOR_MAX_RANK 8
/* Eight numbers of at most 20 digits, with commas and brackets. */
#define CLIPC_SHAPE_TEXT (CLIPC_TENSOR_MAX_RANK * 21 + 3)

/* Row-major and dense, but for a matrix that is stored turned: with a pitch, element (row, column) of [rows, columns]
 * is number column × pitch + row of the data. The bytes may be unaligned: read them through clipc_tensor_read. */
typedef struct clipc_tensor {
    const char *name;
    const void *data;
    clipc_dtype dtype;
    size_t rank;
    size_t shape[CLIPC_TENSOR_MAX_RANK];
    size_t count; /* product of the shape; count × element size was checked against the file */
    size_t pitch; /* 0: row-major */
} clipc_tensor;

/* Bytes of one element; 0 for CLIPC_DTYPE_OTHER. */
size_t clipc_dtype_size(clipc_dtype dtype);
/* "fp32", "fp16", "bf16", …; static storage. */
const char *clipc_dtype_name(clipc_dtype dtype);
/* Converts elements begin … begin+count-1 of an F32, F16, BF16 or F64 tensor to fp32 (exact but for F64). */
void clipc_tensor_read(const clipc_tensor *tensor, size_t begin, size_t count, float *out);
/* Elements from `begin` on where they lie, when they are aligned fp32; else NULL. */
const float *clipc_tensor_floats(const clipc_tensor *tensor, size_t begin);
/* Whether none of the values is NaN or infinite. They may be unaligned. */
bool clipc_all_finite(const void *floats, size_t count);
/* The index of the first element of an F32, F16 or BF16 tensor that is NaN or infinite, or SIZE_MAX. Reads the whole
 * tensor, at about the speed of memory. */
size_t clipc_tensor_first_not_finite(const clipc_tensor *tensor);
/* Writes "[512,768]" to `text` and returns it. */
const char *clipc_shape_text(const size_t *shape, size_t rank, char text[CLIPC_SHAPE_TEXT]);

#endif
