/* Constants of a graph that is read: views of stored arrays, with strides, so that turning, cutting and repeating them
 * copies nothing; and small ones that were computed. */
#ifndef CLIPC_ONNX_CONSTANT_H
#define CLIPC_ONNX_CONSTANT_H

#include "io/tensor.h"
#include "onnx/arena.h"

#define CLIPC_ONNX_RANK CLIPC_TENSOR_MAX_RANK
/* Elements of what is computed: a causal mask of 1024 tokens fits. */
#define CLIPC_ONNX_COMPUTED ((size_t)1 << 20)

typedef struct clipc_onnx_constant {
    const char *name; /* of the stored array that it is a view of, or of the node that computed it */
    clipc_dtype dtype;
    bool halved;  /* its values are those stored, rounded to fp16 */
    bool lasting; /* its data lie in a file, not in the arena */
    size_t rank;
    size_t shape[CLIPC_ONNX_RANK];
    size_t strides[CLIPC_ONNX_RANK]; /* elements; 0 repeats */
    const uint8_t *data;             /* little-endian, maybe unaligned */
} clipc_onnx_constant;

size_t clipc_onnx_constant_count(const clipc_onnx_constant *constant);
bool clipc_onnx_constant_is_integer(const clipc_onnx_constant *constant);
/* Sets the strides of a dense array. */
void clipc_onnx_constant_set_dense(clipc_onnx_constant *constant);
bool clipc_onnx_constant_is_dense(const clipc_onnx_constant *constant);
/* The stored element at an offset in elements; a float is cut off, an integer out of range of double rounded. */
double clipc_onnx_constant_real(const clipc_onnx_constant *constant, size_t offset);
int64_t clipc_onnx_constant_integer(const clipc_onnx_constant *constant, size_t offset);
/* The offset of element `flat` in row-major order. */
size_t clipc_onnx_constant_offset(const clipc_onnx_constant *constant, size_t flat);
/* Whether all elements are the same because there is one, or because it is repeated. */
bool clipc_onnx_constant_is_uniform(const clipc_onnx_constant *constant);

/* A dense array in the arena, I64 or F32 or BOOL, to be filled by the caller through *values; NULL with the arena's
 * status set, or unset when it is too large to compute. */
clipc_onnx_constant *clipc_onnx_constant_create(clipc_onnx_arena *arena, clipc_dtype dtype, const size_t *shape,
                                                size_t rank, void **values);
/* The same elements in another shape; a copy, where strides cannot express it. NULL: too large to copy. */
clipc_onnx_constant *clipc_onnx_constant_reshape(clipc_onnx_arena *arena, const clipc_onnx_constant *from,
                                                 const size_t *shape, size_t rank);

#endif
