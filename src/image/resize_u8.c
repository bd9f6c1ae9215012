/* The portable passes: what the vector kernels are checked against. */
#include "image/resize_kernels.h"

/* Sums are kept modulo 2^32: the total always fits 32 bits, whatever the order of its terms. */
static uint8_t round_and_clip(uint32_t sum)
{
    const int32_t value = (int32_t)sum >> CLIPC_RESIZE_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

#define HALF ((uint32_t)1 << (CLIPC_RESIZE_BITS - 1))

static void horizontal_row(const clipc_resize_weights *weights, size_t channels, const uint8_t *source,
                           uint8_t *destination)
{
    for (size_t i = 0; i < weights->count; i++) {
        const int32_t *weight = weights->whole + i * weights->taps;
        const uint8_t *pixels = source + weights->start[i] * channels;
        uint32_t sum[4] = {HALF, HALF, HALF, HALF};
        for (size_t t = 0; t < weights->used[i]; t++)
            for (size_t c = 0; c < channels; c++)
                sum[c] += (uint32_t)weight[t] * pixels[t * channels + c];
        for (size_t c = 0; c < channels; c++)
            destination[i * channels + c] = round_and_clip(sum[c]);
    }
}

static void horizontal(const clipc_resize_weights *weights, size_t channels, const uint8_t *source,
                       size_t source_stride, size_t rows, uint8_t *destination, size_t destination_stride)
{
    for (size_t r = 0; r < rows; r++)
        horizontal_row(weights, channels, source + r * source_stride, destination + r * destination_stride);
}

/* Goes over blocks of columns, so that the sums stay in registers and the rows are read along. */
static void vertical(const clipc_resize_weights *weights, size_t position, const uint8_t *const *rows, size_t bytes,
                     uint8_t *destination)
{
    enum { BLOCK = 32 };
    const int32_t *weight = weights->whole + position * weights->taps;
    for (size_t begin = 0; begin < bytes; begin += BLOCK) {
        const size_t count = bytes - begin < BLOCK ? bytes - begin : BLOCK;
        uint32_t sum[BLOCK];
        for (size_t b = 0; b < BLOCK; b++)
            sum[b] = HALF;
        for (size_t t = 0; t < weights->used[position]; t++)
            for (size_t b = 0; b < count; b++)
                sum[b] += (uint32_t)weight[t] * rows[t][begin + b];
        for (size_t b = 0; b < count; b++)
            destination[begin + b] = round_and_clip(sum[b]);
    }
}

const clipc_resize_kernels clipc_resize_kernels_c = {horizontal, vertical};
