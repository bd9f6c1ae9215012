#include "backend/cpu/pack.h"

#include "base/checked.h"
#include "base/memory.h"

#include <string.h>

/* Values of k that are converted and transposed at a time: a multiple of what a block holds at any depth, enough of a
 * row that memory is read in order, and few enough that a panel's share stays in the second-level cache. */
#define PACK_DEPTH ((size_t)512)

/* The widest panel of any level. */
#define PANEL_COLUMNS_MAX 32

clipc_packed_layout clipc_packed_layout_make(clipc_dtype dtype, size_t panel_columns, size_t parts, size_t outputs,
                                             size_t inner)
{
    const size_t depth = sizeof(float) / clipc_dtype_size(dtype);
    return (clipc_packed_layout){.dtype = dtype,
                                 .panel_columns = panel_columns,
                                 .panel_count = parts * (clipc_padded_columns(outputs) / panel_columns),
                                 .depth = depth,
                                 .blocks = clipc_deep_blocks(inner, depth)};
}

/* Bytes of the panels, and of one array of a value for each column. */
static bool part_bytes(const clipc_packed_layout *layout, size_t *panels, size_t *array)
{
    size_t columns = 0;
    return clipc_multiply(layout->panel_count, layout->panel_columns, &columns) &&
           clipc_multiply(columns, sizeof(float), array) && clipc_multiply(*array, layout->blocks, panels) &&
           clipc_multiply(*panels, CLIPC_BLOCK, panels);
}

bool clipc_packed_bytes(const clipc_packed_layout *layout, size_t *bytes)
{
    size_t panels = 0;
    size_t array = 0;
    const size_t arrays = layout->dtype == CLIPC_DTYPE_I8 ? 3 : 1;
    return part_bytes(layout, &panels, &array) && clipc_multiply(array, arrays, &array) &&
           clipc_add(panels, array, bytes);
}

clipc_packed_weights clipc_packed_weights_at(const clipc_packed_layout *layout, void *block)
{
    const size_t columns = layout->panel_count * layout->panel_columns;
    clipc_packed_weights weights = {.layout = *layout, .panels = block};
    weights.bias = (float *)block + columns * layout->blocks * CLIPC_BLOCK;
    if (layout->dtype == CLIPC_DTYPE_I8) {
        weights.scales = weights.bias + columns;
        weights.integers = (int32_t *)block + columns * (layout->blocks * CLIPC_BLOCK + 2);
    }
    return weights;
}

/* The columns of all panels keep their order, so the arrays stay as they are and the units of a column move. Widths
 * of panels are multiples of a block: whole lines are copied. */
void clipc_repack(const clipc_packed_weights *from, const clipc_packed_weights *to)
{
    const size_t columns = from->layout.panel_count * from->layout.panel_columns;
    const size_t units = from->layout.blocks * CLIPC_BLOCK;
    for (size_t column = 0; column < columns; column += CLIPC_BLOCK) {
        const size_t from_width = from->layout.panel_columns;
        const size_t to_width = to->layout.panel_columns;
        const uint32_t *source = (const uint32_t *)clipc_packed_panel(from, column / from_width) + column % from_width;
        uint32_t *target = (uint32_t *)clipc_packed_panel(to, column / to_width) + column % to_width;
        for (size_t k = 0; k < units; k++)
            memcpy(target + k * to_width, source + k * from_width, CLIPC_BLOCK * sizeof *target);
    }
    memcpy(to->bias, from->bias, columns * sizeof *to->bias);
    if (to->layout.dtype == CLIPC_DTYPE_I8) {
        memcpy(to->scales, from->scales, columns * sizeof *to->scales);
        memcpy(to->integers, from->integers, columns * sizeof *to->integers);
    }
}

/* ---- one panel ---- */

/* Where a panel comes from: rows first … first + count - 1 of [·, inner]. */
struct source {
    const clipc_tensor *weight;
    size_t first;
    size_t count;
    size_t inner;
};

/* Asks for values k … k + depth - 1 of row j: the processor foresees no row that begins on another page. */
static void fetch_row(const struct source *source, size_t j, size_t k, size_t depth)
{
    const clipc_tensor *weight = source->weight;
    const size_t size = clipc_dtype_size(weight->dtype);
    if (j >= source->count || weight->pitch)
        return;
    const uint8_t *bytes = (const uint8_t *)weight->data + ((source->first + j) * source->inner + k) * size;
    for (size_t i = 0; i < depth * size; i += CLIPC_ALIGNMENT)
        __builtin_prefetch(bytes + i);
}

/* Some values of k of all rows of a source, row j from values + j × stride on. */
struct piece {
    const float *values;
    size_t stride;
    size_t depth;
};

/* The piece from k on: where it lies, if that is in aligned floats, else converted into `room`. */
static struct piece read_piece(const struct source *source, size_t k, float *room)
{
    const size_t begin = source->first * source->inner + k;
    const size_t depth = clipc_min(PACK_DEPTH, source->inner - k);
    const float *values = source->count ? clipc_tensor_floats(source->weight, begin) : NULL;
    if (values)
        return (struct piece){values, source->inner, depth};
    for (size_t j = 0; j < source->count; j++) {
        fetch_row(source, j + 1, k, depth);
        clipc_tensor_read(source->weight, begin + j * source->inner, depth, room + j * PACK_DEPTH);
    }
    return (struct piece){room, PACK_DEPTH, depth};
}

static bool rows_finite(const struct source *source, const struct piece *piece, size_t k)
{
    bool finite = true;
    for (size_t j = 0; j < source->count; j++) {
        if (piece->stride == source->inner) /* not in the caches yet */
            fetch_row(source, j + 1, k, piece->depth);
        finite &= clipc_all_finite(piece->values + j * piece->stride, piece->depth);
    }
    return finite;
}

static bool pack_f32(const clipc_kernels *kernels, const struct source *source, size_t columns, float *panel)
{
    bool finite = true;
    float room[PANEL_COLUMNS_MAX * PACK_DEPTH];
    for (size_t k = 0; k < source->inner; k += PACK_DEPTH) {
        const struct piece piece = read_piece(source, k, room);
        finite &= rows_finite(source, &piece, k);
        kernels->pack_units(piece.values, piece.stride, source->count, piece.depth, columns, panel + k * columns);
    }
    return finite;
}

/* Values k … k + depth - 1 of row j: where they lie, if that is in aligned floats, else converted into `room`. */
static const float *read_row(const struct source *source, size_t j, size_t k, size_t depth, float *room)
{
    const size_t begin = (source->first + j) * source->inner + k;
    const float *values = clipc_tensor_floats(source->weight, begin);
    if (!values)
        clipc_tensor_read(source->weight, begin, depth, room);
    return values ? values : room;
}

static bool pack_bf16(const clipc_kernels *kernels, const struct source *source, size_t columns, float *panel)
{
    bool finite = true;
    float room[PACK_DEPTH];
    _Alignas(float) uint16_t halves[PANEL_COLUMNS_MAX * PACK_DEPTH];
    for (size_t k = 0; k < source->inner; k += PACK_DEPTH) {
        const size_t depth = clipc_min(PACK_DEPTH, source->inner - k);
        for (size_t j = 0; j < source->count; j++) {
            fetch_row(source, j + 1, k, depth);
            finite &= kernels->round_bf16(read_row(source, j, k, depth, room), depth, halves + j * PACK_DEPTH);
            if (depth % 2) /* the missing half of the last pair */
                halves[j * PACK_DEPTH + depth] = 0;
        }
        kernels->pack_units((const float *)(const void *)halves, PACK_DEPTH / 2, source->count, (depth + 1) / 2,
                            columns, panel + k / 2 * columns);
    }
    return finite;
}

/* The largest magnitude of each row, as the step that its integers of ±127 count. */
static bool find_scales(const struct source *source, float *scales)
{
    bool finite = true;
    float room[PANEL_COLUMNS_MAX * PACK_DEPTH];
    for (size_t k = 0; k < source->inner; k += PACK_DEPTH) {
        const struct piece piece = read_piece(source, k, room);
        finite &= rows_finite(source, &piece, k);
        for (size_t j = 0; j < source->count; j++) {
            for (size_t i = 0; i < piece.depth; i++) {
                const float magnitude = __builtin_fabsf(piece.values[j * piece.stride + i]);
                scales[j] = magnitude > scales[j] ? magnitude : scales[j];
            }
        }
    }
    for (size_t j = 0; j < source->count; j++)
        scales[j] = scales[j] / 127.0f > 0x1p-100f ? scales[j] / 127.0f : 0.0f;
    return finite;
}

/* Symmetric integers, -127 … 127, of each output's own step. */
static bool pack_i8(const clipc_kernels *kernels, const struct source *source, size_t columns, float *panel,
                    float *scales, int32_t *integers)
{
    const float shift = 12582912.0f; /* added and taken away, it rounds to a whole number */
    float room[PANEL_COLUMNS_MAX * PACK_DEPTH];
    _Alignas(float) int8_t bytes[PANEL_COLUMNS_MAX * PACK_DEPTH];
    memset(scales, 0, columns * sizeof *scales);
    memset(integers, 0, columns * sizeof *integers);
    if (!find_scales(source, scales))
        return false;
    for (size_t k = 0; k < source->inner; k += PACK_DEPTH) {
        const struct piece piece = read_piece(source, k, room);
        memset(bytes, 0, sizeof bytes);
        for (size_t j = 0; j < source->count; j++) {
            const float inverse = scales[j] > 0.0f ? 1.0f / scales[j] : 0.0f;
            for (size_t i = 0; i < piece.depth; i++) {
                const float whole = (piece.values[j * piece.stride + i] * inverse + shift) - shift;
                bytes[j * PACK_DEPTH + i] = (int8_t)whole;
                integers[j] += (int32_t)whole;
            }
        }
        kernels->pack_units((const float *)(const void *)bytes, PACK_DEPTH / 4, source->count, (piece.depth + 3) / 4,
                            columns, panel + k / 4 * columns);
    }
    return true;
}

bool clipc_pack_panel(const clipc_kernels *kernels, const clipc_packed_weights *weights, size_t panel,
                      const clipc_tensor *weight, const clipc_tensor *bias, size_t first, size_t count, size_t inner)
{
    bool finite = true;
    const size_t columns = weights->layout.panel_columns;
    const struct source source = {weight, first, count, inner};
    if (weights->layout.dtype == CLIPC_DTYPE_BF16)
        finite = pack_bf16(kernels, &source, columns, clipc_packed_panel(weights, panel));
    else if (weights->layout.dtype == CLIPC_DTYPE_I8)
        finite = pack_i8(kernels, &source, columns, clipc_packed_panel(weights, panel),
                         weights->scales + panel * columns, weights->integers + panel * columns);
    else
        finite = pack_f32(kernels, &source, columns, clipc_packed_panel(weights, panel));
    memset(weights->bias + panel * columns, 0, columns * sizeof(float));
    if (bias && count)
        clipc_tensor_read(bias, first, count, weights->bias + panel * columns);
    return clipc_all_finite(weights->bias + panel * columns, columns) && finite;
}
