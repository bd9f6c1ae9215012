/* The two passes with NEON: bytes are widened to 32 bits and multiplied by whole weights. Sums wrap modulo 2^32, the
 * total never does. */
#include "image/resize_kernels.h"

#include <arm_neon.h>
#include <string.h>

#define HALF (1 << (CLIPC_RESIZE_BITS - 1))

/* order[t] picks the channels of the t-th of four pixels from 16 bytes, each into a number of 32 bits. */
static void spread_order(size_t channels, uint8x16_t order[4])
{
    for (size_t t = 0; t < 4; t++) {
        uint8_t bytes[16];
        memset(bytes, 0xFF, sizeof bytes); /* out of range: becomes 0 */
        for (size_t c = 0; c < 4 && c < channels; c++)
            bytes[4 * c] = (uint8_t)(t * channels + c);
        order[t] = vld1q_u8(bytes);
    }
}

static inline int32x4_t spread(uint8x16_t bytes, uint8x16_t order)
{
    return vreinterpretq_s32_u8(vqtbl1q_u8(bytes, order));
}

/* Four numbers of each, shifted and clipped to bytes. */
static inline uint8x16_t finish(const int32x4_t sum[4])
{
    uint16x4_t words[4];
    for (size_t i = 0; i < 4; i++)
        words[i] = vqmovun_s32(vshrq_n_s32(sum[i], CLIPC_RESIZE_BITS));
    return vcombine_u8(vqmovn_u16(vcombine_u16(words[0], words[1])), vqmovn_u16(vcombine_u16(words[2], words[3])));
}

/* Four bytes are stored for every pixel; the next pixel, or the slack, takes those too many. */
static void horizontal_four(const clipc_resize_weights *weights, size_t channels, const uint8_t *source, size_t stride,
                            uint8_t *destination, size_t destination_stride)
{
    uint8x16_t order[4];
    spread_order(channels, order);
    for (size_t i = 0; i < weights->count; i++) {
        const int32_t *weight = weights->whole + i * weights->taps;
        const uint8_t *pixels = source + weights->start[i] * channels;
        int32x4_t sum[4];
        for (size_t r = 0; r < 4; r++)
            sum[r] = vdupq_n_s32(HALF);
        for (size_t t = 0; t < weights->used[i]; t += 4) {
            const int32x4_t four = vld1q_s32(weight + t);
            for (size_t r = 0; r < 4; r++) {
                const uint8x16_t bytes = vld1q_u8(pixels + r * stride + t * channels);
                sum[r] = vmlaq_laneq_s32(sum[r], spread(bytes, order[0]), four, 0);
                sum[r] = vmlaq_laneq_s32(sum[r], spread(bytes, order[1]), four, 1);
                sum[r] = vmlaq_laneq_s32(sum[r], spread(bytes, order[2]), four, 2);
                sum[r] = vmlaq_laneq_s32(sum[r], spread(bytes, order[3]), four, 3);
            }
        }
        uint8_t finished[16];
        vst1q_u8(finished, finish(sum));
        for (size_t r = 0; r < 4; r++)
            memcpy(destination + r * destination_stride + i * channels, finished + 4 * r, 4);
    }
}

static void horizontal(const clipc_resize_weights *weights, size_t channels, const uint8_t *source,
                       size_t source_stride, size_t rows, uint8_t *destination, size_t destination_stride)
{
    size_t r = 0;
    for (; r + 4 <= rows; r += 4)
        horizontal_four(weights, channels, source + r * source_stride, source_stride,
                        destination + r * destination_stride, destination_stride);
    for (; r < rows; r++) /* the same row four times over: rare, and still quicker than C */
        horizontal_four(weights, channels, source + r * source_stride, 0, destination + r * destination_stride, 0);
}

/* 16 columns. */
static inline void vertical_block(const int32_t *weight, size_t used, const uint8_t *const *rows, size_t begin,
                                  uint8_t *destination)
{
    int32x4_t sum[4];
    for (size_t i = 0; i < 4; i++)
        sum[i] = vdupq_n_s32(HALF);
    for (size_t t = 0; t < used; t++) {
        const uint8x16_t bytes = vld1q_u8(rows[t] + begin);
        const uint16x8_t low = vmovl_u8(vget_low_u8(bytes));
        const uint16x8_t high = vmovl_high_u8(bytes);
        sum[0] = vmlaq_n_s32(sum[0], vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))), weight[t]);
        sum[1] = vmlaq_n_s32(sum[1], vreinterpretq_s32_u32(vmovl_high_u16(low)), weight[t]);
        sum[2] = vmlaq_n_s32(sum[2], vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))), weight[t]);
        sum[3] = vmlaq_n_s32(sum[3], vreinterpretq_s32_u32(vmovl_high_u16(high)), weight[t]);
    }
    vst1q_u8(destination + begin, finish(sum));
}

static void vertical(const clipc_resize_weights *weights, size_t position, const uint8_t *const *rows, size_t bytes,
                     uint8_t *destination)
{
    const int32_t *weight = weights->whole + position * weights->taps;
    if (bytes < 16) {
        clipc_resize_kernels_c.vertical(weights, position, rows, bytes, destination);
        return;
    }
    for (size_t begin = 0; begin + 16 <= bytes; begin += 16)
        vertical_block(weight, weights->used[position], rows, begin, destination);
    if (bytes % 16) /* once more, overlapping */
        vertical_block(weight, weights->used[position], rows, bytes - 16, destination);
}

const clipc_resize_kernels clipc_resize_kernels_neon = {horizontal, vertical};
