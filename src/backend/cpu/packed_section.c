#include "backend/cpu/packed_section.h"

#include "backend/cpu/weight_builder.h"

#include "io/bf16.h"

#include <string.h>

clipc_status clipc_packed_section(const clipc_model *model, const clipc_section *section, clipc_dtype dtype,
                                  size_t inner, clipc_packed_weights *out, clipc_error *error)
{
    const bool known_dtype =
        section->dtype == CLIPC_DTYPE_F32 || section->dtype == CLIPC_DTYPE_BF16 || section->dtype == CLIPC_DTYPE_I8;
    const size_t columns = section->panel_columns;
    const bool known_width = columns && columns % CLIPC_BLOCK == 0 && CLIPC_ROW_PADDING % columns == 0;
    CLIPC_FAIL_IF(!known_dtype || clipc_dtype_size(section->dtype) < clipc_dtype_size(dtype), error,
                  CLIPC_ERROR_UNSUPPORTED,
                  "%s: '%s' is packed as %s, this backend reads %s there; convert the original again", model->path,
                  section->name, clipc_dtype_name(section->dtype), clipc_dtype_name(dtype));
    const clipc_packed_layout layout = clipc_packed_layout_make(section->dtype, known_width ? columns : CLIPC_BLOCK,
                                                                section->shape[0], section->shape[1], inner);
    size_t bytes = 0;
    CLIPC_FAIL_IF(
        !known_width || section->panel_count != layout.panel_count || section->depth != layout.depth ||
            section->blocks != layout.blocks || !clipc_packed_bytes(&layout, &bytes) || section->size != bytes,
        error, CLIPC_ERROR_UNSUPPORTED,
        "%s: '%s' has a layout that this clipc does not know; convert the original again", model->path, section->name);
    *out = clipc_packed_weights_at(&layout, (void *)section->bytes);
    return CLIPC_OK;
}

/* The number of a panel's column at `k`. */
static float unpacked(const clipc_packed_weights *packed, const void *panel, size_t column, size_t k)
{
    const size_t columns = packed->layout.panel_columns;
    const size_t at =
        (k / packed->layout.depth * columns + column % columns) * packed->layout.depth + k % packed->layout.depth;
    switch (packed->layout.dtype) {
    case CLIPC_DTYPE_I8: return (float)((const int8_t *)panel)[at] * packed->scales[column];
    case CLIPC_DTYPE_BF16: return clipc_float_of_bf16(((const uint16_t *)panel)[at]);
    default: return ((const float *)panel)[at];
    }
}

/* How the values of one output of a layer are packed: tap after tap, each padded, where it is a convolution. */
typedef struct order {
    size_t taps;
    size_t tap_length; /* 0: as they were */
    size_t inner;      /* as packed */
} order;

static order order_of(const clipc_model *model, bool image, const clipc_section *section, size_t index)
{
    order made = {.taps = 1, .inner = section->shape[2]};
    if (!image || index >= clipc_resnet_count(&model->config))
        return made;
    const clipc_convolution at = clipc_resnet_at(&model->config, index);
    if (at.role == CLIPC_CONVOLUTION_PIXELS)
        return made;
    made.taps = at.kernel * at.kernel;
    made.tap_length = clipc_tap_units(&at, section->dtype) * (sizeof(float) / clipc_dtype_size(section->dtype));
    made.inner = made.taps * made.tap_length;
    return made;
}

clipc_status clipc_cpu_unpack(const clipc_model *model, bool image, const clipc_linear_place *place, float *values,
                              clipc_error *error)
{
    const clipc_section *section = model->linears[image][place->index];
    clipc_packed_weights packed;
    const order packed_as = order_of(model, image, section, place->index);
    CLIPC_TRY(clipc_packed_section(model, section, CLIPC_DTYPE_I8, packed_as.inner, &packed, error));
    const size_t outputs = section->shape[1];
    const size_t inner = section->shape[2];
    const size_t columns = packed.layout.panel_columns;
    const size_t first = place->part * clipc_padded_columns(outputs); /* column of the part */
    if (place->is_bias) {
        memcpy(values, packed.bias + first, outputs * sizeof *values);
        return CLIPC_OK;
    }
    for (size_t row = 0; row < outputs; row++) {
        const size_t column = first + row;
        const void *panel = clipc_packed_panel(&packed, column / columns);
        for (size_t k = 0; k < inner; k++) {
            const size_t at =
                packed_as.tap_length ? k % packed_as.taps * packed_as.tap_length + k / packed_as.taps : k;
            values[row * inner + k] = unpacked(&packed, panel, column, at);
        }
    }
    return CLIPC_OK;
}
