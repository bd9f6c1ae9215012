#include "image/resize.h"

#include "base/checked.h"
#include "base/memory.h"
#include "image/resize_kernels.h"

#include <stdatomic.h>
#include <string.h>

/* Pillow's sizes are C ints; beyond them there is nothing to be equal to. */
#define MAX_SIZE ((size_t)INT32_MAX)

/* Weights of one axis that are made at a time, of 8 bytes each. A row of 178 million pixels has four times as many
 * bicubic ones as pixels; images of ordinary shape have some thousands. */
#define MOST_WEIGHTS ((size_t)1 << 22)

/* The wanted part of the resized image, all of it inside. */
typedef struct region {
    size_t left;
    size_t top;
    size_t width;
    size_t height;
    uint8_t *destination;
    size_t stride;
} region;

typedef struct job {
    const clipc_resize_kernels *kernels;
    const uint8_t *source;
    size_t source_width;
    size_t source_height;
    size_t channels;
    clipc_filter filter;
    size_t width;
    size_t height;
} job;

const clipc_resize_kernels *clipc_resize_kernels_for(clipc_cpu_level level)
{
#if defined(__x86_64__)
    if (level >= CLIPC_CPU_AVX512)
        return &clipc_resize_kernels_avx512;
    if (level >= CLIPC_CPU_AVX2)
        return &clipc_resize_kernels_avx2;
#elif defined(__aarch64__)
    if (level >= CLIPC_CPU_NEON)
        return &clipc_resize_kernels_neon;
#endif
    (void)level;
    return &clipc_resize_kernels_c;
}

/* The level found is kept: asking the processor takes longer than a small image. Threads that race find the same. */
static clipc_status best_kernels(const clipc_resize_kernels **out, clipc_error *error)
{
    static _Atomic(const clipc_resize_kernels *) known = NULL;
    const clipc_resize_kernels *kernels = atomic_load_explicit(&known, memory_order_relaxed);
    if (!kernels) {
        clipc_cpu_level level = CLIPC_CPU_C;
        CLIPC_TRY(clipc_cpu_level_detect(&level, error));
        kernels = clipc_resize_kernels_for(level);
        atomic_store_explicit(&known, kernels, memory_order_relaxed);
    }
    *out = kernels;
    return CLIPC_OK;
}

static void copy_region(const job *it, const region *part)
{
    const size_t stride = it->source_width * it->channels;
    const uint8_t *from = it->source + part->top * stride + part->left * it->channels;
    for (size_t y = 0; y < part->height; y++)
        memcpy(part->destination + y * part->stride, from + y * stride, part->width * it->channels);
}

/* Source pixel of each of `count` output positions from `first` on, by the running sum that Pillow's affine transform
 * keeps (a product would round otherwise). SIZE_MAX where the sum has run off the end: Pillow leaves zeros there. */
static void nearest_positions(size_t source_size, size_t size, size_t first, size_t count, size_t *positions)
{
    const double step = (double)(float)source_size / (double)size;
    double at = step * 0.5;
    for (size_t i = 0; i < first; i++)
        at += step;
    for (size_t i = 0; i < count; i++) {
        positions[i] = (size_t)at < source_size ? (size_t)at : SIZE_MAX;
        at += step;
    }
}

static clipc_status resize_nearest(const job *it, const region *part, clipc_error *error)
{
    const size_t channels = it->channels;
    size_t *columns = clipc_allocate(part->width + part->height, sizeof *columns);
    if (!columns)
        return clipc_fail_memory(error, (part->width + part->height) * sizeof *columns, "resize positions");
    size_t *rows = columns + part->width;
    nearest_positions(it->source_width, it->width, part->left, part->width, columns);
    nearest_positions(it->source_height, it->height, part->top, part->height, rows);
    for (size_t y = 0; y < part->height; y++) {
        uint8_t *to = part->destination + y * part->stride;
        for (size_t x = 0; x < part->width; x++)
            if (rows[y] != SIZE_MAX && columns[x] != SIZE_MAX)
                memcpy(to + x * channels, it->source + (rows[y] * it->source_width + columns[x]) * channels, channels);
            else
                memset(to + x * channels, 0, channels);
    }
    clipc_free(columns);
    return CLIPC_OK;
}

/* The horizontal pass on source rows first … first+count-1. Vector kernels read a little too far, so the image's last
 * rows are done in C. */
static void horizontal_rows(const job *it, const clipc_resize_weights *weights, size_t first, size_t count,
                            uint8_t *destination, size_t destination_stride)
{
    const size_t stride = it->source_width * it->channels;
    const size_t unsafe = clipc_min((CLIPC_RESIZE_SLACK + stride - 1) / stride, it->source_height);
    const size_t safe_end = it->source_height - unsafe;
    const size_t safe = first < safe_end ? clipc_min(count, safe_end - first) : 0;
    it->kernels->horizontal(weights, it->channels, it->source + first * stride, stride, safe, destination,
                            destination_stride);
    clipc_resize_kernels_c.horizontal(weights, it->channels, it->source + (first + safe) * stride, stride,
                                      count - safe, destination + safe * destination_stride, destination_stride);
}

static clipc_status resize_horizontal(const job *it, const region *part, const clipc_resize_weights *columns,
                                      clipc_error *error)
{
    const size_t row_bytes = part->width * it->channels;
    const size_t stride = clipc_round_up(row_bytes + CLIPC_RESIZE_SLACK, CLIPC_ALIGNMENT);
    uint8_t *strip = clipc_allocate_aligned(CLIPC_RESIZE_ROWS, stride);
    if (!strip)
        return clipc_fail_memory(error, CLIPC_RESIZE_ROWS * stride, "resize rows");
    for (size_t y = 0; y < part->height; y += CLIPC_RESIZE_ROWS) {
        const size_t count = clipc_min(CLIPC_RESIZE_ROWS, part->height - y);
        horizontal_rows(it, columns, part->top + y, count, strip, stride);
        for (size_t r = 0; r < count; r++)
            memcpy(part->destination + (y + r) * part->stride, strip + r * stride, row_bytes);
    }
    clipc_free_aligned(strip);
    return CLIPC_OK;
}

/* One output row of the vertical pass, over source columns first … first+count-1. `rows` holds lines->taps pointers.
 */
static void vertical_row(const job *it, const clipc_resize_weights *lines, size_t y, size_t first, size_t count,
                         const uint8_t **rows, uint8_t *destination)
{
    const size_t used = lines->used[y];
    for (size_t t = 0; t < used; t++)
        rows[t] = it->source + ((lines->start[y] + t) * it->source_width + first) * it->channels;
    if (used % 2)
        rows[used] = rows[used - 1];
    it->kernels->vertical(lines, y, rows, count * it->channels, destination);
}

static clipc_status resize_vertical(const job *it, const region *part, const clipc_resize_weights *lines,
                                    clipc_error *error)
{
    const uint8_t **rows = clipc_allocate(lines->taps, sizeof *rows);
    if (!rows)
        return clipc_fail_memory(error, lines->taps * sizeof *rows, "resize rows");
    for (size_t y = 0; y < part->height; y++)
        vertical_row(it, lines, y, part->left, part->width, rows, part->destination + y * part->stride);
    clipc_free(rows);
    return CLIPC_OK;
}

/* Both passes, horizontal first: source rows go through the horizontal pass in order, each once, into a ring just long
 * enough for the vertical filter. */
static clipc_status resize_horizontal_first(const job *it, const region *part, const clipc_resize_weights *columns,
                                            const clipc_resize_weights *lines, clipc_error *error)
{
    const size_t first = lines->start[0];
    const size_t total = lines->start[part->height - 1] + lines->used[part->height - 1] - first;
    const size_t row_bytes = part->width * it->channels;
    const size_t stride = clipc_round_up(row_bytes + CLIPC_RESIZE_SLACK, CLIPC_ALIGNMENT);
    const size_t ring_rows = clipc_round_up(clipc_min(lines->taps, total), CLIPC_RESIZE_ROWS) + CLIPC_RESIZE_ROWS;
    const uint8_t **rows = clipc_allocate(lines->taps, sizeof *rows);
    uint8_t *ring = clipc_allocate_aligned(ring_rows, stride);
    if (!rows || !ring) {
        clipc_free(rows);
        clipc_free_aligned(ring);
        return clipc_fail_memory(error, ring_rows * stride, "resize rows");
    }
    size_t done = 0; /* rows that are or were in the ring, counted from `first` */
    for (size_t y = 0; y < part->height; y++) {
        const size_t used = lines->used[y];
        const size_t begin = lines->start[y] - first;
        while (done < begin + used) {
            const size_t count = clipc_min(CLIPC_RESIZE_ROWS, total - done);
            horizontal_rows(it, columns, first + done, count, ring + done % ring_rows * stride, stride);
            done += count;
        }
        for (size_t t = 0; t < used; t++)
            rows[t] = ring + (begin + t) % ring_rows * stride;
        if (used % 2)
            rows[used] = rows[used - 1];
        it->kernels->vertical(lines, y, rows, row_bytes, part->destination + y * part->stride);
    }
    clipc_free(rows);
    clipc_free_aligned(ring);
    return CLIPC_OK;
}

/* Both passes, vertical first: a few output rows at a time, over the source columns that the crop needs. */
static clipc_status resize_vertical_first(const job *it, const region *part, clipc_resize_weights *columns,
                                          const clipc_resize_weights *lines, clipc_error *error)
{
    const size_t first = columns->start[0];
    const size_t count = columns->start[part->width - 1] + columns->used[part->width - 1] - first;
    const size_t row_bytes = part->width * it->channels;
    const size_t tall_stride = clipc_round_up(count * it->channels + CLIPC_RESIZE_SLACK, CLIPC_ALIGNMENT);
    const size_t stride = clipc_round_up(row_bytes + CLIPC_RESIZE_SLACK, CLIPC_ALIGNMENT);
    const uint8_t **rows = clipc_allocate(lines->taps, sizeof *rows);
    uint8_t *strip = clipc_allocate_aligned(CLIPC_RESIZE_ROWS, tall_stride + stride);
    if (!rows || !strip) {
        clipc_free(rows);
        clipc_free_aligned(strip);
        return clipc_fail_memory(error, CLIPC_RESIZE_ROWS * (tall_stride + stride), "resize rows");
    }
    uint8_t *finished = strip + CLIPC_RESIZE_ROWS * tall_stride;
    memset(strip, 0, CLIPC_RESIZE_ROWS * (tall_stride + stride));
    for (size_t i = 0; i < part->width; i++)
        columns->start[i] -= first;
    for (size_t y = 0; y < part->height; y += CLIPC_RESIZE_ROWS) {
        const size_t height = clipc_min(CLIPC_RESIZE_ROWS, part->height - y);
        for (size_t r = 0; r < height; r++)
            vertical_row(it, lines, y + r, first, count, rows, strip + r * tall_stride);
        it->kernels->horizontal(columns, it->channels, strip, tall_stride, height, finished, stride);
        for (size_t r = 0; r < height; r++)
            memcpy(part->destination + (y + r) * part->stride, finished + r * stride, row_bytes);
    }
    clipc_free(rows);
    clipc_free_aligned(strip);
    return CLIPC_OK;
}

/* Whether Pillow does the vertical pass first, which changes some bytes: when the height shrinks, and by more than
 * twice what the width does. Inferred from what the wheel of Pillow 13.0.0 returns, not read in its source; earlier
 * versions did the horizontal pass first. parity.resize checks it against the installed version. */
static bool vertical_first(const job *it)
{
    const ptrdiff_t shorter = (ptrdiff_t)it->source_height - (ptrdiff_t)it->height;
    const ptrdiff_t narrower = (ptrdiff_t)it->source_width - (ptrdiff_t)it->width;
    return shorter > 0 && shorter > 2 * narrower;
}

static clipc_status resize_both(const job *it, const region *part, clipc_error *error)
{
    const bool horizontal = it->width != it->source_width;
    const bool vertical = it->height != it->source_height;
    clipc_resize_weights columns = {0};
    clipc_resize_weights lines = {0};
    clipc_status status = CLIPC_OK;
    if (horizontal)
        CLIPC_CHECK(clipc_resize_weights_create(it->filter, it->source_width, it->width, part->left, part->width,
                                                &columns, error));
    if (vertical)
        CLIPC_CHECK(clipc_resize_weights_create(it->filter, it->source_height, it->height, part->top, part->height,
                                                &lines, error));
    if (horizontal && vertical && vertical_first(it))
        status = resize_vertical_first(it, part, &columns, &lines, error);
    else if (horizontal && vertical)
        status = resize_horizontal_first(it, part, &columns, &lines, error);
    else if (horizontal)
        status = resize_horizontal(it, part, &columns, error);
    else
        status = resize_vertical(it, part, &lines, error);
fail:
    clipc_resize_weights_destroy(&columns);
    clipc_resize_weights_destroy(&lines);
    return status;
}

/* Whether the weights of `count` output positions are too many to be made at once. */
static bool too_many(const job *it, size_t source_size, size_t size, size_t count)
{
    return source_size != size && count > 1 && clipc_resize_taps(it->filter, source_size, size) > MOST_WEIGHTS / count;
}

/* Every output pixel depends on its own weights alone, so a region may be cut anywhere: so small that its weights take
 * little memory, whatever the image's shape. */
static clipc_status resize_filtered(const job *it, const region *part, clipc_error *error)
{
    region first = *part;
    region second = *part;
    if (too_many(it, it->source_width, it->width, part->width)) {
        first.width = part->width / 2;
        second.width -= first.width;
        second.left += first.width;
        second.destination += first.width * it->channels;
    } else if (too_many(it, it->source_height, it->height, part->height)) {
        first.height = part->height / 2;
        second.height -= first.height;
        second.top += first.height;
        second.destination += first.height * part->stride;
    } else {
        return resize_both(it, part, error);
    }
    CLIPC_TRY(resize_filtered(it, &first, error));
    return resize_filtered(it, &second, error);
}

static clipc_status resize_region(const job *it, const region *part, clipc_error *error)
{
    if (it->width == it->source_width && it->height == it->source_height) {
        copy_region(it, part);
        return CLIPC_OK;
    }
    if (it->filter == CLIPC_FILTER_NEAREST)
        return resize_nearest(it, part, error);
    return resize_filtered(it, part, error);
}

/* The part of begin … begin+count-1 that lies in 0 … size-1. */
static void clip_range(ptrdiff_t begin, size_t count, size_t size, size_t *first, size_t *length)
{
    const size_t skipped = begin < 0 ? clipc_min((size_t)0 - (size_t)begin, count) : 0;
    *first = begin < 0 ? 0 : clipc_min((size_t)begin, size);
    *length = clipc_min(count - skipped, size - *first);
}

clipc_status clipc_resize_crop_with(const clipc_resize_kernels *kernels, const uint8_t *source, size_t source_width,
                                    size_t source_height, size_t channels, clipc_filter filter, size_t width,
                                    size_t height, clipc_crop crop, uint8_t *destination, clipc_error *error)
{
    CLIPC_FAIL_IF(channels < 1 || channels > 4, error, CLIPC_ERROR_ARGUMENT, "resize: %zu channels, not 1 to 4",
                  channels);
    CLIPC_FAIL_IF(!source_width || !source_height || !width || !height || !crop.width || !crop.height, error,
                  CLIPC_ERROR_ARGUMENT, "resize: %zu x %zu to %zu x %zu, crop %zu x %zu: none may be 0", source_width,
                  source_height, width, height, crop.width, crop.height);
    CLIPC_FAIL_IF(source_width > MAX_SIZE || source_height > MAX_SIZE || width > MAX_SIZE || height > MAX_SIZE, error,
                  CLIPC_ERROR_LIMIT, "resize: %zu x %zu to %zu x %zu, where %zu is the limit", source_width,
                  source_height, width, height, MAX_SIZE);

    const job it = {kernels, source, source_width, source_height, channels, filter, width, height};
    region part = {.stride = crop.width * channels};
    clip_range(crop.left, crop.width, width, &part.left, &part.width);
    clip_range(crop.top, crop.height, height, &part.top, &part.height);
    if (part.width < crop.width || part.height < crop.height)
        memset(destination, 0, crop.height * part.stride);
    if (!part.width || !part.height)
        return CLIPC_OK;
    const size_t skipped_rows = crop.top < 0 ? (size_t)0 - (size_t)crop.top : 0;
    const size_t skipped_columns = crop.left < 0 ? (size_t)0 - (size_t)crop.left : 0;
    part.destination = destination + skipped_rows * part.stride + skipped_columns * channels;
    return resize_region(&it, &part, error);
}

clipc_status clipc_resize_crop(const uint8_t *source, size_t source_width, size_t source_height, size_t channels,
                               clipc_filter filter, size_t width, size_t height, clipc_crop crop, uint8_t *destination,
                               clipc_error *error)
{
    const clipc_resize_kernels *kernels = NULL;
    CLIPC_TRY(best_kernels(&kernels, error));
    return clipc_resize_crop_with(kernels, source, source_width, source_height, channels, filter, width, height, crop,
                                  destination, error);
}
