#include "io/tensor.h"

#include "base/checked.h"
#include "io/read_f16.h"

#include <stdio.h>
#include <string.h>

size_t clipc_dtype_size(clipc_dtype dtype)
{
    switch (dtype) {
    case CLIPC_DTYPE_F64:
    case CLIPC_DTYPE_I64: return 8;
    case CLIPC_DTYPE_F32:
    case CLIPC_DTYPE_I32: return 4;
    case CLIPC_DTYPE_F16:
    case CLIPC_DTYPE_BF16: return 2;
    case CLIPC_DTYPE_I8:
    case CLIPC_DTYPE_U8:
    case CLIPC_DTYPE_BOOL: return 1;
    case CLIPC_DTYPE_OTHER: break;
    }
    return 0;
}

const char *clipc_dtype_name(clipc_dtype dtype)
{
    switch (dtype) {
    case CLIPC_DTYPE_F32: return "fp32";
    case CLIPC_DTYPE_F16: return "fp16";
    case CLIPC_DTYPE_BF16: return "bf16";
    case CLIPC_DTYPE_F64: return "fp64";
    case CLIPC_DTYPE_I8: return "int8";
    case CLIPC_DTYPE_U8: return "uint8";
    case CLIPC_DTYPE_I32: return "int32";
    case CLIPC_DTYPE_I64: return "int64";
    case CLIPC_DTYPE_BOOL: return "bool";
    case CLIPC_DTYPE_OTHER: break;
    }
    return "other";
}

/* The loops below load through memcpy because the bytes may be unaligned, and have no branches so that compilers
 * turn them into vector code. */

static float float_of_bits(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void read_bfloat(const uint8_t *bytes, size_t count, float *restrict out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t high = 0;
        memcpy(&high, bytes + 2 * i, sizeof high);
        out[i] = float_of_bits((uint32_t)high << 16);
    }
}

static void read_double(const uint8_t *bytes, size_t count, float *restrict out)
{
    for (size_t i = 0; i < count; i++) {
        double value = 0;
        memcpy(&value, bytes + 8 * i, sizeof value);
        out[i] = (float)value;
    }
}

static void read_dense(const uint8_t *bytes, clipc_dtype dtype, size_t count, float *out)
{
    switch (dtype) {
    case CLIPC_DTYPE_F32: memcpy(out, bytes, count * sizeof *out); break;
    case CLIPC_DTYPE_F16: clipc_read_f16(bytes, count, out); break;
    case CLIPC_DTYPE_BF16: read_bfloat(bytes, count, out); break;
    case CLIPC_DTYPE_F64: read_double(bytes, count, out); break;
    default: memset(out, 0, count * sizeof *out); break; /* the model's checks let no other dtype through */
    }
}

/* Elements that lie apart are gathered first, so that a block of them is converted at once. */
static void read_turned(const clipc_tensor *tensor, size_t begin, size_t count, float *out)
{
    enum { BLOCK = 64 };
    const uint8_t *bytes = tensor->data;
    const size_t size = clipc_dtype_size(tensor->dtype);
    const size_t columns = tensor->shape[1];
    size_t row = begin / columns;
    size_t column = begin % columns;
    uint8_t block[BLOCK * sizeof(double)];
    for (size_t done = 0; done < count;) {
        const size_t part = clipc_min(BLOCK, clipc_min(count - done, columns - column));
        const uint8_t *from = bytes + (column * tensor->pitch + row) * size;
        for (size_t i = 0; i < part; i++)
            memcpy(block + i * size, from + i * tensor->pitch * size, size);
        read_dense(block, tensor->dtype, part, out + done);
        done += part;
        column += part;
        row += column == columns;
        column = column == columns ? 0 : column;
    }
}

void clipc_tensor_read(const clipc_tensor *tensor, size_t begin, size_t count, float *out)
{
    if (tensor->pitch)
        read_turned(tensor, begin, count, out);
    else
        read_dense((const uint8_t *)tensor->data + begin * clipc_dtype_size(tensor->dtype), tensor->dtype, count, out);
}

const float *clipc_tensor_floats(const clipc_tensor *tensor, size_t begin)
{
    const uint8_t *bytes = (const uint8_t *)tensor->data + begin * sizeof(float);
    const bool ready = tensor->dtype == CLIPC_DTYPE_F32 && !tensor->pitch && (uintptr_t)bytes % _Alignof(float) == 0;
    return ready ? (const float *)(const void *)bytes : NULL;
}

/* An exponent of all ones is NaN or infinity. The scan goes block by block: without branches inside, so that it is
 * vector code, and with an early end for the message. */
#define SCAN_BLOCK ((size_t)4096)

static bool any_special_16(const uint8_t *bytes, size_t count, uint16_t exponent)
{
    uint16_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t value = 0;
        memcpy(&value, bytes + 2 * i, sizeof value);
        found = (uint16_t)(found | ((value & exponent) == exponent));
    }
    return found != 0;
}

bool clipc_all_finite(const void *floats, size_t count)
{
    const uint8_t *bytes = floats;
    const uint32_t exponent = 0xFFU << 23;
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t value = 0;
        memcpy(&value, bytes + 4 * i, sizeof value);
        found |= (value & exponent) == exponent;
    }
    return found == 0;
}

static bool any_special(const clipc_tensor *tensor, size_t begin, size_t count)
{
    const uint8_t *bytes = (const uint8_t *)tensor->data + begin * clipc_dtype_size(tensor->dtype);
    switch (tensor->dtype) {
    case CLIPC_DTYPE_F32: return !clipc_all_finite(bytes, count);
    case CLIPC_DTYPE_F16: return any_special_16(bytes, count, 0x7C00);
    case CLIPC_DTYPE_BF16: return any_special_16(bytes, count, 0x7F80);
    default: return false;
    }
}

/* Each column of a turned matrix lies together. */
static size_t first_not_finite_turned(const clipc_tensor *tensor)
{
    clipc_tensor column = *tensor;
    column.pitch = 0;
    column.count = tensor->shape[0];
    for (size_t i = 0; i < tensor->shape[1]; i++) {
        column.data = (const uint8_t *)tensor->data + i * tensor->pitch * clipc_dtype_size(tensor->dtype);
        const size_t row = clipc_tensor_first_not_finite(&column);
        if (row != SIZE_MAX)
            return row * tensor->shape[1] + i;
    }
    return SIZE_MAX;
}

size_t clipc_tensor_first_not_finite(const clipc_tensor *tensor)
{
    if (tensor->pitch)
        return first_not_finite_turned(tensor);
    for (size_t begin = 0; begin < tensor->count; begin += SCAN_BLOCK) {
        const size_t count = clipc_min(SCAN_BLOCK, tensor->count - begin);
        if (!any_special(tensor, begin, count))
            continue;
        for (size_t i = begin; i < begin + count; i++)
            if (any_special(tensor, i, 1))
                return i;
    }
    return SIZE_MAX;
}

const char *clipc_shape_text(const size_t *shape, size_t rank, char text[CLIPC_SHAPE_TEXT])
{
    size_t used = 0;
    text[used++] = '[';
    for (size_t i = 0; i < rank && i < CLIPC_TENSOR_MAX_RANK; i++)
        used += (size_t)snprintf(text + used, CLIPC_SHAPE_TEXT - used, i ? ",%zu" : "%zu", shape[i]);
    snprintf(text + used, CLIPC_SHAPE_TEXT - used, "]");
    return text;
}
