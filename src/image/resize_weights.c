#include "image/resize_weights.h"

#include "base/checked.h"
#include "base/memory.h"

#include <math.h>

#define PI 3.14159265358979323846

/* The filters, each zero outside ±support. The arithmetic, its order and its mixed precision are Pillow's: the last
 * bit of a weight decides a pixel now and then. */

static double box_filter(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear_filter(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming_filter(double x)
{
    x = fabs(x);
    if (x == 0.0)
        return 1.0;
    if (x >= 1.0)
        return 0.0;
    x = x * PI;
    return sin(x) / x * ((double)0.54f + (double)0.46f * cos(x));
}

/* Keys' cubic convolution with a = -0.5. */
static double bicubic_filter(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x = x * PI;
    return sin(x) / x;
}

static double lanczos_filter(double x)
{
    return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

typedef struct filter_shape {
    double (*value)(double x);
    double support;
} filter_shape;

static filter_shape filter_shape_of(clipc_filter filter)
{
    switch (filter) {
    case CLIPC_FILTER_LANCZOS: return (filter_shape){lanczos_filter, 3.0};
    case CLIPC_FILTER_BILINEAR: return (filter_shape){bilinear_filter, 1.0};
    case CLIPC_FILTER_BICUBIC: return (filter_shape){bicubic_filter, 2.0};
    case CLIPC_FILTER_HAMMING: return (filter_shape){hamming_filter, 1.0};
    case CLIPC_FILTER_BOX:
    case CLIPC_FILTER_NEAREST: break;
    }
    return (filter_shape){box_filter, 0.5};
}

/* One axis as the formulas need it. */
typedef struct axis {
    filter_shape shape;
    size_t source_size;
    double scale;   /* source pixels an output pixel */
    double stretch; /* the filter's: at least 1, which is what makes the resize antialiased */
    double support;
} axis;

static axis axis_of(clipc_filter filter, size_t source_size, size_t size)
{
    axis it = {.shape = filter_shape_of(filter), .source_size = source_size};
    it.scale = (double)(float)source_size / (double)size; /* Pillow holds the source box in floats */
    it.stretch = it.scale < 1.0 ? 1.0 : it.scale;
    it.support = it.shape.support * it.stretch;
    return it;
}

/* Which source pixels output position `position` reads. */
static void axis_bounds(const axis *it, size_t position, double *center, size_t *start, size_t *used)
{
    *center = ((double)position + 0.5) * it->scale;
    const double low = *center - it->support + 0.5;
    const double high = *center + it->support + 0.5;
    *start = low > 0.0 ? clipc_min((size_t)low, it->source_size) : 0;
    const size_t end = clipc_min((size_t)high, it->source_size);
    *used = end > *start ? end - *start : 0;
}

/* Normalised to a sum of 1, then rounded half away from zero. */
static void axis_weights(const axis *it, double center, size_t start, size_t used, double *exact, int32_t *whole)
{
    double total = 0.0;
    for (size_t t = 0; t < used; t++) {
        exact[t] = it->shape.value(((double)(t + start) - center + 0.5) * (1.0 / it->stretch));
        total += exact[t];
    }
    for (size_t t = 0; t < used; t++) {
        const double weight = (total != 0.0 ? exact[t] / total : exact[t]) * (1 << CLIPC_RESIZE_BITS);
        whole[t] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
}

static clipc_status allocate(clipc_resize_weights *weights, clipc_error *error)
{
    size_t total = 0;
    if (!clipc_multiply(weights->count, weights->taps, &total))
        return clipc_fail_memory(error, SIZE_MAX, "resize weights");
    weights->start = clipc_allocate(weights->count, sizeof *weights->start);
    weights->used = clipc_allocate(weights->count, sizeof *weights->used);
    weights->whole = clipc_allocate(total, sizeof *weights->whole);
    weights->low = clipc_allocate(total, sizeof *weights->low);
    weights->high = clipc_allocate(total, sizeof *weights->high);
    if (!weights->start || !weights->used || !weights->whole || !weights->low || !weights->high)
        return clipc_fail_memory(error, total * 8, "resize weights");
    return CLIPC_OK;
}

static size_t axis_taps(const axis *it)
{
    const size_t widest = clipc_min((size_t)ceil(it->support) * 2 + 1, it->source_size);
    return clipc_round_up(widest, CLIPC_RESIZE_TAP_STEP);
}

size_t clipc_resize_taps(clipc_filter filter, size_t source_size, size_t size)
{
    const axis it = axis_of(filter, source_size, size);
    return axis_taps(&it);
}

clipc_status clipc_resize_weights_create(clipc_filter filter, size_t source_size, size_t size, size_t first,
                                         size_t count, clipc_resize_weights *out, clipc_error *error)
{
    const axis it = axis_of(filter, source_size, size);
    clipc_resize_weights weights = {.count = count, .taps = axis_taps(&it)};
    double *exact = NULL;
    clipc_status status = CLIPC_OK;

    CLIPC_CHECK(allocate(&weights, error));
    exact = clipc_allocate(weights.taps, sizeof *exact);
    if (!exact) {
        status = clipc_fail_memory(error, weights.taps * sizeof *exact, "resize weights");
        goto fail;
    }
    for (size_t i = 0; i < count; i++) {
        double center = 0.0;
        axis_bounds(&it, first + i, &center, &weights.start[i], &weights.used[i]);
        int32_t *whole = weights.whole + i * weights.taps;
        axis_weights(&it, center, weights.start[i], weights.used[i], exact, whole);
        for (size_t t = 0; t < weights.used[i]; t++) {
            const int32_t low = ((whole[t] & 0xFFFF) ^ 0x8000) - 0x8000;
            weights.low[i * weights.taps + t] = (int16_t)low;
            weights.high[i * weights.taps + t] = (int16_t)((whole[t] - low) / 65536);
        }
    }
    clipc_free(exact);
    *out = weights;
    return CLIPC_OK;

fail:
    clipc_free(exact);
    clipc_resize_weights_destroy(&weights);
    return status;
}

void clipc_resize_weights_destroy(clipc_resize_weights *weights)
{
    clipc_free(weights->start);
    clipc_free(weights->used);
    clipc_free(weights->whole);
    clipc_free(weights->low);
    clipc_free(weights->high);
    *weights = (clipc_resize_weights){0};
}
