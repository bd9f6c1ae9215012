#include "onnx/constant.h"

#include "io/half.h"
#include "io/read_f16.h"

#include <string.h>

size_t clipc_onnx_constant_count(const clipc_onnx_constant *constant)
{
    size_t count = 1;
    for (size_t i = 0; i < constant->rank; i++)
        count *= constant->shape[i];
    return count;
}

bool clipc_onnx_constant_is_integer(const clipc_onnx_constant *constant)
{
    return constant->dtype >= CLIPC_DTYPE_I8 && constant->dtype <= CLIPC_DTYPE_BOOL;
}

void clipc_onnx_constant_set_dense(clipc_onnx_constant *constant)
{
    size_t stride = 1;
    for (size_t i = constant->rank; i-- > 0;) {
        constant->strides[i] = stride;
        stride *= constant->shape[i];
    }
}

bool clipc_onnx_constant_is_dense(const clipc_onnx_constant *constant)
{
    size_t stride = 1;
    for (size_t i = constant->rank; i-- > 0;) {
        if (constant->shape[i] != 1 && constant->strides[i] != stride)
            return false;
        stride *= constant->shape[i];
    }
    return true;
}

static double read_half(const uint8_t *bytes)
{
    float value = 0;
    clipc_read_f16__c(bytes, 1, &value);
    return (double)value;
}

double clipc_onnx_constant_real(const clipc_onnx_constant *constant, size_t offset)
{
    if (clipc_onnx_constant_is_integer(constant))
        return (double)clipc_onnx_constant_integer(constant, offset);
    const clipc_tensor view = {.data = constant->data, .dtype = constant->dtype};
    float value = 0;
    if (constant->dtype == CLIPC_DTYPE_F64) {
        double wide = 0;
        memcpy(&wide, constant->data + offset * sizeof wide, sizeof wide);
        return wide;
    }
    clipc_tensor_read(&view, offset, 1, &value);
    if (constant->halved) {
        const uint16_t half = clipc_half_from_float(value);
        return read_half((const uint8_t *)&half);
    }
    return (double)value;
}

int64_t clipc_onnx_constant_integer(const clipc_onnx_constant *constant, size_t offset)
{
    const uint8_t *bytes = constant->data + offset * clipc_dtype_size(constant->dtype);
    int64_t wide = 0;
    int32_t narrow = 0;
    switch (constant->dtype) {
    case CLIPC_DTYPE_I64: memcpy(&wide, bytes, sizeof wide); return wide;
    case CLIPC_DTYPE_I32: memcpy(&narrow, bytes, sizeof narrow); return narrow;
    case CLIPC_DTYPE_I8: return (int8_t)*bytes;
    case CLIPC_DTYPE_U8: return *bytes;
    case CLIPC_DTYPE_BOOL: return *bytes != 0;
    default: break;
    }
    const double value = clipc_onnx_constant_real(constant, offset);
    if (!(value > -9e18))
        return INT64_MIN;
    return value < 9e18 ? (int64_t)value : INT64_MAX;
}

size_t clipc_onnx_constant_offset(const clipc_onnx_constant *constant, size_t flat)
{
    size_t offset = 0;
    for (size_t i = constant->rank; i-- > 0;) {
        offset += flat % constant->shape[i] * constant->strides[i];
        flat /= constant->shape[i];
    }
    return offset;
}

bool clipc_onnx_constant_is_uniform(const clipc_onnx_constant *constant)
{
    for (size_t i = 0; i < constant->rank; i++)
        if (constant->shape[i] != 1 && constant->strides[i] != 0)
            return false;
    return true;
}

clipc_onnx_constant *clipc_onnx_constant_create(clipc_onnx_arena *arena, clipc_dtype dtype, const size_t *shape,
                                                size_t rank, void **values)
{
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        if (shape[i] > CLIPC_ONNX_COMPUTED || count * shape[i] > CLIPC_ONNX_COMPUTED)
            return NULL;
        count *= shape[i];
    }
    clipc_onnx_constant *made = clipc_onnx_arena_cut(arena, 1, sizeof *made);
    *values = clipc_onnx_arena_cut(arena, count, clipc_dtype_size(dtype));
    if (!made || !*values)
        return NULL;
    *made = (clipc_onnx_constant){.name = "", .dtype = dtype, .rank = rank, .data = *values};
    if (rank)
        memcpy(made->shape, shape, rank * sizeof *shape);
    clipc_onnx_constant_set_dense(made);
    return made;
}

/* Strides of the new shape, when every new side lies within one old side or joins sides that are dense to each other.
 */
static bool map_strides(const clipc_onnx_constant *from, clipc_onnx_constant *to)
{
    size_t old = from->rank;
    size_t rest = 1; /* of the old side that is being used up */
    size_t stride = 0;
    for (size_t i = to->rank; i-- > 0;) {
        size_t need = to->shape[i];
        to->strides[i] = 0;
        bool first = true;
        while (need > 1) {
            while (rest == 1) {
                if (old == 0)
                    return false;
                rest = from->shape[--old];
                stride = from->strides[old];
            }
            const size_t part = rest < need ? rest : need;
            if (need % part != 0 || rest % part != 0)
                return false;
            if (first)
                to->strides[i] = stride;
            else if (stride != to->strides[i] * (to->shape[i] / need))
                return false;
            first = false;
            need /= part;
            rest /= part;
            stride *= part;
        }
    }
    return true;
}

clipc_onnx_constant *clipc_onnx_constant_reshape(clipc_onnx_arena *arena, const clipc_onnx_constant *from,
                                                 const size_t *shape, size_t rank)
{
    clipc_onnx_constant *made = clipc_onnx_arena_cut(arena, 1, sizeof *made);
    if (!made)
        return NULL;
    *made = *from;
    made->rank = rank;
    if (rank)
        memcpy(made->shape, shape, rank * sizeof *shape);
    const size_t count = clipc_onnx_constant_count(from);
    if (count == 0 || map_strides(from, made)) {
        if (count == 0)
            clipc_onnx_constant_set_dense(made);
        return made;
    }
    void *values = NULL;
    const bool integer = clipc_onnx_constant_is_integer(from);
    made = clipc_onnx_constant_create(arena, integer ? CLIPC_DTYPE_I64 : CLIPC_DTYPE_F32, shape, rank, &values);
    for (size_t i = 0; made && i < count; i++) {
        const size_t offset = clipc_onnx_constant_offset(from, i);
        if (integer)
            ((int64_t *)values)[i] = clipc_onnx_constant_integer(from, offset);
        else
            ((float *)values)[i] = (float)clipc_onnx_constant_real(from, offset);
    }
    if (made)
        made->name = from->name;
    return made;
}
